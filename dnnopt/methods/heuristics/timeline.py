"""A schedule that grows node by node: what HEFT, ETF and list scheduling have in common.

Devices do one thing at a time, transfers do not wait for each other. Nodes go where they are allowed, where their
tensors can come from, and where their weights still fit; where no executor has all that, what is missing is left out in
this order: the memory, the routes.
"""

from __future__ import annotations

import math

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import MemoryLimit
from dnnopt.compiled.metrics import Index


class Timeline:
    """The schedule so far.

    Parameters
    ----------
    compiled : CompiledProblem

    Attributes
    ----------
    seconds : list (N, k)
        Infinite where a node is not allowed.
    before, after : list of lists (N,)
        Edges of each node, as (the other node, bytes).
    executor : list (N,)
        Of the nodes that have been placed; -1 for others.
    finish : list (N,)
    """

    def __init__(self, compiled: CompiledProblem) -> None:
        c = self.c = compiled
        allowed = np.where(c.allowed.any(axis=1, keepdims=True), c.allowed, True)
        self.seconds: list[list[float]] = np.where(allowed, c.seconds, np.inf).tolist()
        self._device: list[int] = c.executor_device.tolist()
        per_copy, per_byte = c.pair_seconds
        self._per_copy: list[list[float]] = c.by_devices(np.where(c.pair_routed, per_copy, np.inf)).tolist()
        self._per_byte: list[list[float]] = c.by_devices(per_byte).tolist()
        self.before: list[list[tuple[int, float]]] = [[] for _ in c.node_names]
        self.after: list[list[tuple[int, float]]] = [[] for _ in c.node_names]
        sizes = c.tensor_bytes[c.edge_tensor].tolist()
        for u, v, amount in zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), sizes, strict=True):
            self.before[v].append((u, amount))
            self.after[u].append((v, amount))
        self._limits = [limit for limit in c.constraints if isinstance(limit, MemoryLimit)]
        self._room = [limit.limit for limit in self._limits]
        self._peaks = [np.zeros(len(limit.peaks)) for limit in self._limits]
        self._busy: list[list[tuple[float, float]]] = [[] for _ in c.device_names]
        self.executor = [-1] * len(c.node_names)
        self.finish = [0.0] * len(c.node_names)

    def mean_seconds(self) -> list[float]:
        """Return the mean time of each node over the executors where it is allowed (N,)."""
        finite = [[value for value in row if math.isfinite(value)] for row in self.seconds]
        return [sum(row) / len(row) for row in finite]

    def mean_transfer(self) -> tuple[float, float]:
        """Return the mean seconds of a transfer per copy and per byte, over all routes."""
        per_copy, per_byte = (part[self.c.pair_routed] for part in self.c.pair_seconds)
        return (float(per_copy.mean()), float(per_byte.mean())) if len(per_copy) else (0.0, 0.0)

    def levels(self, per_copy: float = 0.0, per_byte: float = 0.0) -> list[float]:
        """Return the longest time from each node's start to the end, with such transfers (N,)."""
        levels = self.mean_seconds()
        for node in reversed(range(len(levels))):
            tails = (per_copy + amount * per_byte + levels[v] for v, amount in self.after[node])
            levels[node] += max(tails, default=0.0)
        return levels

    def earliest(self, node: int, *, insertion: bool = False) -> list[tuple[float, float, int]]:
        """Return (start, finish, executor) for each executor that the node may go to; `insertion`: into gaps too."""
        executors = [k for k, seconds in enumerate(self.seconds[node]) if math.isfinite(seconds)]
        fitting = [k for k in executors if self._fits(node, self._device[k])] or executors
        ready = {k: self._ready(node, self._device[k]) for k in fitting}
        reachable = [k for k in fitting if math.isfinite(ready[k])]
        if not reachable:
            fitting, ready = executors, {k: self._ready(node, self._device[k]) for k in executors}
            reachable = [k for k in executors if math.isfinite(ready[k])]
        if not reachable:
            reachable, ready = fitting, dict.fromkeys(fitting, 0.0)
        found = []
        for k in reachable:
            took = self.seconds[node][k]
            start = self._free(self._device[k], ready[k], took, insertion) if took > 0 else ready[k]
            found.append((start, start + took, k))
        return found

    def place(self, node: int, start: float, executor: int) -> None:
        """Let a node run there from that time on."""
        device, took = self._device[executor], self.seconds[node][executor]
        self.executor[node], self.finish[node] = executor, start + took
        if took > 0:
            self._busy[device].append((start, start + took))
            self._busy[device].sort()
        for position, limit in enumerate(self._limits):
            if limit.device == device:
                self._room[position] -= float(limit.resident[node])
                self._peaks[position] = np.maximum(self._peaks[position], limit.peaks[:, node])

    def placement(self) -> Index:
        """Return the executors of all nodes (N,)."""
        return np.array(self.executor, dtype=np.int64)

    def _fits(self, node: int, device: int) -> bool:
        return all(
            limit.resident[node] + np.maximum(peaks, limit.peaks[:, node]).sum() <= room
            for limit, room, peaks in zip(self._limits, self._room, self._peaks, strict=True)
            if limit.device == device
        )

    def _ready(self, node: int, device: int) -> float:
        latest = 0.0
        for u, amount in self.before[node]:
            origin = self._device[self.executor[u]]
            took = self._per_copy[origin][device] + amount * self._per_byte[origin][device]
            latest = max(latest, self.finish[u] + took)
        return latest

    def _free(self, device: int, ready: float, took: float, insertion: bool) -> float:
        """Return when the device has the time."""
        busy = self._busy[device]
        if not insertion:
            return max(ready, busy[-1][1]) if busy else ready
        start = ready
        for begin, end in busy:
            if start + took <= begin:
                break
            start = max(start, end)
        return start


def by_finish(candidate: tuple[float, float, int]) -> tuple[float, float, int]:
    """Order (start, finish, executor) by finish."""
    start, finish, executor = candidate
    return finish, start, executor
