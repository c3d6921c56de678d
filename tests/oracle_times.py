"""Latencies of a placement, for the oracle: one function for each execution, as docs/model.md defines it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oracle_placed import Placed, Use

Latency = dict[str, Fraction]  # of each network


class StuckError(Exception):
    """What never ends: calls that wait for each other, or a multicast on routes that form no tree."""


class TooManyOrdersError(Exception):
    """More orders of tasks than were asked for."""


def latencies(placed: Placed, most_nodes: int | None = None) -> Iterator[Latency]:
    """Yield the latencies of all networks; under scheduled execution, each choice that no other beats in all."""
    names = [network.name for network in placed.problem.networks]
    match placed.problem.execution:
        case "sequential" | "pipelined":
            everything = set(placed.devices), set(placed.links)
            yield {name: placed.load(*everything, name) for name in names}
        case "parallel":
            yield {name: _critical_path(placed, name) for name in names}
        case "call":
            yield {name: _calls(placed, name) for name in names}
        case "scheduled":
            yield from _Schedules(placed).best(most_nodes)


def _travel(placed: Placed, use: Use) -> Fraction:
    """Return the seconds of a tensor's way, where nothing is waited for: encoding, hops, decoding."""
    if not use.sent or use.origin is None:
        return Fraction()
    way = sum((_occupied(placed, use, link) for link in placed.routes[use.origin, use.place]), Fraction())
    form = placed.forms.get((use.network, use.tensor.name))
    if form is None:
        return way
    ends = placed.coding(form.encode, use.origin), placed.coding(form.decode, use.place)
    return sum((one for one in ends if one is not None), way)


def _occupied(placed: Placed, use: Use, link: str) -> Fraction:
    return placed.occupied(use.tensor, placed.links[link])


def _critical_path(placed: Placed, network: str) -> Fraction:
    """Every layer starts when all its tensors are there."""
    before = defaultdict(list)
    for use in placed.uses:
        if use.network == network:
            before[use.consumer].append((use.tensor.producer, _travel(placed, use)))
    end = {"input": Fraction()}
    layers = [layer for _, layer in placed.layers(network=network)]
    while len(end) <= len(layers):
        for layer in layers:
            if layer not in end and all(producer in end for producer, _ in before[layer]):
                start = max((end[producer] + travel for producer, travel in before[layer]), default=Fraction())
                end[layer] = start + placed.seconds[network, layer]
    return max([*end.values(), *(end[producer] + travel for producer, travel in before["output"])])


def _calls(placed: Placed, network: str) -> Fraction:
    """Each device but pools runs one call, a layer on a pool is a step of its own; each waits for its inputs."""
    step: dict[str, Hashable] = {}
    lasts: dict[Hashable, Fraction] = {"input": Fraction(), "output": Fraction()}
    for key in placed.layers(network=network):
        device = placed.where[key]
        step[key[1]] = ("layer", *key) if placed.devices[device].pool else ("call", device)
        if placed.devices[device].pool:
            lasts["layer", *key] = placed.seconds[key]
        else:
            at_it = {link.name for link in placed.links.values() if device in (link.sender, link.receiver)}
            lasts["call", device] = placed.load({device}, at_it, network)
    awaited = defaultdict(set)
    for use in placed.uses:
        first, then = step.get(use.tensor.producer, "input"), step.get(use.consumer, "output")
        if use.network == network and first != then:
            awaited[then].add(first)
    end: dict[Hashable, Fraction] = {}
    while len(end) < len(lasts):
        ready = [one for one in lasts if one not in end and awaited[one] <= end.keys()]
        if not ready:
            raise StuckError
        for one in ready:
            end[one] = max((end[other] for other in awaited[one]), default=Fraction()) + lasts[one]
    return max(end.values())


