"""Intervals of a linear order of units: what each costs on a device, for all of them at once.

A unit is a set of layers that share a device: they are colocated, or paths that must go forwards lead from one to the
other and back. A linear order of units is cut into intervals, each of which is what a device runs. What an interval
[a, b) costs is a sum of rectangles in the plane of a and b:

    a tensor is sent      where it is made inside: a <= p < b, but not where all uses are inside too
    a tensor is received  where a use is inside, but not where it is made inside
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from heapq import heapify, heappop, heappush

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import MemoryLimit
from dnnopt.compiled.evaluator import memory_room
from dnnopt.compiled.logical import Colocation, Contiguity
from dnnopt.compiled.metrics import Array, Index, Mask

MOST_PLACES = 400  # where there are more units, cuts are tried at every second, third, ... place


@dataclass(frozen=True, eq=False)
class ClassUnits:
    """Layers that share a device.

    Attributes
    ----------
    of_node : array (N,)
        Unit of each layer; -1 for inputs and outputs.
    before : list of set of int
        Units that must come earlier, of each unit; where none must, those whose first layers come earlier.
    loose : array (U,)
        Whether nothing says where in an order a unit comes.
    """

    c: CompiledProblem
    of_node: Index
    before: list[set[int]]
    loose: Mask

    @classmethod
    def of(cls, c: CompiledProblem) -> ClassUnits:
        """Return the units of a problem: of its contiguity, or else of all paths."""
        layers = np.flatnonzero(c.is_layer)
        contiguities = [one for one in c.constraints if isinstance(one, Contiguity)]
        ordered = bool(contiguities) or c.execution == "call"
        if contiguities:
            edges = [edge for one in contiguities for edge in one.edges]
        else:
            edges = [
                (u, v)
                for u, v in zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True)
                if c.is_layer[u] and c.is_layer[v]
            ]
        parent = list(range(len(c.node_names)))
        for one in c.constraints:
            if isinstance(one, Colocation):
                for node in one.nodes[1:]:
                    _join(parent, one.nodes[0], node)
        if ordered:
            for component in _cycles(parent, edges):
                for node in component[1:]:
                    _join(parent, component[0], node)
        roots = np.array([_root(parent, node) for node in layers.tolist()])
        of_node = np.full(len(c.node_names), -1)
        number = np.unique(roots, return_inverse=True)[1]
        # Units are numbered in the order of their first layers.
        rank = np.argsort(np.unique(number, return_index=True)[1], kind="stable").argsort()
        of_node[layers] = rank[number]
        count = int(of_node.max()) + 1
        before: list[set[int]] = [set() for _ in range(count)]
        for u, v in edges:
            if of_node[u] < of_node[v] or (ordered and of_node[u] != of_node[v]):
                before[of_node[v]].add(int(of_node[u]))
        loose = np.zeros(count, dtype=bool)
        if contiguities:
            members = [node for one in contiguities for node in one.nodes]
            loose = ~np.isin(np.arange(count), of_node[members])
        return cls(c, of_node, before, loose)

    def orders(self) -> Iterator[Index]:
        """Yield some linear orders (U,) of units: in breadth, in depth, and both from the end."""
        forward = self.before
        backward: list[set[int]] = [set() for _ in forward]
        for unit, others in enumerate(forward):
            for other in others:
                backward[other].add(unit)
        seen: set[bytes] = set()
        for before, reverse in ((forward, False), (backward, True)):
            for deep in (False, True):
                order = self._with_loose(_sorted(before, deep=deep, reverse=reverse))
                if order.tobytes() not in seen:
                    seen.add(order.tobytes())
                    yield order

    def _with_loose(self, order: list[int]) -> Index:
        """Return the order with loose units each behind the unit that it exchanges most with."""
        if not self.loose.any():
            return np.array(order)
        c = self.c
        seconds = c.hop_seconds.max(axis=1, initial=0.0)[c.edge_tensor]
        exchanged: dict[int, dict[int, float]] = {}
        ends = self.of_node[c.edge_producer], self.of_node[c.edge_consumer]
        for u, v, amount in zip(*(one.tolist() for one in ends), seconds.tolist(), strict=True):
            for one, other in ((u, v), (v, u)):
                if one != other and one >= 0 and other >= 0 and self.loose[one]:
                    beside = exchanged.setdefault(one, {})
                    beside[other] = beside.get(other, 0.0) + amount
        key = {unit: (position,) for position, unit in enumerate(one for one in order if not self.loose[one])}
        keys: dict[int, tuple[int, ...]] = dict(key)
        waiting = [unit for unit in order if self.loose[unit]]
        while waiting:
            able = [one for one in waiting if any(other in keys for other in exchanged.get(one, ()))]
            for unit in able or waiting:
                known = {other: much for other, much in exchanged.get(unit, {}).items() if other in keys}
                host = max(known, key=lambda other: (known[other], -other), default=None)
                keys[unit] = ((len(order),) if host is None else keys[host]) + (unit,)
            waiting = [unit for unit in waiting if unit not in keys]
        return np.array(sorted(order, key=lambda unit: keys[unit]))


class OrderIntervals:
    """Costs of the intervals of an order, as matrices (P + 1, P + 1) for places a < b; infinite where b <= a.

    Parameters
    ----------
    units : ClassUnits
    order : array (U,)

    Attributes
    ----------
    place : array (N,)
        Place of each layer: the number of its unit in the order, or of several that are never cut apart.
    count : int
        Of places.
    """

    def __init__(self, units: ClassUnits, order: Index) -> None:
        self.c, c = units.c, units.c
        step = -(-len(order) // MOST_PLACES)
        of_unit = np.empty(len(order), dtype=np.int64)
        of_unit[order] = np.arange(len(order)) // step
        self.count = int(of_unit.max()) + 1
        self.place = np.where(c.is_layer, of_unit[units.of_node], -1)

    def seconds(self, executor: int) -> Array:
        """Return the time of an interval's layers; infinite where one is not allowed there."""
        c = self.c
        time, allowed = c.seconds[:, executor], c.allowed[:, executor]
        barred = self._between(c.is_layer & ~allowed)
        found = self._between(np.where(allowed, time, 0.0))
        return np.where(barred > 0, np.inf, found)

    def transfers(self, executor: int, links: Mask) -> Array:
        """Return the least time that some links take for what the device receives and sends."""
        c, device = self.c, int(self.c.executor_device[executor])
        others = [other for other in range(len(c.device_names)) if other != device]
        got = self._least([c.route_links[other][device] for other in others], links)
        sent = self._least([c.route_links[device][other] for other in others], links)
        total = np.zeros((self.count + 2, self.count + 2))
        for tensor, made, users in self._tensors:
            if sent[tensor] > 0.0 and made >= 0:
                _add(total, sent[tensor], made, made)
                _add(total, -sent[tensor], min(made, users[0]), max(made, users[-1]))
            if got[tensor] > 0.0:
                _add_received(total, float(got[tensor]), made, users)
        # Each entry (a, b) stands for all smaller a and all larger b.
        summed = np.cumsum(np.cumsum(total[::-1], axis=0)[::-1], axis=1)
        return np.maximum(summed[: self.count + 1, : self.count + 1], 0.0)

    def path(self, executor: int) -> Array:
        """Return the longest path through an interval's layers, where any number of them run at a time."""
        c = self.c
        finish: dict[int, Array] = {}
        longest = np.zeros((self.count + 1, self.count + 1))
        before: dict[int, list[int]] = {}
        for u, v in zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True):
            before.setdefault(v, []).append(u)
        for node in np.flatnonzero(c.is_layer).tolist():
            took = float(c.seconds[node, executor]) if c.allowed[node, executor] else np.inf
            end, place = np.zeros(self.count + 1), int(self.place[node])
            for u in before.get(node, ()):
                if u in finish:
                    np.maximum(end, finish[u], out=end)
            end += took
            end[place + 1 :] = 0.0
            finish[node] = end
            np.maximum(longest[:, place + 1], end, out=longest[:, place + 1])
        return self._later(np.maximum.accumulate(longest, axis=1))

    def fits(self, executor: int) -> Mask:
        """Return which intervals the device has the memory for."""
        c = self.c
        fits = np.ones((self.count + 1, self.count + 1), dtype=bool)
        for limit in c.constraints:
            if isinstance(limit, MemoryLimit) and limit.device == c.executor_device[executor]:
                fits &= self.held(limit) <= limit.limit + memory_room(limit.limit)
        return fits

    def held(self, limit: MemoryLimit) -> Array:
        """Return the bytes that an interval's layers take by a rule of memory, without buffers."""
        used = self._between(np.where(self.c.is_layer, limit.resident, 0.0))
        for row in limit.peaks:
            used = used + self._largest(row)
        return used

    def _between(self, values: Array | Mask) -> Array:
        """Return the sums of values of nodes (N,) over each interval."""
        layers = self.c.is_layer
        at = np.bincount(self.place[layers], np.asarray(values, dtype=float)[layers], self.count)
        total = np.append(0.0, np.cumsum(at))
        return self._later(total[None, :] - total[:, None])

    def _largest(self, values: Array) -> Array:
        """Return the largest value of nodes (N,) in each interval."""
        layers = self.c.is_layer
        at = np.zeros(self.count)
        np.maximum.at(at, self.place[layers], values[layers])
        found = np.zeros((self.count + 1, self.count + 1))
        found[:, 1:] = np.maximum.accumulate(np.triu(np.tile(at, (self.count + 1, 1))), axis=1)
        return found

    def _later(self, values: Array) -> Array:
        places = np.arange(self.count + 1)
        return np.where(places[:, None] < places[None, :], values, np.inf)

    def _least(self, routes: list[tuple[int, ...] | None], links: Mask) -> Array:
        """Return the least seconds of each tensor over those of a route's links, of some routes."""
        hops = self.c.hop_seconds
        listed = [hops[:, [link for link in route if links[link]]].sum(axis=1) for route in routes if route is not None]
        return np.asarray(np.min(listed, axis=0)) if listed else np.zeros(len(hops))

    @cached_property
    def _tensors(self) -> list[tuple[int, int, list[int]]]:
        """Tensors with the place where they are made (-1: at an input) and the places where they are used."""
        c = self.c
        made: dict[int, int] = {}
        users: dict[int, set[int]] = {}
        for tensor, u, v in zip(
            c.edge_tensor.tolist(), c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True
        ):
            if c.is_layer[v]:
                made[tensor] = int(self.place[u])
                users.setdefault(tensor, set()).add(int(self.place[v]))
        return [(tensor, made[tensor], sorted(found)) for tensor, found in users.items()]


