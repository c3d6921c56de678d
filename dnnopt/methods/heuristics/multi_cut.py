"""Baseline `multi-cut`: the best way to cut a topological order into one segment a device, for each order of devices.

Lockhart et al.: Scission: Performance-driven and context-aware cloud-edge distribution of deep neural networks, UCC
2020, scans all such cuts of chains; here a dynamic program over the positions finds them. What is alive at a cut is
charged there, once, so skips over several segments count too much and tensors with several uses too little: the
evaluator picks among the segmentations that are best for the sum of all loads and for the largest load. Memory of
weights and activations binds; other limits are left to the evaluator.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dnnopt.compiled.constraints import MemoryLimit
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.scaling import all_on_one, total_load
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.choice import best
from dnnopt.methods.heuristics.effort import Effort

_MOST_ORDERS = 400  # of devices, shared by those that may come first; more are not tried
_MOST_POSITIONS = 400  # where there are more layers, cuts are tried at every second, third, ... place


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield the best segmentation of those that the time allows to find."""
    segments = _Segments(evaluator)
    candidates = [best(evaluator, segments.whole)]
    for largest in (False, True):
        found = list(segments.search(effort, largest))
        if found:
            candidates.append(best(evaluator, np.array(found), effort.spent))
    yield "best multi-cut", best(evaluator, np.array(candidates))


BASELINE = Baseline(
    name="multi-cut",
    summary="the best cut into one segment a device, for each order of devices",
    source="Lockhart et al.: Scission: Performance-driven and context-aware cloud-edge distribution of deep neural "
    "networks, UCC 2020",
    order=30,
    run=placements,
)


class _Segments:
    def __init__(self, evaluator: Evaluator) -> None:
        self.c = c = evaluator.compiled
        self.whole = all_on_one(c)
        self.layers = np.flatnonzero(c.is_layer)
        count, step = len(self.layers), -(-len(self.layers) // _MOST_POSITIONS)
        self.positions = np.unique(np.append(np.arange(0, count + 1, step), count))
        time = c.allowed_time[self.layers]
        # A pinned or unsupported layer stays where it can run, at whatever cost that has there.
        least = np.min(time, axis=1, keepdims=True)
        time = np.where(np.isfinite(time), time, np.where(np.isfinite(least), least, 0.0))
        self.seconds = self._sums(time)
        self.room, self.bytes, self.peak = self._memory()
        self.crossing = self._crossing()
        self.segments = [self._segment(executor) for executor in range(len(c.host_names))]

    def _sums(self, values: Array) -> Array:
        """Return the sums of rows before each position."""
        total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
        return np.asarray(total[self.positions])

    def _memory(self) -> tuple[Array, Array, Array]:
        """Return the room of each executor, the bytes before each position, and the peaks of each segment.

        These are its largest activation, and the weights that its layers share.
        """
        c = self.c
        room, peaks = np.full(c.time.shape[1], np.inf), np.zeros((0, len(c.node_names)))
        resident = np.zeros(len(c.node_names))
        for limit in c.constraints:
            if isinstance(limit, MemoryLimit):
                room[c.executor_device == limit.device] = limit.limit
                resident, peaks = limit.resident, limit.peaks
        segment = np.zeros((len(self.positions), len(self.positions)))
        if len(peaks):
            at = peaks[:, self.layers]
            for row, first in enumerate(self.positions[:-1]):
                running = np.append(0.0, np.maximum.accumulate(at[:, first:], axis=1).sum(axis=0))
                segment[row, row:] = running[self.positions[row:] - first]
        return room, self._sums(resident[self.layers]), segment

    def _crossing(self) -> Array:
        """Return the seconds of what is alive at each position, from device to device (positions, D, D)."""
        c = self.c
        size = len(c.device_names)
        beta = total_load(c).link_charges(c.tensor_bytes)
        seconds = c.by_devices(np.where(c.pair_routed, beta @ c.pair_uses_link.T, np.inf))
        rank = np.full(len(c.node_names), 0)
        rank[self.layers] = np.arange(1, len(self.layers) + 1)
        last = np.zeros(len(c.tensor_names), dtype=np.int64)
        inner = c.is_layer[c.edge_producer] & c.is_layer[c.edge_consumer]
        np.maximum.at(last, c.edge_tensor[inner], rank[c.edge_consumer[inner]])
        sent = np.flatnonzero(last)
        alive = (rank[c.producer[sent]] <= self.positions[:, None]) & (self.positions[:, None] < last[sent])
        return (
            np.einsum("pt,tij->pij", alive.astype(float), seconds[sent])
            if len(sent)
            else np.zeros((len(self.positions), size, size))
        )

    def search(self, effort: Effort, largest: bool) -> Iterator[Index]:
        """Yield the best segmentation (N,) for each order of devices; of the sum of loads, or of the largest."""
        executors = range(len(self.c.host_names))  # those with forms are left to searches
        for first in executors:
            tried = 0
            value = self.segments[first][0]
            stack: list[tuple[tuple[int, ...], Array, tuple[Index, ...]]] = [((first,), value, ())]
            while stack and tried < _MOST_ORDERS / len(executors) and not effort.spent():
                order, value, cuts = stack.pop()
                tried += 1
                if np.isfinite(value[-1]):
                    yield self._placement(order, cuts)
                if len(order) < len(executors) and not np.isinf(value).all():
                    for following in executors:
                        if following not in order:
                            more, cut = self._extended(order[-1], following, value, largest)
                            stack.append(((*order, following), more, (*cuts, cut)))

    def _segment(self, executor: int) -> Array:
        """Return the seconds of the segment from each position to each later one (positions, positions), else inf."""
        seconds = self.seconds[None, :, executor] - self.seconds[:, None, executor]
        used = self.bytes[None, :] - self.bytes[:, None] + self.peak
        later = np.arange(len(self.positions))[None, :] > np.arange(len(self.positions))[:, None]
        fits = used <= self.room[executor] * (1 + 1e-12)
        return np.where(later & fits, seconds, np.inf)

    def _extended(self, before: int, executor: int, value: Array, largest: bool) -> tuple[Array, Index]:
        """Return the values with one more segment, and where it begins for each of its ends."""
        device = self.c.executor_device
        sent = self.crossing[:, device[before], device[executor]]
        segment = self.segments[executor]
        if largest:
            through = np.maximum(np.maximum(value, sent)[:, None], segment)
        else:
            through = (value + sent)[:, None] + segment
        cut = through.argmin(axis=0)
        return through[cut, np.arange(len(cut))], cut

    def _placement(self, order: tuple[int, ...], cuts: tuple[Index, ...]) -> Index:
        placement = self.whole[order[0]].copy()
        end = len(self.positions) - 1
        for executor, cut in zip(order[:0:-1], cuts[::-1], strict=True):
            begin = int(cut[end])
            nodes = self.layers[self.positions[begin] : self.positions[end]]
            placement[nodes] = self.whole[executor][nodes]
            end = begin
        return placement
