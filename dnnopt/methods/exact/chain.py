"""Exact method `chain`: a shortest path through layers and executors, and the k shortest ones.

For chains, in which each layer gets tensors from at most one layer and sends one to at most one (several chains too,
with inputs and outputs), under linear objectives (sequential latency, energy, cost, traffic, and sums of these) with
placements, pins and routes as the only constraints. Kang et al.: Neurosurgeon: Collaborative intelligence between the
cloud and mobile edge, ASPLOS 2017, scan the cuts of a chain over two devices; this is the shortest path for any number
of them, which may also come back. For the k best, k ways are kept to every layer and executor (Dreyfus: An appraisal of
some shortest-path algorithms, Operations Research 17, 1969).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs import linear
from dnnopt.methods.programs.linear import SCOPE
from dnnopt.methods.programs.rows import linear_costs
from dnnopt.models.solvers.interface import Control, Limits, Outcome


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why the problem is not of this kind, or None."""
    return SCOPE.refuses(compiled) or _broken(compiled)


def run(pool: Pool, limits: Limits, control: Control) -> Outcome:
    """Solve the pool's problem."""
    for value, placement in k_best(pool.compiled, 1):
        pool.offer_placement(placement, "chain")
        pool.add_bound(value, "chain")
        return Outcome("optimal")
    return Outcome("infeasible")


def k_best(compiled: CompiledProblem, k: int) -> Iterator[tuple[float, Index]]:
    """Yield the k best placements (N,) with their values (SI), the best first; fewer if no more are allowed.

    Parameters
    ----------
    compiled : CompiledProblem
        Which `refuses` accepts.
    k : int
    """
    order, costs, moves = _layered(compiled)
    executors = costs.shape[1]
    values = costs[0][:, None]  # the best ways to each executor (k executors, at most k ways)
    came: list[Index] = []
    for cost, move in zip(costs[1:], moves, strict=True):
        ways = (values[:, :, None] + move[:, None, :]).reshape(-1, executors)
        best = ways.argsort(axis=0, kind="stable")[:k]
        values = np.take_along_axis(ways, best, axis=0).T + cost[:, None]
        came.append(best.T)
    for way in values.ravel().argsort(kind="stable")[:k]:
        executor, rank = divmod(int(way), values.shape[1])
        if np.isinf(values[executor, rank]):
            return
        value = float(values[executor, rank])
        placement = compiled.allowed.argmax(axis=1)
        placement[order[-1]] = executor
        for position in range(len(came) - 1, -1, -1):
            width = 1 if position == 0 else came[position - 1].shape[1]
            executor, rank = divmod(int(came[position][executor, rank]), width)
            placement[order[position]] = executor
        yield value, placement


def _layered(c: CompiledProblem) -> tuple[Index, Array, Array]:
    """Return the layers one chain after the other (V,), their costs (V, k), and what steps cost (V - 1, k, k)."""
    alpha, beta = linear_costs(c)
    costs = np.where(c.allowed, alpha, np.inf)
    over = linear.move_costs(c, beta)
    u, v, inner = c.edge_producer, c.edge_consumer, _inner(c)
    pinned = c.allowed.argmax(axis=1)
    into, out = ~c.is_layer[u], c.is_layer[u] & ~c.is_layer[v]
    np.add.at(costs, v[into], over[into, pinned[u[into]]])
    np.add.at(costs, u[out], over[out, :, pinned[v[out]]])
    following = np.full(len(c.node_names), -1)
    following[u[inner]] = v[inner]
    order: list[int] = []
    for first in np.setdiff1d(np.flatnonzero(c.is_layer), v[inner]):
        layer = int(first)
        while layer >= 0:
            order.append(layer)
            layer = int(following[layer])
    position = np.zeros(len(c.node_names), dtype=np.int64)
    position[order] = np.arange(len(order))
    moves = np.zeros((len(order) - 1, *over.shape[1:]))  # from chain to chain: nothing
    np.add.at(moves, position[u[inner]], over[inner])
    # What goes from the input to the output directly is the same in all plans, or impossible.
    fixed = into & ~c.is_layer[v]
    costs[order[0]] += over[fixed, pinned[u[fixed]], pinned[v[fixed]]].sum()
    return np.array(order), costs[order], moves


def _inner(c: CompiledProblem) -> Index:
    """Return the edges between layers."""
    return np.flatnonzero(c.is_layer[c.edge_producer] & c.is_layer[c.edge_consumer])


def _broken(c: CompiledProblem) -> str | None:
    """Return what keeps the layers from being chains, or None."""
    inner, found = _inner(c), []
    if c.transport != "per_edge":
        shared = c.fan_out[c.edge_tensor] > 1
        found += [(int(u), "sends a tensor to several places") for u in c.edge_producer[shared]]
    arrows = np.unique(np.stack([c.edge_producer[inner], c.edge_consumer[inner]], axis=1), axis=0)
    for column, what in ((0, "sends tensors to several layers"), (1, "gets tensors from several layers")):
        count = np.bincount(arrows[:, column], minlength=len(c.node_names))
        found += [(int(node), what) for node in np.flatnonzero(count > 1)]
    if not found:
        return None
    node, what = min(found)
    return f"what is no chain: {c.node_names[node]} {what}"
