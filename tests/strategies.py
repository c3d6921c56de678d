"""Hypothesis strategies: random small problems with everything that a placement decides.

Numbers are small whole numbers times a unit, so that ties are common, and within one problem they may spread over
several powers of ten. Limits are what a random plan uses (as the referee measures it) times a factor that is mostly 1,
so that they often bind exactly, or leave no plan at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st
from kept import arrangement, each, integers, lists, sampled_from, tuples_of
from limits import CONSTRAINTS, memories, own_limits

from dnnopt.problem.custom import LinkCharge, Metric
from dnnopt.problem.networks import Layer, Network, SharedAcross, SharedWeights, Tensor
from dnnopt.problem.objectives import Term
from dnnopt.problem.platforms import TIERS, Device, Link, Platform, Resource, Route
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile

Draw = Callable[[st.SearchStrategy[Any]], Any]
EXECUTIONS = ("sequential", "parallel", "pipelined")
MOST_PLACEMENTS = 260
_MANTISSAS = (0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 7.0, 9.0, 0.1, 0.3)


@dataclass(frozen=True)
class Magnitudes:
    """Units of the numbers in a problem, and over how many powers of ten each kind of them spreads."""

    seconds: float
    bytes: float
    spread: int

    def amount(self, draw: Draw, unit: float) -> float:
        """Draw a number of `unit`."""
        return self.amounts(draw, unit)[0]

    def amounts(self, draw: Draw, *units: float) -> list[float]:
        """Draw a number of each unit."""
        numbers = _numbers(self.spread)
        return [number * unit for number, unit in zip(each(draw, *[numbers] * len(units)), units, strict=True)]

    @property
    def per_byte(self) -> float:
        """Energy or price of a byte that is comparable to that of a second."""
        return self.seconds / self.bytes


@lru_cache(maxsize=20)
def _numbers(spread: int) -> tuple[float, ...]:
    """Return the numbers that spread over so many powers of ten."""
    return tuple(mantissa * 10.0**power for power in range(spread + 1) for mantissa in _MANTISSAS)


def magnitudes(largest_spread: int = 5) -> st.SearchStrategy[Magnitudes]:
    """Return a strategy for magnitudes of seconds, milliseconds or microseconds."""
    return st.builds(
        Magnitudes,
        seconds=sampled_from((1.0, 1e-3, 1e-6)),
        bytes=sampled_from((1.0, 1e3, 1e6)),
        spread=sampled_from([spread for spread in (0, 0, 2, 5, 9) if spread <= largest_spread]),
    )


@st.composite
def problems(
    draw: Draw,
    executions: Sequence[str] = EXECUTIONS,
    most_placements: int = MOST_PLACEMENTS,
    most_constraints: int = 3,
    largest_spread: int = 5,
    priorities: int = 1,
    own_metrics: bool = False,
) -> Problem:
    """Draw a problem with at most `most_placements` placements and constraints, and so many priorities.

    Deadlines under scheduled execution are those of critical paths, as there is no schedule yet. `own_metrics`: perhaps
    with a metric of the problem's own, which terms and limits may name.
    """
    execution = draw(sampled_from(executions))
    scale = draw(magnitudes(largest_spread))
    names = tuple("pqr"[: draw(sampled_from((1, 2, 2, 3, 3, 3)))])
    most_layers = 7 if len(names) == 1 else min(7, int(math.log(most_placements) / math.log(len(names))))
    sizes = [draw(integers(1, most_layers))]
    if sizes[0] < most_layers and execution != "call" and draw(integers(0, 3)) == 0:
        sizes.append(draw(integers(1, most_layers - sizes[0])))
    networks = tuple(draw(_networks(f"net{a}", size, names, scale)) for a, size in enumerate(sizes))
    platform = draw(_platforms(names, scale))
    if execution == "call":
        networks, platform = draw(_calling(networks, platform))
    metrics = draw(_metrics(networks, platform, scale)) if own_metrics else ()
    problem = Problem(
        networks=networks,
        platform=platform,
        execution="parallel" if execution == "scheduled" else execution,
        transport=draw(sampled_from(("unicast", "multicast", "per_edge"))),
        profile=draw(_profiles(networks, names, scale)),
        minimize=tuple(
            term.model_copy(update={"priority": priority})
            for priority in range(priorities)
            for term in draw(_objectives(networks, platform, scale, metrics))
        ),
        metrics=metrics,
        name="random",
        shared_weights=draw(_shared_across(networks, scale)),
    )
    kinds = sorted(CONSTRAINTS) + ["metric"] * bool(metrics)
    listed: list[Any] = []
    for _ in range(draw(sampled_from((0, *range(1, most_constraints + 1), *range(1, most_constraints + 1))))):
        kind = draw(sampled_from(kinds))
        listed.append(draw(own_limits(problem) if kind == "metric" else CONSTRAINTS[kind](problem)))
    return problem.model_copy(update={"subject_to": tuple(listed), "execution": execution})


@st.composite
def tied_problems(draw: Draw, most_constraints: int = 1, **options: Any) -> Problem:
    """Draw a problem with limited memory and weights that several layers share, and so many other constraints."""
    problem = draw(problems(most_constraints=most_constraints, **options))
    problem = problem.replace(shared_weights=problem.shared_weights + draw(tied(problem)))
    return problem.replace(subject_to=(draw(memories(problem)), *problem.subject_to))


@st.composite
def tied(draw: Draw, problem: Problem) -> tuple[SharedAcross, ...]:
    """Draw weights that some layers of a problem share, about as large as those of its layers."""
    layers = [(network.name, layer.name) for network in problem.networks for layer in network.layers]
    largest = max(layer.weights or 0.0 for network in problem.networks for layer in network.layers)
    sizes = sampled_from([factor * (largest or 1.0) for factor in (0.3, 1.0, 2.0)])
    return tuple(
        SharedAcross(name=f"tied{k}", bytes=draw(sizes), layers=draw(_readers(layers)))
        for k in range(draw(integers(1, 2)))
    )


# Networks


@st.composite
def _networks(draw: Draw, name: str, size: int, devices: tuple[str, ...], scale: Magnitudes) -> Network:
    """Draw a DAG: each tensor goes from a layer, or the input, to some later layers and perhaps to the output."""
    words = [f"{'abcdefg'[v]}{name[-1]}" for v in range(size)]
    uses: list[tuple[str, tuple[str, ...], str | None]] = []
    places = (None, *devices)
    inputs, source, sink, rate, deadline, weight, shared, shuffled = each(
        draw,
        (1, 1, 0, 2),
        places,
        places,
        (0.5, 1.0, 3.0),
        (1.0, 5.0, 20.0, 100.0),
        (1.0, 1.0, 1.0, 2.0, 0.0),
        (0, 0, 0, 1, 2),
        (False, True),
    )
    for _ in range(inputs):
        consumers = arrangement(draw, [*words, "output"], 1, 2)
        uses.append(("input", consumers, draw(sampled_from((None, *places)))))
    for word, made in zip(words, each(draw, *[(1, 1, 1, 2, 0)] * size), strict=True):
        later = words[words.index(word) + 1 :]
        for following in each(draw, *[(0, 0, 0, 1, 1, 1, 1, len(words))] * made):
            others = arrangement(draw, [*later, "output"], 0, 2)
            uses.append((word, tuple(dict.fromkeys([*later[:following], *others])), None))
    sizes = scale.amounts(draw, *[scale.bytes] * len(uses))
    sensitivities = each(draw, *[(0.0, 0.25, 0.5, 0.5, 1.0)] * len(uses))
    listed = draw(st.permutations(words)) if shuffled else words
    layers = []
    for word in listed:
        flops, moved, weights, activations = scale.amounts(draw, 1.0, 1.0, scale.bytes, scale.bytes)
        layers.append(Layer(name=word, flops=flops, bytes=moved, weights=weights, activations=activations))
    return Network(
        name=name,
        layers=tuple(layers),
        tensors=tuple(
            Tensor(
                name=f"t{k}",
                producer=producer,
                consumers=consumers,
                bytes=sizes[k],
                sensitivity=sensitivities[k],
                source=enters,
            )
            for k, (producer, consumers, enters) in enumerate(uses)
        ),
        source=source,
        sink=sink,
        rate=rate / scale.seconds,
        deadline=deadline * scale.seconds,
        weight=weight,
        shared_weights=tuple(
            SharedWeights(name=f"w{k}", bytes=scale.amount(draw, scale.bytes), layers=draw(_readers(words)))
            for k in range(shared)
        ),
    )


def _readers(layers: Sequence[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Return a strategy for the layers that read some shared weights."""
    return tuples_of(sampled_from(layers), min_size=1, max_size=4, unique=True)


