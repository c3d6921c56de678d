"""Exact method `min-cut`: a minimum cut between two executors.

For linear objectives (sequential latency, energy, cost, traffic, and sums of these) with placements, pins and routes as
the only constraints, where no node has a choice but between the same two executors; others may hold what is pinned
there. Stone: Multiprocessor scheduling with the aid of network flow algorithms, IEEE TSE 3, 1977; for networks Hu et
al.: Dynamic adaptive DNN surgery for inference acceleration on the edge, INFOCOM 2019. Nodes on the source's side are
on the first executor. A tensor is charged once for each destination, by a vertex that tells whether any consumer is
there:

    producer --cost--> a --inf--> every consumer         from the first executor to the second
    every consumer --inf--> b --cost--> producer         from the second to the first

The flow is that of Google OR-tools, in whole numbers. Costs are rounded down to them, so that it is a bound; the units
are so small that it is within 1e-9 of the cut.
"""

from __future__ import annotations

import math

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs import linear
from dnnopt.methods.programs.linear import SCOPE
from dnnopt.methods.programs.rows import linear_costs
from dnnopt.models.solvers.interface import Control, Limits, Outcome

_LARGEST_FLOW = 2.0**61  # OR-tools counts in 64 bits
_COARSE = 8.0  # the units are made smaller where the cut is so many times below what they suit
_ELSEWHERE = -1


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why the problem is not of this kind, or None."""
    reason = SCOPE.refuses(compiled)
    if reason is None and len(_chosen_between(compiled)) > 2:
        names = ", ".join(compiled.executor_names[executor] for executor in _chosen_between(compiled))
        return f"a choice among more than two executors ({names})"
    return reason


def run(pool: Pool, limits: Limits, control: Control) -> Outcome:
    """Solve the pool's problem."""
    found = None if (~pool.compiled.allowed).all(axis=1).any() else Cut(pool.compiled).minimum()
    if found is None:
        return Outcome("infeasible")
    bound, placement = found
    pool.offer_placement(placement, "minimum cut")
    pool.add_bound(bound, "minimum cut")
    return Outcome("optimal")


def _chosen_between(c: CompiledProblem) -> Index:
    """Return the executors that some node has a choice between."""
    return np.flatnonzero(c.allowed[c.allowed.sum(axis=1) > 1].any(axis=0))


