"""Pareto fronts: proved by the ε-constraint method, or many points soon by NSGA-II, none of them proved.

`pareto` misses no point within a stated tolerance. For each zone (upper bounds on all objectives but the first), the
objectives are minimised in order within it. The point found splits the zone: whatever else lies in it and is not
dominated is better in one of the other objectives. With two objectives this is the classic method (Haimes, Lasdon,
Wismer 1971); with three, zones as in Klamroth, Lacour, Vanderpooten: On the representation of the search region in
multi-objective optimization, EJOR 245(3), 2015.

`heuristic_front` is Deb, Pratap, Agarwal, Meyarivan: A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE
Transactions on Evolutionary Computation 6(2), 2002, in the engine of pymoo. Limits and encoding are those of the
genetic heuristic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from dnnopt.base.arguments import Duration, Share, checked
from dnnopt.base.console import table
from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import counted, format_percent, format_quantity, format_runtime
from dnnopt.base.tables import Heading, Tabular
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator, evaluator_of
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.scaling import all_on_one
from dnnopt.compiled.scheduling import plan_of
from dnnopt.methods.heuristics import Effort
from dnnopt.methods.heuristics.genetic import POPULATION, operators
from dnnopt.methods.heuristics.population import Genes, generations, pymoo_problem
from dnnopt.methods.result import OPTIMAL_GAP
from dnnopt.methods.solving import Search
from dnnopt.models.solvers.interface import Clock, Control, Limits, stop_on_interrupt
from dnnopt.problem.objectives import Term, Throughput, in_order, period
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import AnyProblem, Problem, as_problem
from dnnopt.problem.words import objective_name, where
from dnnopt.referee import evaluate

if TYPE_CHECKING:
    from rich.console import Console


Objective = Annotated[Term | tuple[Term, ...] | Throughput, "a term or a sum of terms"]


@unchangeable
@dataclass(frozen=True)
class FrontPoint:
    """A point of a front: a plan, its objectives (SI), and whether each was proved."""

    plan: Plan
    objectives: tuple[float, ...]
    proved: bool


@unchangeable
@dataclass(frozen=True, repr=False)
class Front(Tabular):
    """A Pareto front.

    Attributes
    ----------
    problem : Problem
        With the objectives as priorities.
    points : tuple of FrontPoint
        None dominates another; sorted by the first objective.
    tolerance : float
        A point that is not in the front is better in some objective than every point that it does not dominate by at
        most this share.
    complete : bool
        Whether that was proved. If not, time ran out with zones left or points not proved.
    zones_left : tuple of tuple of float
        Upper bounds on all objectives but the first of the zones that were not searched.
    runtime : float
    interrupted : bool
        Whether Ctrl-C ended it.
    """

    row_noun = "point"

    problem: Problem
    points: tuple[FrontPoint, ...]
    tolerance: float
    complete: bool
    zones_left: tuple[tuple[float, ...], ...]
    runtime: float
    interrupted: bool = False

    @property
    def _objectives(self) -> list[tuple[str, str]]:
        """What is minimised in each priority, and its unit."""
        return [objective_name(self.problem, one) for one in sorted({term.priority for term in self.problem.minimize})]

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a plain row for each point: its objectives, under their names, and what runs where."""
        names = [name for name, _ in self._objectives]
        keys = [name if names.count(name) == 1 else f"{name} ({index})" for index, name in enumerate(names, 1)]
        return [
            dict(zip(keys, point.objectives, strict=True))
            | {"proved": point.proved, "layers_on_each_device": where(self.problem, point.plan)}
            for point in self.points
        ]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        return {name: Heading(name, unit) for name, unit in self._objectives}

    def to_data(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "format": "dnnopt-front",
            "version": 1,
            "problem": self.problem.name,
            "tolerance": self.tolerance,
            "complete": self.complete,
            "zones_left": [[bound if math.isfinite(bound) else None for bound in zone] for zone in self.zones_left],
            "runtime": self.runtime,
            "points": [
                {"objectives": list(point.objectives), "proved": point.proved, **point.plan.to_data()}
                for point in self.points
            ],
        }

    def report(self, console: Console) -> None:
        """Print it for a person."""
        named = self._objectives
        periods = [index for index, (name, _) in enumerate(named) if name == "period"]
        rows = [
            (
                *(format_quantity(value, unit, 5) for value, (_, unit) in zip(point.objectives, named, strict=True)),
                *(_throughput(point.objectives[index]) for index in periods),
                "yes" if point.proved else "no",
                where(self.problem, point.plan),
            )
            for point in self.points
        ]
        state = f"complete within {format_percent(self.tolerance, 2)}" if self.complete else "not complete"
        count = counted(len(self.points), "point")
        title = f"{self.problem.title}: {count}, {state}, in {format_runtime(self.runtime)}"
        columns = [(name, "right") for name, _ in named] + [("throughput", "right") for _ in periods]
        columns += [("proved", "left"), ("layers on each device", "left")]
        console.print(table(title, columns, rows))


