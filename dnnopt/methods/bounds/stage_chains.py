"""The least period of contiguous stages of a chain, where devices come in kinds and pairs of them have their own links.

For networks whose layers come one after the other, each with one tensor to the next. A stage is an interval, and what
crosses a cut goes from the device before it to the one behind it alone:

    best(used, k, b) = min over a < b and the kind l before k of
          max(best(used - k, l, a), seconds of cut a from l to k, seconds of a..b on k)

Identical devices are counted, not told apart; between two kinds, links have the bandwidth of this pair of them (the
slower end's, say). That is the period where each resource is one device, or links of two devices. Of other resources,
only the devices count, and of objectives only the period: then it is a bound. Memory binds, with buffers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import MemoryLimit, PeriodTerm
from dnnopt.compiled.evaluator import memory_room
from dnnopt.compiled.logical import Contiguity
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.exact import ideals
from dnnopt.methods.programs.intervals import MOST_PLACES, ClassUnits, OrderIntervals

SCOPE = replace(ideals.SCOPE, relaxes=True, priorities=True)  # of it, chains and the period
SOURCE = "stages of a chain"
_MOST_ENTRIES = 50_000_000  # pairs of cuts, times sets of devices, times pairs of kinds
_ROOM = 1e-9

_State = tuple[tuple[int, ...], int]  # how many devices of each kind are used, and the kind of the last


def refuses(c: CompiledProblem) -> str | None:
    """Return why there is no such program for a problem, or None."""
    reason = SCOPE.refuses(c)
    if reason:
        return reason
    if len(c.objective[0]) != 1 or not isinstance(c.objective[0][0], PeriodTerm) or c.has_choices:
        return "an objective that is not the period, or choices"
    count = len(c.node_names)
    chain = c.is_layer.all() and len(c.network_names) == 1 and len(c.edges) == count - 1
    if not chain or (c.fan_out > 1).any() or not (np.sort(c.edge_producer) == np.arange(count - 1)).all():
        return "a network that is not a chain of layers"
    if not (c.edge_consumer == c.edge_producer + 1).all():
        return "a network that is not a chain of layers"
    if not any(isinstance(one, Contiguity) and len(one.nodes) == count for one in c.constraints):
        return "layers that need not be contiguous"
    kinds = ideals.device_classes(c)
    sets = math.prod(len(members) + 1 for members in kinds)
    if count > MOST_PLACES or sets * (len(kinds) * count) ** 2 > _MOST_ENTRIES or not c.pair_routed.all():
        return "too many layers or sets of devices, or an absent route"
    return None


def stage_chain(c: CompiledProblem) -> tuple[float, Index] | None:
    """Return a lower bound on the objective of a problem that `refuses` accepts, and the placement (N,) that has it.

    None: layers fit nowhere.
    """
    program = _Program(c)
    found = program.best()
    if found is None:
        return None
    value, placement = found
    return c.objective[0][0].weight * value * (1.0 - _ROOM), placement


class _Program:
    def __init__(self, c: CompiledProblem) -> None:
        self.c, self.count = c, len(c.node_names)
        self.kinds = ideals.device_classes(c)
        self.sizes = tuple(len(members) for members in self.kinds)
        tensor = np.empty(self.count - 1, dtype=np.int64)
        tensor[c.edge_producer] = c.edge_tensor
        self.cut_tensor = tensor  # that crosses the cut behind each layer but the last
        units = ClassUnits(c, np.arange(self.count), [set() for _ in range(self.count)], np.zeros(self.count, bool))
        intervals = OrderIntervals(units, np.arange(self.count))
        self.stage = [self._stage(intervals, members[0]) for members in self.kinds]
        self.sent = {
            (first, second): self._sent(first, second)
            for first, second in product(range(len(self.kinds)), repeat=2)
            if first != second or self.sizes[first] > 1
        }

    def _stage(self, intervals: OrderIntervals, device: int) -> Array:
        """Return the seconds of the layers between two cuts on a device, infinite where it has not the memory."""
        c = self.c
        held = c.resource_devices[:, device]
        seconds = intervals.seconds(device) if held.any() else np.where(intervals.seconds(device) < np.inf, 0.0, np.inf)
        return np.where(self._fits(intervals, device), seconds, np.inf)

    def _fits(self, intervals: OrderIntervals, device: int) -> Mask:
        fits = np.ones((self.count + 1, self.count + 1), dtype=bool)
        for limit in self.c.constraints:
            if isinstance(limit, MemoryLimit) and limit.device == device:
                crossing = np.zeros(self.count + 1)
                crossing[1:-1] = limit.buffers * self.c.buffer_bytes[self.cut_tensor]
                used = intervals.held(limit) + crossing[:, None] + crossing[None, :]
                fits &= used <= (limit.limit + memory_room(limit.limit)) * (1.0 + _ROOM)
        return fits

    def _sent(self, first: int, second: int) -> Array:
        """Return the most seconds of a resource for what crosses each cut from one kind to another (count + 1,)."""
        c = self.c
        i, j = self.kinds[first][0], self.kinds[second][-1]
        uses = c.pair_uses_link[c.pair_number[i, j]]
        seconds = (c.hop_seconds[self.cut_tensor] * uses) @ c.resource_links.T.astype(float)
        found = np.zeros(self.count + 1)
        found[1:-1] = seconds.max(axis=1, initial=0.0)
        return found

    def best(self) -> tuple[float, Index] | None:
        """Return the least value and a placement that has it."""
        kinds, size = range(len(self.kinds)), self.count + 1
        values: dict[_State, Array] = {}
        came: dict[_State, tuple[Index, Index]] = {}
        least: tuple[float, _State] | None = None
        none = (0,) * len(self.sizes)
        start = np.where(np.arange(size) == 0, 0.0, np.inf)
        for used in sorted(product(*(range(most + 1) for most in self.sizes)), key=sum):
            for last in kinds if any(used) else (-1,):
                value = start if used == none else values.get((used, last))
                if value is None:
                    continue
                if least is None or float(value[-1]) < least[0]:
                    least = float(value[-1]), (used, last)
                for kind in kinds:
                    if used[kind] == self.sizes[kind]:
                        continue
                    arrived = value if last < 0 else np.maximum(value, self.sent[last, kind])
                    through = np.maximum(arrived[:, None], self.stage[kind])
                    row = through.argmin(axis=0)
                    through = through[row, np.arange(size)]
                    more = (*used[:kind], used[kind] + 1, *used[kind + 1 :]), kind
                    if more not in values:
                        values[more] = np.full(size, np.inf)
                        came[more] = np.full(size, -1), np.full(size, -1)
                    better = np.flatnonzero(through < values[more])
                    values[more][better] = through[better]
                    came[more][0][better], came[more][1][better] = row[better], last
        if least is None or not math.isfinite(least[0]):
            return None
        (used, kind), end = least[1], self.count
        left, placement = list(used), np.zeros(self.count, dtype=np.int64)
        while end > 0:
            before, lasts = came[tuple(left), kind]
            begin, earlier = int(before[end]), int(lasts[end])
            left[kind] -= 1
            placement[begin:end] = self.kinds[kind][left[kind]]
            kind, end = earlier, begin
        return least[0], placement
