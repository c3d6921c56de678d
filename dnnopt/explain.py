"""Why a problem is infeasible: a minimal set of constraint groups, found by deletion.

Groups are the entries of `subject_to`, each absent route, and each layer with devices that cannot run it. One group
after the other is left out; if the rest is still infeasible, it stays out (Chinneck, Dravnieks: Locating minimal
infeasible constraint sets in linear programs, ORSA Journal on Computing 3(2), 1991).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dnnopt.objectives import Term
from dnnopt.platforms import Route
from dnnopt.problem import Problem
from dnnopt.profiles import Profile
from dnnopt.solvers.interface import Clock
from dnnopt.text import visible


@dataclass(frozen=True)
class Group:
    """A part of a problem that can be left out."""

    kind: str  # "constraint", "route" or "unsupported"
    key: tuple[str, ...]
    label: str


@dataclass(frozen=True)
class Explanation:
    """A set of groups that cannot hold together.

    Attributes
    ----------
    groups : tuple of str
    minimal : bool
        Whether leaving out any one of them makes the problem feasible; False: not determined in time.
    """

    groups: tuple[str, ...]
    minimal: bool

    def __str__(self) -> str:
        if not self.groups:
            return "infeasible; why was not determined in time"
        listed = "\n".join(f"  - {visible(group)}" for group in self.groups)
        if not self.minimal:
            return f"infeasible; the reason is among these (not narrowed down further in time):\n{listed}"
        return f"infeasible; these cannot hold together, and without any one of them it would be feasible:\n{listed}"


def explain_infeasibility(problem: Problem, time_limit: float = 30.0) -> Explanation:
    """Return a minimal set of constraint groups that makes an infeasible problem so.

    Parameters
    ----------
    problem : Problem
    time_limit : float
        Seconds for all the problems that have to be decided.
    """
    clock = Clock(time_limit)
    needed = _groups(problem)
    determined = True
    for batch in _batches(needed):
        rest = [group for group in needed if group not in batch]
        if len(batch) > 1 and len(rest) < len(needed) and _infeasible(problem, rest, clock):
            needed = rest
    for group in list(needed):
        rest = [other for other in needed if other != group]
        answer = _infeasible(problem, rest, clock)
        if answer:
            needed = rest
        elif answer is None:
            determined = False
    return Explanation(tuple(group.label for group in needed), determined)


def _batches(groups: Sequence[Group]) -> list[list[Group]]:
    """Return all groups of a kind together, as most kinds have nothing to do with it."""
    kinds = ("route", "unsupported")
    batches = [[group for group in groups if group.kind == kind] for kind in kinds]
    batches.append([group for group in groups if group.kind == "constraint" and group.key[0] == "placement"])
    return [batch for batch in batches if batch]


def _groups(problem: Problem) -> list[Group]:
    groups = []
    for index, spec in enumerate(problem.subject_to):
        groups.append(Group("constraint", (spec.constraint, str(index)), f"{spec.label} (subject_to[{index}])"))
    routed = {(route.origin, route.destination) for route in problem.platform.routes}
    names = problem.platform.device_names()
    for i in names:
        for j in names:
            if i != j and (i, j) not in routed:
                groups.append(Group("route", (i, j), f"no route from {i} to {j}"))
    for network, layers in problem.profile.time.items():
        for layer, times in layers.items():
            missing = [device for device, seconds in times.items() if seconds is None]
            if missing:
                where = ", ".join(missing)
                groups.append(
                    Group("unsupported", (network, layer), f"layer {layer} of {network} cannot run on {where}")
                )
    return groups


def _relaxed(problem: Problem, groups: Sequence[Group]) -> Problem:
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
            "profile": Profile(time=time, energy=problem.profile.energy),
            "minimize": (Term(metric="latency", weight=0.0),),
        }
    )


def _infeasible(problem: Problem, groups: Sequence[Group], clock: Clock) -> bool | None:
    """Return whether the problem with just these groups is infeasible; None: not known in time."""
    from dnnopt.solving import solve

    if clock.expired():
        return None
    result = solve(_relaxed(problem, groups), time_limit=clock.left())
    if result.plan is not None:
        return False
    return True if result.status == "infeasible" else None
