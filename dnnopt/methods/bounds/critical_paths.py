"""The bound of paths: what a flow along a network takes, on devices whose memory is tight.

Latency with all things at once is that of the longest path, and at least that of a mean of paths: one sum, for which
group decomposition has a bound (see `flows.py`), where there are many devices after merging some (see
`merged_devices.py`). So layers that do not fit together count, which formulations hardly see before they branch. Every
edge is a tensor of its own here: what the objective charges for copies it charges, divided by the number of consumers,
for each. Limits on memory (without what is sent) and on sums are kept; where no devices are merged, colocation,
separation, tiers and numbers of devices, too.

Labels follow when layers end (see `arrivals.py`). So where nothing of the problem is left out, the search proves the
best plan.

Plans of the sum are good ones for paths, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import LatencyTerm, LinearLimit, LinearTerm, MaxTerm, MemoryLimit, ObjectiveTerm
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.logical import Colocation, DeviceCount, Separation, TierOrder
from dnnopt.compiled.metrics import Array, Index, LinearMetric
from dnnopt.compiled.scope import Scope
from dnnopt.methods.bounds.merged_devices import MOST_STATES, Clusters, MergedPool, fill_members, finest, unmergeable
from dnnopt.methods.exact import groups
from dnnopt.methods.groups.flows import PathFlow
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.slots import StepBuilder, count_states
from dnnopt.models.solvers.interface import Control, Limits, Outcome

SCOPE = Scope(
    relaxes=True, terms=frozenset({LinearTerm, LatencyTerm, MaxTerm}), latencies=frozenset({"parallel", "scheduled"})
)
SOURCE = "critical paths"
_MOST_CLUSTERS = 12


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why there is no such bound for a problem, or None."""
    reason = SCOPE.refuses(compiled)
    if reason is not None:
        return reason
    if not all(isinstance(term, LinearTerm) or _latencies(term) for term in compiled.objective[0]):
        return "the largest of several objectives that are not all latencies"
    maxima = maxima_of(compiled)
    if not maxima.any() or (maxima < 0).any() or ((maxima > 0).sum(axis=0) > 1).any():
        return "no latencies, or the same one in several terms"
    return unmergeable(compiled)


def is_tight(compiled: CompiledProblem) -> bool:
    """Return whether there are limits on memory, which the bound is for, in a problem that has such a bound."""
    limited = any(isinstance(one, MemoryLimit) and one.limit > 0 for one in compiled.constraints)
    return limited and refuses(compiled) is None


class PathSearch:
    """A search that can be interrupted and go on.

    Parameters
    ----------
    pool : Pool
        For the bounds, and for plans.
    compiled : CompiledProblem
        Of the pool, perhaps without choices that are too expensive for its cap; `refuses` must not refuse it.
    control : Control

    Attributes
    ----------
    kept : CompiledProblem
        What is left of the problem.
    """

    def __init__(self, pool: Pool, compiled: CompiledProblem, control: Control) -> None:
        self.kept = compiled
        self._search: groups.GroupSearch | None = None
        by_edges = split(compiled)
        found = as_they_are(by_edges) or finest(by_edges, _MOST_CLUSTERS)
        if found is not None:
            clusters, merged = found
            self._as_they_are = len(clusters) == len(compiled.device_names)
            first = merged.objective[0][0]
            assert isinstance(first, LinearTerm)
            flow = PathFlow(first.metric, maxima_of(compiled))
            relay = _PathPool(pool, clusters, merged, SOURCE, by_edges=by_edges)
            self._search = groups.GroupSearch(relay, flow.uniform(merged), control, flow.decomposition)

    @property
    def promising(self) -> bool:
        """Whether it may soon end with a proof."""
        return self._search is not None and self._search.promising

    def run(self, limits: Limits) -> Outcome:
        """Search until the time is up, or there is nothing left to find."""
        if self._search is None:
            return Outcome("no_solution")
        outcome = self._search.run(limits)
        if self._as_they_are and not self.kept.has_choices:
            self.kept = replace(self.kept, allowed=self.kept.allowed & self._search.kept.allowed)
        return Outcome("infeasible" if outcome.status == "infeasible" else "no_solution")


