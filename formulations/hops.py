"""Hops: the transfers that `scheduled` execution may need, and a start for each. Shared by MILP and CP.

A carrier is what is sent as one: a tensor (unicast, multicast) or a use of a tensor (per_edge). A slot is a hop of a
carrier to a destination, counted from the last one back; which link it is on depends on where the carrier comes from,
so a slot has one way for each pair of devices. Under multicast a tensor with several uses has a slot for each link.

    F >= S_u + Σ_i t_ui x_ui                        every slot; u: the producer
    F_h >= F_h+1 + Σ_ways s w                       slot h follows slot h + 1
    S_v >= F_0 + Σ_ways s w     if v is there       each use v, and the last slot of its destination
    F_ℓ >= F_ℓ' + s             if y_ij             multicast: ℓ follows ℓ' on the route from i to j
    S_v >= F_ℓ + s              if y_ij             multicast: ℓ is the last on the route

A slot that is not used starts when its producer ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import MulticastTrees
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.compiled.scheduling import Tasks
from dnnopt.compiled.windows import Durations
from dnnopt.formulations.copies import Copies
from dnnopt.models.arrays import Columns


@dataclass(frozen=True, eq=False)
class Hops:
    """Carriers, slots and ways.

    Attributes
    ----------
    edge_carrier : array (E,)
    carrier_tensor : array (m,)
    slot_carrier, slot_device, slot_from_end, slot_link : array (S,)
        Carrier; destination and how many hops follow, or (multicast) -1, -1 and the link, else -1.
    way_column, way_link, way_pair : array (S, W)
        Column that says that the slot is on a link, the link, and the pair of devices (-1: any); -1, -1: no such way.
    chains : array (C, 2)
        Slots of which the second follows the first.
    arrivals : array (R, 3)
        Last slot, edge, device.
    conditional_chains, conditional_arrivals : array (., 3)
        Multicast: slot, next slot, column of y; last slot, edge, column of y.
    """

    edge_carrier: Index
    carrier_tensor: Index
    slot_carrier: Index
    slot_device: Index
    slot_from_end: Index
    slot_link: Index
    way_column: Columns
    way_link: Index
    way_pair: Index
    chains: Index
    arrivals: Index
    conditional_chains: Index
    conditional_arrivals: Index

    def way_seconds(self, durations: Durations) -> Array:
        """Return the time of each way (S, W); 0 where there is none."""
        tensor = self.carrier_tensor[self.slot_carrier]
        return np.where(self.way_link >= 0, durations.hop[tensor[:, None], self.way_link], 0.0)

    def labels(self, c: CompiledProblem) -> list[str]:
        """Return ``tensor,destination,from end`` or ``tensor,link`` for each slot, with the consumer under per_edge."""
        names = []
        for slot, carrier in enumerate(self.slot_carrier.tolist()):
            name = c.tensor_names[self.carrier_tensor[carrier]]
            if c.transport == "per_edge":
                edge = int(np.flatnonzero(self.edge_carrier == carrier)[0])
                name = f"{name},{c.node_names[c.edge_consumer[edge]]}"
            if self.slot_link[slot] >= 0:
                names.append(f"{name},{c.link_names[self.slot_link[slot]]}")
            else:
                names.append(f"{name},{c.device_names[self.slot_device[slot]]},{self.slot_from_end[slot]}")
        return names

    def slots_of(self, c: CompiledProblem, tasks: Tasks) -> Index:
        """Return the slot of every hop of a placement; -1 for hops that the problem forbids."""
        keys = zip(
            self.slot_carrier.tolist(),
            self.slot_device.tolist(),
            self.slot_from_end.tolist(),
            self.slot_link.tolist(),
            strict=True,
        )
        slots = {key: slot for slot, key in enumerate(keys)}
        device = c.executor_device[tasks.placement]
        found = np.zeros(len(tasks.hop_edge), dtype=np.int64)
        for hop, edge in enumerate(tasks.hop_edge):
            carrier = int(self.edge_carrier[edge])
            link = tasks.place[len(tasks.placement) + hop] - len(c.device_names)
            by_link = (carrier, -1, -1, link)
            to_device = (carrier, int(device[c.edge_consumer[edge]]), tasks.hop_from_end[hop], -1)
            found[hop] = slots.get(by_link, slots.get(to_device, -1))
        return found

    def starts(self, c: CompiledProblem, tasks: Tasks, starts: Sequence[float], seconds: Sequence[float]) -> Array:
        """Return the start of every slot (S,), given those of the tasks of a placement."""
        producer = c.producer[self.carrier_tensor[self.slot_carrier]]
        values = (np.array(starts) + np.array(seconds))[producer]
        slots = self.slots_of(c, tasks)
        values[slots[slots >= 0]] = np.array(starts[len(tasks.placement) :])[slots >= 0]
        return values


@dataclass
class _Slots:
    """Slots under construction."""

    carrier: list[int] = field(default_factory=list)
    device: list[int] = field(default_factory=list)
    from_end: list[int] = field(default_factory=list)
    link: list[int] = field(default_factory=list)
    ways: list[list[tuple[int, int, int]]] = field(default_factory=list)

    def add(self, carrier: int, device: int, from_end: int, link: int) -> int:
        self.carrier.append(carrier)
        self.device.append(device)
        self.from_end.append(from_end)
        self.link.append(link)
        self.ways.append([])
        return len(self.carrier) - 1


def hops(c: CompiledProblem, copies: Sequence[Copies], y: Columns) -> Hops:
    """Return the hops of a problem.

    Parameters
    ----------
    copies : sequence of Copies
        Of the tensors with one use and of those with several, or of all edges.
    y : columns (E, P)
    """
    by_edge = c.transport == "per_edge"
    tensors = c.edge_tensor if by_edge else np.flatnonzero(c.fan_out)
    edge_carrier = np.arange(len(c.edges)) if by_edge else np.searchsorted(tensors, c.edge_tensor)
    links_of = {}
    slots = _Slots()
    chains: list[tuple[int, int]] = []
    arrivals: list[tuple[int, int, int]] = []
    if by_edge:
        columns_of = dict(enumerate(y))
    else:
        columns_of = {
            int(np.searchsorted(tensors, tensor)): columns
            for block in copies
            for tensor, columns in zip(block.tensor, block.columns, strict=True)
        }
    usable = _usable_pairs(c)
    shared = c.fan_out[tensors] > 1
    for carrier in range(len(tensors)):
        edges = np.flatnonzero(edge_carrier == carrier)
        pairs = np.flatnonzero(usable[edges].any(axis=0)).tolist()
        if c.transport == "multicast" and shared[carrier]:
            used = sorted({link for p in pairs for link in _route(c, p)})
            for link in used:
                links_of[carrier, link] = slot = slots.add(carrier, -1, -1, link)
                slots.ways[slot].append((int(columns_of[carrier][link]), link, -1))
            continue
        for device in np.unique(c.pair_destination[pairs]).tolist():
            here = [p for p in pairs if c.pair_destination[p] == device]
            first = len(slots.carrier)
            longest = max(len(_route(c, p)) for p in here)
            for from_end in range(longest):
                slots.add(carrier, device, from_end, -1)
            chains += [(first + h + 1, first + h) for h in range(longest - 1)]
            for p in here:
                for from_end, link in enumerate(reversed(_route(c, p))):
                    slots.ways[first + from_end].append((int(columns_of[carrier][p]), link, int(p)))
            if longest:
                arrivals += [(first, int(e), device) for e in edges if usable[e, here].any()]
    conditional = _conditional(c, y, usable, edge_carrier, links_of)
    width = max((len(ways) for ways in slots.ways), default=0)
    padded = [ways + [(0, -1, -1)] * (width - len(ways)) for ways in slots.ways]
    table = np.array(padded, dtype=np.int64).reshape(len(padded), width, 3)
    return Hops(
        edge_carrier=edge_carrier,
        carrier_tensor=tensors,
        slot_carrier=np.array(slots.carrier, dtype=np.int64),
        slot_device=np.array(slots.device, dtype=np.int64),
        slot_from_end=np.array(slots.from_end, dtype=np.int64),
        slot_link=np.array(slots.link, dtype=np.int64),
        way_column=table[:, :, 0],
        way_link=table[:, :, 1],
        way_pair=table[:, :, 2],
        chains=np.array(chains, dtype=np.int64).reshape(-1, 2),
        arrivals=np.array(arrivals, dtype=np.int64).reshape(-1, 3),
        conditional_chains=np.array(conditional[0], dtype=np.int64).reshape(-1, 3),
        conditional_arrivals=np.array(conditional[1], dtype=np.int64).reshape(-1, 3),
    )


def _route(c: CompiledProblem, pair: int) -> tuple[int, ...]:
    return c.route_links[c.pair_origin[pair]][c.pair_destination[pair]] or ()


def _usable_pairs(c: CompiledProblem) -> Mask:
    """Return whether each edge may go over each pair's route (E, P), and the route has links."""
    return c.usable_moves & c.pair_uses_link.any(axis=1)


