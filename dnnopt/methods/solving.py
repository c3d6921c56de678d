"""`solve` and `formulate`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from dnnopt.base.arguments import Duration, Share, checked
from dnnopt.base.errors import InputError, NumbersError, UnsupportedError
from dnnopt.base.outputs import written_log
from dnnopt.base.versions import versions
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.constraints import CustomLimit, PeriodTerm
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.priorities import note, of_priority
from dnnopt.compiled.scaling import Units
from dnnopt.formulations import registry
from dnnopt.methods.auto import run_auto
from dnnopt.methods.confirmation import confirm as confirm_proof
from dnnopt.methods.exact import EXACT
from dnnopt.methods.formulated import default_solver, run_formulation
from dnnopt.methods.heuristics import BASELINES, Effort
from dnnopt.methods.pool import Pool
from dnnopt.methods.result import OPTIMAL_GAP, OWN, Event, Result
from dnnopt.methods.scheduled import RELAXATION, is_timed_schedule, run_scheduled
from dnnopt.models.constraint import sums_below
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers import solver as solver_of
from dnnopt.models.solvers import solver_kind
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome, stop_on_interrupt
from dnnopt.problem.plan import Plan, as_plan
from dnnopt.problem.problem import AnyProblem, Problem, as_problem

if TYPE_CHECKING:
    from dnnopt.models.constraint import ConstraintModel

# Formulations in the order in which `auto` prefers them, without timing: that follows from the problem.
_PREFERRED = ("edgewise", "product", "cp-assignment", "cp-schedule")
# Periods are proved sooner without variables for pairs of devices (measured: see benchmarks/README.md).
_PREFERRED_FOR_PERIODS = ("boundary", *_PREFERRED)
# A block is one variable there.
_PREFERRED_FOR_BLOCKS = ("segments",)
_START_SECONDS = 2.0
_START_SHARE = 0.1
# A bound may exceed the objective by rounding; by more than this it is wrong.
_BOUND_TOLERANCE = 1e-6


def methods() -> list[str]:
    """Return the names of all methods: ``auto``, the exact methods and the baselines."""
    return ["auto", *EXACT, *BASELINES]


def is_search(method: str) -> bool:
    """Return whether a method is a heuristic that searches until its time or its iterations are over."""
    return method in BASELINES and BASELINES[method].searches


def check_choice(method: str = "auto", formulation: str | None = None, solver: str | None = None) -> None:
    """Raise InputError where there is no such method, formulation or solver, or where they do not go together."""
    if method not in methods():
        raise InputError(f"one of {', '.join(methods())}", field="method", value=method)
    if method != "auto" and (formulation is not None or solver is not None):
        raise InputError("auto, where a formulation or a solver is named", field="method", value=method)
    kind = None if formulation is None else registry.formulation_kind(formulation)
    if solver is not None:
        solver_of(solver, kind or solver_kind(solver))


@checked
def solve(
    problem: AnyProblem,
    *,
    method: str = "auto",
    formulation: str | None = None,
    solver: str | None = None,
    time_limit: Duration | None = None,
    gap: Share = OPTIMAL_GAP,
    threads: int | None = None,
    iterations: int | None = None,
    seed: int = 0,
    start: Any = None,
    confirm: bool = True,
    watch: Callable[[Event], None] | None = None,
    log: str | None = None,
) -> Result:
    """Solve a problem.

    Parameters
    ----------
    problem : Problem, str or Path
        A text is a name in the library, or a file's.
    method : str
        ``auto``, or the name of an exact method or a baseline, which is then run alone.
    formulation : str, optional
        Run just this one, such as ``edgewise`` or ``product+potentials``.
    solver : str, optional
        ``highs``, ``cbc``, ``scip``, ``cpsat``, or ``pyomo:NAME`` with a name that Pyomo has for a solver.
    time_limit : float or str, optional
        Seconds, or a text such as ``"1 min"``; so in every study.
    gap : float or str
        Relative gap at which the search may stop: a share, or a text such as ``"1 %"``.
    threads : int, optional
        None: one for each processor.
    iterations : int, optional
        Limit for a heuristic that searches; where the time suffices for it, the same seed gives the same plan.
    seed : int
    start : Plan, Result, placement or Path, optional
        A plan to start from; by default the best of the cheap baselines.
    confirm : bool
        Whether a second engine is asked before a solver's proof counts as confirmed, within a share of the time spent.
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
        If the formulation or the method does not support the problem, or its numbers are too far apart for the solver.
    """
    problem = as_problem(problem)
    start = None if start is None else as_plan(start, problem)
    limits = Limits(time_limit, gap, threads, seed)
    check_choice(method, formulation, solver)
    if iterations is not None and not is_search(method):
        raise InputError(f"no limit, as {method!r} has no iterations", field="iterations", value=iterations)
    if is_search(method) and iterations is None and time_limit is None:
        raise InputError("seconds > 0, or a limit on iterations", field="time_limit", value=time_limit)
    compiled = compile_problem(problem)
    with written_log(log) as place:
        control = Control(log=place)
        search = Search(
            problem,
            compiled,
            limits,
            control,
            method,
            formulation,
            solver,
            watch,
            iterations=iterations,
            confirm=confirm,
        )
        with stop_on_interrupt(control):
            return search.run(range(len(compiled.objective)), start=start)


class Search:
    """A run on a problem: one priority after the other, each within what the earlier ones have reached.

    Parameters
    ----------
    problem : Problem
    compiled : CompiledProblem
        With all its priorities.
    limits : Limits
    control : Control
    method, formulation, solver, watch
        As for `solve`.
    baselines : bool
        Whether cheap baselines give a plan to start from, where there is none.
    iterations : int, optional
        As for `solve`.
    confirm : bool
        As for `solve`.
    """

    def __init__(
        self,
        problem: Problem,
        compiled: CompiledProblem,
        limits: Limits,
        control: Control,
        method: str = "auto",
        formulation: str | None = None,
        solver: str | None = None,
        watch: Callable[[Event], None] | None = None,
        baselines: bool = True,
        iterations: int | None = None,
        confirm: bool = True,
    ) -> None:
        self.problem = problem
        self.compiled = compiled
        self.limits = limits
        self.control = control
        self.method = method
        self.formulation = formulation
        self.solver = solver
        self.watch = watch
        self.baselines = baselines
        self.iterations = iterations
        self.confirm = confirm
        self.used: tuple[str | None, str | None] = (formulation, solver)

    def run(self, stages: Sequence[int], caps: Mapping[int, float] | None = None, start: Plan | None = None) -> Result:
        """Minimise the objectives of these priorities, in this order.

        Parameters
        ----------
        stages : sequence of int
            Indices into the compiled objective.
        caps : mapping of int to float, optional
            Limits on objectives (SI) that hold from the start.
        start : Plan, optional
        """
        clock = Clock(self.limits.time_limit)
        reached = dict(caps or {})
        done: list[tuple[Pool, Outcome]] = []
        for position, stage in enumerate(stages):
            compiled = self.compiled.at_stage(stage, reached)
            pool = Pool(self.problem, compiled, stage, reached, self.watch)
            if start is not None:
                pool.offer(start, done[-1][0].found_by if done else "start")
            left = clock.left()
            share = None if left is None else left / (len(stages) - position)
            outcome = self.improve(pool, share, share)
            done.append((pool, outcome))
            if pool.objective is None or outcome.status == "error":
                break
            start = pool.plan
            reached[stage] = min(reached.get(stage, math.inf), pool.objective)
        return self.result(done, clock.elapsed())

    def improve(self, pool: Pool, time_limit: float | None, with_confirmation: float | None) -> Outcome:
        """Search for a better plan and a better bound than a pool of one priority has, and confirm what is proved.

        Parameters
        ----------
        pool : Pool
        time_limit : float, optional
            Seconds for the search.
        with_confirmation : float, optional
            Seconds for both.

        Returns
        -------
        Outcome
            Of the last search.
        """
        clock = Clock(with_confirmation)
        outcome = self._run_stage(pool, time_limit, baselines=self.baselines and pool.plan is None)
        if self.confirm:
            outcome = confirm_proof(pool, outcome, self.limits.within(clock.left()), self.control)
        return outcome

    def _run_stage(self, pool: Pool, time_limit: float | None, *, baselines: bool) -> Outcome:
        clock = Clock(time_limit)
        if self.method in EXACT:
            return _run_exact(pool, self.method, self.limits.within(time_limit), self.control)
        if self.method != "auto":
            start = None if pool.best is None else pool.best.placement
            effort = Effort(clock, self.iterations, self.limits.seed, start, self.control.stop)
            _run_baseline(pool, self.method, effort)
            return Outcome("no_solution")
        kind = None if self.solver is None else solver_kind(self.solver)
        scheduled = self.formulation is None and kind is None and is_timed_schedule(pool.compiled)
        name = RELAXATION if scheduled else self.formulation or _preferred(pool.compiled, kind)
        chosen = registry.formulation(name, pool.compiled)
        solver = self.solver or default_solver(chosen)
        self.used = chosen.name, solver
        if baselines and Evaluator.refuses(pool.compiled) is None:
            for baseline in _starts(pool.compiled):
                if baseline != "greedy" or pool.plan is None:
                    seconds = min(_START_SECONDS, _START_SHARE * (time_limit or math.inf))
                    _run_baseline(pool, baseline, Effort(Clock(seconds), stop=self.control.stop))
        left = self.limits.within(clock.left())
        if scheduled:
            outcome = run_scheduled(pool, left, self.control)
        elif self.formulation is None:
            outcome = run_auto(pool, chosen, solver, left, self.control, any_solver=self.solver is None)
        else:
            outcome = run_formulation(pool, chosen, solver, left, self.control)
        if outcome.status == "refused" and (self.formulation is not None or pool.plan is None):
            raise NumbersError("", problem=outcome.message)
        return outcome

    def result(self, done: Sequence[tuple[Pool, Outcome]], runtime: float) -> Result:
        """Return the result of priorities that were run: the last one's plan, and the worst of their statuses."""
        stopped = self.control.stop.is_set()
        concluded = [conclude(pool, outcome, stopped, self.limits.gap) for pool, outcome in done]
        status, _, message = next((one for one in concluded if one[0] != "optimal"), concluded[-1])
        # A bound of a later stage holds only if the earlier ones were proved.
        proved = [all(one[0] == "optimal" for one in concluded[:position]) for position in range(len(concluded))]
        first, last = done[0][0], done[-1][0]
        formulation, solver = self.used
        return Result(
            problem=self.problem,
            status=status,
            plan=last.plan,
            evaluation=last.evaluation,
            bounds=tuple(one[1] if known else None for one, known in zip(concluded, proved, strict=True)),
            runtime=runtime,
            method=self.method,
            formulation=formulation,
            solver=solver,
            found_by=last.found_by,
            bound_by=first.bound_by,
            confirmed_by=_confirmed_by([pool for pool, _ in done]),
            confirming=sum(pool.confirming for pool, _ in done),
            contradictions=tuple(words for pool, _ in done for words in pool.contradictions),
            trace=tuple(event for pool, _ in done for event in pool.trace),
            baselines=tuple(first.baselines),
            seed=self.limits.seed,
            message=message,
            versions=versions(),
        )