@st.composite
def _shared_across(draw: Draw, networks: tuple[Network, ...], scale: Magnitudes) -> tuple[SharedAcross, ...]:
    """Draw weights that layers of all networks share, where there are several."""
    if len(networks) == 1 or draw(st.booleans()):
        return ()
    layers = [(network.name, layer.name) for network in networks for layer in network.layers]
    size = scale.amount(draw, scale.bytes)
    return (SharedAcross(name="backbone", bytes=size, layers=draw(_readers(layers))),)


# Platforms


@st.composite
def _platforms(draw: Draw, names: tuple[str, ...], scale: Magnitudes) -> Platform:
    overheads = scale.amounts(draw, *[scale.seconds] * len(names))
    devices = tuple(draw(_devices(name, overhead, scale)) for name, overhead in zip(names, overheads, strict=True))
    ends, ways = draw(_wires(names))
    links = tuple(draw(_links(name, sender, receiver, scale)) for name, (sender, receiver) in ends.items())
    routes = []
    fates = each(draw, *[(*range(2, 12), 1, 0, 0)] * len(ways))
    for fate, ((origin, destination), way) in zip(fates, ways.items(), strict=True):
        if fate > 0:  # 0: no route at all; 1: a free one
            routes.append(Route(origin=origin, destination=destination, links=() if fate == 1 else way))
    return Platform(devices=devices, links=links, routes=tuple(routes), resources=draw(_resources(names, tuple(ends))))