class _Schedules:
    """All useful schedules: tasks start as early as some order on each resource lets them.

    A layer is a task, and each hop of a copy. Where two that need one resource overlap, either has to come first; what
    is minimised or limited never falls when something starts later, so no other schedule is better than all of these.
    Seconds are counted in whole numbers of a unit.
    """

    def __init__(self, placed: Placed) -> None:
        self.placed = placed
        self.seconds: dict[Hashable, Fraction] = {}
        self.resources: dict[Hashable, set[str]] = {}
        self.after: set[tuple[Hashable, Hashable]] = set()
        self.of: dict[Hashable, str] = {}  # the network whose latency a task counts for
        resources = placed.resources()
        for key, device in placed.where.items():
            self.seconds[key], self.of[key] = placed.seconds[key], key[0]
            self.resources[key] = {name for name, devices, _ in resources if device in devices}
        came_from: dict[Hashable, Hashable] = {}
        for position, use in enumerate(placed.uses):
            last: Hashable = None if use.tensor.producer == "input" else (use.network, use.tensor.producer)
            for link in placed.routes[use.origin, use.place] if use.sent else ():
                again = {"unicast": use.place, "multicast": None, "per_edge": position}[placed.problem.transport]
                hop = (use.network, use.tensor.name, link, again)
                if came_from.setdefault(hop, last) != last:
                    raise StuckError
                self.seconds[hop] = _occupied(placed, use, link)
                self.resources[hop] = {name for name, _, links in resources if link in links}
                self.after.add((last, hop))
                last = hop
            if use.consumer == "output":
                self.of[last] = use.network
            else:
                self.after.add((last, (use.network, use.consumer)))
        self.after = {(first, then) for first, then in self.after if first is not None}
        self.of.pop(None, None)
        self.unit = math.lcm(*(one.denominator for one in self.seconds.values()))
        self.units = {task: int(one * self.unit) for task, one in self.seconds.items()}

    def best(self, most_nodes: int | None) -> Iterator[Latency]:
        """Yield the latencies of the schedules that no other beats in all networks."""
        found: list[dict[str, int]] = []
        waiting: list[set[tuple[Hashable, Hashable]]] = [set()]
        nodes = 0
        while waiting:
            orders = waiting.pop()
            starts = self._earliest(orders)
            if starts is None:
                continue
            nodes += 1
            if most_nodes is not None and nodes > most_nodes:
                raise TooManyOrdersError
            latency = {network.name: 0 for network in self.placed.problem.networks}
            for task, network in self.of.items():
                latency[network] = max(latency[network], starts[task] + self.units[task])
            if any(all(other[name] <= value for name, value in latency.items()) for other in found):
                continue  # later starts do not help
            pair = self._overlap(starts)
            if pair is None:
                found = [other for other in found if any(other[name] < value for name, value in latency.items())]
                found.append(latency)
            else:
                waiting += [orders | {pair}, orders | {pair[::-1]}]
        for latency in found:
            yield {name: Fraction(value, self.unit) for name, value in latency.items()}

    def _earliest(self, orders: set[tuple[Hashable, Hashable]]) -> dict[Hashable, int] | None:
        """Return the earliest starts, or None where tasks wait for each other."""
        starts = dict.fromkeys(self.units, 0)
        for _ in range(len(starts) + 1):
            changed = False
            for first, then in self.after | orders:
                if starts[first] + self.units[first] > starts[then]:
                    starts[then], changed = starts[first] + self.units[first], True
            if not changed:
                return starts
        return None

    def _overlap(self, starts: dict[Hashable, int]) -> tuple[Hashable, Hashable] | None:
        """Return two tasks that one resource would run at a time; what takes no time occupies nothing."""
        busy = sorted((task for task in starts if self.units[task] > 0), key=lambda task: starts[task])
        for position, first in enumerate(busy):
            for second in busy[position + 1 :]:
                if (
                    starts[second] < starts[first] + self.units[first]
                    and self.resources[first] & self.resources[second]
                ):
                    return first, second
        return None
