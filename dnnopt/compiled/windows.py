"""Windows: the earliest start of each node on each executor, and the least time from its end to its network's end.

    head_vj = max_{e = (u, v)} min_i (head_ui + t_ui + s_e(i, j))
    tail_ui = max_{e = (u, v)} min_j (s_e(i, j) + t_vj + tail_vj)

Resources are ignored, so that these hold for `parallel`, `scheduled` and `call` execution. Infinite: impossible there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem, kept
from dnnopt.compiled.constraints import DeadlineLimit, LatencyTerm, LinearTerm, MaxTerm, ObjectiveLimit, ObjectiveTerm
from dnnopt.compiled.metrics import Array, Mask

# A known plan stays within the limits that follow from its own objective, in spite of rounding.
_SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class Durations:
    """Times of tasks in any unit.

    Attributes
    ----------
    node : array (N, k)
        Of each node; 0 where it cannot run.
    hop : array (T, L)
        Of one copy of each tensor over each link.
    """

    node: Array
    hop: Array

    @classmethod
    def of(cls, c: CompiledProblem, unit: float = 1.0) -> Durations:
        """Return the durations in units of so many seconds."""
        return cls(c.seconds / unit, c.hop_seconds / unit)

    def rounded_down(self, scale: float, most: float) -> Durations:
        """Return the durations times `scale` as whole numbers, rounded down; what is above `most` is one more."""
        return Durations(*(np.minimum(np.floor(part * scale), most + 1.0) for part in (self.node, self.hop)))

    def transfer(self, c: CompiledProblem, moves: Mask | None = None) -> Array:
        """Return the time of each edge from device to device (E, D, D), hop after hop; infinite if it may not go there.

        Parameters
        ----------
        c : CompiledProblem
        moves : array (E, P), optional
            Instead of the problem's own.
        """
        over = self.hop[c.edge_tensor] @ c.pair_uses_link.T
        return c.by_devices(np.where(c.edge_moves if moves is None else moves, over, np.inf))

    def between(self, c: CompiledProblem, moves: Mask | None = None) -> Array:
        """Return the time of each edge from executor to executor (E, k, k); 0 from one that does not make its tensor.

        Where there is coding, it comes on top.
        """
        device = c.executor_device
        seconds = self.transfer(c, moves)[:, device[:, None], device[None, :]]
        return seconds if c.made is None else np.where(c.makes[:, :, None], seconds, 0.0)


@dataclass(frozen=True, eq=False)
class Windows:
    """Heads and tails.

    Attributes
    ----------
    durations : Durations
    head, tail : array (N, k)
        Infinite where the node may not run.
    """

    durations: Durations
    head: Array
    tail: Array

    @classmethod
    def of(
        cls, c: CompiledProblem, durations: Durations, allowed: Mask | None = None, moves: Mask | None = None
    ) -> Windows:
        """Return heads and tails for these durations.

        Parameters
        ----------
        c : CompiledProblem
        durations : Durations
        allowed, moves : array (N, k), array (E, P), optional
            What of the problem's placements and moves is left.
        """
        allowed = c.allowed if allowed is None else allowed
        transfer = durations.between(c, moves)
        seconds = np.where(allowed, durations.node, np.inf)
        head = np.zeros(seconds.shape)
        tail = np.zeros(seconds.shape)
        for e in np.argsort(c.edge_consumer, kind="stable"):
            u, v = c.edge_producer[e], c.edge_consumer[e]
            np.maximum(head[v], ((head[u] + seconds[u])[:, None] + transfer[e]).min(axis=0), out=head[v])
        for e in np.argsort(-c.edge_producer, kind="stable"):
            u, v = c.edge_producer[e], c.edge_consumer[e]
            np.maximum(tail[u], (transfer[e] + (seconds[v] + tail[v])).min(axis=1), out=tail[u])
        head[~allowed] = np.inf
        tail[~allowed] = np.inf
        return cls(durations, head, tail)

    def through(self) -> Array:
        """Return the shortest latency of the node's network with the node on each executor (N, k)."""
        return self.head + self.durations.node + self.tail

    def shortest(self, c: CompiledProblem) -> Array:
        """Return a bound on each network's latency (A,); 0 where there is no way to run it."""
        least = self.through().min(axis=1)
        least = np.where(np.isfinite(least), least, 0.0)
        shortest = np.zeros(len(c.network_names))
        np.maximum.at(shortest, c.node_network, least)
        return shortest


