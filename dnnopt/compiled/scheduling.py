"""Schedules of a placement: its tasks, list schedules, exact times of a given order, and plans from and to them.

Every node is a task, and so is every hop of every copy that the placement sends: one for each (tensor, destination,
hop) under unicast, for each (tensor, link) under multicast, for each (use, hop) under per_edge. A task occupies the
resources of its device or link for its seconds; one that takes no time occupies nothing. Times are in seconds.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem, kept
from dnnopt.compiled.metrics import Array, Index
from dnnopt.problem.plan import Plan, Schedule, Transfer


@dataclass(frozen=True, eq=False)
class Tasks:
    """The tasks of a placement: the N nodes, then the hops.

    Attributes
    ----------
    scheduler : Scheduler
        Of the problem.
    placement : array (N,)
    seconds : list (M,)
    place : list (M,)
        Index into `scheduler.occupied`: a device, or D plus a link.
    hop_tensor, hop_edge, hop_destination, hop_from_end : list (M - N,)
        Tensor; first edge that the copy serves; device that it is for, -1 under multicast; how many hops follow.
    after : list of lists (M,)
        Tasks that wait for this one.
    order : list (M,)
        The tasks in a topological order.
    """

    scheduler: Scheduler
    placement: Index
    seconds: list[float]
    place: list[int]
    hop_tensor: list[int]
    hop_edge: list[int]
    hop_destination: list[int]
    hop_from_end: list[int]
    after: list[list[int]]
    order: list[int]

    @cached_property
    def waits_for(self) -> list[int]:
        """Number of tasks that each one waits for (M,)."""
        counts = [0] * len(self.seconds)
        for followers in self.after:
            for follower in followers:
                counts[follower] += 1
        return counts

    def bottom_levels(self) -> list[float]:
        """Return the longest time from each task's start to the end of what waits for it (M,)."""
        levels = list(self.seconds)
        for task in reversed(self.order):
            levels[task] += max((levels[follower] for follower in self.after[task]), default=0.0)
        return levels

    def list_schedule(self, priority: Sequence[float] | None = None) -> list[float]:
        """Return the starts (M,) of the list schedule: whenever resources are free, the most urgent ready task starts.

        Parameters
        ----------
        priority : sequence (M,), optional
            Larger is more urgent; by default bottom levels.
        """
        urgency = self.bottom_levels() if priority is None else priority
        seconds, place, after, occupied = self.seconds, self.place, self.after, self.scheduler.occupied
        waiting = list(self.waits_for)
        starts = [0.0] * len(seconds)
        free = [True] * self.scheduler.resource_count
        ready: list[tuple[float, int]] = sorted((-urgency[t], t) for t, count in enumerate(waiting) if not count)
        running: list[tuple[float, int]] = []
        now = 0.0
        while True:
            position = 0
            while position < len(ready):
                task = ready[position][1]
                if seconds[task] > 0:
                    wanted = occupied[place[task]]
                    if not all(free[q] for q in wanted):
                        position += 1
                        continue
                    for q in wanted:
                        free[q] = False
                    heapq.heappush(running, (now + seconds[task], task))
                    del ready[position]
                    starts[task] = now
                else:
                    del ready[position]
                    starts[task] = now
                    for follower in after[task]:
                        waiting[follower] -= 1
                        if not waiting[follower]:
                            insort(ready, (-urgency[follower], follower))
                            position = 0
            if not running:
                return starts
            now = running[0][0]
            while running and running[0][0] == now:
                task = heapq.heappop(running)[1]
                for q in occupied[place[task]]:
                    free[q] = True
                for follower in after[task]:
                    waiting[follower] -= 1
                    if not waiting[follower]:
                        insort(ready, (-urgency[follower], follower))

    def retime(
        self, order: Sequence[int], seconds: Sequence[float] | None = None, *, resources: bool = True
    ) -> list[float]:
        """Return the earliest starts (M,) that keep to `order` on every resource.

        Parameters
        ----------
        order : sequence (M,)
            A topological order of the tasks.
        seconds : sequence (M,), optional
            Other durations than the tasks' own; what takes no time by these occupies nothing.
        resources : bool
            False: any number of tasks at a time.
        """
        duration = self.seconds if seconds is None else seconds
        free = [0.0] * self.scheduler.resource_count
        starts = [0.0] * len(duration)
        for task in order:
            start = starts[task]
            wanted = self.scheduler.occupied[self.place[task]] if duration[task] > 0 and resources else ()
            for q in wanted:
                start = max(start, free[q])
            starts[task] = start
            end = start + duration[task]
            for q in wanted:
                free[q] = end
            for follower in self.after[task]:
                if end > starts[follower]:
                    starts[follower] = end
        return starts

    def order_of(self, starts: Sequence[float]) -> list[int]:
        """Return the topological order of the tasks that follows `starts` as far as it can (M,)."""
        rank = [0] * len(self.order)
        for position, task in enumerate(self.order):
            rank[task] = position
        waiting = list(self.waits_for)
        heap = [(starts[t], rank[t], t) for t, count in enumerate(waiting) if not count]
        heapq.heapify(heap)
        order = []
        while heap:
            task = heapq.heappop(heap)[2]
            order.append(task)
            for follower in self.after[task]:
                waiting[follower] -= 1
                if not waiting[follower]:
                    heapq.heappush(heap, (starts[follower], rank[follower], follower))
        return order

    def in_order_of(self, starts: Sequence[float]) -> Times:
        """Return the earliest starts in the order of these, on every resource."""
        order = self.order_of(starts)
        return Times(self, order, self.retime(order))

    def latencies(self, starts: Sequence[float], seconds: Sequence[float] | None = None) -> Array:
        """Return when the last node of every network ends (A,), with the tasks' own durations or other ones."""
        nodes = len(self.placement)
        duration = self.seconds if seconds is None else seconds
        ends = np.array(starts[:nodes]) + np.array(duration[:nodes])
        latencies = np.zeros(len(self.scheduler.compiled.network_names))
        np.maximum.at(latencies, self.scheduler.compiled.node_network, ends)
        return latencies

    def plan(self, starts: Sequence[float]) -> Plan:
        """Return the plan with this placement and these starts."""
        c = self.scheduler.compiled
        plan = c.plan(self.placement)
        layers: dict[str, dict[str, float]] = {name: {} for name in c.network_names}
        for key, start in zip(c.layer_keys, starts, strict=False):
            if key is not None:
                layers[key[0]][key[1]] = start
        transfers = []
        for hop, start in enumerate(starts[len(self.placement) :]):
            network, tensor, link, destination = self._hop_names(hop)
            transfers.append(Transfer(network=network, tensor=tensor, link=link, destination=destination, start=start))
        return plan.model_copy(update={"schedule": Schedule(layers=layers, transfers=tuple(transfers))})

    def _hop_names(self, hop: int) -> tuple[str, str, str, str | None]:
        """Return network, tensor, link and destination of a hop, as a Transfer names them."""
        c = self.scheduler.compiled
        tensor, destination = self.hop_tensor[hop], self.hop_destination[hop]
        network = c.network_names[c.tensor_network[tensor]]
        prefix = f"{network}." if len(c.network_names) > 1 else ""
        link = self.place[len(self.placement) + hop] - len(c.device_names)
        return (
            network,
            c.tensor_names[tensor].removeprefix(prefix),
            c.link_names[link],
            None if destination < 0 else c.device_names[destination],
        )

    def starts_of(self, plan: Plan) -> list[float]:
        """Return the starts (M,) in a plan with this placement; without a schedule, those of the list schedule.

        Copies for one device (per_edge) go to its consumers in the order of their starts, the output last.
        """
        if plan.schedule is None:
            return self.list_schedule()
        c, nodes = self.scheduler.compiled, len(self.placement)
        starts = [0.0] * len(self.seconds)
        for node, key in enumerate(c.layer_keys):
            if key is not None:
                starts[node] = plan.schedule.layers[key[0]][key[1]]
        given: dict[tuple[str, str, str, str | None], list[float]] = defaultdict(list)
        for transfer in plan.schedule.transfers:
            given[transfer.network, transfer.tensor, transfer.link, transfer.destination].append(transfer.start)

        def of_consumer(hop: int) -> tuple[bool, float]:
            consumer = c.edge_consumer[self.hop_edge[hop]]
            return not c.is_layer[consumer], starts[consumer]

        alike: dict[tuple[str, str, str, str | None], list[int]] = defaultdict(list)
        for hop in range(len(self.hop_tensor)):
            alike[self._hop_names(hop)].append(hop)
        for names, hops in alike.items():
            for hop, start in zip(sorted(hops, key=of_consumer), sorted(given[names]), strict=True):
                starts[nodes + hop] = start
        for task in self.order:  # pseudo-layers have no start of their own: the earliest
            for follower in self.after[task]:
                if follower < nodes and not c.is_layer[follower]:
                    starts[follower] = max(starts[follower], starts[task] + self.seconds[task])
        return starts


