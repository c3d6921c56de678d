"""Group decomposition of critical paths: the objective is the longest of many paths, and a mean of these bounds it.

A flow of 1 along a network, φ_v at its nodes and φ_uv on its edges, is a convex combination of its paths. So

    latency(x) >= Σ_v φ_v t_v(x) + Σ_uv φ_uv c_uv(x)         t_v: seconds of v where it is, c_uv: those of sending to v

and the right side is one sum, for which `Decomposition` has a bound. (For the largest of several latencies a path may
be in any of the networks; a deadline is a limit on such a sum.) Every flow has a bound; the best is sought together
with the prices. A flow is that of paths which weigh the exponential of the sum of θ_v and θ_uv along them (sums over
all paths are a dynamic program, by nodes); a step adds to θ what nodes and edges cost in the plan that the joint
program finds. That is exponentiated gradient over all paths (Takimoto, Warmuth: Path kernels and multiplicative
updates, 2003).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem, kept
from dnnopt.compiled.constraints import LinearTerm
from dnnopt.compiled.metrics import Array, Index
from dnnopt.methods.groups.decomposition import Decomposition
from dnnopt.methods.groups.families import DeviceGroups
from dnnopt.methods.groups.loops import Loops, loops_for
from dnnopt.methods.groups.steps import Incoming
from dnnopt.methods.programs.alike import alike_devices
from dnnopt.methods.programs.arrivals import Arrivals
from dnnopt.methods.programs.frontier import Frontier
from dnnopt.methods.programs.rows import PlanSum, rows_of

_TURN = 10.0  # what a step adds to θ of a mean path at most
_ROOM = 1e-9
_TINY = 1e-300


class Flow(NamedTuple):
    """A flow of 1 along every network.

    Attributes
    ----------
    nodes : array (N,)
    edges : array (E,)
    masses : array (A,)
        The weight of each network's mean path in the objective.
    """

    nodes: Array
    edges: Array
    masses: Array


@dataclass(frozen=True, eq=False)
class PathTerms:
    """Latencies of a problem.

    Attributes
    ----------
    nodes : array (N, k)
        Seconds of nodes in executors.
    edges : array (E, P)
        Seconds of edges over pairs of devices.
    maxima : array (M, A)
        The weight of each network's latency in each of several maxima, the sum of which is to be bounded; 0: it is not
        in it. No network is in two.
    deadlines : tuple of (int, float)
        Networks, and what their latency is at most.
    """

    nodes: Array
    edges: Array
    maxima: Array
    deadlines: tuple[tuple[int, float], ...] = ()

    def decomposition(self, c: CompiledProblem, groups: DeviceGroups, units: int) -> PathDecomposition:
        """Return the decomposition of what is left of the problem."""
        return PathDecomposition(c, groups, units, self)

    def alike(self, c: CompiledProblem) -> list[list[int]]:
        """Return the classes of devices whose exchange changes neither the problem nor any path's length."""
        draw = np.random.default_rng(0)  # what is true of one path that weighs all nodes and edges is true of all
        sizes = len(c.node_names), len(c.edges)
        anywhere = Flow(draw.random(sizes[0]), draw.random(sizes[1]), np.ones(len(c.network_names)))
        rows = rows_of(c)
        return alike_devices(c, (*rows.objective, *rows.limits, self.mean(c, anywhere, anywhere.masses)))

    def flow(self, c: CompiledProblem, nodes: Array, edges: Array, loops: Loops) -> Flow:
        """Return the flow given θ of nodes (N,) and of edges (E,)."""
        into = incoming(c)
        sums, flow, over = np.zeros(len(nodes)), np.zeros(len(nodes)), np.zeros(len(edges))
        loops.sum_paths(into, nodes, edges, sums)
        total = np.full(len(c.network_names), -np.inf)
        for network, ends in enumerate(_last(c)):
            total[network] = np.logaddexp.reduce(sums[ends])
            flow[ends] = np.exp(sums[ends] - total[network])
        loops.share_paths(into, nodes, edges, sums, flow, over)
        masses = np.zeros(len(total))
        for weights in self.maxima:
            mine = np.flatnonzero(weights > 0)
            share = np.exp(total[mine] - total[mine].max(initial=-np.inf))
            masses[mine] += weights[mine] * share / max(float(share.sum()), _TINY)
        return Flow(flow, over, masses)

    def about(self, c: CompiledProblem) -> CompiledProblem:
        """Return a problem with a mean of paths as one more term, in which consumers on one device share a copy."""
        nodes, edges = np.zeros(len(c.node_names)), np.zeros(len(c.edges))
        flow = self.flow(c, nodes, edges, loops_for(0))
        at_edges = flow.edges * flow.masses[c.node_network[c.edge_producer]]
        shares = np.bincount(c.edge_tensor, at_edges, len(c.tensor_names)) / np.maximum(c.fan_out, 1)
        seconds = c.busy("paths", np.ones(len(c.device_names)), np.ones(len(c.link_names)))
        metric = replace(
            seconds,
            alpha=(flow.nodes * flow.masses[c.node_network])[:, None] * self.nodes,
            scale=shares * seconds.scale,
        )
        return replace(c, objective=((LinearTerm(1.0, metric), *c.objective[0]),))

    def mean(self, c: CompiledProblem, flow: Flow, masses: Array) -> PlanSum:
        """Return the row of mean paths, with a weight for each network (A,)."""
        links = np.zeros((len(c.tensor_names), len(c.link_names)))
        at_nodes, at_edges = masses[c.node_network], masses[c.node_network[c.edge_producer]]
        return PlanSum(
            (flow.nodes * at_nodes)[:, None] * self.nodes, links, per_edge=(flow.edges * at_edges)[:, None] * self.edges
        )

    def limits(self, c: CompiledProblem, flow: Flow) -> list[PlanSum]:
        """Return the rows of mean paths that deadlines limit."""
        alone = np.eye(len(c.network_names))
        return [self.mean(c, flow, alone[network]).within(limit) for network, limit in self.deadlines]

    def latest(self, c: CompiledProblem) -> Array:
        """Return when nodes must start at the latest in executors (N, k), for deadlines to be kept."""
        ends = np.full(len(c.network_names), np.inf)
        for network, limit in self.deadlines:
            ends[network] = min(ends[network], limit + _ROOM * abs(limit))
        shortest = np.where(c.allowed, self.nodes, np.inf).min(axis=1)
        end = ends[c.node_network]
        for edge in np.argsort(-c.edge_producer, kind="stable").tolist():
            u, v = c.edge_producer[edge], c.edge_consumer[edge]
            end[u] = min(end[u], end[v] - shortest[v])
        return end[:, None] - self.nodes


