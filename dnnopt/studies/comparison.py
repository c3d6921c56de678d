"""`compare`: baselines and exact methods side by side, with gaps to the best bound and to the best plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dnnopt.base.arguments import Duration, Share, checked
from dnnopt.base.console import table, words
from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import format_gap, format_quantity, format_runtime
from dnnopt.base.tables import Heading, Tabular
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.scheduling import plan_of
from dnnopt.methods.exact import EXACT
from dnnopt.methods.heuristics import BASELINES, Effort
from dnnopt.methods.result import OPTIMAL_GAP, Event, Result, against, relative_gap
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Clock, Control, Limits, check_seconds, stop_on_interrupt
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import AnyProblem, Problem, as_problem
from dnnopt.problem.words import moved, objective_name, print_strips
from dnnopt.referee import Evaluation, Violation, evaluate

if TYPE_CHECKING:
    from rich.console import Console

HEURISTIC_LIMIT = 2.0
_NOTE = "No plan is better than the bound; 'dnnopt list words' explains the other columns."


@unchangeable
@dataclass(frozen=True)
class ComparisonRow:
    """One method on the problem.

    Attributes
    ----------
    name : str
    status : str
        That of a result; for baselines ``feasible`` or ``infeasible`` (the plan breaks a constraint).
    objective : float
        Of its plan; infinite where there is none.
    gap : float, optional
        To the best bound of all methods.
    above : float, optional
        To the best plan: `(objective - best) / |best|`.
    seconds : float
        Of a baseline: until it had its plan.
    violations : sequence of Violation
    plan : Plan, optional
    elsewhere : tuple of str, optional
        Layers that the best plan has on another device.
    """

    name: str
    status: str
    objective: float
    gap: float | None
    above: float | None
    seconds: float
    violations: Sequence[Violation]
    plan: Plan | None
    elsewhere: tuple[str, ...] | None


@unchangeable
@dataclass(frozen=True, repr=False)
class Comparison(Tabular):
    """Methods on one problem, the best plan's objective and the best bound.

    Notebooks show it as a table; `to_frame` makes it a pandas DataFrame.
    """

    row_noun = "method"

    problem: Problem
    rows: tuple[ComparisonRow, ...]
    best: float | None
    bound: float | None
    results: tuple[Result, ...]

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a plain row for each method."""
        return [
            {
                "method": row.name,
                "status": row.status,
                "objective": row.objective if math.isfinite(row.objective) else None,
                "gap": row.gap,
                "above_best": row.above,
                "layers_elsewhere": None if row.elsewhere is None else len(row.elsewhere),
                "breaks": ", ".join(dict.fromkeys(violation.constraint for violation in row.violations)),
                "seconds": row.seconds,
            }
            for row in self.rows
        ]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        return {
            "objective": Heading(*objective_name(self.problem)),
            "gap": Heading("gap to bound", "%"),
            "above_best": Heading("above best plan", "%"),
            "seconds": Heading("time", "s"),
        }

    def to_data(self) -> dict[str, Any]:
        """Return plain data, with every plan."""
        rows = [
            {
                "method": row.name,
                "status": row.status,
                "objective": row.objective if math.isfinite(row.objective) else None,
                "gap": row.gap,
                "above_best": row.above,
                "seconds": row.seconds,
                "violations": [vars(violation) for violation in row.violations],
                "elsewhere": None if row.elsewhere is None else list(row.elsewhere),
                **({"placement": None} if row.plan is None else row.plan.to_data()),
            }
            for row in self.rows
        ]
        return {
            "format": "dnnopt-comparison",
            "version": 1,
            "problem": self.problem.name,
            "best": self.best,
            "bound": self.bound,
            "rows": rows,
        }

    def report(self, console: Console) -> None:
        """Print it for a person."""
        name, unit = objective_name(self.problem)
        bound = self.bound
        rows = []
        for row in self.rows:
            shown, beside = against(row.objective, unit, self.best, row.violations)
            status = beside if row.violations else row.status.replace("_", " ")
            compared = "" if row.violations else beside
            gap = "" if row.violations or row.gap is None else format_gap(row.gap)
            elsewhere = "" if row.elsewhere is None else f"{len(row.elsewhere):,}"
            rows.append((row.name, status, shown, gap, compared, elsewhere, format_runtime(row.seconds)))
        title = f"{self.problem.title}: best bound {'unknown' if bound is None else format_quantity(bound, unit, 6)}"
        columns = [
            ("method", "left"),
            ("status", "left"),
            (name, "right"),
            ("gap to bound", "right"),
            ("to best plan", "right"),
            ("layers elsewhere", "right"),
            ("time", "right"),
        ]
        console.print(table(title, columns, rows, ("layers elsewhere", "gap to bound", "time")))
        console.print(words(_NOTE))
        console.print()
        print_strips(console, self.problem, {row.name: row.plan for row in self.rows if row.plan is not None})


@dataclass(frozen=True)
class _Outcome:
    """What a method gave."""

    name: str
    status: str
    plan: Plan | None
    evaluation: Evaluation | None
    seconds: float


