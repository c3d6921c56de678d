"""`auto`: what `solve` does where no formulation is named.

Presolve with the best simple plan. For a linear objective, prices on the limits give a bound, and what each choice
costs at least: what costs more than the plan is forbidden. For a maximum (period, critical path), a destructive bound,
then a search for any plan below a cap, with caps from the bound upwards: low caps leave little to search, and each one
that has no plan is a bound. What is left between plan and bound goes to the formulation as a whole. For a period, the
whole is tried for a while before all that: many are decided by one transfer that no plan can avoid.
"""

from __future__ import annotations

import math
from dataclasses import replace

from dnnopt.compiled import CompiledProblem, LinearTerm, ObjectiveLimit, PeriodTerm, WorstLeakageTerm
from dnnopt.formulations.formulation import Formulation
from dnnopt.methods.bounds.destructive import destructive_bound
from dnnopt.methods.bounds.lagrangian import Lagrangian, below
from dnnopt.methods.formulated import run_formulation
from dnnopt.pool import Pool
from dnnopt.presolve import presolve
from dnnopt.result import OPTIMAL_GAP
from dnnopt.scaling import total_load
from dnnopt.solvers import solver as solver_of
from dnnopt.solvers.interface import Clock, Control, Limits, Outcome

_WHOLE_SHARE = 0.25
_WHOLE_SECONDS = 8.0  # without a time limit
_BOUND_SHARE = 0.25
_BOUND_SECONDS = 30.0
_CAP_SHARE = 0.2
_PRICE_SHARE = 0.05
_PRICE_SECONDS = 2.0
# Caps as multiples of the bound.
_CAPS = (1.0005, 1.01, 1.05, 1.2)
# A gap at which a search ends with its first plan.
_ANY = 1e9


def run_auto(pool: Pool, formulation: Formulation, solver: str, limits: Limits, control: Control) -> Outcome:
    """Solve a problem; plans and bounds go to the pool.

    Returns
    -------
    Outcome
        Of the last search.
    """
    clock = Clock(limits.time_limit)
    kept = pool.compiled
    reduced = presolve(kept, _cap(pool))
    if not reduced.infeasible and pool.objective is not None and formulation.kind == "milp":
        if any(isinstance(term, PeriodTerm) for term in pool.compiled.objective[0]):
            seconds = _WHOLE_SECONDS if limits.time_limit is None else _WHOLE_SHARE * limits.time_limit
            tried = within(limits, seconds)
            outcome = run_formulation(pool, formulation, solver, tried, control, reduced.compiled, _cap(pool))
            if is_closed(pool, limits.gap) or control.stop.is_set() or outcome.status == "error":
                return outcome
        if is_maximum(pool.compiled):
            share = math.inf if limits.time_limit is None else _BOUND_SHARE * limits.time_limit
            destructive_bound(pool, formulation, within(limits, min(_BOUND_SECONDS, share)), control)
            _search_below_caps(pool, formulation, solver, limits, control, clock)
        elif Lagrangian.refuses(pool.compiled) is None:
            kept = _priced_out(pool, limits, control)
        if is_closed(pool, limits.gap) or control.stop.is_set():
            return Outcome("feasible")
        reduced = presolve(kept, _cap(pool))
    if reduced.infeasible:
        if pool.objective is None:
            return Outcome("infeasible")
        pool.add_bound(_cap(pool), "presolve")
        return Outcome("feasible")
    left = within(limits, clock.left())
    return run_formulation(pool, formulation, solver, left, control, reduced.compiled, _cap(pool))


def _priced_out(pool: Pool, limits: Limits, control: Control) -> CompiledProblem:
    """Raise the bound by prices on limits; return the problem without choices that cost more than the best plan."""
    share = math.inf if limits.time_limit is None else _PRICE_SHARE * limits.time_limit
    lagrangian = Lagrangian(pool.compiled)
    lagrangian.maximize(within(limits, min(_PRICE_SECONDS, share)), control)
    pool.add_bound(min(lagrangian.bound, _cap(pool)), "Lagrangian")
    if is_closed(pool, limits.gap):
        return pool.compiled
    marginals = lagrangian.marginals(within(limits, min(_PRICE_SECONDS, share)), control, seed=limits.seed)
    return below(pool.compiled, marginals, _cap(pool))


def is_maximum(compiled: CompiledProblem) -> bool:
    """Return whether the objective has a maximum that presolve can use."""
    return any(not isinstance(term, LinearTerm | WorstLeakageTerm) for term in compiled.objective[0])


def _search_below_caps(
    pool: Pool, formulation: Formulation, solver: str, limits: Limits, control: Control, clock: Clock
) -> None:
    """Search for a plan below the lowest cap that has one; caps without one raise the bound."""
    for factor in _CAPS:
        if is_closed(pool, limits.gap) or clock.expired() or control.stop.is_set():
            return
        cap = (pool.bound or 0.0) * factor
        if not 0 < cap < _cap(pool):
            continue
        left = clock.left()
        seconds = None if left is None else _CAP_SHARE * left
        if _find_below(pool, formulation, solver, cap, within(limits, seconds), control):
            return


def _find_below(
    pool: Pool, formulation: Formulation, solver: str, cap: float, limits: Limits, control: Control
) -> bool:
    """Offer a plan with an objective of at most `cap` to the pool, or raise its bound; return whether a plan was found.

    The search takes the first plan, and is led by the total load, which tells plans apart that a maximum does not.
    """
    reduced = presolve(pool.compiled, cap)
    if reduced.infeasible:
        pool.add_bound(cap, "presolve")
        return False
    limit = ObjectiveLimit("cap", pool.compiled.objective[0], cap)
    compiled = replace(
        reduced.compiled,
        objective=((LinearTerm(1.0, total_load(pool.compiled)),),),
        cap=math.inf,
        constraints=(*reduced.compiled.constraints, limit),
    )
    model = formulation.build(compiled)
    anything = Limits(limits.time_limit, _ANY, limits.threads, limits.seed)
    outcome = solver_of(solver, formulation.kind)(model, anything, None, Control(stop=control.stop, log=control.log))
    source = f"{formulation.name} ({solver}) below a cap"
    if outcome.status == "infeasible":
        pool.add_bound(cap, source)
    if outcome.values is None:
        return False
    return pool.accepts(pool.offer(formulation.read(compiled, model, outcome.values), source))


def _cap(pool: Pool) -> float:
    return math.inf if pool.objective is None else pool.objective


def is_closed(pool: Pool, gap: float) -> bool:
    """Return whether the pool's bound meets its plan."""
    if pool.objective is None or pool.bound is None:
        return False
    return pool.objective - pool.bound <= max(gap, OPTIMAL_GAP) * abs(pool.objective)


def within(limits: Limits, seconds: float | None) -> Limits:
    finite = None if seconds is None or math.isinf(seconds) else seconds
    return Limits(finite, limits.gap, limits.threads, limits.seed)
