"""Baseline `class-segments`: the best cut of a linear order of colocation classes into one interval a device.

Layers that share a device are one unit (see `programs/intervals.py`). In each of some linear orders of units, a dynamic
program finds the intervals with the least largest load under ``pipelined`` execution, and elsewhere with the least sum
of their times, each with all that it receives and sends. Under ``call`` execution it finds both, and what is between
the intervals of calls goes to a pool, where it takes its longest path.

Beside it stands the greedy plan of Tarnawski et al.: Efficient algorithms for device placement of DNN graph operators,
NeurIPS 2020: one accelerator after the other is filled with what fits, and what is faster on a device without a limit
on memory stays there.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import MemoryLimit
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.scaling import all_on_one
from dnnopt.compiled.symmetry import identical_devices
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.choice import best
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.programs.intervals import ClassUnits, OrderIntervals

_MOST_SETS = 500  # of devices; where there are more, there is no dynamic program

_Used = tuple[int, ...]


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield the best placement of all orders that the time allows to look at."""
    c = evaluator.compiled
    units, whole = ClassUnits.of(c), all_on_one(c)
    candidates = [best(evaluator, whole)]
    for order in units.orders():
        candidates += filled(units, order, whole)
        if effort.spent():
            break
        intervals = OrderIntervals(units, order)
        for largest in (False, True) if c.execution == "call" else (c.execution == "pipelined",):
            candidates += _Cuts(c, intervals, whole, largest=largest).placements(effort)
    yield "segments of classes", best(evaluator, np.array(candidates), effort.spent)


BASELINE = Baseline(
    name="class-segments",
    summary="the best cut of an order of colocation classes into one interval a device, or each filled with what fits",
    source="Tarnawski et al.: Efficient algorithms for device placement of DNN graph operators, NeurIPS 2020",
    order=35,
    run=placements,
)


def _classes(c: CompiledProblem) -> list[list[int]]:
    """Return the hosts by class: together are those of identical devices."""
    first = np.unique(c.host_device, return_index=True)[1]
    found = [[int(first[device]) for device in members] for members in identical_devices(c)]
    alone = set(range(len(c.host_names))).difference(*found)
    return sorted([*found, *([host] for host in sorted(alone))])


