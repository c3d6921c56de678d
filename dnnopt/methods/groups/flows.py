"""Group decomposition of critical paths: the objective is the longest of many paths, and a mean of these bounds it.

A flow of 1 along a network, φ_v at its nodes and φ_uv on its edges, is a convex combination of its paths. So

    latency(x) >= Σ_v φ_v t_v(x) + Σ_uv φ_uv c_uv(x)         t_v: seconds of v where it is, c_uv: those of sending to v

and the right side is one sum, for which `Decomposition` has a bound. (For the largest of several latencies a path may
be in any of the networks.) Every flow has a bound; the best is sought together with the prices. A flow is that of paths
which weigh the exponential of the sum of θ_v and θ_uv along them (sums over all paths are a dynamic program, by nodes);
a step adds to θ what nodes and edges cost in the plan that the joint program finds. That is exponentiated gradient over
all paths (Takimoto, Warmuth: Path kernels and multiplicative updates, 2003).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import LinearTerm
from dnnopt.compiled.metrics import Array, Index, LinearMetric
from dnnopt.methods.groups.decomposition import Decomposition, DeviceGroups
from dnnopt.methods.groups.loops import Loops, loops_for
from dnnopt.methods.groups.steps import Incoming, joint_of
from dnnopt.methods.programs.arrivals import Arrivals
from dnnopt.methods.programs.rows import rows_of

_TURN = 10.0  # what a step adds to θ of a mean path at most


@dataclass(frozen=True, eq=False)
class PathFlow:
    """Flows along networks in which every tensor is one edge.

    Attributes
    ----------
    seconds : LinearMetric
        The sum of the seconds of all nodes and all edges.
    maxima : array (M, A)
        The weight of each network's latency in each of several maxima, the sum of which is to be bounded; 0: it is not
        in it. No network is in two.
    """

    seconds: LinearMetric
    maxima: Array

    def of(self, c: CompiledProblem, nodes: Array, edges: Array, loops: Loops) -> tuple[Array, Array]:
        """Return the flow of nodes (N,) and of edges (E,), given θ."""
        into = incoming(c)
        sums, flow, over = np.zeros(len(nodes)), np.zeros(len(nodes)), np.zeros(len(edges))
        loops.sum_paths(into, nodes, edges, sums)
        last = np.ones(len(nodes), dtype=bool)
        last[c.edge_producer] = False
        for weights in self.maxima[:, c.node_network]:
            ends = np.flatnonzero(last & (weights > 0))
            if len(ends):
                share = np.exp(sums[ends] - sums[ends].max())
                flow[ends] = weights[ends] * share / share.sum()
        loops.share_paths(into, nodes, edges, sums, flow, over)
        return flow, over

    def problem(self, c: CompiledProblem, flow: Array, over: Array) -> CompiledProblem:
        """Return a problem with the seconds of a flow as the first term of its objective."""
        metric = replace(self.seconds, alpha=flow[:, None] * self.seconds.alpha, scale=over * self.seconds.scale)
        return replace(c, objective=((LinearTerm(1.0, metric), *c.objective[0][1:]),))

    def uniform(self, c: CompiledProblem) -> CompiledProblem:
        """Return the problem of the flow in which all paths weigh the same."""
        nodes, edges = np.zeros(len(c.node_names)), np.zeros(len(c.tensor_names))
        return self.problem(c, *self.of(c, nodes, edges, loops_for(0)))

    def decomposition(self, c: CompiledProblem, groups: DeviceGroups, units: int) -> PathDecomposition:
        """Return the decomposition of what is left of such a problem."""
        return PathDecomposition(c, groups, units, self)


def incoming(c: CompiledProblem) -> Incoming:
    """Return the edges into each node."""
    order = np.argsort(c.edge_consumer, kind="stable")
    starts = np.searchsorted(c.edge_consumer[order], np.arange(len(c.node_names) + 1))
    return Incoming(starts, order, c.edge_producer)


class PathDecomposition(Decomposition):
    """The bound as a function of multipliers, which end with θ of nodes and of edges.

    Parameters
    ----------
    compiled : CompiledProblem
        With the seconds of a flow as the first term of its objective, and a tensor for each edge.
    groups : DeviceGroups
    units : int
    flow : PathFlow
    """

    def __init__(self, compiled: CompiledProblem, groups: DeviceGroups, units: int, flow: PathFlow) -> None:
        super().__init__(compiled, groups, units)
        self.flow = flow
        self.size += len(compiled.node_names) + len(compiled.tensor_names)
        self._terms = self.frontier.with_rows(
            [
                rows_of(replace(compiled, objective=(terms,))).objective[0]
                for terms in ((LinearTerm(1.0, flow.seconds),), compiled.objective[0][1:])
            ]
        )
        terms = joint_of(self._terms, groups.members)
        self._seconds, self._others = np.ascontiguousarray(terms.placed.T)
        self._seconds_sent, self._others_sent = np.ascontiguousarray(terms.sent.T)
        walk = self.joint.walk
        edges = [use.tensors[0] if use.tensors else -1 for step in self.frontier.steps for use in step.uses]
        self._weights = flow.maxima.sum(axis=0)[compiled.node_network]
        self._edge: Index = np.repeat(np.array(edges, dtype=np.int64), np.diff(walk.entries_at))

    def _flow(self, multipliers: Array) -> tuple[Array, Array]:
        count = len(self.c.node_names)
        weights = multipliers[self.prices_end :]
        return self.flow.of(self.c, weights[:count], weights[count:], self._loops)

    def problem(self, multipliers: Array) -> CompiledProblem:
        """Return the problem of the flow."""
        return self.flow.problem(self.c, *self._flow(multipliers))

    def arrivals(self, multipliers: Array) -> Arrivals | None:
        """Return what follows times in labels."""
        return Arrivals(self._terms, self._flow(multipliers)[1], self.flow.maxima)

    def value(self, multipliers: Array) -> tuple[float, Array]:
        """Return the bound, and a subgradient of prices, and what nodes and edges cost; infinite: there is no plan."""
        flow, over = self._flow(multipliers)
        self._placed[:, 0] = self._others + flow[self.joint.nodes] * self._seconds
        self._sent[:, 0] = self._others_sent + np.append(over, 0.0)[self._edge] * self._seconds_sent
        total, gradient = super().value(multipliers)
        if np.isfinite(total):
            count = len(self.c.node_names)
            chosen = self._chosen + self.joint.walk.choices_at[:-1]
            costs = gradient[self.prices_end :]
            costs[self.joint.nodes[chosen]] = self._seconds[chosen]
            used = self._used[0][self._edge[self._used[0]] >= 0]
            costs[count + self._edge[used]] = self._seconds_sent[used]
            self._mean = float(flow @ costs[:count] + over @ costs[count:]) / len(self.flow.maxima)
            costs[:count] *= self._weights
            costs[count:] *= self._weights[self.c.edge_consumer]
        return total, gradient

    def turn_weights(self, weights: Array, gradient: Array, length: float) -> None:
        """Let paths weigh more by what they cost."""
        weights += _TURN * length / max(self._mean, 1e-300) * gradient


Decompositions = Callable[[CompiledProblem, DeviceGroups, int], Decomposition]
