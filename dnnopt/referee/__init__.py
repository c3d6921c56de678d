"""The referee: every metric and every violation of a plan, from the definitions and with no other code's help.

Plain dictionaries and loops over the problem's records. No formulation, search or compiled problem is used here, so
that it can judge all of them.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

from dnnopt.base.arguments import checked
from dnnopt.problem.plan import Plan, as_plan
from dnnopt.problem.problem import AnyProblem, Problem, as_problem
from dnnopt.problem.scenarios import Scenario
from dnnopt.problem.variation import in_scenario
from dnnopt.referee import call_latency, metrics, schedule, timing
from dnnopt.referee.evaluation import Evaluation, Transmission, Violation
from dnnopt.referee.facts import Facts, gather, link_seconds
from dnnopt.referee.scenarios import Case, measured, objectives
from dnnopt.referee.violations import constraint_violations, platform_violations

__all__ = ["Evaluation", "Transmission", "Violation", "evaluate", "objectives_if_feasible"]


@checked
def evaluate(problem: AnyProblem, plan: Any) -> Evaluation:
    """Return a plan's objectives, metrics, violations and transmissions.

    Parameters
    ----------
    problem : Problem, str or Path
        A text is a name in the library, or a file's.
    plan : Plan, Result, str, Path or mapping
        A text is a file's name; a mapping says where layers run (`dnnopt.problem.plan.as_plan`).

    Raises
    ------
    InputError
        If the plan does not fit the problem: a layer without a device, an unknown name. A plan that is merely
        infeasible comes back with its violations.
    """
    problem = as_problem(problem)
    plan = as_plan(plan, problem)
    plan.check(problem)
    facts, found, cases = _looked_at(problem, plan)
    return Evaluation(
        objectives=objectives(cases),
        metrics=measured(cases),
        violations=(*platform_violations(facts), *found, *constraint_violations(cases)),
        transmissions=_transmissions(facts),
        memory={
            device.name: amounts
            for device in problem.platform.devices
            if (amounts := metrics.fullest(facts, device)) is not None
        },
    )


def objectives_if_feasible(problem: Problem, plan: Plan, *, but: str | None = None) -> tuple[float, ...] | None:
    """Return the objectives that `evaluate` finds of a plan, None where it finds violations; it looks at nothing else.

    For plans by the thousand. The plan must fit the problem. Violations whose name begins with `but` do not count.
    """
    facts, found, cases = _looked_at(problem, plan)
    for violation in chain(found, platform_violations(facts), constraint_violations(cases)):
        if but is None or not violation.constraint.startswith(but):
            return None
    return objectives(cases)


def _looked_at(problem: Problem, plan: Plan) -> tuple[Facts, list[Violation], list[Case]]:
    """Return what a plan implies, what is wrong with its schedule or calls, and what it implies in each scenario."""
    facts = gather(problem, plan)
    latencies, found = _timing(facts, plan)
    cases = [_case(problem, plan, scenario) for scenario in problem.scenarios] or [Case(1.0, facts, latencies)]
    return facts, found, cases


def _case(problem: Problem, plan: Plan, scenario: Scenario) -> Case:
    """Return what the plan implies in a scenario."""
    facts = gather(in_scenario(problem, scenario), plan)
    return Case(scenario.probability, facts, _timing(facts, plan)[0])


def _timing(facts: Facts, plan: Plan) -> tuple[metrics.Latencies, list[Violation]]:
    """Return each network's latency under the problem's execution, and what is wrong with the schedule."""
    problem = facts.problem
    if problem.execution in ("sequential", "pipelined"):
        return {network.name: timing.sequential_latency(facts, network) for network in problem.networks}, []
    if problem.execution == "parallel":
        return {network.name: timing.critical_path(facts, network) for network in problem.networks}, []
    if problem.execution == "call":
        found = {network.name: call_latency.call_latency(facts, network) for network in problem.networks}
        return {name: latency for name, (latency, _) in found.items()}, [
            v for _, wrong in found.values() for v in wrong
        ]
    if plan.schedule is None:
        missing = Violation("schedule", math.inf, "", "the plan has no schedule, and execution is scheduled")
        return {network.name: math.inf for network in problem.networks}, [missing]
    timetable = schedule.match(facts, plan.schedule)
    latencies = {network.name: schedule.scheduled_latency(timetable, network.name) for network in problem.networks}
    return latencies, list(schedule.schedule_violations(timetable))


def _transmissions(facts: Facts) -> tuple[Transmission, ...]:
    return tuple(
        Transmission(
            network=copy.network,
            tensor=copy.tensor.name,
            origin=copy.origin,
            destination=copy.destination,
            links=tuple(link.name for link in copy.links),
            bytes=copy.tensor.bytes,
            seconds=math.fsum(link_seconds(copy.tensor, link) for link in copy.links),
            form=facts.form_of[key].name if (key := (copy.network, copy.tensor.name)) in facts.form_of else "",
        )
        for copy in facts.copies
        if copy.links is not None
    )