@st.composite
def _devices(draw: Draw, name: str, overhead: float, scale: Magnitudes) -> Device:
    tier, trusted, flops, moved, power, idle, price = each(
        draw, TIERS, (False, True), (1.0, 2.0, 5.0), (1.0, 3.0), (0.0, 1.0, 2.0, 10.0), (0.0, 0.0, 1.0, 3.0), (0, 1, 5)
    )
    return Device(
        name=name,
        tier=tier,
        trusted=trusted,
        flops_per_s=flops / scale.seconds,
        bytes_per_s=moved / scale.seconds,
        overhead=overhead,
        power=power,
        idle_power=idle,
        price=float(price),
    )


@st.composite
def _wires(draw: Draw, names: tuple[str, ...]) -> Any:
    """Draw links, as name -> (sender, receiver), and for each pair of devices the links on its way."""
    pairs = [(i, j) for i in names for j in names if i != j]
    shape = draw(sampled_from(("direct", "direct", "hub", "chain", "any")))
    if not pairs:
        return {}, {}
    if shape == "direct":
        return {f"{i}-{j}": (i, j) for i, j in pairs}, {(i, j): (f"{i}-{j}",) for i, j in pairs}
    if shape == "hub":
        ends = {f"{i}-up": (i, None) for i in names} | {f"{i}-down": (None, i) for i in names}
        return ends, {(i, j): (f"{i}-up", f"{j}-down") for i, j in pairs}
    if shape == "chain":  # the first and the last device talk through those between them
        hops = [(i, j) for i, j in pairs if abs(names.index(i) - names.index(j)) == 1]

        def between(i: str, j: str) -> tuple[str, ...]:
            first, last = names.index(i), names.index(j)
            step = 1 if last > first else -1
            return tuple(f"{names[k]}-{names[k + step]}" for k in range(first, last, step))

        return {f"{i}-{j}": (i, j) for i, j in hops}, {(i, j): between(i, j) for i, j in pairs}
    wires = [f"w{k}" for k in range(draw(integers(1, 4)))]
    either = each(draw, *[(None, *names)] * (2 * len(wires)))
    ends = dict(zip(wires, zip(either[::2], either[1::2], strict=True), strict=True))
    return ends, {pair: arrangement(draw, wires, 0, 3) for pair in pairs}


