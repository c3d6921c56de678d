"""Many solves: compare, sweep, fronts, best plans, why infeasible, bench, best known values."""