def _add(total: Array, seconds: float, first: int, last: int) -> None:
    """Add seconds to all intervals with these two places in them."""
    total[first, last + 1] += seconds


def _add_received(total: Array, seconds: float, made: int, users: list[int]) -> None:
    """Add what is received: some use is inside, and not the place where it is made."""
    before = -1
    for use in users:  # the first use inside is this one
        total[use, use + 1] += seconds
        if before >= 0:
            total[before, use + 1] -= seconds
        before = use
    if made < 0:
        return
    if made in users:
        _add(total, -seconds, made, made)
        return
    earlier = max((use for use in users if use < made), default=None)
    later = min((use for use in users if use > made), default=None)
    if earlier is not None:
        _add(total, -seconds, earlier, made)
    if later is not None:
        _add(total, -seconds, made, later)
    if earlier is not None and later is not None:
        _add(total, seconds, earlier, later)


def _root(parent: list[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


def _join(parent: list[int], one: int, other: int) -> None:
    one, other = _root(parent, one), _root(parent, other)
    parent[max(one, other)] = min(one, other)


def _cycles(parent: list[int], edges: list[tuple[int, int]]) -> Iterator[list[int]]:
    """Yield the groups that are on a cycle together (Tarjan's strongly connected components), without recursion."""
    after: dict[int, list[int]] = {}
    for u, v in edges:
        one, other = _root(parent, u), _root(parent, v)
        if one != other:
            after.setdefault(one, []).append(other)
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    done: set[int] = set()
    kept: list[int] = []
    for start in list(after):
        if start in number:
            continue
        number[start] = low[start] = len(number)
        kept.append(start)
        todo = [(start, iter(after[start]))]
        while todo:
            node, following = todo[-1]
            for other in following:
                if other not in number:
                    number[other] = low[other] = len(number)
                    kept.append(other)
                    todo.append((other, iter(after.get(other, ()))))
                    break
                if other not in done:
                    low[node] = min(low[node], number[other])
            else:
                todo.pop()
                if todo:
                    low[todo[-1][0]] = min(low[todo[-1][0]], low[node])
                if low[node] == number[node]:
                    component = kept[kept.index(node) :]
                    del kept[len(kept) - len(component) :]
                    done.update(component)
                    if len(component) > 1:
                        yield component


def _sorted(before: list[set[int]], *, deep: bool, reverse: bool) -> list[int]:
    """Return units after those before them: of those that are ready the first one, or the one that was ready last."""
    after: list[list[int]] = [[] for _ in before]
    for unit, others in enumerate(before):
        for other in others:
            after[other].append(unit)
    waiting = [len(others) for others in before]
    sign = -1 if reverse else 1
    ready = [(0, sign * unit) for unit, count in enumerate(waiting) if count == 0]
    heapify(ready)
    found: list[int] = []
    while ready:
        unit = abs(heappop(ready)[1])
        found.append(unit)
        for other in after[unit]:
            waiting[other] -= 1
            if waiting[other] == 0:
                heappush(ready, (-len(found) if deep else 0, sign * other))
    return found[::-1] if reverse else found
