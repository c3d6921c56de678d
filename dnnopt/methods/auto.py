"""`auto`: what `solve` does where no formulation is named.

Presolve with the best simple plan. For a linear objective, prices on the limits give a bound, and what each choice
costs at least: what costs more than the plan is forbidden. The formulation is given a glance: what is easy ends there.
Then label search, as long as it promises to close the gap, where the problem is made of sums. What is left between plan
and bound goes to the formulation as a whole; for a maximum (period, critical path), after a destructive bound and a
search for any plan below a cap, with caps from the bound upwards: low caps leave little to search, and each one that
has no plan is a bound.
"""

from __future__ import annotations

import math
from dataclasses import replace

from dnnopt.compiled import CompiledProblem, LinearTerm, ObjectiveLimit, PeriodTerm, WorstLeakageTerm
from dnnopt.formulations.formulation import Formulation
from dnnopt.methods.bounds.destructive import destructive_bound
from dnnopt.methods.bounds.lagrangian import Lagrangian, below
from dnnopt.methods.exact import labels
from dnnopt.methods.formulated import run_formulation
from dnnopt.pool import Pool
from dnnopt.presolve import presolve
from dnnopt.scaling import total_load
from dnnopt.solvers import solver as solver_of
from dnnopt.solvers.interface import Clock, Control, Limits, Outcome

# Parts of the time: a share of it, and at most so many seconds.
_PRICES = 0.05, 2.0
_GLANCE = 0.05, 3.0
_LABELS = 0.4, 60.0
_WHOLE = 0.25, 30.0
_BOUND = 0.25, 30.0
_CAP_SHARE = 0.2
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
    if not reduced.infeasible and formulation.kind == "milp":
        priced = not is_maximum(kept) and Lagrangian.refuses(kept) is None
        if priced:
            kept = _priced_out(pool, limits, control)
        if _ended(pool, limits, control):
            return Outcome("feasible")
        if labels.refuses(pool.compiled) is None:
            outcome = _tried(pool, formulation, solver, limits, control, kept, _GLANCE)
            if _ended(pool, limits, control) or outcome.status in ("error", "infeasible"):
                return outcome
            outcome = labels.run_while_promising(pool, limits.within(_part(limits, _LABELS)), control)
            if outcome.status == "infeasible":
                return outcome
            if priced and not _ended(pool, limits, control):
                kept = _priced_out(pool, limits, control)
        if not _ended(pool, limits, control) and any(isinstance(term, PeriodTerm) for term in kept.objective[0]):
            outcome = _tried(pool, formulation, solver, limits, control, kept, _WHOLE)
            if outcome.status in ("error", "infeasible"):
                return outcome
        if not _ended(pool, limits, control) and is_maximum(kept):
            destructive_bound(pool, formulation, limits.within(_part(limits, _BOUND)), control)
            _search_below_caps(pool, formulation, solver, limits, control, clock)
        if _ended(pool, limits, control):
            return Outcome("feasible")
        reduced = presolve(kept, _cap(pool))
    if reduced.infeasible:
        return _nothing_below(pool)
    left = limits.within(clock.left())
    return run_formulation(pool, formulation, solver, left, control, reduced.compiled, _cap(pool))


def _nothing_below(pool: Pool) -> Outcome:
    """Note that presolve leaves nothing below the best plan."""
    if pool.objective is None:
        return Outcome("infeasible")
    pool.add_bound(_cap(pool), "presolve")
    return Outcome("feasible")


def _tried(
    pool: Pool,
    formulation: Formulation,
    solver: str,
    limits: Limits,
    control: Control,
    compiled: CompiledProblem,
    part: tuple[float, float],
) -> Outcome:
    """Try the formulation as a whole for a part of the time."""
    reduced = presolve(compiled, _cap(pool))
    if reduced.infeasible:
        return _nothing_below(pool)
    tried = limits.within(_part(limits, part))
    return run_formulation(pool, formulation, solver, tried, control, reduced.compiled, _cap(pool))


def _ended(pool: Pool, limits: Limits, control: Control) -> bool:
    return pool.is_closed(limits.gap) or control.stop.is_set()


def _part(limits: Limits, part: tuple[float, float]) -> float:
    """Return the seconds of a part of a run: a share of the time limit, at most so many; all these without a limit."""
    share, most = part
    return most if limits.time_limit is None else min(most, share * limits.time_limit)


def _priced_out(pool: Pool, limits: Limits, control: Control) -> CompiledProblem:
    """Raise the bound by prices on limits; return the problem without choices that cost more than the best plan."""
    tried = limits.within(_part(limits, _PRICES))
    lagrangian = Lagrangian(pool.compiled)
    lagrangian.maximize(tried, control)
    pool.add_bound(min(lagrangian.bound, _cap(pool)), "Lagrangian")
    if pool.is_closed(limits.gap):
        return pool.compiled
    marginals = lagrangian.marginals(tried, control, seed=limits.seed)
    return below(pool.compiled, marginals, _cap(pool))


def is_maximum(compiled: CompiledProblem) -> bool:
    """Return whether the objective has a maximum that presolve can use."""
    return any(not isinstance(term, LinearTerm | WorstLeakageTerm) for term in compiled.objective[0])


def _search_below_caps(
    pool: Pool, formulation: Formulation, solver: str, limits: Limits, control: Control, clock: Clock
) -> None:
    """Search for a plan below the lowest cap that has one; caps without one raise the bound."""
    for factor in _CAPS:
        if pool.is_closed(limits.gap) or clock.expired() or control.stop.is_set():
            return
        cap = (pool.bound or 0.0) * factor
        if not 0 < cap < _cap(pool):
            continue
        left = clock.left()
        seconds = None if left is None else _CAP_SHARE * left
        if _find_below(pool, formulation, solver, cap, limits.within(seconds), control):
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
