"""What the hunt asks of every part of the package, and what the oracle says to it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import permutations
from random import Random

from oracle import Verdict, judge, placements
from strategies import placement_plan

from dnnopt.compiler import compile_problem
from dnnopt.errors import InputError, UnsupportedError
from dnnopt.formulations import registry
from dnnopt.methods.exact import EXACT
from dnnopt.methods.heuristics import BASELINES
from dnnopt.plan import Plan
from dnnopt.problem import Problem
from dnnopt.ranking import BestPlans, best_plans
from dnnopt.referee import evaluate
from dnnopt.result import Result
from dnnopt.solvers import names as solver_names
from dnnopt.solvers.interface import Control, Limits
from dnnopt.solving import Search, solve

SECONDS = 5.0  # for one answer; what is not proved in this time is counted, and no mismatch
EARLY = 0.5  # an answer in less than this share of the time had the time to be proved
GAP = Fraction(1, 10**6)
ROUNDING = Fraction(1, 10**9)
ITERATIONS = 30
RANKED = 4
HEURISTICS = 3
SHARE_WITH_START = 0.3
MOST_NODES = 3000
REFUSED, MISMATCH = "refused", "MISMATCH"


class Mismatch(AssertionError):  # noqa: N818
    """An answer that is not what the oracle says."""


class Truth:
    """All plans of a problem, as the oracle judges them."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.verdicts: dict[tuple[str, ...], list[Verdict]] = {}
        for where in placements(problem):
            self.verdicts[tuple(where.values())] = judge(problem, where, MOST_NODES)
        found = [(one.objectives, one) for verdicts in self.verdicts.values() for one in verdicts if one.feasible]
        self.feasible = [objectives for objectives, _ in found]
        self.strictly = [objectives for objectives, one in found if one.strictly_feasible]
        self.noise = max((abs(value) for one in self.feasible for value in one), default=Fraction()) / 10**14

    @property
    def infeasible(self) -> bool:
        return not self.feasible

    def devices(self, plan: Plan) -> tuple[str, ...]:
        """Return the devices of a plan, in the order of `verdicts`."""
        return tuple(plan.placement[a.name][layer.name] for a in self.problem.networks for layer in a.layers)

    def best_objective(self, devices: tuple[str, ...]) -> Fraction | None:
        """Return the least objective (of the first priority) of a feasible plan with this placement."""
        return min((one.objectives[0] for one in self.verdicts[devices] if one.feasible), default=None)

    def least(self, priority: int, reached: tuple[float, ...]) -> Fraction:
        """Return the least objective of a priority among the plans that keep to what earlier ones reached."""
        able = [
            one
            for one in self.strictly
            if all(value <= Fraction(cap) + self.noise for value, cap in zip(one[:priority], reached, strict=False))
        ]
        return min(one[priority] for one in able)

    def check_plan(self, plan: Plan | None, objectives: tuple[float, ...]) -> None:
        """Assert that the plan is feasible and its objectives are right."""
        if plan is None:
            raise Mismatch("an objective without a plan")
        devices = self.devices(plan)
        verdicts = [one for one in self.verdicts[devices] if one.feasible]
        if not verdicts:
            raise Mismatch(f"the plan {devices} is infeasible")
        if self.problem.execution == "scheduled":
            judged = evaluate(self.problem, plan)
            if not judged.feasible or judged.objectives != objectives:
                raise Mismatch("the referee refuses the schedule, or says another objective")
            least = min(one.objectives[0] for one in verdicts)
            if objectives[0] < least - ROUNDING * abs(least) - self.noise:
                raise Mismatch(f"{objectives[0]} is better than every schedule of {devices}")
        elif not self._same(objectives, verdicts[0].objectives):
            raise Mismatch(f"the plan's objectives are {floats(verdicts[0].objectives)}, not {objectives}")

    def _same(self, found: tuple[float, ...], right: tuple[Fraction, ...]) -> bool:
        pairs = zip(found, right, strict=True)
        return all(abs(Fraction(one) - other) <= ROUNDING * abs(other) + self.noise for one, other in pairs)

    def check(self, result: Result) -> str:
        """Assert that status, objectives and bounds are right; return what to count the answer as."""
        objectives = () if result.evaluation is None else result.evaluation.objectives
        if result.status in ("error", "unbounded"):
            raise Mismatch(f"status {result.status}: {result.message}")
        if result.status == "infeasible":
            if self.strictly:
                raise Mismatch(f"infeasible, but the best is {float(self.least(0, ()))!r}")
            return "infeasible"
        if self.infeasible:
            if result.status == "optimal" or result.plan is not None:
                raise Mismatch(f"{result.status} {result.objective!r}, but no plan is feasible")
            return "unproved"
        if result.evaluation is not None:
            self.check_plan(result.plan, objectives)
        if self.strictly:
            for priority, bound in enumerate(result.bounds):
                self._check_stage(result, priority, bound, objectives)
        if result.status != "optimal":
            return "unproved" if result.runtime > EARLY * SECONDS else "unproved early"
        return "optimal"

    def _check_stage(self, result: Result, priority: int, bound: float | None, reached: tuple[float, ...]) -> None:
        if priority > len(reached):
            return
        best = self.least(priority, reached)
        allowed = GAP * abs(best) + self.noise
        if bound is not None and Fraction(bound) > best + allowed:
            raise Mismatch(f"bound {bound!r} of priority {priority}, but the best is {float(best)!r}")
        if result.status == "optimal" and (not reached or Fraction(reached[priority]) > best + allowed):
            raise Mismatch(f"optimal {reached} at priority {priority}, but the best is {float(best)!r}")

    def check_ranking(self, found: BestPlans) -> str:
        """Assert that the plans are the best ones, and no other is missing but for the names of devices."""
        ranked = {self.devices(one.plan): one for one in found.plans}
        if len(ranked) < len(found.plans):
            raise Mismatch("a placement is there twice")
        for one in found.plans:
            self.check_plan(one.plan, one.evaluation.objectives)
        proved = [one for one in found.plans if one.proved]
        worst = max((Fraction(one.objective) for one in proved), default=None)
        for devices, verdicts in self.verdicts.items():
            value = min((one.objectives[0] for one in verdicts if one.strictly_feasible), default=None)
            if value is None or devices in ranked:
                continue
            better = worst is not None and value < worst - GAP * abs(worst) - self.noise
            if (better or found.exhausted) and not self._is_renamed(devices, set(ranked)):
                said = "exhausted" if found.exhausted else f"proved {float(worst or 0)!r}"
                raise Mismatch(f"{said}, but {devices} with {float(value)!r} is missing")
        if len(proved) == len(found.plans) and (found.exhausted or len(proved) == found.asked):
            return "optimal" if found.plans else "infeasible"
        return "unproved" if found.runtime > EARLY * SECONDS else "unproved early"

    def _is_renamed(self, devices: tuple[str, ...], known: set[tuple[str, ...]]) -> bool:
        """Return whether a known placement is this one with other names of devices that make no difference."""
        names = self.problem.platform.device_names()
        for order in permutations(names):
            rename = dict(zip(names, order, strict=True))
            if tuple(rename[one] for one in devices) in known and all(
                self.best_objective(one) == self.best_objective(tuple(rename[name] for name in one))
                for one in self.verdicts
            ):
                return True
        return False