@checked
def formulate(
    problem: AnyProblem,
    formulation: str | None = None,
    *,
    reached: Sequence[float] | None = None,
    kind: str | None = None,
    units: Units | None = None,
    largest_sum: float | None = None,
) -> LinearModel | ConstraintModel:
    """Return a formulation of the problem as a model: sizes, named blocks, ``write("x.lp")``.

    Parameters
    ----------
    problem : Problem, str or Path
        A text is a name in the library, or a file's.
    formulation : str, optional
        By default the one that suits the problem.
    reached : sequence of float, optional
        For a problem with priorities, each of which is a model of its own: what the earlier ones have reached (SI). The
        model minimises the next one, and holds these as limits; without any, it is the first one's.
    kind : {"milp", "cp"}, optional
        Which formulations may be taken by default: those with a LinearModel or those with a ConstraintModel.
    units : Units, optional
        Units of a linear model; by default such that suit solvers.
    largest_sum : float, optional
        Limit on the numbers of a constraint model; many solvers need 2**28.

    Raises
    ------
    InputError, UnsupportedError
        If there is no such formulation, or it does not support the problem; if the problem has several priorities and
        `reached` does not say which one is meant.
    """
    problem = as_problem(problem)
    whole = compile_problem(problem)
    compiled = of_priority(whole, reached)
    found = registry.formulation(formulation or _preferred(compiled, kind), compiled)
    with nullcontext() if largest_sum is None else sums_below(largest_sum):
        model: LinearModel | ConstraintModel = found.build(compiled, units)
    if isinstance(model, LinearModel):
        model.complete()
    model.note = note(whole, reached)
    return model


