"""`auto`: what `solve` does where no formulation is named.

Presolve with the best simple plan; for a maximum (period, critical path), a destructive bound, and the formulation with
caps from the bound upwards: low caps leave little to search, and each one that fails raises the bound. What the caps
leave open goes to the formulation as a whole.
"""

from __future__ import annotations

import math

from dnnopt.compiled import CompiledProblem, LinearTerm, WorstLeakageTerm
from dnnopt.formulations.formulation import Formulation
from dnnopt.methods.bounds.destructive import destructive_bound
from dnnopt.methods.exact import run_formulation
from dnnopt.pool import Pool
from dnnopt.presolve import presolve
from dnnopt.result import OPTIMAL_GAP
from dnnopt.solvers.interface import Clock, Control, Limits, Outcome

_BOUND_SHARE = 0.25
_BOUND_SECONDS = 30.0
_CAP_SHARE = 0.3
# Caps as multiples of the bound.
_CAPS = (1.0005, 1.01, 1.05, 1.2)


def run_auto(pool: Pool, formulation: Formulation, solver: str, limits: Limits, control: Control) -> Outcome:
    """Solve a problem; plans and bounds go to the pool.

    Returns
    -------
    Outcome
        Of the last search.
    """
    clock = Clock(limits.time_limit)
    reduced = presolve(pool.compiled, _cap(pool))
    if reduced.infeasible:
        return _nothing_below(pool, _cap(pool))
    if pool.objective is not None and formulation.kind == "milp" and is_maximum(pool.compiled):
        share = math.inf if limits.time_limit is None else _BOUND_SHARE * limits.time_limit
        destructive_bound(pool, formulation, _within(limits, min(_BOUND_SECONDS, share)), control)
        for factor in _CAPS:
            if _closed(pool, limits.gap) or clock.expired() or control.stop.is_set():
                break
            cap = (pool.bound or 0.0) * factor
            if not 0 < cap < (pool.objective or math.inf):
                continue
            reduced = presolve(pool.compiled, cap)
            if reduced.infeasible:
                pool.add_bound(cap, "presolve")
                continue
            left = clock.left()
            seconds = None if left is None else _CAP_SHARE * left
            run_formulation(pool, formulation, solver, _within(limits, seconds), control, reduced.compiled, cap)
        if not _closed(pool, limits.gap):
            reduced = presolve(pool.compiled, _cap(pool))
            if reduced.infeasible:
                return _nothing_below(pool, _cap(pool))
    if _closed(pool, limits.gap) or control.stop.is_set():
        return Outcome("feasible")
    return run_formulation(
        pool, formulation, solver, _within(limits, clock.left()), control, reduced.compiled, _cap(pool)
    )


def is_maximum(compiled: CompiledProblem) -> bool:
    """Return whether the objective has a maximum that presolve can use."""
    return any(not isinstance(term, LinearTerm | WorstLeakageTerm) for term in compiled.objective[0])


def _cap(pool: Pool) -> float:
    return math.inf if pool.objective is None else pool.objective


def _closed(pool: Pool, gap: float) -> bool:
    """Return whether the pool's bound meets its plan."""
    if pool.objective is None or pool.bound is None:
        return False
    return pool.objective - pool.bound <= max(gap, OPTIMAL_GAP) * abs(pool.objective)


def _nothing_below(pool: Pool, cap: float) -> Outcome:
    """Return the outcome where presolve leaves nothing: no plan at all, or none better than the one known."""
    if pool.objective is None:
        return Outcome("infeasible")
    pool.add_bound(cap, "presolve")
    return Outcome("feasible")


def _within(limits: Limits, seconds: float | None) -> Limits:
    return Limits(
        seconds if seconds is None or math.isfinite(seconds) else None, limits.gap, limits.threads, limits.seed
    )
