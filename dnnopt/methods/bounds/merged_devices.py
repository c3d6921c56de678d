"""The bound of merged devices: sums on fewer devices, each of which stands for several.

Tables over states grow with a power of the number of devices, but for those that are alike. Where there are none even
without light tensors (see `light_tensors.py`), devices are merged. Let every cluster be one device: it has the memory
of its members together, a layer costs on it what it costs on the best member, a copy from cluster to cluster what it
costs between the best two, and nothing is sent within. Each plan, read as one of clusters, keeps their limits and costs
no more. So what bounds the problem of clusters bounds the problem: here group decomposition (`groups.py`).
Limits on metrics that are not of single devices, colocation and memory are kept (that of several devices without what
it says of buffers, activations and shared weights), all others are left out. So there is a bound, too, where label
search does not know a constraint, such as contiguity; devices stay as they are, then.

Plans of clusters become plans by filling the members, the one that costs least first, in the order of the layers.

Which devices are merged is a matter of what is lost: what layers cost more on the slower one, as far as they fit
there, and what it costs to send a tensor from one to the other and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import LinearLimit, LinearTerm, MemoryLimit, WeightGroups
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.logical import Colocation
from dnnopt.compiled.metrics import Array, Index, LinearMetric, Mask
from dnnopt.compiled.scope import Scope
from dnnopt.methods.bounds.light_tensors import lighter, with_edges
from dnnopt.methods.exact import groups
from dnnopt.methods.groups.families import distances
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.rows import first_memory_limits, linear_costs
from dnnopt.methods.programs.steps import count_states
from dnnopt.methods.result import OPTIMAL_GAP
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome

SCOPE = Scope(relaxes=True, terms=frozenset({LinearTerm}), choices=True)
SOURCE = "merged devices"
_MOST_MOVES = 6_500_000  # states over all steps, times devices
_MOVES = 2.0  # so often a tensor goes from one device to another and back, for the choice of clusters

Clusters = list[tuple[int, ...]]


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why there is no such bound for a problem, or None."""
    reason = SCOPE.refuses(compiled)
    if reason is None and compiled.transport != "unicast":
        return f"{compiled.transport} transport"
    return reason or unmergeable(compiled)


def unmergeable(compiled: CompiledProblem) -> str | None:
    """Return what terms, or forms of tensors, there are that are not those of merged devices."""
    if compiled.made is not None or compiled.barred_moves is not None or len(compiled.events):
        return "forms of tensors"
    if any(isinstance(term, LinearTerm) and term.weight < 0 for term in compiled.objective[0]):
        return "terms with negative weights"
    return None


def bound_merged(pool: Pool, compiled: CompiledProblem, limits: Limits, control: Control) -> Outcome:
    """Offer the pool the bound of fewer tensors, or fewer devices: as many as there are tables for.

    Parameters
    ----------
    pool : Pool
    compiled : CompiledProblem
        Of the pool, perhaps without choices that are too expensive for its cap; `refuses` must not refuse it.
    limits : Limits
    control : Control
    """
    clock = Clock(limits.time_limit)
    found = relaxed(compiled, clock)
    if found is None:
        return Outcome("no_solution")
    relay = MergedPool(pool, found.clusters, found.compiled)
    outcome = groups.GroupSearch(relay, found.compiled, control).run(limits.within(clock.left()))
    return Outcome("infeasible" if outcome.status == "infeasible" else "no_solution")


@dataclass(eq=False)
class MergedPool:
    """Plans and bounds of the merged problem; bounds go to the pool of the problem, too.

    Attributes
    ----------
    pool : Pool
    clusters : list of tuple of int
    compiled : CompiledProblem
        The merged one.
    source : str
        What raises the bound.
    objective : float, optional
        Of its best plan.
    """

    pool: Pool
    clusters: Clusters
    compiled: CompiledProblem
    source: str = SOURCE
    objective: float | None = field(default=None, init=False)
    _bound: float = field(default=-np.inf, init=False)

    @property
    def cap(self) -> float:
        """What no plan need be above: plans of either problem are known there."""
        return min(self.pool.cap, np.inf if self.objective is None else self.objective)

    def is_closed(self, gap: float) -> bool:
        """Return whether nothing is between bound and cap but a relative gap."""
        return self.cap < np.inf and self.cap - self._bound <= max(gap, OPTIMAL_GAP) * abs(self.cap)

    def offer_placement(self, placement: Index, source: str) -> float:
        """Take a plan that keeps the limits; return its objective. The pool is offered the plan with members filled."""
        self.pool.offer_placement(fill_members(self.pool.compiled, self.clusters, placement), SOURCE)
        value = float(evaluator_of(self.compiled).objectives(placement[None])[0])
        self.objective = value if self.objective is None else min(self.objective, value)
        return value

    def accepts(self, evaluation: float) -> bool:
        """Return whether a plan is one."""
        return np.isfinite(evaluation)

    def add_bound(self, bound: float, source: str) -> None:
        """Keep a bound, and hand it on."""
        self._bound = max(self._bound, bound)
        if np.isfinite(bound):
            self.pool.add_bound(min(bound, self.pool.cap), self.source)