def _preferred(compiled: CompiledProblem, kind: str | None) -> str:
    """Return the first formulation that supports the problem and, where a solver is named, that it can solve."""
    period = any(isinstance(term, PeriodTerm) for term in compiled.objective[0])
    own = any(isinstance(one, CustomLimit) for one in compiled.constraints)  # whose rows may ask for pairs of devices
    order = _PREFERRED_FOR_PERIODS if period and not own else _PREFERRED
    for name in (*_PREFERRED_FOR_BLOCKS, *order) if compiled.blocks else order:
        if registry.supporting(compiled, kind, name):
            return name
    names = [name for name in _PREFERRED if kind in (None, registry.formulation_kind(name))]
    suffix = f" for {kind} solvers" if kind else ""
    raise UnsupportedError("", problem=f"no formulation{suffix} fits: {registry.why_not(compiled, names)}")


def _run_exact(pool: Pool, name: str, limits: Limits, control: Control) -> Outcome:
    reason = EXACT[name].refuses(pool.compiled)
    if reason:
        raise UnsupportedError("", problem=f"the method {name!r} does not support {reason}")
    return EXACT[name].run(pool, limits, control)


def _starts(c: CompiledProblem) -> tuple[str, ...]:
    """Return the baselines that give a plan to start from; the last one only where there is none."""
    more = {"call": ("class-segments",), "pipelined": ("class-segments",), "scheduled": ("etf",)}
    return ("all-on-one", *more.get(c.execution, ()), "single-cut", "multi-cut", "greedy")