def _throughput(period: float) -> str:
    return format_quantity(1 / period, "1/s", 5) if period else "-"


@checked
def pareto(
    problem: AnyProblem,
    objectives: Sequence[Objective],
    *,
    tolerance: Share = 1e-6,
    time_limit: Duration | None = None,
    formulation: str | None = None,
    solver: str | None = None,
    threads: int | None = None,
    seed: int = 0,
    watch: Callable[[FrontPoint], None] | None = None,
) -> Front:
    """Return the Pareto front of two or more objectives; the problem's own objective is left out.

    Parameters
    ----------
    problem : Problem, str or Path
        A text is a name in the library, or a file's.
    objectives : sequence of Term or sums of them
    tolerance : float
        The next point must be better in some objective by this share: what is closer together counts as one point.
        Below an idle energy of 0, a share of the most that idle energy can be.
    time_limit : float, optional
        Seconds for the whole front.
    formulation, solver, threads, seed
        As for `solve`.
    watch : callable, optional
        Called with each point as it is found.

    Raises
    ------
    InputError
        For fewer than two objectives, a tolerance below 1e-9 (less than the referee tells apart), or as `solve` does.
    UnsupportedError
        If the formulation does not support the problem.
    """
    problem = as_problem(problem)
    if not 1e-9 < tolerance < 1:
        raise InputError("a number above 1e-9 and below 1", field="tolerance", value=tolerance)
    problem = _with_objectives(problem, objectives)
    compiled = compile_problem(problem)
    limits = Limits(time_limit, OPTIMAL_GAP, threads, seed)
    clock, control = Clock(time_limit), Control()
    stages = range(len(compiled.objective))
    saved = [_most_saved(problem, compiled, stage) for stage in stages]
    zones: list[tuple[float, ...]] = [(math.inf,) * (len(stages) - 1)]
    points: list[FrontPoint] = []
    proved = True
    with stop_on_interrupt(control):
        while zones and not clock.expired() and not control.stop.is_set():
            zone = max(zones)
            zones.remove(zone)
            if any(_within(zone, other) for other in zones):
                continue
            caps = {
                index: bound - tolerance * (abs(bound) or saved[index])
                for index, bound in enumerate(zone, 1)
                if bound < math.inf
            }
            start = next((point.plan for point in points if _respects(point, caps)), None)
            left = replace(limits, time_limit=clock.left())
            search = Search(problem, compiled, left, control, formulation=formulation, solver=solver)
            result = search.run(stages, caps, start)
            if result.evaluation is None or result.plan is None:
                if result.status != "infeasible":
                    zones.append(zone)
                    proved = False
                    break
                continue
            point = FrontPoint(result.plan, result.evaluation.objectives, result.status == "optimal")
            proved &= point.proved
            points.append(point)
            if watch is not None:
                watch(point)
            zones += [
                (*zone[:index], bound, *zone[index + 1 :])
                for index, bound in enumerate(point.objectives[1:])
                if bound > 0 or saved[index + 1] > 0
            ]
    complete, interrupted = proved and not zones, control.stop.is_set()
    return Front(problem, _front(points), tolerance, complete, tuple(zones), clock.elapsed(), interrupted)


