"""Hypothesis strategies of constraints: limits are what a random plan uses, times a factor that is mostly 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from kept import arrangement, each, integers, lists, sampled_from, tuples_of

from dnnopt.problem import constraints as c
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.referee import evaluate

Draw = Callable[[st.SearchStrategy[Any]], Any]
_FACTORS = (1.0, 1.0, 1.0, 1.0, 1.5, 3.0, 0.9, 0.5, 1 - 1e-7)


def placement_plan(problem: Problem, devices: Sequence[str]) -> Plan:
    """Return the plan that gives the layers, network after network in their order, these devices."""
    rest = iter(devices)
    return Plan(
        placement={network.name: {layer.name: next(rest) for layer in network.layers} for network in problem.networks}
    )


def used(problem: Problem, plan: Plan, constraint: Any) -> dict[str, float]:
    """Return how much of a limited quantity a plan uses, by label: `constraint` has the limit 0."""
    judged = evaluate(problem.model_copy(update={"subject_to": (constraint,)}), plan)
    return {
        violation.constraint: violation.amount
        for violation in judged.violations
        if violation.constraint.startswith(constraint.constraint) and math.isfinite(violation.amount)
    }


@st.composite
def _plans(draw: Draw, problem: Problem) -> Plan:
    """Draw a placement, whatever layers cannot run there."""
    devices = problem.platform.device_names()
    count = sum(len(network.layers) for network in problem.networks)
    return placement_plan(problem, each(draw, *[devices] * count))


@st.composite
def _limits(draw: Draw, problem: Problem, constraint: Any) -> float:
    """Draw what a random plan uses at most of the quantity limited by `constraint`, times a factor."""
    amounts = used(problem, draw(_plans(problem)), constraint)
    return max(amounts.values(), default=0.0) * draw(sampled_from(_FACTORS))


def _limited(make: Callable[..., Any], **choices: st.SearchStrategy[Any]) -> Any:
    """Return a strategy for a constraint with `limit`: `choices` are its other fields."""

    @st.composite
    def constraint(draw: Draw, problem: Problem) -> Any:
        fields = {name: draw(choice(problem)) for name, choice in choices.items()}  # type: ignore[operator]
        return make(limit=draw(_limits(problem, make(limit=0.0, **fields))), **fields)

    return constraint


def _some_devices(problem: Problem) -> st.SearchStrategy[Any]:
    return st.none() | tuples_of(sampled_from(problem.platform.device_names()), min_size=1, unique=True)


def _link_names(problem: Problem) -> list[str]:
    return [link.name for link in problem.platform.links]


def _some_links(problem: Problem) -> st.SearchStrategy[Any]:
    names = _link_names(problem)
    return st.none() | tuples_of(sampled_from(names), min_size=1, unique=True) if names else st.none()


def _network_names(problem: Problem) -> st.SearchStrategy[Any]:
    return sampled_from([network.name for network in problem.networks])


@st.composite
def memories(draw: Draw, problem: Problem) -> c.Memory:
    rule = draw(sampled_from(("weights", "weights+activations", "weights+largest_activation")))
    buffers = draw(sampled_from((0, 0, 1, 2)))
    devices = problem.platform.device_names()
    limited = arrangement(draw, devices, 1, len(devices))
    nothing = c.Memory(rule=rule, buffers=buffers, limits=dict.fromkeys(devices, 0.0))
    amounts = used(problem, draw(_plans(problem)), nothing)
    factor = draw(sampled_from(_FACTORS))
    limits = {device: amounts.get(f"memory({device})", 0.0) * factor for device in limited}
    return c.Memory(rule=rule, buffers=buffers, limits=limits)


@st.composite
def _bandwidths(draw: Draw, problem: Problem) -> c.Bandwidth:
    names = _link_names(problem)
    if not names or draw(st.booleans()):
        return c.Bandwidth(link=draw(sampled_from((None, *names))))
    link = draw(sampled_from(names))
    return c.Bandwidth(link=link, limit=draw(_limits(problem, c.Bandwidth(link=link, limit=0.0))))


def own_limits(problem: Problem) -> st.SearchStrategy[Any]:
    return _limited(c.MetricLimit, metric=lambda one: sampled_from([*(m.name for m in one.metrics), "period"]))(problem)


@st.composite
def _deadlines(draw: Draw, problem: Problem) -> c.Deadline:
    network = draw(st.none() | _network_names(problem))
    if draw(integers(0, 3)) == 0:
        return c.Deadline(network=network)
    return c.Deadline(network=network, limit=draw(_limits(problem, c.Deadline(network=network, limit=0.0))))


@st.composite
def _allowed(draw: Draw, problem: Problem) -> c.Placement:
    network = draw(sampled_from(problem.networks))
    devices = problem.platform.device_names()
    return c.Placement(
        network=network.name,
        layer=draw(sampled_from([layer.name for layer in network.layers])),
        allowed=arrangement(draw, devices, 1, len(devices)),
    )


@st.composite
def _some_layers(draw: Draw, problem: Problem, most: int) -> dict[str, Any]:
    network = draw(sampled_from(problem.networks))
    names = [layer.name for layer in network.layers]
    layers = tuple(draw(lists(sampled_from(names), min_size=1, max_size=most, unique=True)))
    return {"network": network.name, "layers": layers}


def _colocations(problem: Problem) -> st.SearchStrategy[Any]:
    return _some_layers(problem, 3).map(lambda said: c.Colocate(**said))


@st.composite
def _separations(draw: Draw, problem: Problem) -> c.Separate:
    at_most = draw(integers(1, 2))
    return c.Separate(**draw(_some_layers(problem, 2 + at_most)), at_most=at_most)


@st.composite
def _contiguous(draw: Draw, problem: Problem) -> c.Contiguous:
    network = draw(st.none() | sampled_from(problem.networks))
    if network is None:
        return c.Contiguous()
    names = [layer.name for layer in network.layers]
    layers = draw(st.none() | tuples_of(sampled_from(names), min_size=1, unique=True))
    return c.Contiguous(network=network.name, layers=layers)


CONSTRAINTS: dict[str, Callable[[Problem], st.SearchStrategy[Any]]] = {
    "memory": memories,
    "deadline": _deadlines,
    "bandwidth": _bandwidths,
    "energy": _limited(c.Energy, devices=_some_devices),
    "cost": _limited(c.Cost),
    "traffic": _limited(c.Traffic, links=_some_links),
    "leakage": _limited(c.Leakage),
    "worst_leakage": _limited(c.WorstLeakage),
    "utilisation": _limited(c.Utilisation),
    "placement": _allowed,
    "colocate": _colocations,
    "separate": _separations,
    "contiguous": _contiguous,
    "monotone_tiers": lambda problem: st.just(c.MonotoneTiers()),
    "max_devices": lambda problem: st.builds(c.MaxDevices, limit=integers(1, 2)),
    "max_cuts": lambda problem: st.builds(c.MaxCuts, limit=integers(0, 3)),
}
