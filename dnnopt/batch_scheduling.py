"""Latencies of many placements at once under scheduled execution, in numpy.

Every placement is scheduled in one order of the nodes: a node as soon as its tensors and its device are there, then the
copies that it sends, in the order of their consumers. That is `tasks.retime(tasks.order)` for each of them.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled import Index
from dnnopt.metrics import Array
from dnnopt.scheduling import Scheduler


class BatchScheduler:
    """Schedules of many placements.

    Parameters
    ----------
    scheduler : Scheduler
    """

    def __init__(self, scheduler: Scheduler) -> None:
        c = self.compiled = scheduler.compiled
        self._scheduler = scheduler
        devices, links = len(c.device_names), len(c.link_names)
        self._nowhere = scheduler.resource_count  # what no link, and no device, occupies
        width = max((len(occupied) for occupied in scheduler.occupied), default=1)
        self._occupied = np.full((width, devices + links + 1), self._nowhere, dtype=np.int64)
        for place, occupied in enumerate(scheduler.occupied):
            self._occupied[: len(occupied), place] = occupied
        longest = max((len(route) for routes in c.route_links for route in routes if route), default=0)
        self._route = np.full((longest, devices * devices), links, dtype=np.int64)
        for i, routes in enumerate(c.route_links):
            for j, route in enumerate(routes):
                self._route[: len(route or ()), i * devices + j] = route or ()
        seconds = np.where(np.isfinite(c.time), c.time, 0.0)
        self._seconds = np.ascontiguousarray(seconds)
        hop = np.concatenate([scheduler.hop_seconds, np.zeros((len(c.tensor_names), 1))], axis=1)
        self._hop_seconds = hop[:, self._route]  # (T, hops, D D)
        self._shared = c.fan_out > 1 if c.transport != "per_edge" else np.zeros(len(c.tensor_names), dtype=bool)

    def latencies(self, placements: Index) -> Array:
        """Return the latency of every network (B, A)."""
        return _Run(self, placements).latencies()


class _Run:
    """One batch: `free` says when each resource is free (flat), `ready` when each node may start (N, B)."""

    def __init__(self, batch: BatchScheduler, placements: Index) -> None:
        c = batch.compiled
        self.batch, self.c = batch, c
        self.count = len(placements)
        self.each = np.arange(self.count)
        by_node = np.ascontiguousarray(placements.T)
        self.device = c.executor_device[by_node]
        self.seconds = np.take_along_axis(batch._seconds, by_node, axis=1)
        self.free = np.zeros((batch._nowhere + 1) * self.count)
        self.ready = np.zeros(by_node.shape)

    def latencies(self) -> Array:
        c, scheduler = self.c, self.batch._scheduler
        latencies = np.zeros((len(c.network_names), self.count))
        for node in scheduler.node_order:
            end = self._occupy(self.device[node], self.seconds[node], self.ready[node])
            latest = latencies[c.node_network[node]]
            np.maximum(latest, end, out=latest)
            for tensor, uses in scheduler.tensors_of[node]:
                self._send(node, tensor, uses, end)
        return latencies.T

    def _occupy(self, place: Index, seconds: Array, ready: Array) -> Array:
        """Run tasks (B,) at their places; return when they end. What takes no time occupies nothing."""
        busy = seconds > 0
        slots = [occupied[place] * self.count + self.each for occupied in self.batch._occupied]
        free = [self.free[slot] for slot in slots]
        start = ready
        for until in free:
            start = np.maximum(start, until)
        end = np.where(busy, start + seconds, ready)
        for slot, until in zip(slots, free, strict=True):
            self.free[slot] = np.where(busy, end, until)
        if len(slots) > 1:
            self.free[self.batch._nowhere * self.count :] = 0.0
        return end

    def _send(self, node: int, tensor: int, uses: list[tuple[int, int]], made: Array) -> None:
        """Send a tensor to its consumers, and make them wait for it."""
        batch, devices = self.batch, len(self.c.device_names)
        seconds = batch._hop_seconds[tensor]
        multicast = self.c.transport == "multicast"
        shared = batch._shared[tensor]
        crossed = np.full((len(self.c.link_names) + 1, self.count), np.nan) if shared and multicast else None
        before: list[tuple[Index, Array]] = []
        for _, consumer in uses:
            destination = self.device[consumer]
            pair = self.device[node] * devices + destination
            arrival, needed = made, None
            if shared and not multicast:
                needed, arrival = self._not_yet(destination, before, made)
            for hop, links in enumerate(batch._route):
                link = links[pair]
                took = seconds[hop][pair]
                if needed is not None:
                    took = np.where(needed, took, 0.0)
                if crossed is None:
                    arrival = self._occupy(devices + link, took, arrival)
                else:
                    known = crossed[link, self.each]
                    new = np.isnan(known)
                    end = self._occupy(devices + link, np.where(new, took, 0.0), arrival)
                    arrival = np.where(new, end, known)
                    crossed[link, self.each] = arrival
                    crossed[-1] = np.nan
            before.append((destination, arrival))
            np.maximum(self.ready[consumer], arrival, out=self.ready[consumer])

    @staticmethod
    def _not_yet(destination: Index, before: list[tuple[Index, Array]], made: Array) -> tuple[Array, Array]:
        """Return where no earlier consumer's copy serves this one too (B,), and where one does, its arrival."""
        needed = np.ones(len(made), dtype=bool)
        arrival = made
        for place, arrived in before:
            same = place == destination
            needed &= ~same
            arrival = np.where(same, arrived, arrival)
        return needed, arrival