def _conditional(
    c: CompiledProblem, y: Columns, usable: Mask, edge_carrier: Index, links_of: dict[tuple[int, int], int]
) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """Return the rows of multicast that hold where an edge goes over a pair's route."""
    chains, arrivals = [], []
    for e, p in np.argwhere(usable):
        carrier, route = int(edge_carrier[e]), _route(c, p)
        if (carrier, route[0]) in links_of:
            on = [links_of[carrier, link] for link in route]
            chains += [(first, second, int(y[e, p])) for first, second in pairwise(on)]
            arrivals.append((on[-1], int(e), int(y[e, p])))
    return chains, arrivals


def not_a_tree(c: CompiledProblem) -> str | None:
    """Return why multicast does not fit the routes, or None.

    A copy that reaches a link in two ways has no one start there.
    """
    for one in c.constraints:
        if isinstance(one, MulticastTrees):
            return f"the constraint {one.label} (the routes from {c.device_names[one.conflicts[0][0]]} form no tree)"
    return None


def unordered(c: CompiledProblem, hops: Hops, reach: Mask) -> Mask:
    """Return which pairs of items, the nodes and then the carriers, the graph leaves unordered (N + m, N + m).

    A carrier is unordered with itself where it may be sent to several destinations.
    """
    nodes, carriers = len(c.node_names), len(hops.carrier_tensor)
    ends_before = np.ones((nodes + carriers, nodes), dtype=bool)
    ends_before[:nodes] = reach
    for edge, carrier in enumerate(hops.edge_carrier):
        consumer = c.edge_consumer[edge]
        after = reach[consumer].copy()
        after[consumer] = True
        ends_before[nodes + carrier] &= after
    producer = c.producer[hops.carrier_tensor]
    before_carrier = ends_before[:, producer].copy()
    before_carrier[producer, np.arange(carriers)] = True
    before = np.concatenate([ends_before, before_carrier], axis=1)
    free = ~(before | before.T)
    free[np.arange(nodes), np.arange(nodes)] = False
    several = np.bincount(hops.edge_carrier, minlength=carriers) > 1
    free[np.arange(nodes, nodes + carriers), np.arange(nodes, nodes + carriers)] = several
    return free
