"""Presolve: what cannot be in any plan that is feasible and not above a cap on the objective.

Nothing is renamed or merged: placements of nodes and moves of edges are only forbidden, so plans need no mapping back.

    t_vi > T                                        no period below T with v on i; the same for transfers of an edge
    head_vi + t_vi + tail_vi > Λ                    no critical path below Λ with v on i; the same for moves of an edge
    m_v + r_v > M_i                                 v does not fit on i; all that it shares with others is in m_v
    Σ_{v ∈ G} t_vi > T, Σ_{v ∈ G} m_v > M_i         G: layers that no move can separate
    load_q of G on i and H on j > T                 with the tensors between the two groups
    Σ_u min_i α_ui + α_vi - min_i α_vi > L          no metric below L with v on i
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import (
    DeadlineLimit,
    LatencyTerm,
    LinearLimit,
    LinearTerm,
    MaxTerm,
    MemoryLimit,
    ObjectiveLimit,
    ObjectiveTerm,
    PeriodTerm,
    WorstLeakageTerm,
)
from dnnopt.compiled.logical import Colocation
from dnnopt.compiled.metrics import Array, Index, LinearMetric, Mask
from dnnopt.compiled.scope import Scope
from dnnopt.compiled.ties import tied
from dnnopt.compiled.windows import Durations, Windows

# Relative room for rounding: nothing within it of a limit is forbidden.
_ROOM = 1e-9
_MOST_ROUNDS = 20

SCOPE = Scope(
    relaxes=True,
    terms=frozenset({LinearTerm, LatencyTerm, PeriodTerm, WorstLeakageTerm, MaxTerm}),
    latencies=frozenset({"parallel", "scheduled", "call"}),  # none is below the critical path
    priorities=True,
    choices=True,
    blocks=True,
)


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
    """Forbid what cannot be in a feasible plan whose objective (SI, of the first priority) is at most `cap`.

    Nothing, where the problem has something of which it is not known what it means.
    """
    if SCOPE.refuses(c):
        return Presolved(replace(c, cap=min(cap, c.cap)), False, 0.0, 0.0)
    reduction = _Reduction(c)
    for _ in range(_MOST_ROUNDS):
        before = reduction.allowed.sum() + reduction.moves.sum()
        reduction.round(cap)
        if reduction.infeasible or reduction.allowed.sum() + reduction.moves.sum() == before:
            break
    layers = c.allowed[c.is_layer].sum()
    moves = c.usable_moves.sum()
    return Presolved(
        compiled=replace(c, allowed=reduction.allowed, forbidden_moves=~reduction.moves, cap=min(cap, c.cap)),
        infeasible=reduction.infeasible,
        placements=1 - float(reduction.allowed[c.is_layer].sum() / layers) if layers else 0.0,
        moves=1 - float(reduction.moves.sum() / moves) if moves else 0.0,
    )


class _Reduction:
    """Placements and moves that are still allowed."""

    def __init__(self, c: CompiledProblem) -> None:
        self.c = c
        self.allowed = c.allowed.copy()
        self.moves = c.usable_moves.copy()
        self.durations = Durations.of(c)
        self.period_cap = np.inf

    @property
    def infeasible(self) -> bool:
        return bool((~self.allowed.any(axis=1)).any())

    def round(self, cap: float) -> None:
        """Apply every rule once."""
        for constraint in self.c.constraints:
            match constraint:
                case MemoryLimit():
                    self.allowed[:, constraint.executors] &= constraint.alone <= constraint.limit * (1 + _ROOM)
                case LinearLimit():
                    self._linear(constraint.metric.alpha, self._charge(constraint.metric), constraint.limit)
                case DeadlineLimit():
                    self._critical_path(constraint.network, constraint.limit)
                case ObjectiveLimit():
                    self._terms(constraint.terms, constraint.limit)
        if cap < np.inf:
            self._terms(self.c.objective[0], cap)
        self._propagate()
        self.allowed = tied(self.c, self.allowed)
        self._groups()

    def _terms(self, terms: tuple[ObjectiveTerm, ...], cap: float) -> None:
        """Give each term, and the linear ones together, what the others, at their least, leave of the cap."""
        linear = [term for term in terms if isinstance(term, LinearTerm)]
        others = [term for term in terms if not isinstance(term, LinearTerm)]
        alpha = sum((term.weight * term.metric.alpha for term in linear), np.zeros(self.allowed.shape))
        charge = sum((term.weight * self._charge(term.metric) for term in linear), np.zeros(self.moves.shape))
        least = [float(self._least_alpha(alpha).sum()), *(self._least(term) for term in others)]
        cap += _ROOM * (abs(cap) + sum(map(abs, least)))  # the differences below may be all rounding
        self._linear(alpha, charge, cap - sum(least[1:]))
        for term, mine in zip(others, least[1:], strict=True):
            if term.weight > 0:
                self._term(term, (cap - sum(least) + mine) / term.weight)

    def _term(self, term: ObjectiveTerm, cap: float) -> None:
        match term:
            case LinearTerm():
                self._linear(term.metric.alpha, self._charge(term.metric), cap)
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
                return term.weight * float(self._least_alpha(term.metric.alpha).sum())
            case LatencyTerm():
                return term.weight * self._shortest(term.network)
            case MaxTerm():
                return term.weight * max((self._least(part) for part in term.parts), default=0.0)
            case PeriodTerm() | WorstLeakageTerm():
                return 0.0

    def _least_alpha(self, alpha: Array) -> Array:
        """Return the least of each node (N,); infinite where it may be nowhere."""
        return np.asarray(np.where(self.allowed, alpha, np.inf).min(axis=1))

    def _charge(self, metric: LinearMetric) -> Array:
        """Return what the move of each edge over each pair costs (E, P)."""
        tensor, uses = self.c.edge_tensor, self.c.pair_uses_link
        charge = uses @ metric.per_copy + self.c.tensor_bytes[tensor][:, None] * (uses @ metric.per_byte)
        return np.asarray(metric.scale[tensor][:, None] * charge)

    def _linear(self, alpha: Array, charge: Array, limit: float) -> None:
        """Forbid a placement, or the move of an edge, that alone breaks a limit on what they cost together."""
        least = self._least_alpha(alpha)
        if not np.isfinite(least).all():
            return
        room = limit - least.sum() + _ROOM * (abs(limit) + np.abs(least).sum())
        self.allowed &= alpha - least[:, None] <= room
        self.moves &= charge <= room

    def _period(self, cap: float) -> None:
        """Forbid what alone loads a resource beyond the cap."""
        self.period_cap = min(self.period_cap, cap)
        self.allowed &= self.c.seconds <= cap * (1 + _ROOM)
        for load in self.c.loads:
            self.moves &= self._charge(load) <= cap * (1 + _ROOM)

    def _critical_path(self, network: int, cap: float) -> None:
        """Forbid what does not fit between the earliest start and the latest end."""
        c, windows = self.c, self._windows()
        limit = cap * (1 + _ROOM)
        mine = c.node_network == network
        self.allowed[mine] &= windows.through()[mine] <= limit
        if not len(c.edges):
            return
        before = self._by_device(windows.head + c.seconds)[c.edge_producer][:, c.pair_origin]
        after = self._by_device(c.seconds + windows.tail)[c.edge_consumer][:, c.pair_destination]
        through = before + c.edge_seconds + after
        self.moves[mine[c.edge_producer]] &= through[mine[c.edge_producer]] <= limit

    def _shortest(self, network: int) -> float:
        """Return a lower bound on a network's critical path."""
        through = self._windows().through().min(axis=1)
        return float(through[self.c.node_network == network].max(initial=0.0))

    def _windows(self) -> Windows:
        return Windows.of(self.c, self.durations, self.allowed, self.moves)

    def _by_device(self, values: Array) -> Array:
        """Return the least of a node's allowed values on each device (N, D)."""
        least = np.full((len(values), len(self.c.device_names)), np.inf)
        masked = np.where(self.allowed, values, np.inf)
        for executor, device in enumerate(self.c.executor_device):
            least[:, device] = np.minimum(least[:, device], masked[:, executor])
        return least

    def _propagate(self) -> None:
        """Forbid placements that leave an edge without a way, and moves between placements that are forbidden."""
        c = self.c
        if not len(c.edges):
            return
        u, v = c.edge_producer, c.edge_consumer
        at = c.at_devices(self.allowed)
        made = self.allowed[u] & c.makes
        other = np.asarray((self.allowed[u] & ~c.makes).any(axis=1))  # by which the edge asks for nothing
        from_ = c.at_devices(made)
        self.moves &= from_[:, c.pair_origin] & at[v][:, c.pair_destination]
        leaves, enters = from_ & at[v], (from_ & at[v]) | other[:, None]
        for device in range(len(c.device_names)):
            leaves[:, device] |= self.moves[:, c.pair_origin == device].any(axis=1)
            enters[:, device] |= self.moves[:, c.pair_destination == device].any(axis=1)
        useful = np.ones(self.allowed.shape, dtype=bool)
        np.logical_and.at(useful, u, leaves[:, c.executor_device] | ~c.makes)
        np.logical_and.at(useful, v, enters[:, c.executor_device])
        self.allowed &= useful

    def _groups(self) -> None:
        """Forbid what groups of layers that must stay together cannot do."""
        c = self.c
        if c.has_choices:  # layers on one device may be in different modes
            return
        together = [(int(u), int(v)) for u, v in zip(*self._inseparable(), strict=True)]
        together += [(a.nodes[0], v) for a in c.constraints if isinstance(a, Colocation) for v in a.nodes[1:]]
        group = _components(len(c.node_names), together)
        members = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
        for nodes in members:
            if len(nodes) > 1:
                self.allowed[nodes] &= self._fits(nodes)
        if self.period_cap < np.inf and len(c.edges):
            self._between_groups(group, members)

    def _inseparable(self) -> tuple[Index, Index]:
        """Return the ends of the edges that may not go from one device to another."""
        c = self.c
        stays = ~self.moves.any(axis=1)
        return c.edge_producer[stays], c.edge_consumer[stays]

    def _fits(self, nodes: Index) -> Mask:
        """Return where all of these nodes may be, and fit together (k,)."""
        c = self.c
        fits = self.allowed[nodes].all(axis=0)
        fits &= c.seconds[nodes].sum(axis=0) <= self.period_cap * (1 + _ROOM)
        for limit in c.constraints:
            if isinstance(limit, MemoryLimit) and limit.together(nodes) > limit.limit * (1 + _ROOM):
                fits &= c.executor_device != limit.device
        return fits

    def _between_groups(self, group: Index, members: list[Index]) -> None:
        """Forbid moves between two groups that load a resource, with what both compute, beyond the period's cap."""
        c = self.c
        a, b = group[c.edge_producer], group[c.edge_consumer]
        first, second = np.minimum(a, b), np.maximum(a, b)
        for g, h in sorted({(int(x), int(y)) for x, y in zip(first, second, strict=True) if x != y}):
            edges = np.flatnonzero((first == g) & (second == h))
            allowed = self._pairs_within_cap(members[g], members[h], edges, a[edges] == g)
            forwards = a[edges] == g
            self.moves[edges[forwards]] &= allowed
            self.moves[edges[~forwards]] &= allowed[self._reverse]

    @cached_property
    def _reverse(self) -> Index:
        """Number of each pair's opposite (P,)."""
        c = self.c
        return c.pair_number[c.pair_destination, c.pair_origin]

    def _pairs_within_cap(self, mine: Index, theirs: Index, edges: Index, forwards: Mask) -> Mask:
        """Return over which pairs (P,) two groups may be, the first at the origin."""
        c = self.c
        compute = np.stack([self._group_seconds(nodes) for nodes in (mine, theirs)])
        per_edge = c.transport == "per_edge"
        sent = []
        for way, chosen in ((slice(None), edges[forwards]), (self._reverse, edges[~forwards])):
            tensors = c.edge_tensor[chosen] if per_edge else np.unique(c.edge_tensor[chosen])
            share = c.tensor_share[tensors]
            sent.append((way, float(share.sum()), float(share @ c.tensor_bytes[tensors])))
        per_copy, per_byte = self._seconds_on
        origins, destinations = self._ends_on
        load = origins * compute[0][c.pair_origin] + destinations * compute[1][c.pair_destination]
        for way, count, size in sent:
            load = load + count * per_copy[:, way] + size * per_byte[:, way]
        return np.all(load <= self.period_cap * (1 + _ROOM), axis=0)

    @cached_property
    def _seconds_on(self) -> tuple[Array, Array]:
        """Seconds per copy and per byte on each resource over each pair's route (Q, P), (Q, P)."""
        uses, loads = self.c.pair_uses_link.T, self.c.loads
        return np.array([load.per_copy for load in loads]) @ uses, np.array([load.per_byte for load in loads]) @ uses

    @cached_property
    def _ends_on(self) -> tuple[Array, Array]:
        """1 where a resource has the origin, and where it has the destination, of each pair (Q, P), (Q, P)."""
        c = self.c
        held = c.resource_devices.astype(float)
        return held[:, c.pair_origin], held[:, c.pair_destination]

    def _group_seconds(self, nodes: Index) -> Array:
        """Return the time of all the nodes on each device, at their fastest executors there (D,)."""
        seconds = np.full((len(nodes), len(self.c.device_names)), np.inf)
        for executor, device in enumerate(self.c.executor_device):
            seconds[:, device] = np.minimum(seconds[:, device], self.c.seconds[nodes, executor])
        return seconds.sum(axis=0)


def _components(nodes: int, pairs: Iterable[tuple[int, int]]) -> Index:
    """Return the number of each node's connected component."""
    parent = list(range(nodes))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for u, v in pairs:
        parent[root(u)] = root(v)
    _, component = np.unique([root(node) for node in range(nodes)], return_inverse=True)
    return component
