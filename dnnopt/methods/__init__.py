"""Everything that yields plans and bounds."""
