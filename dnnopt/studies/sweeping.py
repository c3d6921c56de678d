"""Sweeps: the optimal plan and its value while one parameter varies, with the break points where the plan changes.

The problem is solved at points over the range. Every plan found is then judged at every point, so that each point has
the best of all plans known. Where two neighbouring points have no best plan in common, the value of the one's plan
meets that of the other's in between, or one of them becomes feasible: that place is found by judging the two plans
alone, to a tolerance, and the problem is solved on both of its sides. Where a third plan is better there, the same is
done again with it (Eisner, Severance: Mathematical techniques for efficient record segmentation in large shared
databases, Journal of the ACM 23(4), 1976).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnnopt.base.arguments import Duration, Share, checked
from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.base.files import dump_json, read_data, write_text
from dnnopt.base.outputs import make_folder
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.constraints import LinearTerm
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.scheduling import times_of
from dnnopt.methods.heuristics import BASELINES, Effort
from dnnopt.methods.pool import Pool
from dnnopt.methods.result import OPTIMAL_GAP, read_result, relative_gap
from dnnopt.methods.solving import Search, check_choice
from dnnopt.models.solvers.interface import Clock, Control, Limits, stop_on_interrupt
from dnnopt.problem.parameters import Parameter, parse_range
from dnnopt.problem.plan import Plan, read_plan
from dnnopt.problem.problem import AnyProblem, Problem, as_problem
from dnnopt.referee import evaluate
from dnnopt.studies.sweep import Break, Sweep, SweepPoint

if TYPE_CHECKING:
    pass

SCALES = ("log", "linear")
MOST_POINTS = 100_000
_SAME = 1e-12  # relative: values closer than this are the same


@checked
def sweep(
    problem: AnyProblem,
    vary: str,
    *,
    points: int = 20,
    scale: str = "log",
    tolerance: Share = 1e-6,
    most: int = 200,
    baselines: Sequence[str] = ("all-on-one", "single-cut"),
    time_limit: Duration | None = 60.0,
    formulation: str | None = None,
    solver: str | None = None,
    threads: int | None = None,
    seed: int = 0,
    output: Path | str | None = None,
    watch: Callable[[SweepPoint], None] | None = None,
) -> Sweep:
    """Return the optimal plans while a parameter varies, and where they change.

    Parameters
    ----------
    problem : Problem, str or Path
        A text is a name in the library, or a file's.
        With one priority.
    vary : str
        ``NAME=LOW..HIGH``, with NAME one of ``bandwidth(LINK,...)``, ``memory(DEVICE,...)``, ``deadline`` or
        ``deadline(NETWORK)``, ``rate`` or ``rate(NETWORK,...)``, ``weight(TERM)``; ``bandwidth`` and ``memory`` alone
        are factors on all.
    points : int
        From 2 to 100,000.
    scale : {"log", "linear"}
    tolerance : float
        Break points are found to this share of their value (log), or of the range (linear).
    most : int
        Points to solve, those beside break points included: under tight limits there may be hundreds of break points.
    baselines : sequence of str
        Run beside, at the points asked for.
    time_limit : float, optional
        Seconds for each point.
    formulation, solver, threads, seed
        As for `solve`.
    output : path, optional
        Folder in which each point is kept when it is solved; started again with the same folder, the sweep goes on.
    watch : callable, optional
        Called with each point as it is solved.

    Returns
    -------
    Sweep
        Ctrl-C ends it early, with the points that are solved.

    Raises
    ------
    InputError
        For a parameter that the problem has not, values out of range, or a folder of another sweep.
    UnsupportedError
        For several priorities, or as `solve` does.
    """
    problem = as_problem(problem)
    try:
        parameter, low, high = parse_range(vary)
        parameter.check(problem)
    except InputError as error:
        raise error.within(field="vary") from None
    if not 2 <= points <= MOST_POINTS:
        raise InputError(f"a whole number from 2 to {MOST_POINTS}", field="points", value=points)
    if most < points:
        raise InputError(f"at least the {points} points asked for", field="most", value=most)
    if scale not in SCALES:
        raise InputError(f"one of {', '.join(SCALES)}", field="scale", value=scale)
    if scale == "log" and low == 0:
        raise InputError("a scale that has 0: linear", field="scale", value=scale)
    if not 1e-9 <= tolerance < 1:
        raise InputError("a number from 1e-9 to below 1", field="tolerance", value=tolerance)
    for name in baselines:
        if name not in BASELINES:
            raise InputError(f"one of {', '.join(BASELINES)}", field="baselines", value=name)
    if len({term.priority for term in problem.minimize}) > 1:
        raise UnsupportedError("", problem="a sweep is of one objective, not of several priorities")
    check_choice("auto", formulation, solver)
    limits = Limits(time_limit, OPTIMAL_GAP, threads, seed)
    settings = {"baselines": list(baselines), "time_limit": time_limit, "formulation": formulation, "solver": solver}
    folder = None if output is None else _folder(Path(output), problem, parameter, settings | {"seed": seed})
    control = Control()
    run = _Run(problem, parameter, limits, control, formulation, solver, tuple(baselines), folder, watch)
    spaced = np.geomspace if scale == "log" else np.linspace
    values = [float(value) for value in spaced(low, high, points)]
    values[0], values[-1] = low, high
    width = (lambda end: tolerance * end) if scale == "log" else (lambda end: tolerance * (high - low))
    with stop_on_interrupt(control):
        complete = all(run.solve(value, asked=True) for value in values) and run.find_breaks(scale, width, most)
    found = run.points()
    proved = all(point.status in ("optimal", "infeasible") for point in found)
    return Sweep(
        problem,
        parameter,
        low,
        high,
        scale,
        tolerance,
        found,
        run.breaks(found),
        tuple(run.plans),
        complete,
        complete and proved and _misses_nothing(parameter, problem),
    )


def _misses_nothing(parameter: Parameter, problem: Problem) -> bool:
    """Return whether a plan that is the best at two points is so between them.

    That holds where limits alone change, from tight to loose; and where limits do not change and the best value is
    concave, as the least of linear ones.
    """
    if parameter.values_are_constant(problem):
        return True
    if not parameter.limits_are_constant(problem):
        return False
    terms = compile_problem(problem).objective[0]
    return parameter.kind == "weight" or all(isinstance(term, LinearTerm) for term in terms)


def _folder(folder: Path, problem: Problem, parameter: Parameter, settings: dict[str, Any]) -> Path:
    """Return the folder of results, which must not be that of another sweep."""
    settings = {"problem": problem.checksum, "parameter": str(parameter), **settings}
    make_folder(folder)
    file = folder / "sweep.json"
    if not file.exists():
        write_text(file, dump_json({"format": "dnnopt-sweep-settings", "version": 1, **settings}))
        return folder
    found = read_data(file, "sweep-settings")
    if found.get("problem") != problem.checksum:
        raise InputError("", file=str(file), field="problem", problem=f"is another one than {problem.title!r}")
    for name, value in settings.items():
        if found.get(name) != value:
            raise InputError(f"{value!r}, as for this sweep", file=str(file), field=name, value=found.get(name))
    return folder


@dataclass(frozen=True)
class _Solved:
    """What solving at one value gave; the plan is the solver's own, as an index."""

    bound: float | None
    infeasible: bool
    plan: int | None
    baselines: dict[str, float | None]
    seconds: float
    asked: bool