@kept
def latency_limits(c: CompiledProblem) -> Array:
    """Return what each network's latency (A,) is at most, in seconds, in a plan within the problem's cap."""
    shortest = Windows.of(c, Durations.of(c)).shortest(c)
    limits = np.full(len(c.network_names), serial_bound(c))
    sums = [(c.objective[0], c.cap)]
    for constraint in c.constraints:
        if isinstance(constraint, DeadlineLimit):
            limit = constraint.limit * (1 + _SLACK)
            limits[constraint.network] = min(limits[constraint.network], limit)
        elif isinstance(constraint, ObjectiveLimit):
            sums.append((constraint.terms, constraint.limit))
    for terms, cap in sums:
        if np.isfinite(cap):
            np.minimum(limits, _limits_of_sum(c, terms, cap, shortest), out=limits)
    return np.maximum(limits, 0.0)


def _limits_of_sum(c: CompiledProblem, terms: tuple[ObjectiveTerm, ...], cap: float, shortest: Array) -> Array:
    """Return what each latency (A,) is at most where the sum of the terms is at most the cap."""
    limits = np.full(len(shortest), np.inf)
    linear = [term.weight * term.metric.alpha for term in terms if isinstance(term, LinearTerm)]
    others = [_least(c, term, shortest) for term in terms if not isinstance(term, LinearTerm)]
    others.append(_least_placement(c, sum(linear, np.zeros(c.time.shape))))
    room = cap - sum(others) + _SLACK * (abs(cap) + sum(map(abs, others)))
    summed = np.zeros(len(shortest))
    for term in terms:
        if isinstance(term, LatencyTerm):
            summed[term.network] += term.weight
        elif isinstance(term, MaxTerm):
            most = room + _least(c, term, shortest)
            for part in term.parts:
                if isinstance(part, LatencyTerm) and term.weight * part.weight > 0:
                    limit = most / (term.weight * part.weight)
                    limits[part.network] = min(limits[part.network], limit)
    for a in np.flatnonzero(summed > 0):
        limits[a] = min(limits[a], shortest[a] + room / summed[a])
    return limits


def _least(c: CompiledProblem, term: ObjectiveTerm, shortest: Array) -> float:
    """Return a bound on a term, with its weight."""
    match term:
        case LatencyTerm():
            return float(term.weight * shortest[term.network])
        case LinearTerm():
            return term.weight * _least_placement(c, term.metric.alpha)
        case MaxTerm():
            return term.weight * max((_least(c, part, shortest) for part in term.parts), default=0.0)
    return 0.0


def _least_placement(c: CompiledProblem, alpha: Array) -> float:
    """Return the least that placements cost, given what each does (N, k)."""
    return float(np.where(c.allowed, alpha, np.inf).min(axis=1).sum())


def serial_bound(c: CompiledProblem) -> float:
    """Return the seconds that no schedule without needless waiting exceeds: everything at its slowest, one by one."""
    durations = Durations.of(c)
    layers = np.where(c.allowed, durations.node, 0.0).max(axis=1, initial=0.0).sum()
    transfer = np.where(np.isfinite(over := durations.transfer(c)), over, 0.0)
    calls = 2 if c.execution == "call" else 1  # of which a transfer may be part
    coding = c.events.seconds.sum()
    return float(layers + calls * transfer.max(axis=(1, 2), initial=0.0).sum() + coding)
