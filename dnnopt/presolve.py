"""Presolve: what cannot be in any plan that is feasible and not above a cap on the objective.

Nothing is renamed or merged: placements of nodes and moves of edges are only forbidden, so plans need no mapping back.

    t_vi > T                                        no period below T with v on i; the same for transfers of an edge
    head_vi + t_vi + tail_vi > Λ                    no critical path below Λ with v on i; the same for moves of an edge
    m_v + r_v > M_i                                 v does not fit on i
    Σ_u min_i α_ui + α_vi - min_i α_vi > L          no metric below L with v on i
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dnnopt.compiled import (
    CompiledProblem,
    DeadlineLimit,
    Index,
    LatencyTerm,
    LinearLimit,
    LinearTerm,
    Mask,
    MaxTerm,
    MemoryLimit,
    ObjectiveLimit,
    ObjectiveTerm,
    PeriodTerm,
    WorstLeakageTerm,
)
from dnnopt.metrics import Array, Metric

# Relative room for rounding: nothing within it of a limit is forbidden.
_ROOM = 1e-9
_MOST_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Presolved:
    """A problem with fewer choices.

    Attributes
    ----------
    compiled : CompiledProblem
    infeasible : bool
        Whether some node has no place left: no plan is feasible within the cap.
    placements, moves : float
        Shares of the placements of layers, and of the moves of edges between devices, that were forbidden.
    """

    compiled: CompiledProblem
    infeasible: bool
    placements: float
    moves: float


def presolve(c: CompiledProblem, cap: float = np.inf) -> Presolved:
    """Forbid what cannot be in a feasible plan whose objective (SI, of the first priority) is at most `cap`."""
    reduction = _Reduction(c)
    for _ in range(_MOST_ROUNDS):
        before = reduction.allowed.sum() + reduction.moves.sum()
        reduction.round(cap)
        if reduction.infeasible or reduction.allowed.sum() + reduction.moves.sum() == before:
            break
    layers = c.allowed[c.is_layer].sum()
    moves = (_moves(c)).sum()
    return Presolved(
        compiled=replace(c, allowed=reduction.allowed, forbidden_moves=~reduction.moves),
        infeasible=reduction.infeasible,
        placements=1 - float(reduction.allowed[c.is_layer].sum() / layers) if layers else 0.0,
        moves=1 - float(reduction.moves.sum() / moves) if moves else 0.0,
    )


def _moves(c: CompiledProblem) -> Mask:
    """Return which pairs each edge may go over (E, P)."""
    u, v = c.allowed[c.edge_producer], c.allowed[c.edge_consumer]
    moves = c.pair_routed & _at_devices(c, u)[:, c.pair_origin] & _at_devices(c, v)[:, c.pair_destination]
    return moves if c.forbidden_moves is None else moves & ~c.forbidden_moves


def _at_devices(c: CompiledProblem, allowed: Mask) -> Mask:
    """Return the devices at which rows of executors (R, k) are allowed (R, D)."""
    at = np.zeros((len(allowed), len(c.device_names)), dtype=bool)
    for executor, device in enumerate(c.executor_device):
        at[:, device] |= allowed[:, executor]
    return at


class _Reduction:
    """Placements and moves that are still allowed."""

    def __init__(self, c: CompiledProblem) -> None:
        self.c = c
        self.allowed = c.allowed.copy()
        self.moves = _moves(c)
        self.time = np.where(np.isfinite(c.time), c.time, 0.0)
        per_copy, per_byte = c.pair_seconds
        self.transfer = per_copy + c.tensor_bytes[c.edge_tensor][:, None] * per_byte

    @property
    def infeasible(self) -> bool:
        return bool((~self.allowed.any(axis=1)).any())

    def round(self, cap: float) -> None:
        """Apply every rule once."""
        for constraint in self.c.constraints:
            match constraint:
                case MemoryLimit():
                    heavy = constraint.resident + constraint.peak > constraint.limit * (1 + _ROOM)
                    self.allowed[np.ix_(heavy, self.c.executor_device == constraint.device)] = False
                case LinearLimit():
                    self._metric(constraint.metric, constraint.limit)
                case DeadlineLimit():
                    self._critical_path(constraint.network, constraint.limit)
                case ObjectiveLimit():
                    self._terms(constraint.terms, constraint.limit)
        if cap < np.inf:
            self._terms(self.c.objective[0], cap)
        self._propagate()

    def _terms(self, terms: tuple[ObjectiveTerm, ...], cap: float) -> None:
        """Give each term what the others, at their least, leave of the cap."""
        least = [self._least(term) for term in terms]
        for term, mine in zip(terms, least, strict=True):
            if term.weight > 0:
                self._term(term, (cap - sum(least) + mine) / term.weight)

    def _term(self, term: ObjectiveTerm, cap: float) -> None:
        match term:
            case LinearTerm():
                self._metric(term.metric, cap)
            case LatencyTerm():
                self._critical_path(term.network, cap)
            case PeriodTerm():
                self._period(cap)
            case MaxTerm():
                for part in term.parts:
                    self._term(part, cap / part.weight)

    def _least(self, term: ObjectiveTerm) -> float:
        """Return a lower bound on a term, with its weight."""
        match term:
            case LinearTerm():
                return term.weight * self._least_metric(term.metric)
            case LatencyTerm():
                return term.weight * self._shortest(term.network)
            case MaxTerm():
                return term.weight * max((self._least(part) for part in term.parts), default=0.0)
            case PeriodTerm() | WorstLeakageTerm():
                return 0.0

    def _least_metric(self, metric: Metric) -> float:
        least = np.where(self.allowed, metric.alpha, np.inf).min(axis=1)
        return float(least.sum())

    def _metric(self, metric: Metric, limit: float) -> None:
        """Forbid a placement, or the move of an edge, that alone breaks `metric <= limit`."""
        least = np.where(self.allowed, metric.alpha, np.inf).min(axis=1)
        if not np.isfinite(least).all():
            return
        room = limit - least.sum() + _ROOM * (abs(limit) + np.abs(least).sum())
        self.allowed &= metric.alpha - least[:, None] <= room
        if metric.sends and len(self.c.edges):
            tensor = self.c.edge_tensor
            uses = self.c.pair_uses_link
            charge = uses @ metric.per_copy + self.c.tensor_bytes[tensor][:, None] * (uses @ metric.per_byte)
            self.moves &= metric.scale[tensor][:, None] * charge <= room

    def _period(self, cap: float) -> None:
        """Forbid what alone loads a resource beyond the cap."""
        c = self.c
        self.allowed &= self.time <= cap * (1 + _ROOM)
        for q in range(len(c.resource_names)):
            on = c.pair_uses_link & c.resource_links[q]
            seconds = on @ c.link_latency + c.tensor_bytes[c.edge_tensor][:, None] * (on @ (1.0 / c.link_bandwidth))
            self.moves &= seconds <= cap * (1 + _ROOM)

    def _critical_path(self, network: int, cap: float) -> None:
        """Forbid what does not fit between the earliest start and the latest end."""
        c = self.c
        head, tail = self._heads(), self._tails()
        limit = cap * (1 + _ROOM)
        mine = c.node_network == network
        self.allowed[mine] &= (head + self.time + tail)[mine] <= limit
        if not len(c.edges):
            return
        before = self._by_device(head + self.time)[c.edge_producer][:, c.pair_origin]
        after = self._by_device(self.time + tail)[c.edge_consumer][:, c.pair_destination]
        self.moves[mine[c.edge_producer]] &= (before + self.transfer + after)[mine[c.edge_producer]] <= limit

    def _shortest(self, network: int) -> float:
        """Return a lower bound on a network's critical path."""
        nodes = self.c.node_network == network
        through = np.where(self.allowed, self._heads() + self.time + self._tails(), np.inf).min(axis=1)[nodes]
        return float(through.max(initial=0.0))

    def _by_device(self, values: Array) -> Array:
        """Return the least of a node's allowed values on each device (N, D)."""
        least = np.full((len(values), len(self.c.device_names)), np.inf)
        masked = np.where(self.allowed, values, np.inf)
        for executor, device in enumerate(self.c.executor_device):
            least[:, device] = np.minimum(least[:, device], masked[:, executor])
        return least

    def _edges_by_step(self, ends: Index) -> Iterator[int]:
        yield from np.argsort(ends, kind="stable").tolist()

    def _arrivals(self, ready: Array, edge: int) -> Array:
        """Return the earliest arrival at each device of an edge whose producer is ready at each device (D,)."""
        c = self.c
        arrival = ready.copy()  # on the same device
        over = np.where(self.moves[edge], ready[c.pair_origin] + self.transfer[edge], np.inf)
        np.minimum.at(arrival, c.pair_destination, over)
        return arrival

    def _heads(self) -> Array:
        """Return a lower bound on the start of each node on each executor (N, k)."""
        c = self.c
        head = np.zeros(self.time.shape)
        for edge in self._edges_by_step(c.edge_consumer):
            u, v = c.edge_producer[edge], c.edge_consumer[edge]
            ready = self._device_least(u, head[u] + self.time[u])
            np.maximum(head[v], self._arrivals(ready, edge)[c.executor_device], out=head[v])
        return head

    def _tails(self) -> Array:
        """Return a lower bound on the time from the end of each node on each executor to the end of all (N, k)."""
        c = self.c
        tail = np.zeros(self.time.shape)
        for edge in self._edges_by_step(-c.edge_producer):
            u, v = c.edge_producer[edge], c.edge_consumer[edge]
            left = self._device_least(v, self.time[v] + tail[v])
            needs = left.copy()
            over = np.where(self.moves[edge], self.transfer[edge] + left[c.pair_destination], np.inf)
            np.minimum.at(needs, c.pair_origin, over)
            np.maximum(tail[u], needs[c.executor_device], out=tail[u])
        return tail

    def _device_least(self, node: int, values: Array) -> Array:
        least = np.full(len(self.c.device_names), np.inf)
        np.minimum.at(least, self.c.executor_device, np.where(self.allowed[node], values, np.inf))
        return least

    def _propagate(self) -> None:
        """Forbid placements that leave an edge without a way, and moves between placements that are forbidden."""
        c = self.c
        if not len(c.edges):
            return
        u, v = c.edge_producer, c.edge_consumer
        at = _at_devices(c, self.allowed)
        self.moves &= at[u][:, c.pair_origin] & at[v][:, c.pair_destination]
        stay = at[u] & at[v]
        leaves, enters = stay.copy(), stay.copy()
        for device in range(len(c.device_names)):
            leaves[:, device] |= self.moves[:, c.pair_origin == device].any(axis=1)
            enters[:, device] |= self.moves[:, c.pair_destination == device].any(axis=1)
        for node, ways in ((u, leaves), (v, enters)):
            useful = np.ones(at.shape, dtype=bool)
            np.logical_and.at(useful, node, ways)
            self.allowed &= useful[:, c.executor_device]