class Scheduler:
    """Makes the tasks of a problem's placements.

    Attributes
    ----------
    compiled : CompiledProblem
    occupied : list of tuples (D + L,)
        The resources of each device, then of each link.
    node_order : list (N,)
        A topological order of the nodes, by the time at which each could start if all ran where they are fastest.
    tensors_of : list (N,)
        For each node the tensors that it makes, each with its uses: (edge, consumer).
    hop_seconds : array (T, L)
    """

    def __init__(self, compiled: CompiledProblem) -> None:
        c = self.compiled = compiled
        self.resource_count = len(c.resource_names)
        members = np.concatenate([c.resource_devices, c.resource_links], axis=1)
        self.occupied = [tuple(np.flatnonzero(column).tolist()) for column in members.T]
        self._nodes = np.arange(len(c.node_names))
        self.hop_seconds = c.hop_seconds
        self._hop_seconds = self.hop_seconds.tolist()
        self.tensors_of: list[list[tuple[int, list[tuple[int, int]]]]] = [[] for _ in c.node_names]
        for tensor in np.flatnonzero(c.fan_out).tolist():
            edges = np.flatnonzero(c.edge_tensor == tensor)
            uses = list(zip(edges.tolist(), c.edge_consumer[edges].tolist(), strict=True))
            self.tensors_of[c.producer[tensor]].append((tensor, uses))
        self.node_order = self._order()

    def _order(self) -> list[int]:
        c = self.compiled
        least = c.allowed_time.min(axis=1)
        seconds = np.where(np.isfinite(least), least, 0.0).tolist()
        start, depth = [0.0] * len(seconds), [0] * len(seconds)
        for edge in np.argsort(c.edge_consumer, kind="stable").tolist():
            u, v = int(c.edge_producer[edge]), int(c.edge_consumer[edge])
            start[v] = max(start[v], start[u] + seconds[u])
            depth[v] = max(depth[v], depth[u] + 1)
        return sorted(range(len(seconds)), key=lambda node: (start[node], depth[node], node))

    def tasks(self, placement: Index) -> Tasks:
        """Return the tasks of a placement (N,). Where there is no route nothing is sent."""
        c, nodes = self.compiled, len(self._nodes)
        device = c.executor_device[placement].tolist()
        tasks = Tasks(
            scheduler=self,
            placement=placement,
            seconds=c.seconds[self._nodes, placement].tolist(),
            place=list(device),
            hop_tensor=[],
            hop_edge=[],
            hop_destination=[],
            hop_from_end=[],
            after=[[] for _ in range(nodes)],
            order=[],
        )
        for node in self.node_order:
            tasks.order.append(node)
            for tensor, uses in self.tensors_of[node]:
                self._send(tasks, node, tensor, uses, device)
        return tasks

    def _send(self, tasks: Tasks, producer: int, tensor: int, uses: list[tuple[int, int]], device: list[int]) -> None:
        """Add the hops of a tensor, and who waits for them."""
        c, after = self.compiled, tasks.after
        arrived: dict[int, int] = {device[producer]: producer}  # device -> the task that brings the tensor there
        crossed: dict[int, int] = {}  # multicast: link -> the task on it
        for edge, consumer in uses:
            destination = device[consumer]
            last = arrived.get(destination)
            if last is None:
                last = producer
                route = c.route_links[device[producer]][destination] or ()
                for position, link in enumerate(route):
                    if c.transport == "multicast" and link in crossed:
                        last = crossed[link]
                        continue
                    hop = len(after)
                    after[last].append(hop)
                    after.append([])
                    tasks.order.append(hop)
                    tasks.seconds.append(self._hop_seconds[tensor][link])
                    tasks.place.append(len(c.device_names) + link)
                    tasks.hop_tensor.append(tensor)
                    tasks.hop_edge.append(edge)
                    tasks.hop_destination.append(-1 if c.transport == "multicast" else destination)
                    tasks.hop_from_end.append(len(route) - 1 - position)
                    crossed[link] = last = hop
                if c.transport != "per_edge":
                    arrived[destination] = last
            after[last].append(consumer)