class _Cuts:
    """The dynamic program of an order of units."""

    def __init__(self, c: CompiledProblem, intervals: OrderIntervals, whole: Index, *, largest: bool) -> None:
        self.c, self.intervals, self.whole, self.largest = c, intervals, whole, largest
        pools = np.zeros(len(c.device_names), dtype=bool) if c.pools is None else c.pools
        self.classes = [hosts for hosts in _classes(c) if not pools[c.executor_device[hosts[0]]]]
        self.sizes = tuple(len(hosts) for hosts in self.classes)
        self.pool = next((host for host in range(len(c.host_names)) if pools[c.executor_device[host]]), -1)

    def placements(self, effort: Effort) -> Iterator[Index]:
        """Yield the best placement (N,) of intervals, if there is one."""
        if prod(size + 1 for size in self.sizes) > _MOST_SETS:
            return
        costs = [self._costs(hosts[0]) for hosts in self.classes]
        rest = None if self.pool < 0 else self.intervals.path(self.pool)
        count, add = self.intervals.count, np.maximum if self.largest else np.add
        start = np.full(count + 1, np.inf)
        start[0] = 0.0
        values: dict[_Used, Array] = {(0,) * len(self.sizes): start}
        came: dict[_Used, tuple[Index, Index]] = {}
        pooled: dict[_Used, Index] = {}
        best_end: tuple[float, _Used] = np.inf, (0,) * len(self.sizes)
        for used in sorted(product(*(range(size + 1) for size in self.sizes)), key=sum):
            if effort.spent():
                return
            value = values.pop(used)
            if rest is not None:
                through = add(value[:, None], rest)
                row = through.argmin(axis=0)
                through = through[row, np.arange(count + 1)]
                pooled[used] = np.where(through < value, row, -1)
                value = np.minimum(value, through)
            best_end = min(best_end, (float(value[-1]), used))
            for number, cost in enumerate(costs):
                if used[number] == self.sizes[number]:
                    continue
                more = (*used[:number], used[number] + 1, *used[number + 1 :])
                if more not in values:
                    values[more] = np.full(count + 1, np.inf)
                    came[more] = np.full(count + 1, -1), np.full(count + 1, -1)
                through = add(value[:, None], cost)
                row = through.argmin(axis=0)
                through = through[row, np.arange(count + 1)]
                better = np.flatnonzero(through < values[more])
                values[more][better] = through[better]
                came[more][0][better], came[more][1][better] = number, row[better]
        if np.isfinite(best_end[0]):
            yield self._placement(best_end[1], came, pooled)

    def _costs(self, host: int) -> Array:
        """Return what each interval costs on a device."""
        c, device = self.c, int(self.c.executor_device[host])
        compute = self.intervals.seconds(host)
        if self.largest and self.c.execution != "call":
            cost = np.zeros(compute.shape)
            for resource in range(len(c.resource_names)):
                mine = self.intervals.transfers(host, c.resource_links[resource])
                if c.resource_devices[resource, device]:
                    mine = mine + compute
                np.maximum(cost, mine, out=cost)
            cost[~np.isfinite(compute)] = np.inf
        else:
            links = np.ones(len(c.link_names), dtype=bool) if c.call_links is None else c.call_links[device]
            cost = compute + self.intervals.transfers(host, links)
        return np.where(self.intervals.fits(host), cost, np.inf)

    def _placement(self, used: _Used, came: dict[_Used, tuple[Index, Index]], pooled: dict[_Used, Index]) -> Index:
        left, end = list(used), self.intervals.count
        placement = self.whole[max(self.pool, 0)].copy()
        while end > 0:
            state = tuple(left)
            if self.pool >= 0 and pooled[state][end] >= 0:
                end = int(pooled[state][end])
                continue
            number, begin = int(came[state][0][end]), int(came[state][1][end])
            left[number] -= 1
            host = self.classes[number][left[number]]
            inside = (self.intervals.place >= begin) & (self.intervals.place < end)
            placement[inside] = self.whole[host][inside]
            end = begin
        return placement


def filled(units: ClassUnits, order: Index, whole: Index) -> Iterator[Index]:
    """Yield the placements in which devices with a limit on memory are filled one after the other."""
    c = units.c
    room = {limit.device: limit for limit in c.constraints if isinstance(limit, MemoryLimit)}
    hosts = range(len(c.host_names))
    filled = [host for host in hosts if int(c.executor_device[host]) in room]
    others = [host for host in hosts if int(c.executor_device[host]) not in room]
    if not filled or not others:
        return
    home = min(others, key=lambda host: float(c.seconds[c.is_layer, host].sum()))
    members: list[list[int]] = [[] for _ in range(len(order))]
    for node in np.flatnonzero(c.is_layer).tolist():
        members[units.of_node[node]].append(node)
    for keep in (True, False):
        placement, turn, held = whole[home].copy(), 0, _Held(room)
        for unit in order.tolist():
            nodes = members[unit]
            if keep and _takes(c, nodes, home) < min(_takes(c, nodes, host) for host in filled):
                continue
            while turn < len(filled) and c.allowed[nodes, filled[turn]].all():
                if held.add(int(c.executor_device[filled[turn]]), nodes):
                    placement[nodes] = whole[filled[turn]][nodes]
                    break
                turn += 1
        yield placement


def _takes(c: CompiledProblem, nodes: list[int], host: int) -> float:
    return float(np.where(c.allowed[nodes, host], c.seconds[nodes, host], np.inf).sum())


class _Held:
    """What devices hold so far."""

    def __init__(self, limits: dict[int, MemoryLimit]) -> None:
        self._limits = limits
        self._nodes: dict[int, list[int]] = {device: [] for device in limits}

    def add(self, device: int, nodes: list[int]) -> bool:
        """Put nodes on a device, if they fit beside what is there; return whether they do."""
        limit, together = self._limits[device], self._nodes[device] + nodes
        used = float(limit.resident[together].sum() + limit.peaks[:, together].max(axis=1, initial=0.0).sum())
        if used > limit.limit:
            return False
        self._nodes[device] = together
        return True