class _Run:
    """Points, plans, and the values of plans at points."""

    def __init__(
        self,
        problem: Problem,
        parameter: Parameter,
        limits: Limits,
        control: Control,
        formulation: str | None,
        solver: str | None,
        baselines: tuple[str, ...],
        folder: Path | None,
        watch: Callable[[SweepPoint], None] | None,
    ) -> None:
        self.problem = problem
        self.parameter = parameter
        self.limits = limits
        self.control = control
        self.formulation = formulation
        self.solver = solver
        self.baselines = baselines
        self.folder = folder
        self.watch = watch
        self.plans: list[Plan] = []
        self.solved: dict[float, _Solved] = {}
        self._judged: dict[tuple[int, float], float] = {}
        # The starts of a schedule are for one bandwidth; its order is for all.
        self._timed = problem.execution == "scheduled" and parameter.kind == "bandwidth"

    def solve(self, value: float, asked: bool = False) -> bool:
        """Solve at a value, or read what an earlier run has solved there; return whether the sweep goes on."""
        if value in self.solved:
            return True
        if self.control.stop.is_set():
            return False
        kept = self._read(value, asked) or (None if asked else self._follows(value)) or self._solve(value, asked)
        if kept is None:
            return False
        self.solved[value] = kept
        if self.watch is not None:
            self.watch(self.point(value, self.best(value)))
        return True

    def _solve(self, value: float, asked: bool) -> _Solved | None:
        """Return what the solver finds at a value, or None where it was interrupted."""
        problem = self.parameter.at(self.problem, value)
        compiled = compile_problem(problem)
        known = [(self.value_of(index, value), index) for index in range(len(self.plans))]
        least, nearest = min(known, default=(math.inf, -1))
        start = self.plan_at(nearest, problem) if math.isfinite(least) else None
        search = Search(problem, compiled, self.limits, self.control, formulation=self.formulation, solver=self.solver)
        result = search.run(range(1), start=start)
        if self.control.stop.is_set():
            return None
        baselines = {name: self._baseline(name, problem) for name in self.baselines} if asked else {}
        plan = None if result.plan is None else self._index(result.plan)
        bound = None if result.status == "error" else result.bound
        solved = _Solved(bound, result.status == "infeasible", plan, baselines, result.runtime, asked)
        if self.folder is not None:
            write_text(self._file(value), dump_json(result.to_data() | {"value": value, "beside": baselines}))
        return solved

    def _follows(self, value: float) -> _Solved | None:
        """Return what follows at a value from a point with looser limits: there is no better plan with tighter ones."""
        if not self.parameter.values_are_constant(self.problem):
            return None
        least = min((self.value_of(index, value) for index in range(len(self.plans))), default=math.inf)
        for other, solved in self.solved.items():
            if other < value if self.parameter.is_looser_when_low() else other > value:
                closed = (
                    solved.bound is not None and math.isfinite(least) and least - solved.bound <= OPTIMAL_GAP * least
                )
                if solved.infeasible or closed:
                    return replace(solved, plan=None, baselines={}, seconds=0.0, asked=False)
        return None

    def _read(self, value: float, asked: bool) -> _Solved | None:
        if self.folder is None or not self._file(value).exists():
            return None
        file = self._file(value)
        data = read_result(file)
        beside = data.get("beside", {})
        plan = None if data["placement"] is None else self._index(read_plan(file, self.problem))
        bound = None if data["status"] == "error" else data["bound"]
        if asked and not beside and self.baselines:
            return None  # solved beside a break point of a sweep with other points
        return _Solved(bound, data["status"] == "infeasible", plan, beside, data["runtime"] or 0.0, asked)

    def _file(self, value: float) -> Path:
        assert self.folder is not None
        return self.folder / f"{value!r}.json"

    def _baseline(self, name: str, problem: Problem) -> float | None:
        """Return the objective of a baseline's best plan, None where each breaks a limit."""
        compiled = compile_problem(problem)
        if Evaluator.refuses(compiled) is not None:
            return None
        pool = Pool(problem, compiled)
        effort = Effort(Clock(self.limits.time_limit), seed=self.limits.seed, stop=self.control.stop)
        for source, placement in BASELINES[name].placements(compiled, effort):
            pool.offer_placement(placement, source)
        return pool.objective

    def _index(self, plan: Plan) -> int:
        if plan not in self.plans:
            self.plans.append(plan)
        return self.plans.index(plan)

    def plan_at(self, index: int, problem: Problem) -> Plan:
        """Return a plan as it is in this problem: a schedule keeps its order, and starts all as early as it can."""
        if not self._timed:
            return self.plans[index]
        times = times_of(compile_problem(problem), self.plans[index])
        return times.tasks.plan(times.starts)

    def value_of(self, index: int | None, value: float) -> float:
        """Return a plan's objective at a value of the parameter; infinite where it is infeasible."""
        if index is None:
            return math.inf
        if (index, value) not in self._judged:
            problem = self.parameter.at(self.problem, value)
            judged = evaluate(problem, self.plan_at(index, problem))
            self._judged[index, value] = judged.objective if judged.feasible else math.inf
        return self._judged[index, value]

    def best(self, value: float) -> frozenset[int | None]:
        """Return the plans that are the best at a value; {None}: none is feasible there."""
        values = {index: self.value_of(index, value) for index in range(len(self.plans))}
        least = min(values.values(), default=math.inf)
        if math.isinf(least):
            return frozenset([None])
        return frozenset(index for index, found in values.items() if found <= least + _SAME * abs(least))

    def segments(self) -> list[tuple[list[float], int | None]]:
        """Return the values in as few groups of neighbours that share a best plan as possible, each with that plan."""
        groups: list[tuple[list[float], frozenset[int | None]]] = []
        for value in sorted(self.solved):
            best = self.best(value)
            shared = groups[-1][1] & best if groups else frozenset()
            if shared:
                groups[-1] = ([*groups[-1][0], value], shared)
            else:
                groups.append(([value], best))
        return [(values, min(shared, key=lambda index: -1 if index is None else index)) for values, shared in groups]

    def find_breaks(self, scale: str, width: Callable[[float], float], most: int) -> bool:
        """Narrow down every change of plan until it is no wider than `width` of its upper end; return whether all are.

        It ends early after solving at `most` points.
        """
        while True:
            groups = self.segments()
            pairs = pairwise(groups)
            wide = ((a, b) for a, b in pairs if b[0][0] - a[0][-1] > width(b[0][0]))
            found = next(wide, None)
            if found is None:
                return True
            (before, first), (after, second) = found
            ends = self._narrow(before[-1], after[0], first, second, scale, width)
            if len(self.solved) >= most or not all(self.solve(value) for value in ends):
                return False

    def _narrow(
        self,
        low: float,
        high: float,
        first: int | None,
        second: int | None,
        scale: str,
        width: Callable[[float], float],
    ) -> tuple[float, float]:
        """Return between which values the second plan becomes better than the first, by judging these two alone."""
        while high - low > width(high):
            middle = math.sqrt(low * high) if scale == "log" else (low + high) / 2
            if not low < middle < high:
                break
            mine, other = self.value_of(first, middle), self.value_of(second, middle)
            kept = math.isinf(other) if first is None else math.isfinite(mine) and mine <= other + _SAME * abs(other)
            low, high = (middle, high) if kept else (low, middle)
        return low, high

    def point(self, value: float, plans: frozenset[int | None]) -> SweepPoint:
        """Return what is known at a value."""
        solved = self.solved[value]
        plan = min(plans, key=lambda index: -1 if index is None else index)
        objective = None if plan is None else self.value_of(plan, value)
        bound = solved.bound
        if objective is None:
            status = "infeasible" if solved.infeasible else "no_solution"
        else:
            bound = None if bound is None or solved.infeasible else min(bound, objective)
            gap = relative_gap(objective, bound)
            status = "optimal" if gap is not None and gap <= OPTIMAL_GAP else "feasible"
        return SweepPoint(value, status, objective, bound, plan, solved.baselines, solved.seconds, solved.asked)

    def points(self) -> tuple[SweepPoint, ...]:
        """Return all points; the plans are numbered anew by where they are the best, and others are forgotten."""
        groups = self.segments()
        used = list(dict.fromkeys(plan for _, plan in groups if plan is not None))
        number = {old: new for new, old in enumerate(used)}
        points = [self.point(value, frozenset([plan])) for values, plan in groups for value in values]
        self.plans = [self.plans[index] for index in used]
        return tuple(p if p.plan is None else replace(p, plan=number[p.plan]) for p in points)

    @staticmethod
    def breaks(points: Sequence[SweepPoint]) -> tuple[Break, ...]:
        """Return where neighbouring points have different plans."""
        return tuple(
            Break(a.value, b.value, a.plan, b.plan, all(p.status in ("optimal", "infeasible") for p in (a, b)))
            for a, b in pairwise(points)
            if a.plan != b.plan
        )