@kept
def scheduler_of(compiled: CompiledProblem) -> Scheduler:
    """Return the problem's scheduler."""
    return Scheduler(compiled)


@dataclass(frozen=True, eq=False)
class Times:
    """A plan's tasks, and their earliest starts in the order that the plan has on every resource.

    Attributes
    ----------
    tasks : Tasks
    order : list (M,)
    starts : list (M,)
    """

    tasks: Tasks
    order: list[int]
    starts: list[float]

    @property
    def placement(self) -> Index:
        """Executor of each node (N,)."""
        return self.tasks.placement


def times_of(compiled: CompiledProblem, plan: Plan) -> Times:
    """Return the exact times of a plan for scheduled execution; one without a schedule is list-scheduled."""
    tasks = scheduler_of(compiled).tasks(compiled.placement(plan))
    return tasks.in_order_of(tasks.starts_of(plan))


def list_times(compiled: CompiledProblem, placement: Index) -> Times:
    """Return the times of a placement (N,) in the order of its list schedule by bottom levels."""
    tasks = scheduler_of(compiled).tasks(placement)
    return tasks.in_order_of(tasks.list_schedule())


def plan_of(compiled: CompiledProblem, placement: Index, times: Times | None = None) -> Plan:
    """Return the plan of a placement (N,); under scheduled execution, with these times or its list schedule."""
    if compiled.execution != "scheduled":
        return compiled.plan(placement)
    if times is not None:
        return times.tasks.plan(times.starts)
    tasks = scheduler_of(compiled).tasks(placement)
    return tasks.plan(tasks.list_schedule())
