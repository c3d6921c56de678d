"""Latencies of many placements at once under scheduled execution, in numpy.

Every placement is scheduled in one order of the nodes: a node as soon as its tensors and its device are there, then the
copies that it sends, in the order of their consumers. That is `tasks.retime(tasks.order)` for each of them.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.compiled.scheduling import Scheduler


class BatchScheduler:
    """Schedules of many placements.

    Parameters
    ----------
    scheduler : Scheduler
    """

    def __init__(self, scheduler: Scheduler) -> None:
        c = self.compiled = scheduler.compiled
        self.scheduler = scheduler
        devices, links = len(c.device_names), len(c.link_names)
        width = max((len(occupied) for occupied in scheduler.occupied), default=1)
        self.occupied = np.full((width, devices + links + 1), -1, dtype=np.int64)  # of each place; -1: nothing more
        for place, occupied in enumerate(scheduler.occupied):
            self.occupied[: len(occupied), place] = occupied
        longest = max((len(route) for routes in c.route_links for route in routes if route), default=0)
        self.route = np.full((longest, devices * devices), links, dtype=np.int64)
        for i, routes in enumerate(c.route_links):
            for j, route in enumerate(routes):
                self.route[: len(route or ()), i * devices + j] = route or ()
        self.seconds = c.seconds
        hop = np.concatenate([scheduler.hop_seconds, np.zeros((len(c.tensor_names), 1))], axis=1)
        self.hop_seconds = hop[:, self.route]  # (T, hops, D D)

    def latencies(self, placements: Index) -> Array:
        """Return the latency of every network (B, A)."""
        return _Run(self, placements).latencies()


class _Run:
    """One batch.

    Every task has slots in `free` (flat), one for each resource that it occupies, where it reads when it may start and
    writes when it has ended. What takes no time, or is not there, has slots of its own instead, where nothing is read.
    """

    def __init__(self, batch: BatchScheduler, placements: Index) -> None:
        c = self.c = batch.compiled
        self.batch = batch
        self.count = len(placements)
        self.each = np.arange(self.count)
        by_node = np.ascontiguousarray(placements.T)
        self.device = c.executor_device[by_node]
        self.seconds = np.take_along_axis(batch.seconds, by_node, axis=1)
        u, v = c.edge_producer, c.edge_consumer
        pair = self.device[u] * len(c.device_names) + self.device[v]
        self.link = batch.route[:, pair]  # (hops, E, B)
        self.took = batch.hop_seconds[c.edge_tensor[None, :, None], np.arange(len(batch.route))[:, None, None], pair]
        needed = self._needed()
        self.took = np.where(needed, self.took, 0.0)
        tasks = len(by_node) + self.took[..., 0].size
        self.spare = (batch.scheduler.resource_count + tasks) * self.count + self.each
        self.free = np.zeros((batch.scheduler.resource_count + tasks + 1) * self.count)
        self.node_slots = self._slots(self.device, self.seconds > 0, 0)
        self.hop_slots = self._slots(len(c.device_names) + self.link, self.took > 0, len(by_node))
        self.ready = np.zeros(by_node.shape)
        self.ends = np.zeros(by_node.shape)

    def _needed(self) -> Mask:
        """Return which edges carry a copy of their own (E, B): unicast, no earlier use of the tensor on that device."""
        c = self.c
        needed = np.ones((len(c.edges), self.count), dtype=bool)
        self.same: dict[int, list[tuple[int, Mask]]] = {}
        if c.transport != "unicast":
            return needed
        for edge in np.flatnonzero(c.fan_out[c.edge_tensor] > 1).tolist():
            at = self.device[c.edge_consumer[edge]]
            earlier = edge - 1
            while earlier >= 0 and c.edge_tensor[earlier] == c.edge_tensor[edge]:
                same = self.device[c.edge_consumer[earlier]] == at
                self.same.setdefault(edge, []).append((earlier, same))
                needed[edge] &= ~same
                earlier -= 1
        return needed

    def _slots(self, place: Index, busy: Mask, first: int) -> Index:
        """Return where tasks (..., B) at their places are in `free` (width, ..., B)."""
        resources = self.batch.occupied[:, place]
        own = self.batch.scheduler.resource_count + first + np.arange(busy[..., 0].size).reshape(busy.shape[:-1])
        rows = np.where((resources >= 0) & busy, resources, own[..., None])
        slots: Index = rows * self.count + self.each
        return slots

    def _run(self, slots: list[Index], seconds: Array, ready: Array, end: Array) -> None:
        """Set the `end` of tasks (B,)."""
        free = self.free
        for slot in slots:
            ready = np.maximum(ready, free[slot])
        np.add(ready, seconds, out=end)
        for slot in slots:
            free[slot] = end

    def latencies(self) -> Array:
        c, scheduler, ends = self.c, self.batch.scheduler, self.ends
        node_slots = [list(slots) for slots in self.node_slots.swapaxes(0, 1)]
        hop_slots = [[list(slots) for slots in hop] for hop in self.hop_slots.transpose(2, 1, 0, 3)]
        arrival = np.zeros((len(c.edges), self.count))
        for node in scheduler.node_order:
            self._run(node_slots[node], self.seconds[node], self.ready[node], ends[node])
            for _, uses in scheduler.tensors_of[node]:
                if c.transport == "multicast" and len(uses) > 1:
                    self._multicast(uses, ends[node], hop_slots)
                    continue
                for edge, consumer in uses:
                    at = ends[node]
                    for hop, slots in enumerate(hop_slots[edge]):
                        self._run(slots, self.took[hop, edge], at, arrival[edge])
                        at = arrival[edge]
                    for earlier, same in self.same.get(edge, ()):
                        at = np.where(same, arrival[earlier], at)
                    if len(self.batch.route):
                        arrival[edge] = at
                    np.maximum(self.ready[consumer], at, out=self.ready[consumer])
        return np.stack([ends[c.node_network == a].max(axis=0) for a in range(len(c.network_names))], axis=1)

    def _multicast(self, uses: list[tuple[int, int]], made: Array, hop_slots: list[list[list[Index]]]) -> None:
        """Send a tensor, once over each link."""
        crossed = np.full((len(self.c.link_names) + 1, self.count), np.nan)
        for edge, consumer in uses:
            at = made
            for hop, slots in enumerate(hop_slots[edge]):
                link = self.link[hop, edge]
                known = crossed[link, self.each]
                new = np.isnan(known)
                end = np.empty(self.count)
                took = np.where(new, self.took[hop, edge], 0.0)
                self._run([np.where(new, slot, self.spare) for slot in slots], took, at, end)
                at = np.where(new, end, known)
                crossed[link, self.each] = at
                crossed[-1] = np.nan
            np.maximum(self.ready[consumer], at, out=self.ready[consumer])