class Cut:
    """The flow network: its vertices are the nodes, the source, the sink, and those of tensors."""

    def __init__(self, compiled: CompiledProblem) -> None:
        self.c = c = compiled
        self.alpha, self.beta = linear_costs(c)
        executors = [*_chosen_between(c).tolist(), *range(c.time.shape[1])]  # any, where there is nothing to choose
        self.first, self.second = executors[0], executors[min(1, len(executors) - 1)]
        self.source = len(c.node_names)
        self.sink = self.source + 1
        self.vertices = self.sink + 1
        self.free = c.allowed.sum(axis=1) > 1
        self.executor = c.allowed.argmax(axis=1)  # of nodes without a choice
        fixed = np.full(len(self.free), _ELSEWHERE)
        fixed[self.executor == self.second] = self.sink
        fixed[self.executor == self.first] = self.source
        self.vertex = np.where(self.free, np.arange(len(self.free)), fixed).tolist()
        self.arcs: list[tuple[int, int, float]] = []
        self.constant = 0.0
        self._add_nodes()
        self._add_tensors()
        self._add_forbidden_moves()

    def _add_nodes(self) -> None:
        fixed = np.flatnonzero(~self.free)
        self.constant += float(self.alpha[fixed, self.executor[fixed]].sum())
        for node in np.flatnonzero(self.free).tolist():
            on_first, on_second = self.alpha[node, [self.first, self.second]].tolist()
            least = min(on_first, on_second)
            self.constant += least
            self.arcs += [(node, self.sink, on_first - least), (self.source, node, on_second - least)]

    def _add_tensors(self) -> None:
        c = self.c
        by_tensor: dict[int, list[int]] = {}
        for edge, tensor in enumerate(c.edge_tensor.tolist()):
            by_tensor.setdefault(edge if c.transport == "per_edge" else tensor, []).append(edge)
        first, second = (int(c.executor_device[executor]) for executor in (self.first, self.second))
        for edges in by_tensor.values():
            tensor, producer = int(c.edge_tensor[edges[0]]), int(c.edge_producer[edges[0]])
            consumers = c.edge_consumer[edges].tolist()
            here = [self.vertex[node] for node in consumers if self.vertex[node] != _ELSEWHERE]
            always = {
                int(c.executor_device[self.executor[node]]) for node in consumers if self.vertex[node] == _ELSEWHERE
            }
            vertex = self.vertex[producer]
            if vertex == _ELSEWHERE:
                origin = int(c.executor_device[self.executor[producer]])
                known, on_first, on_second = (self._crossed(origin, to) for to in (always, {first}, {second}))
                both = on_first & on_second if here else set()
                self.constant += self._cost(tensor, known | both)
                self._charge(self.sink, here, self._cost(tensor, on_first - known - both), to_second=False)
                self._charge(self.source, here, self._cost(tensor, on_second - known - both), to_second=True)
                continue
            from_first, from_second = self._crossed(first, always), self._crossed(second, always)
            self.arcs.append((vertex, self.sink, self._cost(tensor, from_first)))
            self.arcs.append((self.source, vertex, self._cost(tensor, from_second)))
            more = self._crossed(first, {second}) - from_first
            self._charge(vertex, here, self._cost(tensor, more), to_second=True)
            more = self._crossed(second, {first}) - from_second
            self._charge(vertex, here, self._cost(tensor, more), to_second=False)

    def _crossed(self, origin: int, destinations: set[int]) -> set[tuple[int, int]]:
        """Return what is charged from a device to others: links, and unless by multicast for which destination."""
        c = self.c
        return {
            (-1 if c.transport == "multicast" else destination, link)
            for destination in destinations - {origin}
            for link in c.route_links[origin][destination] or ()
        }

    def _cost(self, tensor: int, crossed: set[tuple[int, int]]) -> float:
        """Return what a tensor costs there."""
        return float(self.beta[tensor, [link for _, link in sorted(crossed)]].sum())

    def _charge(self, producer: int, consumers: list[int], cost: float, *, to_second: bool) -> None:
        """Charge a cost where the producer is on one side and any consumer on the other."""
        if cost <= 0.0 or not consumers:
            return
        if len(consumers) == 1:
            end = consumers[0]
        else:
            end = self.vertices
            self.vertices += 1
            self.arcs += [(end, node, np.inf) if to_second else (node, end, np.inf) for node in consumers]
        self.arcs.append((producer, end, cost) if to_second else (end, producer, cost))

    def _add_forbidden_moves(self) -> None:
        c = self.c
        forbidden = np.isinf(linear.move_costs(c, np.zeros_like(self.beta)))
        forbidden &= c.allowed[c.edge_producer][:, :, None] & c.allowed[c.edge_consumer][:, None, :]
        for edge, origin, destination in np.argwhere(forbidden).tolist():
            tail, head = self.source, self.sink
            for node, executor in ((c.edge_producer[edge], origin), (c.edge_consumer[edge], destination)):
                if self.free[node] and executor == self.first:
                    tail = int(node)
                elif self.free[node]:
                    head = int(node)
            self.arcs.append((tail, head, np.inf))

    def minimum(self) -> tuple[float, Index] | None:
        """Return a bound and the placement (N,) of a minimum cut; None: every cut is infinite."""
        tails, heads = (np.array([arc[end] for arc in self.arcs], dtype=np.int64) for end in (0, 1))
        costs = np.array([arc[2] for arc in self.arcs])
        suits = math.nextafter(math.fsum(costs[np.isfinite(costs)]), math.inf)
        while True:
            flow, first = self._flow(tails, heads, costs, suits)
            cut = math.fsum(costs[first[tails] & ~first[heads]])
            if math.isinf(cut):
                return None
            if cut * _COARSE >= suits or not cut:
                chosen = np.where(first[: len(self.free)], self.first, self.second)
                return self.constant + flow, np.where(self.free, chosen, self.executor)
            suits = 2.0 * cut

    def _flow(self, tails: Index, heads: Index, costs: Array, suits: float) -> tuple[float, Mask]:
        """Return the largest flow, and which vertices are on the source's side of a minimum cut.

        Whole numbers suit cuts of at most `suits`: what costs more is infinite, which is one more than all of these.
        """
        from ortools.graph.python.max_flow import SimpleMaxFlow

        # A power of two, so that quotients are exact; all capacities together are at most _LARGEST_FLOW.
        size = suits * (len(costs) + 1) / _LARGEST_FLOW
        unit = 2.0 ** math.ceil(math.log2(size)) if size > 0.0 else 1.0
        most = int(suits / unit)
        fits = costs <= suits
        capacities = np.full(len(costs), most + 1, dtype=np.int64)
        capacities[fits] = np.floor(costs[fits] / unit).astype(np.int64)
        graph = SimpleMaxFlow()
        graph.add_arcs_with_capacity(tails.astype(np.int32), heads.astype(np.int32), capacities)
        status = graph.solve(self.source, self.sink)
        if status != graph.OPTIMAL:
            raise RuntimeError(f"OR-tools found no largest flow: {status}")
        first = np.zeros(self.vertices, dtype=bool)
        first[[self.source, *(node for node in graph.get_source_side_min_cut() if node < self.vertices)]] = True
        return graph.optimal_flow() * unit, first
