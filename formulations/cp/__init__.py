"""Constraint-programming formulations."""
