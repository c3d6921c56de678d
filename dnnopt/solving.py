"""`solve` and `formulate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dnnopt.compiler import compile_problem
from dnnopt.errors import InputError, UnsupportedError
from dnnopt.evaluator import Evaluator
from dnnopt.formulations import registry
from dnnopt.methods.exact import default_solver, run_formulation
from dnnopt.methods.heuristics import BASELINES
from dnnopt.plan import Plan
from dnnopt.pool import Pool
from dnnopt.problem import Problem
from dnnopt.result import OPTIMAL_GAP, Event, Result
from dnnopt.scaling import Units
from dnnopt.solvers import names as solver_names
from dnnopt.solvers.interface import Clock, Control, Limits, Outcome, stop_on_interrupt
from dnnopt.versions import versions

if TYPE_CHECKING:
    from dnnopt.constraint_model import ConstraintModel
    from dnnopt.linear_model import LinearModel

# Formulations in the order in which `auto` prefers them, without timing: that follows from the problem.
_PREFERRED = ("edgewise", "product", "cp-assignment")
_START_SECONDS = 2.0
_START_SHARE = 0.1
# A bound may exceed the objective by rounding; by more than this it is wrong.
_BOUND_TOLERANCE = 1e-6


def methods() -> list[str]:
    """Return the names of all methods: ``auto`` and the baselines."""
    return ["auto", *BASELINES]


def solve(
    problem: Problem,
    *,
    method: str = "auto",
    formulation: str | None = None,
    solver: str | None = None,
    time_limit: float | None = None,
    gap: float = OPTIMAL_GAP,
    threads: int | None = None,
    seed: int = 0,
    start: Plan | None = None,
    watch: Callable[[Event], None] | None = None,
    log: str | None = None,
) -> Result:
    """Solve a problem.

    Parameters
    ----------
    problem : Problem
    method : str
        ``auto``, or the name of a baseline, which is then run alone.
    formulation : str, optional
        Run just this one, such as ``edgewise`` or ``product+potentials``.
    solver : str, optional
        ``highs``, ``cbc`` or ``cpsat``.
    time_limit : float, optional
        Seconds.
    gap : float
        Relative gap at which the search may stop.
    threads : int, optional
        None: one for each processor.
    seed : int
    start : Plan, optional
        A plan to start from; by default the best of the cheap baselines.
    watch : callable, optional
        Called with each Event while the search runs.
    log : str, optional
        File for the solver's own log.

    Returns
    -------
    Result
        Ctrl-C ends the search early, with the best plan and bound so far.

    Raises
    ------
    InputError
        For unknown names and values out of range.
    UnsupportedError
        If the formulation does not support the problem.
    """
    limits = Limits(time_limit, gap, threads, seed)
    if method not in methods():
        raise InputError(f"one of {', '.join(methods())}", field="method", value=method)
    if method != "auto" and (formulation is not None or solver is not None):
        raise InputError("no formulation or solver with a baseline", field="method", value=method)
    clock = Clock(time_limit)
    control = Control(log=log)
    compiled = compile_problem(problem)
    pool = Pool(problem, compiled, watch)
    with stop_on_interrupt(control):
        if start is not None:
            pool.offer(start, "start")
        if method != "auto":
            _run_baseline(pool, method, clock)
            return _result(pool, Outcome("no_solution"), method, None, None, control, limits)
        solver_kind = None if solver is None else _kind_of(solver)
        name = formulation or _preferred(pool, solver_kind)
        chosen = registry.formulation(name, compiled)
        solver = solver or default_solver(chosen)
        if start is None and Evaluator.refuses(compiled) is None:
            for baseline in ("all-on-one", "single-cut"):
                _run_baseline(pool, baseline, Clock(min(_START_SECONDS, _START_SHARE * (time_limit or 1e9))))
            if pool.plan is None:
                _run_baseline(pool, "greedy", Clock(min(_START_SECONDS, _START_SHARE * (time_limit or 1e9))))
        left = Limits(clock.left(), gap, threads, seed)
        outcome = run_formulation(pool, chosen, solver, left, control)
    return _result(pool, outcome, method, chosen.name, solver, control, limits)


def formulate(problem: Problem, formulation: str, *, units: Units | None = None) -> LinearModel | ConstraintModel:
    """Return a formulation of the problem as a model: sizes, named blocks, ``write("x.lp")``.

    Parameters
    ----------
    problem : Problem
    formulation : str
    units : Units, optional
        Units of a linear model; by default such that suit solvers.

    Raises
    ------
    InputError, UnsupportedError
        If there is no such formulation, or it does not support the problem.
    """
    compiled = compile_problem(problem)
    found = registry.formulation(formulation, compiled)
    model: LinearModel | ConstraintModel = found.build(compiled, units)
    return model


def _kind_of(solver: str) -> str:
    for kind in ("milp", "cp"):
        if solver in solver_names(kind):
            return kind
    raise InputError(f"one of {', '.join(solver_names())}", field="solver", value=solver)


def _preferred(pool: Pool, kind: str | None) -> str:
    """Return the first formulation that supports the problem and, where a solver is named, that it can solve."""
    able = registry.supporting(pool.compiled, kind)
    for name in _PREFERRED:
        if any(full.partition("+")[0] == name for full in able):
            return name
    what = Evaluator.refuses(pool.compiled) or "this combination of objective and constraints"
    suffix = f" for {kind} solvers" if kind else ""
    raise UnsupportedError("", problem=f"no formulation{suffix} supports {what}")


def _run_baseline(pool: Pool, name: str, clock: Clock) -> None:
    reason = Evaluator.refuses(pool.compiled)
    if reason:
        raise UnsupportedError("", problem=f"the baseline {name!r} does not support {reason}")
    for source, placement in BASELINES[name](Evaluator(pool.compiled), clock):
        pool.baselines.append((source, pool.offer_placement(placement, source)))


def _result(
    pool: Pool,
    outcome: Outcome,
    method: str,
    formulation: str | None,
    solver: str | None,
    control: Control,
    limits: Limits,
) -> Result:
    status, bound, message = outcome.status, pool.bound, outcome.message
    objective = pool.objective
    if objective is not None:
        if bound is not None and bound > objective:
            excess = bound - objective
            if excess <= _BOUND_TOLERANCE * abs(objective):
                bound = objective
            else:
                status = "error"
                message = f"the bound {bound:.9g} of {pool.bound_by} exceeds the plan's objective {objective:.9g}"
        proved = bound is not None and objective - bound <= OPTIMAL_GAP * abs(objective)
        if status == "infeasible":
            status = "error"
            message = f"{solver} says infeasible, but the referee accepts a plan of {pool.found_by}"
        elif status != "error":
            status = "optimal" if proved else "interrupted" if control.stop.is_set() else "feasible"
    elif control.stop.is_set() and status != "infeasible":
        status = "interrupted"
    elif status in ("optimal", "feasible"):
        status = "no_solution"
        message = "every plan that the solver found breaks a limit by a little"
    return Result(
        problem=pool.problem,
        status=status,
        plan=pool.plan,
        evaluation=pool.evaluation,
        bound=bound,
        runtime=pool.elapsed(),
        method=method,
        formulation=formulation,
        solver=solver,
        found_by=pool.found_by,
        bound_by=pool.bound_by,
        trace=tuple(pool.trace),
        baselines=tuple(pool.baselines),
        seed=limits.seed,
        message=message,
        versions=versions(),
    )