class Relaxed(NamedTuple):
    """A problem with few states.

    Attributes
    ----------
    compiled : CompiledProblem
    clusters : Clusters
        The devices that each of its devices stands for.
    keep : array (E,)
        Which edges it has.
    """

    compiled: CompiledProblem
    clusters: Clusters
    keep: Mask


def relaxed(c: CompiledProblem, clock: Clock | None = None) -> Relaxed | None:
    """Return a problem for which there are tables, without light tensors, or else with merged devices.

    None: there is none, or it was not found in time.
    """
    clusters = alone(c)
    merged = with_clusters(c, clusters)
    keep, fits = lightened(merged, clock)
    merged = with_edges(merged, keep)
    losses, room = _losses(c)

    def loss(pair: tuple[tuple[int, ...], tuple[int, ...]]) -> float:
        return float(losses[np.ix_(*pair)].max() * room[[*pair[0], *pair[1]]].sum())

    while not fits and len(clusters) > 2 and not (clock and clock.expired()):
        first, second = min(combinations(clusters, 2), key=loss)
        clusters = sorted([one for one in clusters if one not in (first, second)] + [tuple(sorted(first + second))])
        merged = with_clusters(with_edges(c, keep), clusters)
        fits = has_tables(merged)
    return Relaxed(merged, clusters, keep) if fits else None


def alone(c: CompiledProblem) -> Clusters:
    """Return each device as a cluster."""
    return [(device,) for device in range(len(c.device_names))]


def lightened(c: CompiledProblem, clock: Clock | None = None) -> tuple[Mask, bool]:
    """Return the edges to keep for which there are tables, and whether there are; if not, as few as possible."""
    keep = np.ones(len(c.edges), dtype=bool)
    for keep in lighter(c):
        if clock and clock.expired():
            break
        if has_tables(with_edges(c, keep)):
            return keep, True
    return keep, False


def has_tables(c: CompiledProblem) -> bool:
    """Return whether there are tables for a problem that are not too large to be computed many times."""
    return groups.suits(c) and count_states(c) * len(c.device_names) <= _MOST_MOVES


def fill_members(c: CompiledProblem, clusters: Clusters, placement: Index) -> Index:
    """Return a placement with the nodes of each cluster on its members, which may be too small for them."""
    alpha = np.where(c.allowed, linear_costs(c)[0], np.inf)
    cheapest = _least(c, alpha, alone(c))
    limits = first_memory_limits(c)
    found = placement.copy()
    for cluster, members in enumerate(clusters):
        nodes = np.flatnonzero(placement == cluster)
        costs = cheapest[:, members].T  # (members, N)
        order = np.argsort(costs[:, nodes].sum(axis=1), kind="stable")
        room = np.array([limits[device].limit if device in limits else np.inf for device in members])
        held = np.stack([limits[device].resident if device in limits else np.zeros(len(alpha)) for device in members])
        at = 0
        for node in nodes.tolist():
            able = np.isfinite(costs[order, node]) & (held[order, node] <= room[order])
            at += int(able[at:].argmax())  # where none is able, it stays
            member = order[at] if np.isfinite(costs[order[at], node]) else costs[:, node].argmin()
            room[member] -= held[member, node]
            mine = np.flatnonzero(c.executor_device == members[member])
            found[node] = mine[alpha[node, mine].argmin()]
    return found


def _losses(c: CompiledProblem) -> tuple[Array, Array]:
    """Return about what is lost if two devices are merged (D, D), and which share of all fits on each device (D,)."""
    count = len(c.device_names)
    layers = _least(c, linear_costs(c)[0], alone(c)).T
    largest = np.where(np.isfinite(layers), layers, 0.0).max()
    layers = np.where(np.isfinite(layers), layers, largest)
    share = np.ones(count)
    for device, limit in first_memory_limits(c).items():
        share[device] = min(1.0, limit.limit / max(float(limit.resident.sum()), 1e-300))
    difference = np.abs(layers[:, None] - layers[None]).sum(axis=2) * np.minimum(share[:, None], share[None])
    return difference + _MOVES * distances(c), share


