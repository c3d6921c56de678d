"""Why a problem is infeasible: a minimal set of constraint groups, found by deletion; or a plan, where it is feasible.

Groups are the entries of `subject_to`, each absent route, and each layer with devices that cannot run it. One group
after the other is left out; if the rest is still infeasible, it stays out (Chinneck, Dravnieks: Locating minimal
infeasible constraint sets in linear programs, ORSA Journal on Computing 3(2), 1991). That it stays in has a plan of the
rest for its reason, so of what is left each set is known to be infeasible, and feasible without any one of its groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnopt.base.arguments import checked
from dnnopt.base.console import words
from dnnopt.base.text import visible
from dnnopt.methods.result import placement_table
from dnnopt.models.solvers.interface import Clock, check_seconds
from dnnopt.problem.objectives import Term
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Route
from dnnopt.problem.problem import Problem, as_problem
from dnnopt.problem.profiles import Profile
from dnnopt.referee import evaluate

if TYPE_CHECKING:
    from rich.console import Console

    from dnnopt.methods.result import Result


@dataclass(frozen=True)
class Removable:
    """A part of a problem that can be left out."""

    kind: str  # "constraint", "route" or "unsupported"
    key: tuple[str, ...]
    label: str


@dataclass(frozen=True)
class Explanation:
    """Why a problem has no feasible plan, or one that it has.

    Attributes
    ----------
    problem : Problem
    status : {"infeasible", "feasible", "unknown"}
        ``unknown``: it was not determined in time.
    groups : tuple of str
        Of an infeasible problem: a set of its parts that cannot hold together.
    undetermined : tuple of str
        Those of which it was not determined in time whether the others can hold together.
    plan : Plan, optional
        Of a feasible problem: one that breaks nothing.
    """

    problem: Problem
    status: str
    groups: tuple[str, ...] = ()
    undetermined: tuple[str, ...] = ()
    plan: Plan | None = None

    @property
    def minimal(self) -> bool:
        """Whether the groups cannot hold together, but can without any one of them."""
        return self.status == "infeasible" and not self.undetermined

    def __str__(self) -> str:
        if self.plan is not None:
            return "feasible: there is a plan that breaks nothing"
        if self.status != "infeasible":
            return "not determined in time whether there is a feasible plan"
        listed = "".join(f"\n  - {self._shown(group)}" for group in self.groups)
        if not self.groups:
            return "infeasible, whatever is left out"
        if self.undetermined:
            return f"infeasible; these cannot hold together (?: not determined in time whether it is needed):{listed}"
        return f"infeasible; these cannot hold together, and without any one of them it would be feasible:{listed}"

    def _shown(self, group: str) -> str:
        return visible(group) + (" ?" if group in self.undetermined else "")

    def to_data(self) -> dict[str, Any]:
        """Return plain data; of a feasible problem it is also a plan file."""
        return {
            "format": "dnnopt-explanation",
            "version": 1,
            "problem": self.problem.name,
            "status": self.status,
            "minimal": self.minimal,
            "groups": list(self.groups),
            "undetermined": list(self.undetermined),
            **(self.plan.to_data() if self.plan else {"placement": None}),
        }

    def report(self, console: Console) -> None:
        """Print it for a person."""
        console.print(words(str(self)))
        if self.plan is not None:
            console.print(placement_table(self.problem, self.plan, evaluate(self.problem, self.plan)))


@checked
def explain_infeasibility(problem: Problem | str | Path, time_limit: float = 30.0) -> Explanation:
    """Return a minimal set of constraint groups that makes an infeasible problem so; of a feasible one, a plan.

    Parameters
    ----------
    problem : Problem, str or Path
        A text is a name in the library, or a file's.
    time_limit : float
        Seconds for all the problems that have to be decided: whether there is a plan, then without this and that.

    Raises
    ------
    InputError
        For a time that is not above 0.
    UnsupportedError
        If no formulation supports the problem.
    """
    problem = as_problem(problem)
    check_seconds(time_limit, "time_limit")
    clock = Clock(time_limit)
    needed = _groups(problem)
    first = _answer(problem, needed, clock)
    if first is None or first.status != "infeasible":
        plan = None if first is None else first.plan
        return Explanation(problem, "unknown" if plan is None else "feasible", plan=plan)
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
    return Explanation(problem, "infeasible", tuple(group.label for group in needed), tuple(undetermined))


def _batches(groups: Sequence[Removable]) -> list[list[Removable]]:
    """Return all groups of a kind together, as most kinds have nothing to do with it."""
    kinds = ("route", "unsupported")
    batches = [[group for group in groups if group.kind == kind] for kind in kinds]
    batches.append([group for group in groups if group.kind == "constraint" and group.key[0] == "placement"])
    return [batch for batch in batches if batch]


def _groups(problem: Problem) -> list[Removable]:
    groups = []
    for index, spec in enumerate(problem.subject_to):
        groups.append(Removable("constraint", (spec.constraint, str(index)), f"{spec.label} (subject_to[{index}])"))
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
            "profile": Profile(time=time, energy=problem.profile.energy),
            "minimize": (Term(metric="latency", weight=0.0),),
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
