"""The best plans of a problem, not only the best one: each proved the best of all that are left.

Chains have a dynamic program for it (`methods/exact/chain.py`). Elsewhere a formulation is solved again and again, each
time with one more row that forbids the placement found last. Plans near the best one show beforehand that there are as
many as are asked for up to some value, and what no plan up to that value can have is left out of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dnnopt.base.arguments import Duration, checked
from dnnopt.base.console import table, words
from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import compared, counted, format_gap, format_quantity, format_runtime
from dnnopt.base.tables import Heading, Tabular
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import TOLERANCE, Evaluator, evaluator_of
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.presolve import presolve
from dnnopt.compiled.scaling import choose_units
from dnnopt.compiled.scheduling import plan_of
from dnnopt.compiled.symmetry import canonical, identical_devices
from dnnopt.formulations import registry
from dnnopt.formulations.formulation import Formulation
from dnnopt.methods.exact import chain
from dnnopt.methods.formulated import default_solver
from dnnopt.methods.numbers import is_reliable
from dnnopt.methods.programs.lagrangian import priced_out
from dnnopt.methods.result import OPTIMAL_GAP, evaluation_data, relative_gap
from dnnopt.methods.solving import Search, check_choice
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers import solver as solver_of
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome, stop_on_interrupt
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import AnyProblem, Problem, as_problem
from dnnopt.problem.words import moved, objective_name, print_strips, where
from dnnopt.referee import Evaluation, evaluate

if TYPE_CHECKING:
    from rich.console import Console

_PREFERRED = ("edgewise", "boundary", "product", "cp-assignment", "cp-schedule")
_FIRST_SHARE = 0.5
_SHARE = 0.1  # of the time, for each of what makes the model smaller
_NEAR_SECONDS = 5.0
_PRICE_SECONDS = 2.0
_ROUNDS = 4
_BATCH = 20_000

_Key = tuple[int, ...]


@unchangeable
@dataclass(frozen=True)
class RankedPlan:
    """A plan, and what no plan that is not before it is better than.

    Attributes
    ----------
    plan : Plan
    evaluation : Evaluation
    bound : float, optional
        SI.
    proved : bool
        Whether it and all before it are the best there are (within a gap of 1e-6).
    """

    plan: Plan
    evaluation: Evaluation
    bound: float | None
    proved: bool

    @property
    def objective(self) -> float:
        """The plan's objective."""
        return self.evaluation.objective

    @property
    def gap(self) -> float | None:
        """`(objective - bound) / |objective|`."""
        return relative_gap(self.objective, self.bound)