@st.composite
def _links(draw: Draw, name: str, sender: str | None, receiver: str | None, scale: Magnitudes) -> Link:
    bandwidth, late, send, receive, price, trusted, latency = each(
        draw,
        (0.5, 1.0, 1.0, 3.0, 100.0),
        (False, True),
        (0.0, 1.0, 2.0),
        (0.0, 1.0),
        (0.0, 1.0),
        (False, True),
        _numbers(scale.spread),
    )
    return Link(
        name=name,
        bandwidth=scale.bytes / scale.seconds * bandwidth,
        latency=latency * scale.seconds if late else 0.0,
        sender=sender,
        receiver=receiver,
        send_energy_per_byte=scale.per_byte * send,
        receive_energy_per_byte=scale.per_byte * receive,
        price_per_byte=scale.per_byte * price,
        trusted=trusted,
    )


@st.composite
def _resources(draw: Draw, devices: tuple[str, ...], links: tuple[str, ...]) -> tuple[Resource, ...]:
    """Draw one of: everything for itself; a shared medium; devices that compute or send; any sets, overlapping too."""
    kind = draw(sampled_from(("own", "own", "medium", "blocking", "any")))
    if kind == "medium":
        return (Resource(name="medium", links=links),)
    if kind == "blocking":
        return tuple(
            Resource(name=f"{d} alone", devices=(d,), links=tuple(link for link in links if d in link.split("-")))
            for d in devices
        )
    if kind == "any":
        of_devices = tuples_of(sampled_from(devices), max_size=2, unique=True)
        of_links = tuples_of(sampled_from(links), max_size=3, unique=True) if links else st.just(())
        return tuple(
            Resource(name=f"resource {k}", devices=draw(of_devices), links=draw(of_links))
            for k in range(draw(integers(1, 2)))
        )
    return ()


@st.composite
def _calling(draw: Draw, networks: tuple[Network, ...], platform: Platform) -> tuple[tuple[Network, ...], Platform]:
    """Draw which devices are pools, and leave out what calls cannot have: other inputs, links that are part of none."""
    names = platform.device_names()
    pools = draw(lists(sampled_from(names), min_size=1, unique=True))
    devices = tuple(device.model_copy(update={"pool": device.name in pools}) for device in platform.devices)
    ends = {link.name: {link.sender, link.receiver} - {None, *pools} for link in platform.links}
    routes = tuple(
        route.model_copy(
            update={
                "links": tuple(
                    name for name in route.links if ends[name] and ends[name] <= {route.origin, route.destination}
                )
            }
        )
        for route in platform.routes
    )

    def on_pool(place: str | None) -> str | None:
        return place if place in pools else None

    (network,) = networks
    tensors = tuple(tensor.model_copy(update={"source": on_pool(tensor.source)}) for tensor in network.tensors)
    fields = {"tensors": tensors, "source": on_pool(network.source), "sink": on_pool(network.sink)}
    return (network.model_copy(update=fields),), platform.model_copy(update={"devices": devices, "routes": routes})


# Times and energies