def as_they_are(c: CompiledProblem) -> tuple[Clusters, CompiledProblem] | None:
    """Return all devices as clusters, and the problem itself; None: there are no tables for so many."""
    devices = len(c.device_names)
    if devices > _MOST_CLUSTERS or not groups.suits(c) or count_states(StepBuilder(c).steps()) > MOST_STATES:
        return None
    return [(device,) for device in range(devices)], c


@dataclass(eq=False)
class _PathPool(MergedPool):
    """Plans and bounds of the sum: a plan's own sum says nothing of how good any other may be."""

    by_edges: CompiledProblem | None = None

    def offer_placement(self, placement: Index, source: str) -> float:
        """Offer the pool the plan with members filled, if it is better than what it has."""
        assert self.by_edges is not None
        filled = fill_members(self.by_edges, self.clusters, placement)
        if evaluator_of(self.pool.compiled).objectives(filled[None])[0] < self.pool.cap:
            self.pool.offer_placement(filled, SOURCE)
        return np.inf


def maxima_of(c: CompiledProblem) -> Array:
    """Return the weight of each network's latency in each term with such (M, A)."""
    found = []
    for term in c.objective[0]:
        parts = _latencies(term)
        if parts:
            weights = np.zeros(len(c.network_names))
            np.add.at(weights, [part.network for part in parts], [term.weight * part.weight for part in parts])
            found.append(weights)
    return np.array(found)


def _latencies(term: ObjectiveTerm) -> list[LatencyTerm]:
    """Return the latencies whose largest, times the term's weight, is the term; none: it is of another kind."""
    match term:
        case LatencyTerm():
            return [LatencyTerm(1.0, term.network)]
        case MaxTerm() if all(isinstance(part, LatencyTerm) for part in term.parts):
            return [part for part in term.parts if isinstance(part, LatencyTerm)]
    return []


def split(c: CompiledProblem) -> CompiledProblem:
    """Return the problem with a tensor for each edge, of several between two nodes the largest.

    The objective's first term is the sum of all seconds, for that of latencies.
    """
    seconds = c.copy_seconds[c.edge_tensor].max(axis=1, initial=0.0)
    order = np.lexsort((-seconds, c.edge_consumer, c.edge_producer))
    ends = np.stack([c.edge_producer[order], c.edge_consumer[order]])
    first = np.append(True, (ends[:, 1:] != ends[:, :-1]).any(axis=0))[: len(order)]
    kept = order[first]
    tensor, count = c.edge_tensor[kept], len(kept)
    moves = c.forbidden_moves
    if moves is not None:
        moves = np.logical_or.reduceat(moves[order], np.flatnonzero(first), axis=0) if count else moves[:0]

    def spread(metric: LinearMetric) -> LinearMetric:
        return replace(metric, scale=metric.scale[tensor] / c.fan_out[tensor], gamma=np.zeros(count))

    by_edges = replace(
        c,
        execution="sequential",
        transport="unicast",
        tensor_names=tuple(f"{c.node_names[u]} > {c.node_names[v]}" for u, v in ends.T[first]),
        tensor_network=c.tensor_network[tensor],
        tensor_bytes=c.tensor_bytes[tensor],
        tensor_share=c.tensor_share[tensor],
        tensor_number=c.tensor_number[tensor],
        tensor_whole=c.tensor_whole[tensor],
        sensitivity=c.sensitivity[tensor],
        producer=c.edge_producer[kept],
        use_tensor=np.arange(count),
        use_consumer=c.edge_consumer[kept],
        forbidden_moves=moves,
        constraints=(
            *(one for one in c.constraints if isinstance(one, Colocation | Separation | TierOrder | DeviceCount)),
            *(replace(one, buffers=0) for one in c.constraints if isinstance(one, MemoryLimit)),
            *(replace(one, metric=spread(one.metric)) for one in c.constraints if isinstance(one, LinearLimit)),
        ),
        cap=np.inf,
        floor=-np.inf,
    )
    all_seconds = by_edges.busy("seconds", np.ones(len(c.device_names)), np.ones(len(c.link_names)))
    others = [replace(term, metric=spread(term.metric)) for term in c.objective[0] if isinstance(term, LinearTerm)]
    return replace(by_edges, objective=((LinearTerm(1.0, all_seconds), *others),))
