"""Why a problem is infeasible: minimal sets of constraint groups, found by deletion; or a plan, where it is feasible.

Groups are the entries of `subject_to`, each absent route, and each layer with devices that cannot run it. One group
after the other is left out; if the rest is still infeasible, it stays out (Chinneck, Dravnieks: Locating minimal
infeasible constraint sets in linear programs, ORSA Journal on Computing 3(2), 1991). That it stays in has a plan of the
rest for its reason, so of what is left each set is known to be infeasible, and feasible without any one of its groups.
Then the same is done with what is left without them, until that is feasible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dnnopt.base.arguments import Duration, checked
from dnnopt.models.solvers.interface import Clock, check_seconds
from dnnopt.problem.objectives import Term
from dnnopt.problem.platforms import Route
from dnnopt.problem.problem import AnyProblem, Problem, as_problem
from dnnopt.studies.enough import least_enough, limits_of
from dnnopt.studies.explanation import Conflict, Enough, Explanation

if TYPE_CHECKING:
    from dnnopt.methods.result import Result


@dataclass(frozen=True)
class Removable:
    """A part of a problem that can be left out."""

    kind: str  # "constraint", "route" or "unsupported"
    key: tuple[str, ...]
    label: str


@checked
def explain_infeasibility(
    problem: AnyProblem, time_limit: Duration = 30.0, *, seconds_each: Duration = 10.0
) -> Explanation:
    """Return why an infeasible problem is so, and what each limit would have to allow; of a feasible one, a plan.

    Parameters
    ----------
    problem : Problem, str or Path
        A text is a name in the library, or a file's.
    time_limit : float
        Seconds for all the problems that have to be decided: whether there is a plan, then without this and that.
    seconds_each : float
        Of these, at most so many for each limit of a conflict: what it would have to allow.

    Returns
    -------
    Explanation
        With conflicts that have no part in common: when one is found, the search goes on in what is left without it, to
        the end or until there is no time left. Each limit of a conflict is raised while everything else holds but the
        other conflicts.

    Raises
    ------
    InputError
        For a time that is not above 0.
    UnsupportedError
        If no formulation supports the problem.
    """
    problem = as_problem(problem)
    check_seconds(time_limit, "time_limit")
    check_seconds(seconds_each, "seconds_each")
    clock = Clock(time_limit)
    everything = _groups(problem)
    first = _answer(problem, everything, clock)
    if first is None or first.status != "infeasible":
        plan = None if first is None else first.plan
        return Explanation(problem, "unknown" if plan is None else "feasible", plan=plan)
    found: list[tuple[list[Removable], tuple[str, ...]]] = []
    left, more = everything, True
    while more:
        needed, undetermined = _minimal(problem, left, clock)
        found.append((needed, undetermined))
        left = [group for group in left if group not in needed]
        answer = _infeasible(problem, left, clock) if needed else False  # else nothing is left to leave out
        more = answer is True
    conflicts = []
    for needed, undetermined in found:
        others = [group for one, _ in found if one is not needed for group in one]
        kept = [group for group in everything if group not in others]
        enough = _enough(problem, needed, kept, clock, seconds_each)
        conflicts.append(Conflict(tuple(group.label for group in needed), undetermined, enough))
    return Explanation(problem, "infeasible", tuple(conflicts), complete=answer is False)


def _minimal(problem: Problem, groups: Sequence[Removable], clock: Clock) -> tuple[list[Removable], tuple[str, ...]]:
    """Return those of some groups that cannot hold together, and which of them may not be needed."""
    needed = list(groups)
    for batch in _batches(needed):
        rest = [group for group in needed if group not in batch]
        if len(batch) > 1 and len(rest) < len(needed) and _infeasible(problem, rest, clock):
            needed = rest
    undetermined = []
    for group in list(needed):
        rest = [other for other in needed if other != group]
        answer = _infeasible(problem, rest, clock)
        if answer:
            needed = rest
        elif answer is None:
            undetermined.append(group.label)
    return needed, tuple(undetermined)


def _enough(
    problem: Problem, needed: Sequence[Removable], kept: Sequence[Removable], clock: Clock, seconds_each: float
) -> tuple[Enough, ...]:
    """Return what each limit among the needed groups would have to allow, while the other kept ones hold."""
    asked = []
    for group in needed:
        if group.kind == "constraint":
            entry = problem.subject_to[int(group.key[1])]
            asked += [(group, limit) for limit in limits_of(problem, entry)]
    found = []
    for number, (group, limit) in enumerate(asked):
        left = clock.left() or 0.0
        seconds = min(seconds_each, left / (len(asked) - number))
        relaxed = _relaxed(problem, [other for other in kept if other != group])
        if clock.expired():
            one = Enough(group.label, limit.quantity, limit.allowed, limit.unit, "unknown")
        else:
            one = least_enough(relaxed, relaxed.subject_to, limit, group.label, seconds)
        found.append(one)
    return tuple(found)


def _batches(groups: Sequence[Removable]) -> list[list[Removable]]:
    """Return all groups of a kind together, as most kinds have nothing to do with it."""
    kinds = ("route", "unsupported")
    batches = [[group for group in groups if group.kind == kind] for kind in kinds]
    batches.append([group for group in groups if group.kind == "constraint" and group.key[0] == "placement"])
    return [batch for batch in batches if batch]


def part_name(label: str, index: int) -> str:
    """Return what a conflict calls a constraint."""
    return f"{label} (subject_to[{index}])"


def _groups(problem: Problem) -> list[Removable]:
    groups = []
    for index, spec in enumerate(problem.subject_to):
        groups.append(Removable("constraint", (spec.constraint, str(index)), part_name(spec.label, index)))
    routed = {(route.origin, route.destination) for route in problem.platform.routes}
    names = problem.platform.device_names()
    for i in names:
        for j in names:
            if i != j and (i, j) not in routed:
                groups.append(Removable("route", (i, j), f"no route from {i} to {j}"))
    for network, layers in problem.profile.time.items():
        for layer, times in layers.items():
            missing = [device for device, seconds in times.items() if seconds is None]
            if missing:
                where = ", ".join(missing)
                groups.append(
                    Removable("unsupported", (network, layer), f"layer {layer} of {network} cannot run on {where}")
                )
    return groups


def _relaxed(problem: Problem, groups: Sequence[Removable]) -> Problem:
    """Return the problem with just these groups, and nothing to minimise that could be infinite."""
    kept = {(group.kind, group.key) for group in groups}
    constraints = [
        spec for index, spec in enumerate(problem.subject_to) if ("constraint", (spec.constraint, str(index))) in kept
    ]
    platform = problem.platform
    routed = {(route.origin, route.destination) for route in platform.routes}
    names = platform.device_names()
    free = [
        Route(origin=i, destination=j)
        for i in names
        for j in names
        if i != j and (i, j) not in routed and ("route", (i, j)) not in kept
    ]
    time = {
        network: {
            layer: {
                device: 0.0 if seconds is None and ("unsupported", (network, layer)) not in kept else seconds
                for device, seconds in times.items()
            }
            for layer, times in layers.items()
        }
        for network, layers in problem.profile.time.items()
    }
    return problem.model_copy(
        update={
            "subject_to": tuple(constraints),
            "platform": platform.model_copy(update={"routes": (*platform.routes, *free)}),
            "profile": problem.profile.model_copy(update={"time": time}),
            "minimize": (Term(metric="traffic", weight=0.0),),
        }
    )


def _answer(problem: Problem, groups: Sequence[Removable], clock: Clock) -> Result | None:
    """Return what is found of the problem with just these groups; None: there is no time left."""
    from dnnopt.methods.solving import solve

    return None if clock.expired() else solve(_relaxed(problem, groups), time_limit=clock.left())


def _infeasible(problem: Problem, groups: Sequence[Removable], clock: Clock) -> bool | None:
    """Return whether the problem with just these groups is infeasible; None: not known in time."""
    answer = _answer(problem, groups, clock)
    if answer is None or (answer.plan is None and answer.status != "infeasible"):
        return None
    return answer.plan is None