@unchangeable
@dataclass(frozen=True, repr=False)
class BestPlans(Tabular):
    """What `best_plans` returns.

    Attributes
    ----------
    problem : Problem
    asked : int
    plans : tuple of RankedPlan
        The best first.
    exhausted : bool
        Whether it is proved that there are no others.
    method : str
    runtime : float
    """

    row_noun = "plan"

    problem: Problem
    asked: int
    plans: tuple[RankedPlan, ...]
    exhausted: bool
    method: str
    runtime: float

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a plain row for each plan."""
        return [
            {
                "rank": rank,
                "objective": ranked.objective,
                "bound": ranked.bound,
                "gap": ranked.gap,
                "proved": ranked.proved,
            }
            for rank, ranked in enumerate(self.plans, 1)
        ]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        name, unit = objective_name(self.problem)
        return {
            "objective": Heading(name, unit),
            "bound": Heading("bound", unit),
            "gap": Heading("gap", "%"),
        }

    def to_data(self) -> dict[str, Any]:
        """Return plain data; each entry of ``plans`` has the keys of a plan file."""
        return {
            "format": "dnnopt-best-plans",
            "version": 1,
            "problem": self.problem.name,
            "asked": self.asked,
            "exhausted": self.exhausted,
            "method": self.method,
            "runtime": self.runtime,
            "plans": [
                row | evaluation_data(ranked.evaluation) | ranked.plan.to_data()
                for row, ranked in zip(self.to_rows(), self.plans, strict=True)
            ],
        }

    def report(self, console: Console) -> None:
        """Print it for a person."""
        name, unit = objective_name(self.problem)
        if not self.plans:
            console.print(words("no plan is feasible" if self.exhausted else "no plan was found"))
            return
        best = self.plans[0]
        rows = [
            (
                str(rank),
                format_quantity(ranked.objective, unit, 6),
                "" if rank == 1 else compared(ranked.objective, best.objective),
                "proved" if ranked.proved else f"not proved, gap {format_gap(ranked.gap)}",
                "" if rank == 1 else str(len(moved(self.problem, ranked.plan, best.plan))),
                where(self.problem, ranked.plan),
            )
            for rank, ranked in enumerate(self.plans, 1)
        ]
        columns = [("rank", "right"), (name, "right"), ("to the best", "left"), ("proof", "left")]
        columns += [("layers elsewhere", "right"), ("layers on each device", "left")]
        title = f"{self.problem.title}: {_ranked_count(self)}, by {self.method} in {format_runtime(self.runtime)}"
        console.print(table(title, columns, rows, ("layers elsewhere", "layers on each device")))
        console.print()
        print_strips(console, self.problem, {str(rank): ranked.plan for rank, ranked in enumerate(self.plans, 1)})


@checked
def best_plans(
    problem: AnyProblem,
    k: int,
    *,
    formulation: str | None = None,
    solver: str | None = None,
    time_limit: Duration | None = None,
    threads: int | None = None,
    seed: int = 0,
    watch: Callable[[RankedPlan], None] | None = None,
) -> BestPlans:
    """Return the `k` best plans; those that differ only in the names of identical devices count as one.

    Parameters
    ----------
    problem : Problem, str or Path
        A text is a name in the library, or a file's.
        With one priority.
    k : int
    formulation, solver, threads, seed
        As for `solve`; by default an exact formulation, or for chains a dynamic program.
    time_limit : float, optional
        Seconds for all.
    watch : callable, optional
        Called with each plan as it is found.

    Returns
    -------
    BestPlans
        With fewer plans where there are no more (`exhausted`). Where the time or Ctrl-C ended it, the last ones are
        good plans near the best one, not proved, or missing.

    Raises
    ------
    InputError
        For a `k` below 1, or as `solve` does.
    UnsupportedError
        For several priorities, and where no exact formulation supports the problem.
    """
    problem = as_problem(problem)
    if isinstance(k, bool) or k < 1:
        raise InputError("a whole number >= 1", field="k", value=k)
    check_choice("auto", formulation, solver)
    limits, clock, control = Limits(time_limit, OPTIMAL_GAP, threads, seed), Clock(time_limit), Control()
    compiled = compile_problem(problem)
    if len(compiled.objective) > 1:
        raise UnsupportedError("", problem="the best plans are of one objective, not of several priorities")
    ranking = _Ranking(problem, compiled, k, watch)
    if formulation is None and solver is None and chain.refuses(compiled) is None:
        _rank_chain(ranking)
        return ranking.result("chain", clock)
    chosen = _exact_formulation(compiled, formulation)
    name = solver or default_solver(chosen)
    with stop_on_interrupt(control):
        _rank_by_formulation(ranking, chosen, name, limits, clock, control)
    return ranking.result(f"{chosen.name} ({name})", clock)


class _Ranking:
    """The plans found so far, in the order in which they were found."""

    def __init__(
        self, problem: Problem, compiled: CompiledProblem, k: int, watch: Callable[[RankedPlan], None] | None
    ) -> None:
        self.problem = problem
        self.compiled = compiled
        self.k = k
        self.found: list[RankedPlan] = []
        self.exhausted = False
        self._classes = identical_devices(compiled)
        self._keys: set[_Key] = set()
        self._watch = watch

    @property
    def full(self) -> bool:
        return len(self.found) >= self.k

    def key(self, placement: Index) -> _Key:
        """Return what plans have in common that differ only in the names of identical devices."""
        return tuple(canonical(self.compiled, placement, self._classes).tolist())

    def is_known(self, placement: Index) -> bool:
        return self.key(placement) in self._keys

    def add(self, plan: Plan, bound: float | None) -> bool:
        """Take a plan, unless it is infeasible or there is already one like it; return whether it was taken."""
        key, judged = self.key(self.compiled.placement(plan)), evaluate(self.problem, plan)
        if key in self._keys or not judged.feasible:
            return False
        self._keys.add(key)
        if bound is not None and bound > judged.objective * (1 - OPTIMAL_GAP):
            bound = min(bound, judged.objective)
        gap = relative_gap(judged.objective, bound)
        before = all(ranked.proved for ranked in self.found)
        ranked = RankedPlan(plan, judged, bound, before and gap is not None and gap <= OPTIMAL_GAP)
        self.found.append(ranked)
        if self._watch is not None:
            self._watch(ranked)
        return True

    def result(self, method: str, clock: Clock) -> BestPlans:
        """Return the plans by their objectives: where one was not proved, a better one may have been found later."""
        plans = sorted(self.found, key=lambda ranked: ranked.objective)
        return BestPlans(self.problem, self.k, tuple(plans), self.exhausted, method, clock.elapsed())


def _rank_chain(ranking: _Ranking) -> None:
    """Find the plans of a chain; where devices are identical, more placements than plans are needed."""
    wanted = ranking.k
    while not ranking.full and not ranking.exhausted:
        placements = list(chain.k_best(ranking.compiled, wanted))
        for value, placement in placements:
            if not ranking.full:
                ranking.add(plan_of(ranking.compiled, placement), value)
        ranking.exhausted = len(placements) < wanted and not ranking.full
        wanted *= 4


def _exact_formulation(compiled: CompiledProblem, name: str | None) -> Formulation:
    if name is not None:
        found = registry.formulation(name, compiled)
        if found.value != "exact":
            raise UnsupportedError("", problem=f"the formulation {found.name!r} gives a {found.value}, not the optimum")
        return found
    able = [registry.formulation(full, compiled) for full in registry.supporting(compiled)]
    exact = [one for one in able if one.value == "exact" and one.name.partition("+")[0] in _PREFERRED]
    if not exact:
        raise UnsupportedError("", problem="no exact formulation supports the problem")
    return min(exact, key=lambda one: _PREFERRED.index(one.name.partition("+")[0]))


def _rank_by_formulation(
    ranking: _Ranking, formulation: Formulation, solver: str, limits: Limits, clock: Clock, control: Control
) -> None:
    """Solve, forbid what was found, and solve again."""
    compiled = ranking.compiled
    left = clock.left()
    first = None if left is None else _FIRST_SHARE * left
    result = Search(ranking.problem, compiled, limits.within(first), control).run(range(1))
    if result.status == "infeasible":
        ranking.exhausted = True
        return
    seconds = _at_most(_NEAR_SECONDS, clock)
    near = [] if result.plan is None else _near(ranking, compiled.placement(result.plan), seconds, control)
    cap = near[ranking.k - 1][0] if len(near) >= ranking.k else math.inf
    kept = _reduced(compiled, cap, limits, clock, control)
    best = None if result.plan is None else compiled.placement(result.plan)
    model = formulation.build(kept, choose_units(kept, best))
    unit, reliable = model.objective_unit, is_reliable(model)
    if result.plan is not None and result.status == "optimal":
        ranking.add(result.plan, result.bound)
        formulation.forbid(kept, model, compiled.placement(result.plan))
    while not ranking.full and not clock.expired() and not control.stop.is_set():
        start = next((placement for _, placement in near if not ranking.is_known(placement)), None)
        values = None if start is None else formulation.encode(kept, model, start)
        outcome = _solve(model, solver_of(solver, formulation.kind), limits.within(clock.left()), values, control)
        if outcome.status == "infeasible":
            ranking.exhausted = reliable and math.isinf(cap)
        if outcome.values is None:
            break
        placement = formulation.read(kept, model, outcome.values)
        plan = plan_of(kept, placement, formulation.times(kept, model, outcome.values))
        bounds = [result.bound, min(outcome.bound * unit, cap) if reliable and outcome.bound is not None else None]
        ranking.add(plan, max((bound for bound in bounds if bound is not None), default=None))
        formulation.forbid(kept, model, placement)
    if result.plan is not None and not ranking.exhausted:
        for plan in (result.plan, *(plan_of(compiled, placement) for _, placement in near[: ranking.k])):
            if not ranking.full:
                ranking.add(plan, result.bound)


def _solve(model: Any, run: Any, limits: Limits, start: Any, control: Control) -> Outcome:
    """Solve, again and again where rows were missing."""
    clock = Clock(limits.time_limit)
    lazy = model.lazy if isinstance(model, LinearModel) else None
    while True:
        outcome: Outcome = run(model, limits.within(clock.left()), start, Control(stop=control.stop))
        if outcome.values is None or lazy is None or not lazy.separate(outcome.values):
            return outcome
        if clock.expired() or control.stop.is_set():
            return Outcome("no_solution")
        start = None


def _reduced(compiled: CompiledProblem, cap: float, limits: Limits, clock: Clock, control: Control) -> CompiledProblem:
    """Return the problem without what no plan up to the cap has."""
    if math.isinf(cap):
        return compiled
    cap += TOLERANCE * abs(cap)
    seconds = _at_most(_PRICE_SECONDS, clock)
    reduced = presolve(priced_out(compiled, cap, limits.within(seconds), control, limits.seed), cap)
    return compiled if reduced.infeasible else reduced.compiled


def _near(ranking: _Ranking, best: Index, seconds: float, control: Control) -> list[tuple[float, Index]]:
    """Return the best feasible placements (N,) that single moves reach from the best one, with their values.

    Moves are made from the best `k` known, some times over, while there is time.
    """
    clock = Clock(seconds)
    compiled = ranking.compiled
    if Evaluator.refuses(compiled) is not None:
        return []
    evaluator = evaluator_of(compiled)
    known: dict[_Key, tuple[float, Index]] = {}
    tried: set[_Key] = set()
    waiting = [best]
    ordered: list[tuple[float, Index]] = []
    for _ in range(_ROUNDS):
        for origin in waiting:
            tried.add(ranking.key(origin))
            for batch in _neighbours(compiled, origin):
                if clock.expired() or control.stop.is_set():
                    break
                values = np.where(evaluator.excess(batch) == 0, evaluator.objectives(batch), np.inf)
                for position in np.argsort(values, kind="stable")[: ranking.k + 1]:
                    if np.isfinite(values[position]):
                        known.setdefault(ranking.key(batch[position]), (float(values[position]), batch[position]))
        ordered = sorted(known.values(), key=lambda one: one[0])
        waiting = [placement for _, placement in ordered[: ranking.k] if ranking.key(placement) not in tried]
    return ordered


def _neighbours(compiled: CompiledProblem, origin: Index) -> Iterator[Index]:
    """Yield batches (B, N): the placement, and those with one layer elsewhere."""
    layers, executors = np.nonzero(compiled.allowed & compiled.is_layer[:, None])
    moved = executors != origin[layers]
    layers, executors = layers[moved], executors[moved]
    yield origin[None]
    size = max(1, _BATCH // len(origin))
    for first in range(0, len(layers), size):
        batch = np.repeat(origin[None], len(layers[first : first + size]), axis=0)
        batch[np.arange(len(batch)), layers[first : first + size]] = executors[first : first + size]
        yield batch


def _at_most(seconds: float, clock: Clock) -> float:
    """Return so many seconds, or a share of the time that is left."""
    left = clock.left()
    return seconds if left is None else min(seconds, _SHARE * left)


def _ranked_count(found: BestPlans) -> str:
    count = len(found.plans)
    if count == found.asked:
        return "the best plan" if count == 1 else f"the {count} best plans"
    plans = counted(count, "plan")
    return f"{plans}, and there are no others" if found.exhausted else f"{plans} of {found.asked} asked for"