@checked
def compare(
    problem: AnyProblem,
    *,
    methods: Sequence[str] | None = None,
    formulations: Sequence[str] = (),
    time_limit: Duration | None = 60.0,
    heuristic_limit: Duration = HEURISTIC_LIMIT,
    gap: Share = OPTIMAL_GAP,
    threads: int | None = None,
    seed: int = 0,
    watch: Callable[[Event], None] | None = None,
) -> Comparison:
    """Run every baseline, every exact method that solves problems of this kind, `auto`, and the formulations named.

    Parameters
    ----------
    problem : Problem, str or Path
        A text is a name in the library, or a file's.
    methods : sequence of str, optional
        Baselines and exact methods to run beside ``auto``, instead of all that are applicable.
    formulations : sequence of str
    time_limit : float, optional
        Seconds for each.
    heuristic_limit : float
        Seconds for each baseline.
    gap, threads, seed
        As for `solve`.
    watch : callable, optional
        Called with an Event at each new incumbent or bound, and before each method.

    Returns
    -------
    Comparison
        Ctrl-C ends it early, with the methods that have been run (without any, it raises KeyboardInterrupt).

    Raises
    ------
    InputError, UnsupportedError
        As `solve` does.
    """
    problem = as_problem(problem)
    Limits(time_limit, gap, threads, seed)
    check_seconds(heuristic_limit, "heuristic_limit")
    for name in methods or ():
        if name not in BASELINES and name not in EXACT and name != "auto":
            raise InputError(f"one of auto, {', '.join([*BASELINES, *EXACT])}", field="methods", value=name)
    compiled, clock, control = compile_problem(problem), Clock(), Control()
    outcomes: list[_Outcome] = []
    results: list[Result] = []

    def starts(name: str) -> None:
        if watch is not None:
            objectives = [one.evaluation.objective for one in outcomes if one.evaluation and one.evaluation.feasible]
            watch(Event(clock.elapsed(), min(objectives, default=None), _bound(results), name))

    options: dict[str, Any] = {"time_limit": time_limit, "gap": gap, "threads": threads, "seed": seed, "watch": watch}
    exact = [name for name in EXACT if methods is None or name in methods]
    runs: list[dict[str, str | None]] = [{"method": name} for name in exact if EXACT[name].refuses(compiled) is None]
    runs += [{"formulation": name} for name in dict.fromkeys([None, *formulations])]
    with stop_on_interrupt(control):
        for name in _baselines(compiled, methods):
            starts(name)
            outcomes += _run_baseline(
                problem, compiled, name, min(heuristic_limit, time_limit or math.inf), seed, control
            )
            if control.stop.is_set():
                break
        for run in runs:
            if control.stop.is_set():
                break
            starts(run.get("method") or run.get("formulation") or "auto")
            result = solve(problem, **run, **options)  # type: ignore[arg-type]
            results.append(result)
            label = run.get("method") or f"{result.formulation} ({result.solver})"
            seconds = result.runtime - result.confirming
            outcomes.append(_Outcome(label, result.status, result.plan, result.evaluation, seconds))
    if not outcomes:
        if control.stop.is_set():
            raise KeyboardInterrupt
        raise UnsupportedError("", problem="no method supports this problem")
    return _compared(problem, outcomes, results)


def _baselines(compiled: CompiledProblem, methods: Sequence[str] | None) -> list[str]:
    if Evaluator.refuses(compiled) is not None:
        return []
    return [name for name, one in BASELINES.items() if (one.installed if methods is None else name in methods)]


def _run_baseline(
    problem: Problem, compiled: CompiledProblem, name: str, seconds: float, seed: int, control: Control
) -> Iterator[_Outcome]:
    """Yield the last plan under each name that a baseline gives to its plans."""
    clock = Clock(seconds)
    last: dict[str, _Outcome] = {}
    for source, placement in BASELINES[name].placements(compiled, Effort(clock, seed=seed, stop=control.stop)):
        plan = plan_of(compiled, placement)
        judged = evaluate(problem, plan)
        status = "feasible" if judged.feasible else "infeasible"
        last[source] = _Outcome(source, status, plan, judged, clock.elapsed())
    yield from last.values()


def _bound(results: Sequence[Result]) -> float | None:
    return max((result.bound for result in results if result.bound is not None), default=None)


def _compared(problem: Problem, outcomes: Sequence[_Outcome], results: Sequence[Result]) -> Comparison:
    """Return the rows, with what each is beside the best plan and the best bound."""
    feasible = [one for one in outcomes if one.evaluation and one.evaluation.feasible]
    best = min(feasible, key=_objective, default=None)
    value, bound = None if best is None else _objective(best), _bound(results)
    rows = []
    for one in outcomes:
        objective = _objective(one)
        counts = one.evaluation is not None and one.evaluation.feasible
        rows.append(
            ComparisonRow(
                name=one.name,
                status=one.status,
                objective=objective,
                gap=relative_gap(objective, bound) if counts else None,
                above=excess(objective, value) if counts and value is not None else None,
                seconds=one.seconds,
                violations=() if one.evaluation is None else one.evaluation.violations,
                plan=one.plan,
                elsewhere=None
                if one.plan is None or best is None or best.plan is None
                else tuple(moved(problem, one.plan, best.plan)),
            )
        )
    return Comparison(problem, tuple(rows), value, bound, tuple(results))


def _objective(one: _Outcome) -> float:
    return math.inf if one.evaluation is None else one.evaluation.objective


def excess(objective: float, best: float) -> float | None:
    """Return `(objective - best) / |best|`: 0 where they are the same, None where the best is 0 and this is not."""
    if objective == best:
        return 0.0
    return (objective - best) / abs(best) if best else None
