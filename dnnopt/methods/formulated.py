"""Solving by a formulation: build, start from the best plan known, search, let the referee look at what comes back.

A solver is not believed at once. Before its "optimal" or "infeasible" counts, the plans that are known must satisfy the
model's rows: those better than what it claims all rows, the others those that state the problem.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.presolve import presolve
from dnnopt.formulations.formulation import Formulation
from dnnopt.methods.numbers import Suited, caps_to_climb, refused, suited_model
from dnnopt.methods.pool import Known, Pool
from dnnopt.methods.result import OPTIMAL_GAP, relative_gap
from dnnopt.models.linear import LazyRows, LinearModel
from dnnopt.models.solvers import solver as solver_of
from dnnopt.models.solvers.interface import Clock, Control, Limits, LinkedStop, Outcome, Values
from dnnopt.referee import Evaluation

_TRIES = 50
_MOST_ROUNDS = 60
_MOVES_A_SECOND = 20_000  # of a model, to build and to presolve
_RELAXATION_SHARE = 0.3
_MUCH_BETTER = 0.5
# Solvers' tolerances, in a model's units, in which objectives are about 100.
_NOISE = 1e-9


def default_solver(formulation: Formulation) -> str:
    """Return the solver that is taken for a formulation unless another is named."""
    return "cpsat" if formulation.kind == "cp" else "highs"


def is_too_large(compiled: CompiledProblem, seconds: float | None) -> bool:
    """Return whether solvers would hardly have begun when the time is over: they do not stop before."""
    return seconds is not None and float(compiled.usable_moves.sum()) > _MOVES_A_SECOND * seconds


def run_formulation(
    pool: Pool,
    formulation: Formulation,
    solver: str,
    limits: Limits,
    control: Control,
    compiled: CompiledProblem | None = None,
    cap: float = math.inf,
) -> Outcome:
    """Solve by one formulation and one solver; plans and bounds go to the pool.

    Parameters
    ----------
    pool : Pool
    formulation : Formulation
    solver : str
    limits : Limits
    control : Control
    compiled : CompiledProblem, optional
        What is left of the pool's problem after presolve with `cap`: plans above the cap may be missing.
    cap : float
        SI; bounds beyond it mean only that no plan is below it.

    A solver whose word a plan has refuted is not asked again.

    A plan that the referee refuses broke a limit by less than the solver's tolerance: it is forbidden and the search
    repeated.

    Returns
    -------
    Outcome
        The solver's last one.
    """
    run = solver_of(solver, formulation.kind)
    if solver in pool.doubted:
        return Outcome("no_solution")
    clock = Clock(limits.time_limit)
    compiled = pool.compiled if compiled is None else compiled
    timed = compiled.execution in ("parallel", "scheduled", "call")
    if (timed or formulation.kind == "cp") and pool.cap < math.inf:
        cap = min(cap, pool.cap)
        compiled = replace(compiled, cap=min(cap, compiled.cap))
    suited = suited_model(pool, formulation, compiled, cap)
    if suited is None:
        pool.add_bound(min(cap, pool.cap), "presolve")
        return Outcome("infeasible" if pool.objective is None else "feasible")
    if not suited.reliable and pool.objective is None and math.isinf(cap):
        caps = caps_to_climb(suited)
        if caps:
            return _climb(pool, formulation, solver, limits, control, suited.compiled, caps)
    words = refused(suited)
    if words:
        return Outcome("refused", message=words)
    compiled, model = suited.compiled, suited.model
    cap = min(cap, compiled.cap)
    unit = model.objective_unit
    pool.resolution = max(pool.resolution, _NOISE * unit)
    # Their objective is not that of the plan which is read from them.
    inexact = compiled.execution == "scheduled" or (formulation.kind == "cp" and model.task_starts is not None)
    lazy = model.lazy if isinstance(model, LinearModel) else None
    source = f"{formulation.name} ({solver})"
    start = None
    if pool.best is not None and pool.best.objective <= cap:
        start = formulation.encode(compiled, model, pool.best.placement, pool.best.times)

    def add_bound(bound: float | None) -> None:
        """Keep a solver's bound, in its units."""
        if bound is not None and suited.reliable:
            pool.add_bound(min(suited.lowered(bound) * unit, cap), source, solver)

    def report(objective: float | None, bound: float | None) -> None:
        if formulation.value != "plan":
            add_bound(bound)
        if objective is not None and lazy is None and not inexact:
            pool.report_incumbent(suited.lifted(objective) * unit, source)
        if pool.is_cut_off(limits.gap):
            watched.stop.set()

    def found(values: Values) -> None:
        offer_values(pool, formulation, compiled, model, values, source)

    stop = LinkedStop(control.stop)
    watched = Control(stop=stop, report=report, found=found if inexact else None, log=control.log)
    if lazy is not None:
        separate_on_relaxations(model, lazy, limits, control, clock)
    for _ in range(_TRIES):
        outcome = run(model, limits.within(clock.left()), start, watched)
        if formulation.value == "plan":  # its bounds are of its own plans
            decided = outcome.status in ("infeasible", "optimal")
            status = "no_solution" if outcome.values is None else "feasible"
            outcome = replace(outcome, status=status if decided else outcome.status, bound=None)
        if outcome.status in ("infeasible", "optimal"):
            claimed = cap
            if outcome.status == "optimal" and outcome.bound is not None:
                claimed = min(suited.lowered(outcome.bound) * unit, cap)
            wrong = excluded(pool, formulation, compiled, model, claimed)
            if wrong:
                pool.contradict(solver, wrong)
                return replace(outcome, status="error", message=wrong)
        add_bound(outcome.bound)
        if outcome.status == "infeasible":
            if not suited.reliable:
                return Outcome("no_solution", message=f"{source} says infeasible, of numbers that are far apart")
            return _nothing_below(pool, cap, source, solver)
        if outcome.values is None:
            return outcome
        accepted = pool.accepts(offer_values(pool, formulation, compiled, model, outcome.values, source))
        if clock.expired() or stop.is_set():
            return outcome
        if lazy is not None and lazy.separate(outcome.values):
            best = pool.best
            start = None if best is None else formulation.encode(compiled, model, best.placement, best.times)
            continue
        if accepted and _is_coarse(pool, formulation, suited, outcome, cap, inexact):
            left = limits.within(clock.left())
            finer = run_formulation(pool, formulation, solver, left, control, compiled, pool.objective or 0.0)
            return replace(outcome, status="feasible", message=finer.message) if finer.status == "refused" else finer
        if accepted or formulation.value != "exact":
            return outcome
        formulation.forbid(compiled, model, formulation.read(compiled, model, outcome.values))
    return outcome