def floats(values: tuple[Fraction, ...]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def check_referee(truth: Truth) -> None:
    """Assert that the referee says of every plan what the oracle says; schedules are judged as they come."""
    if truth.problem.execution == "scheduled":
        return
    for devices, verdicts in truth.verdicts.items():
        judged = evaluate(truth.problem, placement_plan(truth.problem, devices))
        if judged.feasible != any(one.feasible for one in verdicts):
            raise Mismatch(f"{devices}: feasible is {not judged.feasible}, not {judged.feasible}: {judged.violations}")
        if judged.feasible:
            truth.check_plan(placement_plan(truth.problem, devices), judged.objectives)


Way = Callable[[Problem, Truth], str]


def _by_auto(problem: Problem, truth: Truth) -> str:
    return truth.check(solve(problem, threads=1, time_limit=SECONDS))


def _by_method(name: str) -> Way:
    def way(problem: Problem, truth: Truth) -> str:
        return truth.check(solve(problem, method=name, threads=1, time_limit=SECONDS))

    return way


def _by_heuristic(name: str) -> Way:
    def way(problem: Problem, truth: Truth) -> str:
        iterations = ITERATIONS if BASELINES[name].searches else None
        result = solve(problem, method=name, threads=1, time_limit=SECONDS, iterations=iterations)
        said = truth.check(result)
        return "feasible" if said.startswith("unproved") and result.plan is not None else said

    return way


def _by_formulation(name: str, solver: str, *, start: bool) -> Way:
    """A formulation, with a plan to start from (of simple heuristics) or without."""

    def way(problem: Problem, truth: Truth) -> str:
        compiled = compile_problem(problem)
        limits = Limits(SECONDS, threads=1)
        search = Search(problem, compiled, limits, Control(), "auto", name, solver, baselines=start)
        said = truth.check(search.run(range(len(compiled.objective))))
        value = registry.formulation(name, compiled).value
        return said if value == "exact" or not said.startswith("unproved") else value

    return way


def _by_ranking(problem: Problem, truth: Truth) -> str:
    return truth.check_ranking(best_plans(problem, RANKED, threads=1, time_limit=2 * SECONDS))


def some_ways(problem: Problem, draw: Random) -> Iterator[tuple[str, Way]]:
    """Yield each way that can answer it, but formulations with a start or without one, and few heuristics."""
    heuristics = draw.sample(sorted(BASELINES), HEURISTICS)
    start = False
    for name, way in ways(problem):
        if name.endswith(", no start)"):
            start = draw.random() < SHARE_WITH_START
            wanted = not start
        elif name.endswith(", start)"):
            wanted = start
        else:
            wanted = name not in BASELINES or name in heuristics
        if wanted:
            yield name, way


def ways(problem: Problem) -> Iterator[tuple[str, Way]]:
    """Yield everything that can answer the problem, by name."""

    def by_referee(problem: Problem, truth: Truth) -> str:
        check_referee(truth)
        return "the same"

    yield "referee", by_referee
    yield "auto", _by_auto
    for name in EXACT:
        yield name, _by_method(name)
    for name in registry.supporting(compile_problem(problem)):
        for solver in solver_names(registry.kind_of(name)):
            for start in (False, True):
                yield (
                    f"{name} ({solver}, {'start' if start else 'no start'})",
                    _by_formulation(name, solver, start=start),
                )
    yield "best plans", _by_ranking
    for name, baseline in BASELINES.items():
        if baseline.installed:
            yield name, _by_heuristic(name)


def ask(way: Way, problem: Problem, truth: Truth) -> tuple[str, str]:
    """Return how the answer of one way counts, and what is wrong with it ("": nothing)."""
    try:
        return way(problem, truth), ""
    except UnsupportedError:
        return REFUSED, ""
    except Mismatch as error:
        return MISMATCH, str(error)
    except InputError as error:
        return MISMATCH, f"InputError: {error}"
    except Exception:
        return MISMATCH, traceback.format_exc()


def features(problem: Problem) -> Iterator[str]:
    """Yield what the tables count problems by."""
    yield f"execution {problem.execution}"
    yield f"transport {problem.transport}"
    for entry in problem.subject_to:
        yield f"constraint {entry.constraint}"
    for term in problem.minimize:
        yield f"objective {'largest ' if term.over == 'max' else ''}{term.metric}{' idle' if term.idle else ''}"
    if len({term.priority for term in problem.minimize}) > 1:
        yield "several priorities"
    if len(problem.networks) > 1:
        yield "several networks"