@kept
def incoming(c: CompiledProblem) -> Incoming:
    """Return the edges into each node."""
    order = np.argsort(c.edge_consumer, kind="stable")
    starts = np.searchsorted(c.edge_consumer[order], np.arange(len(c.node_names) + 1))
    return Incoming(starts, order, c.edge_producer)


@kept
def _last(c: CompiledProblem) -> list[Index]:
    """Return the nodes of each network without successors."""
    last = np.ones(len(c.node_names), dtype=bool)
    last[c.edge_producer] = False
    return [np.flatnonzero(last & (c.node_network == network)) for network in range(len(c.network_names))]


class PathDecomposition(Decomposition):
    """The bound as a function of multipliers, which end with θ of nodes and of edges.

    Parameters
    ----------
    compiled : CompiledProblem
        With the terms of the objective that are no latencies.
    groups : DeviceGroups
    units : int
    paths : PathTerms
    """

    def __init__(self, compiled: CompiledProblem, groups: DeviceGroups, units: int, paths: PathTerms) -> None:
        nothing = Flow(*map(np.zeros, (len(compiled.node_names), len(compiled.edges), len(compiled.network_names))))
        super().__init__(compiled, groups, units, paths.limits(compiled, nothing))
        self.paths = paths
        self.size += len(compiled.node_names) + len(compiled.edges)
        self._others, self._others_sent = self._placed[:, 0].copy(), self._sent[:, 0].copy()
        self._deadlines = np.arange(len(self.priced) - len(paths.deadlines), len(self.priced))  # rows of `_placed`
        self._seconds = paths.nodes[self.joint.nodes, self.joint.executors]
        self._over = self._entries()
        self._weights = np.where(paths.maxima.any(axis=0), paths.maxima.sum(axis=0), 1.0)
        self._latest = paths.latest(compiled)

    def _entries(self) -> list[tuple[Index, Array]]:
        """Return edges of all entries, and their seconds; where some have several, more such pairs of arrays."""
        c, padded = self.c, np.pad(self.paths.edges, ((0, 1), (0, 1)))
        uses = [(use, c.executor_device[c.allowed[step.node]]) for step in self.frontier.steps for use in step.uses]
        found = []
        for number in range(max((len(use.edges) for use, _ in uses), default=0)):
            edges, seconds = [], []
            for use, devices in uses:
                edge = use.edges[number] if number < len(use.edges) else -1
                pairs = (
                    c.pair_number[use.slot.origins][:, devices]
                    if edge >= 0
                    else np.full((use.shape[0], len(devices)), -1)
                )
                edges.append(np.full(pairs.size, edge))
                seconds.append(padded[edge][pairs].ravel())
            found.append((np.concatenate(edges), np.concatenate(seconds)))
        return found

    def _flow(self, multipliers: Array) -> Flow:
        count = len(self.c.node_names)
        weights = multipliers[self.prices_end :]
        return self.paths.flow(self.c, weights[:count], weights[count:], self._loops)

    def followed(self, multipliers: Array) -> Frontier:
        """Return the frontier with means of the flow's paths."""
        flow, rows = self._flow(multipliers), self.frontier.rows
        mean = self.paths.mean(self.c, flow, flow.masses)
        first = replace(rows[0], alpha=rows[0].alpha + mean.alpha, per_edge=mean.per_edge)
        middle = rows[1 : len(rows) - len(self.paths.deadlines)]
        return self.frontier.with_rows((first, *middle, *self.paths.limits(self.c, flow)))

    def arrivals(self, multipliers: Array) -> Arrivals | None:
        """Return what follows times in labels."""
        flow = self._flow(multipliers)
        _, _, _, prices = self.split(multipliers)
        masses = flow.masses.copy()
        for row, (network, limit) in zip(self._deadlines.tolist(), self.paths.deadlines, strict=True):
            masses[network] += prices[row - 1] / (abs(limit) or 1.0)
        means = np.array([0, *self.priced[self._deadlines]], dtype=np.int64)
        return Arrivals(
            self.frontier.with_rows(self.frontier.rows[:1]),
            self.paths.nodes,
            np.pad(self.paths.edges, ((0, 0), (0, 1))),
            flow.edges * masses[self.c.node_network[self.c.edge_producer]],
            self.paths.maxima,
            self._latest,
            means,
        )

    def value(self, multipliers: Array) -> tuple[float, Array]:
        """Return the bound, and a subgradient of prices, and what θ should grow by; infinite: there is no plan."""
        c, flow = self.c, self._flow(multipliers)
        network, over = c.node_network, c.node_network[c.edge_producer]
        masses = [
            flow.masses,
            *(np.eye(len(flow.masses))[one] / (abs(limit) or 1.0) for one, limit in self.paths.deadlines),
        ]
        for column, mass in zip((0, *self._deadlines.tolist()), masses, strict=True):
            placed = (flow.nodes * mass[network])[self.joint.nodes] * self._seconds
            self._placed[:, column] = placed if column else self._others + placed
            along = np.append(flow.edges * mass[over], 0.0)
            sent = sum((along[edge] * seconds for edge, seconds in self._over), np.zeros(len(self._sent)))
            self._sent[:, column] = sent if column else self._others_sent + sent
        total, gradient = super().value(multipliers)
        if np.isfinite(total):
            count = len(c.node_names)
            costs = gradient[self.prices_end :]
            chosen = self._chosen + self.joint.walk.choices_at[:-1]
            costs[self.joint.nodes[chosen]] = self._seconds[chosen]
            for edge, seconds in self._over:
                used = self._used[0][edge[self._used[0]] >= 0]
                costs[count + edge[used]] = seconds[used]
            lengths = np.bincount(network, flow.nodes * costs[:count], len(flow.masses))
            lengths += np.bincount(over, flow.edges * costs[count:], len(flow.masses))
            for weights in self.paths.maxima:
                lengths[weights > 0] = (flow.masses * lengths)[weights > 0].sum()
            scale = self._weights / np.maximum(lengths, _TINY)
            costs[:count] *= scale[network]
            costs[count:] *= scale[over]
        return total, gradient

    def turn_weights(self, weights: Array, gradient: Array, length: float) -> None:
        """Let paths weigh more by what they cost."""
        weights += _TURN * length * gradient
