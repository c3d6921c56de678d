"""The bound of paths: what a flow along a network takes, on devices whose memory is tight.

Latency with all things at once is that of the longest path, and at least that of a mean of paths: one sum, for which
group decomposition has a bound (see `flows.py`); a deadline is a limit on such a sum. Layers that do not fit together
count so, which formulations hardly see before they branch. Where there are too many devices for tables, some are merged
(see `merged_devices.py`).

Labels follow when layers end (see `arrivals.py`). So where nothing of the problem is left out, the search proves the
best plan. Left out are constraints that a walk along the network does not keep track of, and what busy devices and
links add.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import (
    CompiledConstraint,
    DeadlineLimit,
    LatencyTerm,
    LinearLimit,
    LinearTerm,
    MaxTerm,
    MemoryLimit,
    ObjectiveLimit,
    ObjectiveTerm,
    PeriodTerm,
)
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.logical import CutCount
from dnnopt.compiled.metrics import Array, Index, LinearMetric
from dnnopt.compiled.scope import Scope
from dnnopt.methods.bounds.light_tensors import with_edges
from dnnopt.methods.bounds.merged_devices import (
    Clusters,
    MergedPool,
    alone,
    fill_members,
    lightened,
    relaxed,
    unmergeable,
    with_clusters,
)
from dnnopt.methods.exact import groups
from dnnopt.methods.groups.flows import PathTerms
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.frontier import Frontier
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome

SCOPE = Scope(
    relaxes=True, terms=frozenset({LinearTerm, LatencyTerm, MaxTerm}), latencies=frozenset({"parallel", "scheduled"})
)
SOURCE = "critical paths"


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why there is no such bound for a problem, or None."""
    reason = SCOPE.refuses(compiled)
    if reason is not None:
        return reason
    if not all(isinstance(term, LinearTerm) or _latencies(term) for term in compiled.objective[0]):
        return "the largest of several objectives that are not all latencies"
    maxima = maxima_of(compiled)
    if (maxima < 0).any() or ((maxima > 0).sum(axis=0) > 1).any():
        return "the same latency in several terms"
    if not maxima.any() and not any(isinstance(one, DeadlineLimit) for one in compiled.constraints):
        return "neither latencies nor deadlines"
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
    clock : Clock, optional
        The time there is to find a problem with few states.

    Attributes
    ----------
    kept : CompiledProblem
        What is left of the problem.
    """

    def __init__(self, pool: Pool, compiled: CompiledProblem, control: Control, clock: Clock | None = None) -> None:
        self.kept = compiled
        self._search: groups.GroupSearch | None = None
        self._has_all_devices = False
        others = without_latencies(compiled)
        if not _copies_matter(others):
            others = with_tensors_of_edges(others)
        by_time = _with_all_seconds(others)
        clusters = alone(others)
        keep, self._has_all_devices = lightened(others, clock)
        if not self._has_all_devices:
            found = relaxed(by_time, clock) if others.transport != "multicast" else None
            if found is None:  # copies share links on their ways, which merged devices do not have
                return
            clusters, keep = found.clusters, found.keep
        others, fewer = with_edges(others, keep), with_edges(compiled, keep)
        edges = fewer.edge_seconds
        if not self._has_all_devices:
            edges = _edge_seconds_between(fewer, clusters)
            others = with_clusters(others, clusters)
        deadlines = tuple((one.network, one.limit) for one in compiled.constraints if isinstance(one, DeadlineLimit))
        paths = PathTerms(others.seconds, edges, maxima_of(compiled), deadlines)
        relay = _PathPool(pool, clusters, others, SOURCE, by_time=by_time)
        self._search = groups.GroupSearch(
            relay, others, control, paths.decomposition, paths.about(others), paths.alike(others)
        )

    @property
    def promising(self) -> bool:
        """Whether it may soon end with a proof."""
        return self._search is not None and self._search.promising

    def run(self, limits: Limits) -> Outcome:
        """Search until the time is up, or there is nothing left to find."""
        if self._search is None:
            return Outcome("no_solution")
        outcome = self._search.run(limits)
        if self._has_all_devices:
            self.kept = replace(self.kept, allowed=self.kept.allowed & self._search.kept.allowed)
        return Outcome("infeasible" if outcome.status == "infeasible" else "no_solution")


@dataclass(eq=False)
class _PathPool(MergedPool):
    """Plans of clusters of devices, and bounds.

    Attributes
    ----------
    by_time : CompiledProblem, optional
        The problem before devices were merged, with all seconds as the objective.
    """

    by_time: CompiledProblem | None = None

    def offer_placement(self, placement: Index, source: str) -> float:
        """Offer the pool the plan with members filled, if it is better than what it has."""
        assert self.by_time is not None
        filled = fill_members(self.by_time, self.clusters, placement)
        if evaluator_of(self.pool.compiled).objectives(filled[None])[0] < self.pool.cap:
            self.pool.offer_placement(filled, SOURCE)
        return np.inf


def maxima_of(c: CompiledProblem) -> Array:
    """Return the weight of each network's latency in each term of the objective with such (M, A)."""
    found = []
    for term in c.objective[0]:
        parts = _latencies(term)
        if parts:
            weights = np.zeros(len(c.network_names))
            np.add.at(weights, [part.network for part in parts], [term.weight * part.weight for part in parts])
            found.append(weights)
    return np.array(found).reshape(len(found), len(c.network_names))