def offer_values(
    pool: Pool, formulation: Formulation, compiled: CompiledProblem, model: Any, values: Values, source: str
) -> Evaluation:
    """Offer the pool the plan that a solution describes."""
    times = formulation.times(compiled, model, values)
    return pool.offer_placement(formulation.read(compiled, model, values), source, times)


def _climb(
    pool: Pool,
    formulation: Formulation,
    solver: str,
    limits: Limits,
    control: Control,
    compiled: CompiledProblem,
    caps: list[float],
) -> Outcome:
    """Look for a plan below the first of some caps that has one; no plan is above the last."""
    clock = Clock(limits.time_limit)
    for cap in caps:
        reduced = presolve(compiled, cap)
        if reduced.infeasible:
            pool.add_bound(cap, "presolve")
        else:
            left = limits.within(clock.left())
            outcome = run_formulation(pool, formulation, solver, left, control, reduced.compiled, cap)
            if pool.plan is not None or (outcome.status != "infeasible" and formulation.value != "plan"):
                return outcome
        if clock.expired() or control.stop.is_set():
            return Outcome("no_solution")
        compiled = replace(compiled, floor=cap)
    return _nothing_below(pool, math.inf, f"{formulation.name} ({solver})", solver)


def _is_coarse(
    pool: Pool, formulation: Formulation, suited: Suited, outcome: Outcome, cap: float, inexact: bool
) -> bool:
    """Return whether the numbers of a model, which suited the cap, do not suit the plan that has been found."""
    objective = pool.objective or 0.0
    if formulation.kind == "milp":
        small = 0 < abs(objective) < suited.model.objective_unit
        return objective < cap and (small or not suited.reliable)
    # Constraint programming counts in whole numbers, of times and of the objective.
    coarse_times = inexact and 0 < objective < _MUCH_BETTER * cap
    return coarse_times or (outcome.status == "optimal" and _gap(pool) > 0 and objective < suited.compiled.cap)


def excluded(pool: Pool, formulation: Formulation, compiled: CompiledProblem, model: Any, claimed: float) -> str:
    """Return which known plan a model excludes that claims to have no plan below `claimed` (SI), and by which row.

    Plans that are better than that must satisfy all rows of the model, the others those of a model without a cap. An
    empty text: none is excluded.
    """

    def broken(known: Known, compiled: CompiledProblem, model: Any) -> str:
        row = model.broken_by(formulation.encode(compiled, model, known.placement, known.times))
        excludes = f"{formulation.name} excludes a plan of {known.objective:.9g} that the referee accepts: {row}"
        return excludes if row else ""

    better = [known for known in pool.known if known.objective < claimed - OPTIMAL_GAP * abs(claimed)]
    wrong = next(filter(None, (broken(known, compiled, model) for known in better)), "")
    new = [known for known in pool.known if (formulation.name, known) not in pool.checked]
    if new and not wrong:
        stated = formulation.build(pool.compiled)
        wrong = next(filter(None, (broken(known, pool.compiled, stated) for known in new)), "")
        if not wrong:
            pool.checked.update((formulation.name, known) for known in new)
    return wrong


def _nothing_below(pool: Pool, cap: float, source: str, solver: str) -> Outcome:
    """Return the outcome of a model that has no plan up to the cap, as the solver says."""
    if cap < math.inf:
        pool.add_bound(cap, source, solver)
        return Outcome("infeasible" if pool.plan is None else "feasible")
    pool.claim_infeasible(source, solver)
    return Outcome("infeasible" if pool.plan is None else "no_solution")


def _gap(pool: Pool) -> float:
    """Return the relative gap of plan and bound where it is more than rounding leaves, else 0."""
    gap = relative_gap(pool.objective, pool.bound)
    return gap if gap is not None and gap > OPTIMAL_GAP else 0.0


def separate_on_relaxations(model: LinearModel, lazy: LazyRows, limits: Limits, control: Control, clock: Clock) -> None:
    """Add lazy rows until the linear relaxation violates none of them, or a share of the time is spent."""
    from dnnopt.models.solvers.highs import relaxation

    most = math.inf if limits.time_limit is None else _RELAXATION_SHARE * limits.time_limit
    for _ in range(_MOST_ROUNDS):
        if clock.elapsed() > most or control.stop.is_set():
            return
        outcome = relaxation(model, limits.within(clock.left()), control.stop)
        if outcome.status != "optimal" or outcome.values is None or not lazy.separate(outcome.values):
            return
