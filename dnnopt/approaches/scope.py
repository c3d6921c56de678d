"""What an approach makes of any problem: whether its algorithm serves it, and as what the algorithm sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.classifying import FORM, goals_of, limit_value, pieces_of
from dnnopt.approaches.registry import approach_named
from dnnopt.approaches.trial import own_plan, with_schedule
from dnnopt.base.arguments import Duration, checked
from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.formulations import registry as formulations
from dnnopt.methods.exact import EXACT
from dnnopt.problem.constraints import Contiguous
from dnnopt.problem.library import network as network_named
from dnnopt.problem.library import platform as platform_named
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem

_WHOLE = {"split", "graph-cut", "segments", "layers"}
_MORE = "it chooses more than the places of whole layers"
_LIKE = {"parallel": "scheduled"}  # a schedule in which nothing waits for a device


def as_seen(approach: Approach, problem: Problem) -> Problem:
    """Return a problem as an approach's algorithm sees it: with the limits that it takes, and the form of its plans.

    Where devices are, and how many, does not matter. Limits are left out only where the algorithm refuses them: those
    that the approach does not know, then the form of plans (`one-way`, `contiguity`). Contiguity is added where all its
    own plans have it.

    Raises
    ------
    InputError
        If its algorithm does not serve it: it chooses other things than places of whole layers, its own problem is of
        another execution or of other objectives, or its algorithm does not take such networks or platforms.
    """
    why = _beyond_dimensions(approach, problem)
    if why:
        raise InputError("", field=approach.name, problem=why)
    everything = list(problem.subject_to)
    own = [limit for limit in everything if limit_value(limit) in approach.constraints]
    known = [limit for limit in everything if limit in own or limit_value(limit) in FORM]
    views = [everything, known, own]
    if _has_contiguity(_own_problems(approach.name)[""].subject_to):
        views = [view if _has_contiguity(view) else [*view, Contiguous()] for view in views]
    for limits in views:
        seen = problem.replace(subject_to=limits)
        why = _refusal(approach, seen)
        if not why:
            return seen
    raise InputError("", field=approach.name, problem=f"its algorithm does not support {why}")


@checked
def plan_for(
    approach: Approach | str, problem: Problem, *, time_limit: Duration | None = 10.0, seed: int = 0
) -> Plan | None:
    """Return the plan that an approach's algorithm finds of any problem, as it sees it; None: it finds none.

    The plan may break limits that the algorithm does not take: the referee says which, and by how much.

    Parameters
    ----------
    approach : Approach or str
    problem : Problem
    time_limit : float or str, optional
        Seconds.
    seed : int

    Raises
    ------
    InputError
        As `as_seen` does.
    """
    one = approach_named(approach) if isinstance(approach, str) else approach
    found, _ = own_plan(one, as_seen(one, problem), time_limit, seed)
    return None if found is None else with_schedule(problem, found)


def _has_contiguity(limits: Iterable[Any]) -> bool:
    return any(limit.constraint == "contiguous" for limit in limits)


def _beyond_dimensions(approach: Approach, problem: Problem) -> str:
    if not approach.algorithm:
        return "it has no algorithm here"
    if not _WHOLE & set(approach.granularities):
        return _MORE
    own = _own_problems(approach.name)
    if len(own) > 1 or any(_chooses_more(one) for one in own.values()):
        return _MORE
    served = {one.execution for one in own.values()}
    if not served & {problem.execution, _LIKE.get(problem.execution, "")}:
        return f"its problem is of {', '.join(served)} execution"
    others = [goal for goal in goals_of(problem) if goal not in approach.objectives]
    return f"it does not minimise {', '.join(others)}" if others else ""


@cache
def _own_problems(name: str) -> Mapping[str, Problem]:
    """Return the problems of an approach for its example."""
    one = approach_named(name)
    network, platform = one.example
    return one.problems(network_named(network), platform_named(platform))


def _chooses_more(problem: Problem) -> bool:
    """Whether more is chosen than the places of a network's layers: forms, modes, exits, parts of layers."""
    return bool(
        len(problem.networks) > 1
        or problem.profile.blocks
        or problem.scenarios
        or pieces_of(problem)
        or any(device.modes for device in problem.platform.devices)
        or any(network.has_exits or any(one.forms for one in network.tensors) for network in problem.networks)
    )


def _refusal(approach: Approach, problem: Problem) -> str:
    """Return what its algorithm does not support; "": nothing."""
    if approach.plan is not None:  # a rule of its own, which places the layers of a network on devices
        if len(problem.networks) > 1:
            return "several networks"
        if any(device.modes for device in problem.platform.devices):
            return "devices with modes"
    compiled = compile_problem(problem)
    if approach.method in EXACT:
        return EXACT[approach.method].refuses(compiled) or ""
    if approach.method in formulations.names():
        try:
            formulations.formulation(approach.method, compiled)
        except UnsupportedError:
            return f"{problem.execution} execution, or its constraints"
        return ""
    return Evaluator.refuses(compiled) or ""