def _latencies(term: ObjectiveTerm) -> list[LatencyTerm]:
    """Return the latencies whose largest, times the term's weight, is the term; none: it is of another kind."""
    match term:
        case LatencyTerm():
            return [LatencyTerm(1.0, term.network)]
        case MaxTerm() if all(isinstance(part, LatencyTerm) for part in term.parts):
            return [part for part in term.parts if isinstance(part, LatencyTerm)]
    return []


def without_latencies(c: CompiledProblem) -> CompiledProblem:
    """Return the problem of all other terms, and of those constraints that a walk along the network keeps track of."""
    terms = [
        replace(term, metric=replace(term.metric, gamma=np.zeros_like(term.metric.gamma)))
        for term in c.objective[0]
        if isinstance(term, LinearTerm)
    ]
    nothing = LinearTerm(1.0, c.zero_metric("nothing", ""))
    others = replace(c, objective=((nothing, *terms),), constraints=(), cap=np.inf, floor=-np.inf)
    return replace(others, constraints=Frontier.followed(others, c.constraints))


def _copies_matter(c: CompiledProblem) -> bool:
    """Return whether it matters which consumers share a copy of a tensor."""
    terms = [*c.objective[0], *(term for one in c.constraints if isinstance(one, ObjectiveLimit) for term in one.terms)]
    terms += [part for term in terms if isinstance(term, MaxTerm) for part in term.parts]
    metrics = [term.metric for term in terms if isinstance(term, LinearTerm)]
    metrics += [one.metric for one in c.constraints if isinstance(one, LinearLimit)]
    held = any(isinstance(one, MemoryLimit) and one.buffers for one in c.constraints)
    counted = any(isinstance(one, CutCount) for one in c.constraints)
    return held or counted or any(isinstance(term, PeriodTerm) for term in terms) or any(one.sends for one in metrics)


def with_tensors_of_edges(c: CompiledProblem) -> CompiledProblem:
    """Return a problem in which copies do not matter with a tensor for each edge: fewer states, and more prices."""
    tensor, count = c.edge_tensor, len(c.edges)

    def by_edge(metric: LinearMetric) -> LinearMetric:
        return replace(metric, scale=metric.scale[tensor], gamma=metric.gamma[tensor])

    def part_of_edges(part: LinearTerm | LatencyTerm) -> LinearTerm | LatencyTerm:
        return replace(part, metric=by_edge(part.metric)) if isinstance(part, LinearTerm) else part

    def of_edges(term: ObjectiveTerm) -> ObjectiveTerm:
        match term:
            case LinearTerm():
                return part_of_edges(term)
            case MaxTerm():
                return replace(term, parts=tuple(map(part_of_edges, term.parts)))
        return term

    def limit_of_edges(limit: CompiledConstraint) -> CompiledConstraint:
        match limit:
            case LinearLimit():
                return replace(limit, metric=by_edge(limit.metric))
            case ObjectiveLimit():
                return replace(limit, terms=tuple(map(of_edges, limit.terms)))
        return limit

    return replace(
        c,
        transport="unicast",
        tensor_names=tuple(
            f"{c.tensor_names[t]} > {c.node_names[v]}" for t, v in zip(tensor, c.edge_consumer, strict=True)
        ),
        tensor_network=c.tensor_network[tensor],
        tensor_bytes=c.tensor_bytes[tensor],
        tensor_share=c.tensor_share[tensor],
        tensor_number=c.tensor_number[tensor],
        tensor_whole=c.tensor_whole[tensor],
        sensitivity=c.sensitivity[tensor],
        producer=c.edge_producer,
        use_tensor=np.arange(count),
        use_consumer=c.edge_consumer,
        objective=tuple(tuple(map(of_edges, terms)) for terms in c.objective),
        constraints=tuple(map(limit_of_edges, c.constraints)),
    )


def _with_all_seconds(c: CompiledProblem) -> CompiledProblem:
    seconds = c.busy("seconds", np.ones(len(c.device_names)), np.ones(len(c.link_names)))
    return replace(c, objective=((LinearTerm(1.0, seconds), *c.objective[0]),))


def _edge_seconds_between(c: CompiledProblem, clusters: Clusters) -> Array:
    """Return the least seconds of edges between two clusters (E, pairs)."""
    table = c.by_devices(np.where(c.pair_routed, c.edge_seconds, np.inf), same=np.inf)
    pairs = [(one, other) for one in clusters for other in clusters if one is not other]
    between = [table[:, one][:, :, other].min(axis=(1, 2)) for one, other in pairs]
    edges = np.stack(between, axis=1) if between else np.zeros((len(c.edges), 0))
    return np.where(np.isfinite(edges), edges, 0.0)
