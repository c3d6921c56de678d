"""Escapes: what memory implies of moves. What follows a layer and does not fit beside it on a device must be left.

    x_vi <= Σ_{e ∈ T} leave_i(e)      T: a tree of edges that leads from v to layers that do not all fit on device i

and the same backwards, with the edges that enter i on the way to v. Relaxations average over plans: a third of every
layer on each device fits everywhere and sends nothing; with these rows, what is on a device in part has to leave it in
part. Where memory is tight and sending is dear, the bound of `edgewise` rises by a fifth or more; searches take longer
for each node, so they are for problems that nothing else closes.
"""

from __future__ import annotations

import heapq

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import (
    Escape,
    LatencyTerm,
    LinearTerm,
    MaxTerm,
    MemoryLimit,
    PeriodTerm,
    WorstLeakageTerm,
)
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scope import Scope

SCOPE = Scope(
    relaxes=True,
    terms=frozenset({LinearTerm, LatencyTerm, PeriodTerm, WorstLeakageTerm, MaxTerm}),
    latencies=frozenset({"parallel", "scheduled", "call"}),
    priorities=True,
)
_MOST = 40  # layers, for each device and direction
_ROOM = 1e-7  # more than limits let through


def escapes(c: CompiledProblem) -> list[Escape]:
    """Return what the limits on memory imply, for up to 40 layers, each device and both directions."""
    if SCOPE.refuses(c):
        return []
    limits = [one for one in c.constraints if isinstance(one, MemoryLimit)]
    layers = np.flatnonzero(c.is_layer)
    if not limits or not len(layers):
        return []
    roots = layers[np.unique(np.linspace(0, len(layers) - 1, _MOST).astype(int))].tolist()
    found = []
    for forwards in (True, False):
        ways = _ways(c, forwards)
        for root in roots:
            nodes, edges = _walk(ways, root, forwards)
            for limit in limits:
                here = np.flatnonzero(c.executor_device == limit.device)
                count = _too_much(limit, nodes)
                if count is not None and c.allowed[nodes[:count]][:, here].any(axis=1).all():
                    what = f"{c.node_names[root]},{c.device_names[limit.device]},{'out' if forwards else 'in'}"
                    found.append(Escape(f"escape({what})", root, limit.device, forwards, edges[: count - 1]))
    return found


_Ways = list[list[tuple[int, int]]]


def _ways(c: CompiledProblem, forwards: bool) -> _Ways:
    """Return for each node those that its edges lead to (or come from), with the edges."""
    ways: _Ways = [[] for _ in c.node_names]
    for edge, (u, v) in enumerate(zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True)):
        if forwards:
            ways[u].append((v, edge))
        else:
            ways[v].append((u, edge))
    return ways


def _walk(ways: _Ways, root: int, forwards: bool) -> tuple[Index, Index]:
    """Return the nodes on all paths from the root (or to it), the nearest in the topological order first.

    And for each of them but the root an edge from (or to) an earlier one.
    """
    sign = 1 if forwards else -1
    heap, seen = [(sign * root, -1)], {root}
    nodes, edges = [], []
    while heap:
        rank, edge = heapq.heappop(heap)
        nodes.append(sign * rank)
        edges.append(edge)
        for other, way in ways[nodes[-1]]:
            if other not in seen:
                seen.add(other)
                heapq.heappush(heap, (sign * other, way))
    return np.array(nodes, dtype=np.int64), np.array(edges[1:], dtype=np.int64)


def _too_much(limit: MemoryLimit, nodes: Index) -> int | None:
    """Return how many of the first nodes do not fit on the device together, or None."""
    used = np.cumsum(limit.resident[nodes]) + np.maximum.accumulate(limit.peaks[:, nodes], axis=1).sum(axis=0)
    over = np.flatnonzero(used > limit.limit * (1 + _ROOM))
    return int(over[0]) + 1 if len(over) else None
