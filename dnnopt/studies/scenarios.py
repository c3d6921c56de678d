"""Scenarios: what plans are worth in each, what a plan for all of them gains, and what it would be worth to know.

    RP  = min over plans π of F(π)              the plan for all scenarios
    EEV = F(π̄), π̄ best in the mean scenario     VSS  = EEV - RP
    WS  = F(π_1, π_2, ...), π_s best in s        EVPI = RP - WS

F is the objective as stated: its terms, expected or as they look across scenarios (Birge, Louveaux: Introduction to
Stochastic Programming, 2nd edition, 2011, chapter 4). What is not proved optimal leaves an interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from dnnopt.base.arguments import Duration, Share, checked
from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.heuristics import BASELINES
from dnnopt.methods.result import OPTIMAL_GAP, Result, relative_gap
from dnnopt.methods.solving import Search, check_choice
from dnnopt.models.solvers.interface import Control, Limits, stop_on_interrupt
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import AnyProblem, Problem, as_problem
from dnnopt.problem.scenarios import mean_scenario
from dnnopt.problem.variation import in_scenario
from dnnopt.referee import evaluate
from dnnopt.referee.scenarios import aggregated
from dnnopt.studies.comparison import HEURISTIC_LIMIT
from dnnopt.studies.scenario_plans import ALL, EACH, MEAN, Best, Interval, PlanInScenarios, ScenarioStudy

_HINT = """missing: the problem has none, such as {"name": "busy", "probability": 0.2, "bandwidth": {"LINK": 0.3}}"""


@checked
def scenarios(
    problem: AnyProblem,
    *,
    baselines: Sequence[str] = (),
    formulation: str | None = None,
    solver: str | None = None,
    time_limit: Duration | None = 60.0,
    gap: Share = OPTIMAL_GAP,
    threads: int | None = None,
    seed: int = 0,
    watch: Callable[[str, Result], None] | None = None,
) -> ScenarioStudy:
    """Put plans side by side in every scenario: the one for all, the one for the mean, and each scenario's own.

    Parameters
    ----------
    problem : Problem, str or Path
        A text is a name in the library, or a file's.
    baselines : sequence of str
        Heuristics whose plans for all scenarios are shown beside; each has two seconds.
    formulation, solver, threads, seed
        As for `solve`.
    time_limit : float, optional
        Seconds for each problem that is solved: one for each scenario, the mean, and the problem as it is.
    gap : float
        Relative gap at which each may stop.
    watch : callable, optional
        Called with whom a plan is for, and each Result.

    Returns
    -------
    ScenarioStudy
        Ctrl-C ends it early, with the plans that were found.

    Raises
    ------
    InputError
        For a problem without scenarios, and as `solve` does.
    UnsupportedError
        For several priorities, or as `solve` does.
    """
    problem = as_problem(problem)
    if not problem.scenarios:
        raise InputError("", field="scenarios", problem=_HINT)
    if len({term.priority for term in problem.minimize}) > 1:
        raise UnsupportedError("", problem="scenarios are studied for one objective, not for several priorities")
    for name in baselines:
        if name not in BASELINES:
            raise InputError(f"one of {', '.join(BASELINES)}", field="baselines", value=name)
    check_choice("auto", formulation, solver)
    limits, control = Limits(time_limit, gap, threads, seed), Control()
    study = _Study(problem, limits, control, watch, formulation=formulation, solver=solver)
    with stop_on_interrupt(control):
        return study.run(dict.fromkeys(baselines))


class _Study:
    """Plans by whom they are for, and what they come to."""

    def __init__(
        self,
        problem: Problem,
        limits: Limits,
        control: Control,
        watch: Callable[[str, Result], None] | None,
        **choice: Any,
    ) -> None:
        self.problem, self.limits, self.control, self.watch, self.choice = problem, limits, control, watch, choice
        self.cases = [in_scenario(problem, scenario) for scenario in problem.scenarios]
        self.results: dict[str, Result] = {}

    def run(self, baselines: Collection[str]) -> ScenarioStudy:
        for name in baselines:
            self._solve(f"by {name}", self.problem, name)
        names = [f"for {scenario.name}" for scenario in self.problem.scenarios]
        work = [*zip(names, self.cases, strict=True)]
        work.append((MEAN, in_scenario(self.problem, mean_scenario(self.problem.scenarios))))
        for name, case in work:
            self._solve(name, case)
        self._solve(ALL, self.problem)
        return self._found(names, baselines)

    def _solve(self, name: str, problem: Problem, method: str = "auto") -> None:
        if self.control.stop.is_set():
            return
        limits, choice = self.limits, self.choice
        if method != "auto":
            limits, choice = limits.within(min(HEURISTIC_LIMIT, limits.time_limit or math.inf)), {}
        search = Search(problem, compile_problem(problem), limits, self.control, method, **choice)
        start = self._best(problem)[1] if method == "auto" else None
        self.results[name] = result = search.run(range(1), start=start)
        if self.watch is not None:
            self.watch(name, result)

    def _plans(self) -> Iterator[Plan]:
        return (result.plan for result in self.results.values() if result.plan is not None)

    def _best(self, problem: Problem) -> tuple[float, Plan | None]:
        """Return the best of all plans for a problem, and its objective; infinite: none satisfies it."""
        judged = [(evaluate(problem, plan), plan) for plan in self._plans()]
        feasible = [(one.objective, plan) for one, plan in judged if one.feasible]
        return min(feasible, key=lambda pair: pair[0], default=(math.inf, None))

    def _found(self, names: Sequence[str], baselines: Collection[str]) -> ScenarioStudy:
        each = [self._best(case) for case in self.cases]
        best = tuple(
            Best(scenario.name, scenario.probability, _status(result), _finite(value), _bound(result), plan)
            for scenario, result, (value, plan) in zip(
                self.problem.scenarios, map(self.results.get, names), each, strict=True
            )
        )
        plans = [plan for _, plan in each]
        shown = {ALL: self._best(self.problem)[1], MEAN: self._plan(MEAN)}
        shown |= dict(zip(names, plans, strict=True))
        shown |= {f"by {name}": self._plan(f"by {name}") for name in baselines}
        rows = [self._row(name, [plan] * len(self.cases), best) for name, plan in shown.items() if plan is not None]
        if None not in plans:
            rows.append(self._row(EACH, [plan for plan in plans if plan is not None], best))
        by_name = {row.name: row for row in rows}
        bound, status = self._bound_of_all(best), _status(self.results.get(ALL))
        if ALL in by_name and bound is not None:
            bound = min(bound, by_name[ALL].objective)
            gap = relative_gap(by_name[ALL].objective, bound)
            status = "optimal" if gap is not None and gap <= OPTIMAL_GAP else status
        return ScenarioStudy(
            problem=self.problem,
            status=status,
            bound=bound,
            rows=tuple(rows),
            scenarios=best,
            stochastic=self._stochastic(by_name, bound),
            knowing=self._knowing(by_name, best, bound),
            complete=not self.control.stop.is_set(),
            mean_status=_status(self.results.get(MEAN)),
            holds_everywhere=self._holds_everywhere,
        )

    @property
    def _holds_everywhere(self) -> bool:
        """Whether the plan for all scenarios could be taken in each: its limits hold there."""
        return all(map(_holds_everywhere, self.problem.subject_to))

    def _bound_of_all(self, best: Sequence[Best]) -> float | None:
        """Return what no plan for all scenarios is better than: its own bound, or that of each scenario's own plans."""
        bounds = [_bound(self.results.get(ALL))]
        if self._holds_everywhere:
            bounds.append(self._least_when_knowing(best))
        return max((bound for bound in bounds if bound is not None), default=None)

    def _plan(self, name: str) -> Plan | None:
        return self.results[name].plan if name in self.results else None

    def _row(self, name: str, plans: Sequence[Plan], best: Sequence[Best]) -> PlanInScenarios:
        """Return what a plan, or one for each scenario, comes to."""
        judged = [evaluate(case, plan) for case, plan in zip(self.cases, plans, strict=True)]
        broken = () if name == EACH else evaluate(self.problem, plans[0]).violations
        return PlanInScenarios(
            name=name,
            plans=tuple(plans),
            objective=self._stated(plans),
            values=tuple(one.objective for one in judged),
            regrets=tuple(
                one.objective - known.objective if one.feasible and known.objective is not None else None
                for one, known in zip(judged, best, strict=True)
            ),
            breaks=tuple(violation.constraint for violation in broken),
            breaks_there=tuple(tuple(violation.constraint for violation in one.violations) for one in judged),
            expected=self._expected([one.objective for one in judged]),
        )

    def _expected(self, values: Sequence[float]) -> float:
        return aggregated([(v, s.probability) for v, s in zip(values, self.problem.scenarios, strict=True)], None)

    def _stated(self, plans: Sequence[Plan]) -> float:
        """Return the objective as stated of a plan for each scenario: each term looks across them on its own."""
        terms = self.problem.minimize
        apart = {"minimize": tuple(term.replace(priority=k) for k, term in enumerate(terms))}
        values = [
            evaluate(case.model_copy(update=apart), plan).objectives
            for case, plan in zip(self.cases, plans, strict=True)
        ]
        probabilities = [scenario.probability for scenario in self.problem.scenarios]
        return math.fsum(
            aggregated(list(zip([one[k] for one in values], probabilities, strict=True)), term)
            for k, term in enumerate(terms)
        )

    def _stochastic(self, rows: dict[str, PlanInScenarios], bound: float | None) -> Interval | None:
        """Return the value of a stochastic plan; None: the plan for the mean, or every plan found, breaks a limit."""
        stated, mean = rows.get(ALL), rows.get(MEAN)
        if stated is None or mean is None or mean.breaks:
            return None
        gained = mean.objective - stated.objective
        return Interval(gained, gained, math.inf if bound is None else mean.objective - bound)

    def _knowing(self, rows: dict[str, PlanInScenarios], best: Sequence[Best], bound: float | None) -> Interval | None:
        """Return the value of knowing; None: a plan for each scenario, or one for all, was not found."""
        stated, each = rows.get(ALL), rows.get(EACH)
        if stated is None or each is None:
            return None
        low = -math.inf if bound is None else bound - each.objective
        if self._holds_everywhere:
            low = max(low, 0.0)
        least = self._least_when_knowing(best)
        found = max(stated.objective - each.objective, low)
        return Interval(found, low, math.inf if least is None else max(stated.objective - least, found))

    def _least_when_knowing(self, best: Sequence[Best]) -> float | None:
        """Return what no plans for each scenario are better than.

        One term looks across scenarios as it is stated. Of several, no worst or conditional value at risk is below the
        expected value.
        """
        bounds = [one.bound for one in best]
        known = [bound for bound in bounds if bound is not None]
        if len(known) < len(bounds):
            return None
        terms = self.problem.minimize
        if len(terms) > 1:
            return self._expected(known)
        return aggregated([(bound, one.probability) for bound, one in zip(known, best, strict=True)], terms[0])


def _holds_everywhere(limit: Any) -> bool:
    """Return whether plans that satisfy a limit do so in each scenario."""
    return limit.constraint != "custom" and getattr(limit, "across", "worst") == "worst"


def _status(result: Result | None) -> str:
    return "interrupted" if result is None else result.status


def _bound(result: Result | None) -> float | None:
    return None if result is None or result.status == "error" else result.bound


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
