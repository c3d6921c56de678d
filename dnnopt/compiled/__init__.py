"""The problem as arrays: what placements cost, what cannot be, and when things happen."""
