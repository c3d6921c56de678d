"""Evaluator: metrics of many placements at once, in numpy. What searches use; the referee is the independent check.

Placements are arrays (B, N) of executors. Everything is in SI units.
"""

from __future__ import annotations

from functools import cached_property
from typing import assert_never

import numpy as np

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.batch_scheduling import BatchScheduler
from dnnopt.compiled.call_times import call_times
from dnnopt.compiled.compiled import CompiledProblem, kept
from dnnopt.compiled.constraints import (
    CallOrder,
    CustomLimit,
    DeadlineLimit,
    LatencyTerm,
    LinearLimit,
    LinearTerm,
    Logical,
    MaxTerm,
    MemoryLimit,
    MulticastTrees,
    ObjectiveLimit,
    ObjectiveTerm,
    OneMode,
    PeriodTerm,
    ShareLimit,
    WorstLeakageTerm,
)
from dnnopt.compiled.logical import LOGICAL
from dnnopt.compiled.metrics import Array, Index, LinearMetric, Mask
from dnnopt.compiled.scheduling import scheduler_of
from dnnopt.compiled.scope import Scope
from dnnopt.compiled.ties import torn_blocks

TOLERANCE = 1e-9
TINY = np.finfo(float).tiny
HALF_A_BYTE = 0.5  # memory is in whole bytes, and must stay exact where 1e-9 of it is more than one
_INEXACT = 2.0**53  # from there on floats are not whole bytes


def memory_room(limit: float) -> float:
    """Return by how many bytes a limit on memory may be exceeded: rounding, and never a byte where bytes are exact."""
    room = TOLERANCE * max(limit, float(TINY))
    return min(room, HALF_A_BYTE) if limit < _INEXACT else room


SCOPE = Scope(
    enforces=frozenset(
        {
            LinearLimit,
            MemoryLimit,
            DeadlineLimit,
            ObjectiveLimit,
            CallOrder,
            MulticastTrees,
            OneMode,
            ShareLimit,
            CustomLimit,
            *LOGICAL,
        }
    ),
    terms=frozenset({LinearTerm, LatencyTerm, PeriodTerm, WorstLeakageTerm, MaxTerm}),
    latencies=frozenset({"parallel", "scheduled", "call"}),
    priorities=True,
    choices=True,
    blocks=True,
)