@st.composite
def _profiles(draw: Draw, networks: tuple[Network, ...], devices: tuple[str, ...], scale: Magnitudes) -> Profile:
    """Draw measured times, some of them null, and leave some layers to the roofline."""
    time: dict[str, dict[str, dict[str, float | None]]] = {}
    energy: dict[str, dict[str, dict[str, float]]] = {}
    measured = draw(sampled_from((True, True, True, False)))
    for network in networks:
        time[network.name], energy[network.name] = {}, {}
        for layer in network.layers:
            known, charged, *able = each(
                draw, (False, True), (*[False] * 4, True), *[(*[True] * 5, False)] * len(devices)
            )
            if measured or known:
                seconds = scale.amounts(draw, *[scale.seconds] * len(devices))
                time[network.name][layer.name] = {
                    device: amount if there else None
                    for device, amount, there in zip(devices, seconds, able, strict=True)
                }
            if charged:
                energy[network.name][layer.name] = {devices[-1]: scale.amount(draw, scale.seconds)}
    return Profile(time=time, energy=energy)


# Objectives


@st.composite
def _metrics(draw: Draw, networks: tuple[Network, ...], platform: Platform, scale: Magnitudes) -> tuple[Metric, ...]:
    """Draw none or one metric, with amounts that compare to seconds."""
    if draw(integers(0, 3)):
        return ()
    some = st.booleans()
    layers = {
        network.name: {
            layer.name: {device: scale.amount(draw, scale.seconds) for device in platform.device_names() if draw(some)}
            for layer in network.layers
        }
        for network in networks
    }
    links = {
        link.name: LinkCharge(
            per_copy=scale.amount(draw, scale.seconds), per_byte=scale.per_byte * draw(sampled_from((0.0, 1.0)))
        )
        for link in platform.links
        if draw(some)
    }
    exposed = {
        network.name: {tensor.name: scale.amount(draw, scale.seconds) for tensor in network.tensors if draw(some)}
        for network in networks
    }
    return (Metric(name="own", layers=layers, links=links, exposed=exposed if draw(some) else {}),)


def _objectives(
    networks: tuple[Network, ...], platform: Platform, scale: Magnitudes, metrics: tuple[Metric, ...] = ()
) -> st.SearchStrategy[tuple[Term, ...]]:
    """Return a strategy for one term, or a sum of terms with weights that make them comparable to seconds."""
    return _sums(
        tuple(network.name for network in networks),
        platform.device_names(),
        tuple(link.name for link in platform.links),
        tuple(metric.name for metric in metrics),
        scale,
    )


@lru_cache(maxsize=1000)
def _sums(
    networks: tuple[str, ...],
    devices: tuple[str, ...],
    links: tuple[str, ...],
    metrics: tuple[str, ...],
    scale: Magnitudes,
) -> st.SearchStrategy[tuple[Term, ...]]:
    def some(names: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...] | None]:
        subset = tuples_of(sampled_from(names), min_size=1, unique=True) if names else st.none()
        return st.none() | subset

    worth = {"traffic": scale.per_byte, "leakage": scale.seconds, "worst_leakage": scale.seconds}

    def terms(metric: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Term]:
        weights = [factor * worth.get(metric, 1.0) for factor in (1.0, 1.0, 1.0, 0.5, 3.0, 0.0)]
        return st.builds(Term, metric=st.just(metric), weight=sampled_from(weights), **fields)

    term = st.one_of(
        *(terms(metric) for metric in ("latency", "period", "cost", "leakage", "worst_leakage")),
        terms("latency", network=sampled_from(networks)),
        terms("energy", devices=some(devices), idle=st.booleans()),
        terms("traffic", links=some(links)),
        *(terms(metric, over=st.just("max")) for metric in ("latency", "energy", "traffic")),
        *(terms(metric) for metric in metrics),
    )

    def weighed(listed: list[Term]) -> tuple[Term, ...]:
        alone = len(listed) == 1 and listed[0].weight > 0
        return (listed[0].model_copy(update={"weight": 1.0}),) if alone else tuple(listed)

    return lists(term, min_size=1, max_size=3).map(weighed)