def heuristic_front(
    problem: Problem,
    objectives: Sequence[Objective],
    *,
    time_limit: float | None = None,
    iterations: int | None = None,
    seed: int = 0,
) -> Front:
    """Return points that none found dominates; the problem's own objective is left out.

    Parameters
    ----------
    problem : Problem
    objectives : sequence of Term or sums of them
    time_limit : float, optional
        Seconds.
    iterations : int, optional
        Generations. With it, and time enough, the same seed gives the same front.
    seed : int

    Returns
    -------
    Front
        The referee has passed every point; none is proved, and the front is not complete.

    Raises
    ------
    InputError
        For fewer than two objectives, without any limit, or if pymoo is not installed.
    UnsupportedError
        If a placement alone does not tell all of the problem.
    """
    if time_limit is None and iterations is None:
        raise InputError("seconds > 0, or a limit on iterations", field="time_limit", value=time_limit)
    Limits(time_limit, seed=seed)
    problem = _with_objectives(problem, objectives)
    compiled = compile_problem(problem)
    reason = Evaluator.refuses(compiled)
    if reason:
        raise UnsupportedError("", problem=f"NSGA-II does not support {reason}")
    control = Control()
    effort = Effort(Clock(time_limit), iterations, seed, stop=control.stop)
    genes = Genes(evaluator_of(compiled))
    engine = pymoo_problem(genes, len(compiled.objective))
    from pymoo.algorithms.moo.nsga2 import NSGA2

    simple = genes.vectors(all_on_one(compiled))
    first = np.concatenate([simple, genes.first(POPULATION, effort, np.random.default_rng(seed))])[:POPULATION]
    algorithm = NSGA2(POPULATION, sampling=first, **operators(genes))
    best = np.zeros((0, len(compiled.node_names)), dtype=np.int64)
    values = np.zeros((0, len(compiled.objective)))
    with stop_on_interrupt(control):
        for placements, excess, found in generations(genes, algorithm, engine, effort):
            kept = (excess == 0) & np.isfinite(found).all(axis=1)
            best, values = np.concatenate([best, placements[kept]]), np.concatenate([values, found[kept]])
            left = _undominated(values)
            best, values = best[left], values[left]
        points = []
        for placement in best:
            plan = plan_of(compiled, placement)
            evaluation = evaluate(problem, plan)
            if evaluation.feasible:
                points.append(FrontPoint(plan, evaluation.objectives, proved=False))
    everywhere = (math.inf,) * (len(compiled.objective) - 1)
    return Front(problem, _front(points), 0.0, False, (everywhere,), effort.clock.elapsed(), control.stop.is_set())


def _with_objectives(problem: Problem, objectives: Sequence[Objective]) -> Problem:
    """Return the problem with two or more objectives as its priorities, in their order."""
    if len(objectives) < 2:
        raise InputError("two or more objectives", field="objectives", value=len(objectives))
    terms = (period() if isinstance(objective, Throughput) else objective for objective in objectives)
    return problem.replace(minimize=in_order(*terms))


def _most_saved(problem: Problem, compiled: CompiledProblem, priority: int) -> float:
    """Return what idle energy can be below 0: devices may be busy for longer than the latency counts."""
    terms = [term for term in problem.minimize if term.priority == priority and term.idle]
    busiest = np.where(compiled.allowed, compiled.time, 0.0).max(axis=1).sum()
    return float(sum(term.weight for term in terms) * sum(d.idle_power for d in problem.platform.devices) * busiest)


def _within(zone: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Return whether a zone lies within another."""
    return all(mine <= theirs for mine, theirs in zip(zone, other, strict=True))


def _respects(point: FrontPoint, caps: dict[int, float]) -> bool:
    return all(point.objectives[index] <= cap for index, cap in caps.items())


def _front(points: Sequence[FrontPoint]) -> tuple[FrontPoint, ...]:
    """Return the points that no other dominates, one of each, in the order of their objectives."""
    if not points:
        return ()
    return tuple(points[index] for index in _undominated(np.array([point.objectives for point in points])))


def _undominated(values: Array) -> Index:
    """Return which rows (P, objectives) no other dominates, one of each value, in their order."""
    values, first = np.unique(values, axis=0, return_index=True)
    no_worse = (values[:, None] <= values[None]).all(axis=2)
    dominated = (no_worse & ~no_worse.T).any(axis=0)
    return first[~dominated]