def with_clusters(c: CompiledProblem, clusters: Clusters) -> CompiledProblem:
    """Return the problem of clusters of devices, which no plan of the problem costs less than."""
    count, nodes, tensors = len(clusters), len(c.node_names), len(c.tensor_names)
    routed = np.isfinite(_between(c, np.zeros(len(c.pair_origin)), clusters))
    pairs = np.argwhere(routed & ~np.eye(count, dtype=bool))
    number = {(i, j): position for position, (i, j) in enumerate(pairs.tolist())}
    numbers = np.arange(count)
    names = tuple(_name(c, one) for one in clusters)

    def merged(metric: LinearMetric) -> LinearMetric:
        alpha = _least(c, metric.alpha, clusters)
        per_copy, per_byte = (
            _between(c, c.pair_uses_link @ charge, clusters)[pairs[:, 0], pairs[:, 1]]
            for charge in (metric.per_copy, metric.per_byte)
        )
        return replace(
            metric,
            alpha=np.where(np.isfinite(alpha), alpha, 0.0),
            per_copy=per_copy,
            per_byte=per_byte,
            gamma=np.zeros(tensors),
            on_event=np.zeros(0),
        )

    limits = [replace(one, metric=merged(one.metric)) for one in c.constraints if isinstance(one, LinearLimit)]
    return replace(
        c,
        execution="sequential",
        time=_least(c, c.time, clusters),
        energy=np.zeros((nodes, count)),
        allowed=np.stack([c.allowed[:, np.isin(c.executor_device, one)].any(axis=1) for one in clusters], axis=1),
        executor_names=names,
        executor_device=numbers,
        executor_host=numbers,
        host_names=names,
        host_device=numbers,
        device_names=names,
        device_tier=np.zeros(count, dtype=np.int64),
        device_trusted=np.ones(count, dtype=bool),
        link_names=tuple(f"{i}-{j}" for i, j in number),
        link_bandwidth=np.full(len(pairs), np.inf),
        link_latency=np.zeros(len(pairs)),
        link_trusted=np.ones(len(pairs), dtype=bool),
        route_links=tuple(
            tuple(() if i == j else (number[i, j],) if (i, j) in number else None for j in range(count))
            for i in range(count)
        ),
        resource_names=(),
        resource_devices=np.zeros((0, count), dtype=bool),
        resource_links=np.zeros((0, len(pairs)), dtype=bool),
        objective=(tuple(replace(term, metric=merged(term.metric)) for term in _linear(c)),),
        constraints=(
            *(one for one in c.constraints if isinstance(one, Colocation)),
            *(one for one in limits if one.metric.alpha.any()),
            *_memory(c, clusters),
        ),
        shared_weights=WeightGroups.none(nodes),
        forbidden_moves=None,
        call_links=None,
        pools=None,
        cap=np.inf,
    )


def _linear(c: CompiledProblem) -> list[LinearTerm]:
    return [term for term in c.objective[0] if isinstance(term, LinearTerm)]


def _memory(c: CompiledProblem, clusters: Clusters) -> list[MemoryLimit]:
    """Return the limits of clusters, all of whose members have one."""
    limits = first_memory_limits(c)
    found = []
    for number, members in enumerate(clusters):
        mine = [limits[device] for device in members if device in limits]
        if len(mine) < len(members):
            continue
        if len(mine) == 1 and len(mine[0].executors) == 1:
            found.append(replace(mine[0], device=number, executors=np.array([number]), hosts=np.array([number])))
        else:
            held = np.min([one.resident for one in mine], axis=0)
            found.append(
                MemoryLimit.plain(f"memory({_name(c, members)})", number, sum(one.limit for one in mine), held)
            )
    return found


def _name(c: CompiledProblem, members: tuple[int, ...]) -> str:
    return "+".join(c.device_names[device] for device in members)


def _least(c: CompiledProblem, values: Array, clusters: Clusters) -> Array:
    """Return the least of each node's values (N, k) in each cluster (N, C); infinite: it may not be there."""
    allowed = np.where(c.allowed, values, np.inf)
    return np.stack([allowed[:, np.isin(c.executor_device, one)].min(axis=1) for one in clusters], axis=1)


def _between(c: CompiledProblem, values: Array, clusters: Clusters) -> Array:
    """Return the least value (P,) from a member of one cluster to one of another (C, C); infinite: no route."""
    table = c.by_devices(np.where(c.pair_routed, values, np.inf), same=np.inf)
    return np.array([[table[np.ix_(one, other)].min() for other in clusters] for one in clusters])