class Evaluator:
    """Objective and constraint violation of placements."""

    def __init__(self, compiled: CompiledProblem) -> None:
        self.compiled = compiled
        self._siblings = self._earlier_siblings()
        self._nodes = np.arange(len(compiled.node_names))
        # Edges that go nowhere have the pair -1: the last row.
        self._uses_link = np.vstack([compiled.pair_uses_link, np.zeros((1, len(compiled.link_names)), dtype=bool)])

    @staticmethod
    def refuses(compiled: CompiledProblem) -> str | None:
        """Return what of the problem a placement alone does not tell, or None."""
        return SCOPE.refuses(compiled)

    def _earlier_siblings(self) -> list[tuple[Index, Index]]:
        """Return pairs (edges, their siblings d places before) of the same tensor, for d = 1, 2, ...

        Edges are ordered by tensor, so the siblings of an edge are next to it.
        """
        tensor = self.compiled.edge_tensor
        pairs = []
        for distance in range(1, int(self.compiled.fan_out.max(initial=0))):
            later = np.arange(distance, len(tensor))
            same = later[tensor[later] == tensor[later - distance]]
            pairs.append((same, same - distance))
        return pairs

    def devices(self, placements: Index) -> Index:
        """Return the devices (B, N)."""
        return self.compiled.executor_device[placements]

    def edge_pairs(self, placements: Index) -> Index:
        """Return the pair of devices over which each edge goes (B, E); -1: none."""
        return self.compiled.edge_pairs(placements)

    def first_copies(self, pairs: Index) -> Mask:
        """Return which edges (B, E) are the first of their tensor to reach their destination device."""
        first = (pairs >= 0).astype(bool)
        for later, earlier in self._siblings:
            first[:, later] &= pairs[:, later] != pairs[:, earlier]
        return first

    def copies_by_link(self, pairs: Index) -> Array:
        """Return the copies of each tensor over each link, `w_τℓ` (B, T, L)."""
        c = self.compiled
        copies = np.zeros((len(pairs), len(c.tensor_names), len(c.link_names)))
        batch, edge = _true(self.first_copies(pairs) if c.transport == "unicast" else pairs >= 0)
        sent, link = _true(self._uses_link[pairs[batch, edge]])
        batch, edge = batch[sent], edge[sent]
        if c.transport == "multicast":
            copies[batch, c.edge_tensor[edge], link] = 1.0
        else:
            np.add.at(copies, (batch, c.edge_tensor[edge], link), 1.0)
        return copies

    def exposed(self, placements: Index, pairs: Index) -> Mask:
        """Return which tensors are exposed, `h_τ` (B, T)."""
        c = self.compiled
        untrusted_route = np.any(self._uses_link & ~c.link_trusted, axis=1)
        exposed = np.zeros((len(placements), len(c.tensor_names)), dtype=bool)
        at_consumer = ~c.device_trusted[self.devices(placements)[:, c.use_consumer]]
        batch, use = _true(at_consumer)
        exposed[batch, c.use_tensor[use]] = True
        batch, edge = _true(untrusted_route[pairs])
        exposed[batch, c.edge_tensor[edge]] = True
        return exposed

    def events(self, placements: Index, pairs: Index) -> Mask:
        """Return which events happen, `g_χ` (B, X)."""
        c, events = self.compiled, self.compiled.events
        happens = np.zeros((len(placements), len(events)), dtype=bool)
        batch, edge = _true(pairs >= 0)  # few of all, as an edge has entries for all choices
        of_edge, first, count = self._edge_events
        row = np.repeat(np.arange(len(edge)), count[edge])
        place = np.arange(len(row)) - np.repeat(np.cumsum(count[edge]) - count[edge], count[edge])
        event = of_edge[np.repeat(first[edge], count[edge]) + place]
        some = c.event_pairs[event, pairs[batch[row], edge[row]]]
        happens[batch[row[some]], event[some]] = True
        if len(events.stay_event):
            device = self.devices(placements)
            here, there = (device[:, ends[events.stay_edge]] for ends in (c.edge_producer, c.edge_consumer))
            batch, stay = _true((here == there) & events.stay_devices[here])
            happens[batch, events.stay_event[stay]] = True
        return happens

    @cached_property
    def _edge_events(self) -> tuple[Index, Index, Index]:
        """The events that each edge may bring about, one edge after the other; where those of each begin, how many."""
        events, edges = self.compiled.events, len(self.compiled.edges)
        count = np.bincount(events.edge, minlength=edges)
        return events.event[np.argsort(events.edge, kind="stable")], np.cumsum(count) - count, count

    def metric(self, metric: LinearMetric, placements: Index, pairs: Index | None = None) -> Array:
        """Return a linear metric (B,)."""
        c = self.compiled
        total = metric.alpha[self._nodes, placements].sum(axis=1)
        if metric.sends and len(c.edges):
            pairs = self.edge_pairs(placements) if pairs is None else pairs
            if c.transport == "multicast":
                per_tensor = metric.link_charges(c.tensor_bytes)
                total = total + np.einsum("btl,tl->b", self.copies_by_link(pairs), per_tensor)
            else:
                per_copy = np.append(c.pair_uses_link @ metric.per_copy, 0.0)
                per_byte = np.append(c.pair_uses_link @ metric.per_byte, 0.0)
                sent = per_copy[pairs] + c.tensor_bytes[c.edge_tensor] * per_byte[pairs]
                if c.transport == "unicast":
                    sent = np.where(self.first_copies(pairs), sent, 0.0)
                total = total + sent @ metric.scale[c.edge_tensor]
        if metric.exposes:
            pairs = self.edge_pairs(placements) if pairs is None else pairs
            total = total + self.exposed(placements, pairs) @ metric.gamma
        if metric.happens:
            pairs = self.edge_pairs(placements) if pairs is None else pairs
            total = total + self.events(placements, pairs) @ metric.on_event
        return total

    def loads(self, placements: Index, pairs: Index | None = None) -> Array:
        """Return the load of every resource (B, Q)."""
        c = self.compiled
        shape = len(placements), len(c.device_names)
        cell = np.arange(shape[0])[:, None] * shape[1] + self.devices(placements)
        seconds = c.seconds[self._nodes, placements]
        by_device = np.bincount(cell.ravel(), seconds.ravel(), shape[0] * shape[1]).reshape(shape)
        loads: Array = by_device @ c.resource_devices.T.astype(float)
        if len(c.edges) and len(c.link_names):
            copies = self.copies_by_link(self.edge_pairs(placements) if pairs is None else pairs)
            loads = loads + np.einsum("btl,tl->bl", copies, c.hop_seconds) @ c.resource_links.T
        if c.events.seconds.any():
            happens = self.events(placements, self.edge_pairs(placements) if pairs is None else pairs)
            loads = loads + happens @ np.array([load.on_event for load in c.loads]).T
        return loads

    def starts(self, placements: Index) -> Array:
        """Return the earliest start of every node on the critical path, without contention (B, N)."""
        c = self.compiled
        starts = np.zeros(placements.shape)
        if not len(c.edges):
            return starts
        pairs = self.edge_pairs(placements)
        transfer = self._transfer[np.arange(pairs.shape[1]), pairs]
        seconds = c.seconds[self._nodes, placements]
        for edge in np.argsort(c.edge_consumer, kind="stable"):
            u, v = c.edge_producer[edge], c.edge_consumer[edge]
            arrival = starts[:, u] + seconds[:, u] + transfer[:, edge]
            np.maximum(starts[:, v], arrival, out=starts[:, v])
        return starts

    def latencies(self, placements: Index, starts: Array | None = None) -> Array:
        """Return each network's latency (B, A): critical path, end of a simple schedule, or of the last call."""
        c = self.compiled
        if c.execution == "scheduled" and starts is None:
            return self._batch_scheduler.latencies(placements)
        if c.execution == "call":
            seconds = self.call_seconds(placements)
            ends = [
                call_times(c, placement, times).end.max() for placement, times in zip(placements, seconds, strict=True)
            ]
            return np.array(ends)[:, None]
        starts = self.starts(placements) if starts is None else starts
        finish = starts + c.seconds[self._nodes, placements]
        return np.stack([finish[:, c.node_network == a].max(axis=1) for a in range(len(c.network_names))], axis=1)

    def call_seconds(self, placements: Index) -> Array:
        """Return the time of each device's call, all that it receives and sends included (B, D); 0 for pools."""
        c = self.compiled
        assert c.call_links is not None
        assert c.pools is not None
        here = self.devices(placements)[:, :, None] == np.flatnonzero(~c.pools)
        seconds = np.zeros((len(placements), len(c.device_names)))
        seconds[:, ~c.pools] = np.einsum("bn,bnd->bd", self.compiled.seconds[self._nodes, placements], here)
        if len(c.edges) and len(c.link_names):
            copies = self.copies_by_link(self.edge_pairs(placements))
            seconds += np.einsum("btl,tl->bl", copies, c.hop_seconds) @ c.call_links.T
        return seconds

    @cached_property
    def _transfer(self) -> Array:
        """Seconds of each edge over each pair's route (E, P + 1); 0 for the pair -1."""
        c = self.compiled
        return np.pad(c.edge_seconds, ((0, 0), (0, 1)))

    @cached_property
    def _batch_scheduler(self) -> BatchScheduler:
        return BatchScheduler(scheduler_of(self.compiled))

    def memory_used(self, limit: MemoryLimit, placements: Index, pairs: Index) -> Array:
        """Return the bytes that a memory rule counts on its device (B,)."""
        c = self.compiled
        here = self.devices(placements) == limit.device
        if len(limit.executors) == 1:
            used = here @ limit.resident
            for nodes, amounts in limit.parts:
                used = used + (here[:, nodes] * amounts).max(axis=1, initial=0.0)
        else:
            used = self._held_in_modes(limit, placements, here)
        if limit.buffers and len(c.edges):
            used = used + limit.buffers * (self.touched(pairs, limit.device) @ c.buffer_bytes)
        return used

    def _held_in_modes(self, limit: MemoryLimit, placements: Index, here: Mask) -> Array:
        """Return the bytes of layers and shared weights on a device with several executors (B,)."""
        column = np.searchsorted(limit.executors, placements)
        column = np.where(here, column, 0)
        used = (limit.resident_in[self._nodes, column] * here).sum(axis=1)
        used = used + (limit.peak_in[self._nodes, column] * here).max(axis=1, initial=0.0)
        host = self.compiled.executor_host[placements]
        for number, factor in zip(limit.hosts, limit.factors, strict=True):
            held = (host == number).astype(float) @ limit.shared.readers.T.astype(float) > 0
            used = used + factor * (held @ limit.shared.bytes)
        return used

    def touched(self, pairs: Index, device: int) -> Mask:
        """Return which tensors the device sends or receives (B, T)."""
        c = self.compiled
        ends = np.append((c.pair_origin == device) | (c.pair_destination == device), False)
        touched = np.zeros((len(pairs), len(c.tensor_names)), dtype=bool)
        batch, edge = _true(ends[pairs])
        touched[batch, c.edge_tensor[edge]] = True
        return touched

    def objectives(self, placements: Index, priority: int = 0) -> Array:
        """Return the objective of one priority (B,)."""
        return self.total(self.compiled.objective[priority], placements)

    def total(self, terms: tuple[ObjectiveTerm, ...], placements: Index) -> Array:
        """Return the weighted sum of objective terms (B,)."""
        c = self.compiled
        pairs = self.edge_pairs(placements)
        latencies: Array | None = None
        total = np.zeros(len(placements))
        for term in terms:
            if term.weight == 0:  # times an infinite latency it would be no number
                continue
            match term:
                case LinearTerm():
                    value = self.metric(term.metric, placements, pairs)
                case LatencyTerm():
                    latencies = self.latencies(placements) if latencies is None else latencies
                    value = latencies[:, term.network]
                case PeriodTerm():
                    value = self.loads(placements, pairs).max(axis=1)
                case WorstLeakageTerm():
                    value = (self.exposed(placements, pairs) * np.nan_to_num(c.sensitivity)).max(axis=1, initial=0.0)
                    if len(c.events):
                        seen = self.events(placements, pairs) * c.events.sensitivity
                        value = np.maximum(value, seen.max(axis=1))
                case MaxTerm():
                    value = np.max([self.total((part,), placements) for part in term.parts], axis=0)
                case _:
                    assert_never(term)
            total = total + term.weight * value
        return total

    def excess(self, placements: Index) -> Array:
        """Return the relative violation summed over everything that must hold (B,); 0: feasible."""
        c = self.compiled
        pairs = self.edge_pairs(placements)
        excess = (~c.allowed[self._nodes, placements]).sum(axis=1).astype(float)
        excess += ((pairs >= 0) & ~np.append(c.pair_routed, True)[pairs]).sum(axis=1)
        if c.barred_moves is not None:
            barred = np.append(c.barred_moves, np.zeros((len(c.edges), 1), dtype=bool), axis=1)
            excess += barred[np.arange(len(c.edges)), pairs].sum(axis=1)
        if c.blocks:
            excess += torn_blocks(c, placements)
        latencies: Array | None = None
        for constraint in c.constraints:
            match constraint:
                case LinearLimit():
                    value, limit = self.metric(constraint.metric, placements, pairs), constraint.limit
                case MemoryLimit():
                    value, limit = self.memory_used(constraint, placements, pairs), constraint.limit
                case ObjectiveLimit():
                    value, limit = self.total(constraint.terms, placements), constraint.limit
                case DeadlineLimit():
                    latencies = self.latencies(placements) if latencies is None else latencies
                    value, limit = latencies[:, constraint.network], constraint.limit
                case CallOrder():
                    latencies = self.latencies(placements) if latencies is None else latencies
                    excess += ~np.isfinite(latencies[:, constraint.network])
                    continue
                case Logical():
                    excess += constraint.excess(c, self.devices(placements), pairs)
                    continue
                case ShareLimit():
                    excess += self._missed_share(constraint, placements, pairs)
                    continue
                case OneMode():
                    here = np.where(self.devices(placements) == constraint.device, c.executor_host[placements], -1)
                    hosts = np.flatnonzero(c.host_device == constraint.device)
                    used = (here[:, c.is_layer, None] == hosts).any(axis=1).sum(axis=1)
                    excess += np.maximum(used - 1, 0)
                    continue
                case MulticastTrees():
                    excess += self._tensors_without_tree(constraint, pairs)
                    continue
                case CustomLimit():
                    found = np.array([constraint.violation(c.plan(placement)) for placement in placements])
                    excess += found * (found > TOLERANCE)
                    continue
                case _:
                    what = f"the constraint {constraint.label} cannot be evaluated for many plans"
                    raise UnsupportedError("", problem=what)
            over = value - limit
            room = TOLERANCE * max(abs(limit), TINY)
            if isinstance(constraint, MemoryLimit):
                room = memory_room(limit)
            excess += np.where(over > room, over / (abs(limit) or 1.0), 0.0)
        return excess

    def _missed_share(self, limit: ShareLimit, placements: Index, pairs: Index) -> Array:
        """Return by how much probability a limit is kept in too few scenarios (B,)."""
        kept = np.zeros(len(placements))
        for metric, probability in zip(limit.metrics, limit.probabilities, strict=True):
            over = self.metric(metric, placements, pairs) - limit.limit
            kept += probability * (over <= TOLERANCE * max(abs(limit.limit), TINY))
        missed = limit.share - kept
        return np.where(missed > TOLERANCE, missed, 0.0)

    def _tensors_without_tree(self, constraint: MulticastTrees, pairs: Index) -> Array:
        """Return how many tensors go to two devices whose routes reach a link in two ways (B,)."""
        c = self.compiled
        sent = np.zeros((len(pairs), len(c.tensor_names), len(c.pair_origin)), dtype=bool)
        batch, edge = _true(pairs >= 0)
        sent[batch, c.edge_tensor[edge], pairs[batch, edge]] = True
        broken = np.zeros(sent.shape[:2], dtype=bool)
        for origin, first, second in constraint.conflicts:
            broken |= sent[:, :, c.pair_number[origin, first]] & sent[:, :, c.pair_number[origin, second]]
        return broken.sum(axis=1).astype(float)


def _true(mask: Mask) -> tuple[Index, Index]:
    """Return what `np.nonzero` says of a matrix, in a fraction of its time."""
    return np.divmod(np.flatnonzero(mask), max(mask.shape[1], 1))


@kept
def evaluator_of(compiled: CompiledProblem) -> Evaluator:
    """Return the problem's evaluator."""
    return Evaluator(compiled)