def _run_baseline(pool: Pool, name: str, effort: Effort) -> None:
    reason = Evaluator.refuses(pool.compiled)
    if reason:
        raise UnsupportedError("", problem=f"the baseline {name!r} does not support {reason}")
    last = {
        source: pool.offer_placement(placement, source)
        for source, placement in BASELINES[name].placements(pool.compiled, effort)
    }
    pool.baselines += last.items()


def conclude(pool: Pool, outcome: Outcome, stopped: bool, gap: float) -> tuple[str, float | None, str]:
    """Return the status, the bound and a message of one stage: of its pool, and the outcome of its last search."""
    status, bound, message = outcome.status, pool.bound, outcome.message
    objective = pool.objective
    if objective is None:
        if pool.is_cut_off(gap):
            return "cut_off", bound, ""
        if status == "infeasible":
            return status, None, message
        if stopped:
            return "interrupted", bound, message
        if status in ("optimal", "feasible"):
            return "no_solution", bound, "every plan that the solver found breaks a limit by a little"
        return status, bound, message
    if bound is not None and bound > objective:
        if bound - objective > max(_BOUND_TOLERANCE * abs(objective), pool.resolution):
            words = f"the bound {bound:.9g} of {pool.bound_by} exceeds the plan's objective {objective:.9g}"
            return "error", bound, words
        bound = objective
    if status == "infeasible":
        return "error", bound, f"the solver says infeasible, but the referee accepts a plan of {pool.found_by}"
    if status != "error":
        proved = bound is not None and objective - bound <= OPTIMAL_GAP * abs(objective)
        cut_off = pool.is_cut_off(gap) and objective > pool.cutoff
        status = "optimal" if proved else "cut_off" if cut_off else "interrupted" if stopped else "feasible"
    return status, bound, message


def _confirmed_by(pools: Sequence[Pool]) -> str:
    """Return what stands behind the proofs of all stages; empty where one of them was not confirmed."""
    names = list(dict.fromkeys(pool.confirmed_by for pool in pools))
    others = [name for name in names if name != OWN] or names
    return "" if "" in names else ", ".join(others)
