"""The report of many runs: one page of HTML that needs no network."""
