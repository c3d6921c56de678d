"""Coarsening: layers that follow each other are placed as one by a MILP; few large groups first, then smaller ones.

Hendrickson, Leland: A multilevel algorithm for partitioning graphs, Supercomputing 1995. Groups are segments of the
topological order, cut where fewest bytes cross: dynamic programming over the cuts, with a limit on the share of time
and memory in each. Where memory is tight, the best plan often goes to and fro between devices at a few cheap cuts,
which moves of single layers do not find. Groups are cut where the best plan known changes devices, too, so that the
MILP (see `restricted.py`, it knows every constraint) starts from it. After groups of the smallest size come others, cut
by bytes with random weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import MemoryLimit
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.logical import Colocation
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.presolve import presolve
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.incumbent import Incumbent
from dnnopt.methods.heuristics.restricted import placed, placing
from dnnopt.methods.heuristics.start import start

# The largest share of all time and memory in a group, one after the other.
_SHARES = (0.2, 0.12, 0.07, 0.04)
_WEIGHTS = 0.5, 2.0  # random ones


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield better and better placements. An iteration is a MILP."""
    c = evaluator.compiled
    rng = np.random.default_rng(effort.seed)
    formulation = placing(c)
    incumbent = Incumbent("coarsening")
    incumbent.judge(evaluator, start(evaluator, effort))
    layers = [np.flatnonzero(c.is_layer & (c.node_network == network)) for network in range(len(c.network_names))]
    networks = [(nodes, _crossing(c, nodes), _sizes(c, nodes)) for nodes in layers]
    iteration = 0
    while formulation is not None and not effort.spent(iteration):
        yield from incumbent.news()
        again, level = divmod(iteration, len(_SHARES))
        known = incumbent.placement if incumbent.excess == 0 else None
        groups: list[Index] = []
        for nodes, crossing, sizes in networks:
            weighted = crossing * (rng.uniform(*_WEIGHTS, len(crossing)) if again else 1.0)
            if known is not None:
                weighted[1:-1][np.diff(known[nodes]) != 0] = -1.0
            groups += _groups(nodes, weighted, sizes, _SHARES[level])
        together = tuple(Colocation("group", tuple(group.tolist())) for group in groups if len(group) > 1)
        cap = np.inf if known is None else incumbent.objective
        reduced = presolve(replace(c, constraints=(*c.constraints, *together)), cap)
        if not reduced.infeasible:
            found, _ = placed(replace(reduced.compiled, cap=cap), formulation, known, effort)
            if found is not None:
                incumbent.judge(evaluator, found)
        iteration += 1
    yield from incumbent.last()


BASELINE = Baseline(
    name="coarsening",
    summary="layers that follow each other are placed as one by a MILP: few large groups, then smaller ones",
    source="Hendrickson, Leland: A multilevel algorithm for partitioning graphs, Supercomputing 1995",
    order=150,
    searches=True,
    run=placements,
)


def _crossing(c: CompiledProblem, nodes: Index) -> Array:
    """Return the bytes that cross each cut of some layers in two: before the first, ..., after the last."""
    position = np.full(len(c.node_names), -1)
    position[nodes] = np.arange(len(nodes))
    made, used = position[c.edge_producer], position[c.edge_consumer]
    last = np.full(len(c.tensor_names), -1)
    np.maximum.at(last, c.edge_tensor, used)
    first = np.full(len(c.tensor_names), -1)
    first[c.edge_tensor] = made
    crosses = (first >= 0) & (last > first)
    change = np.zeros(len(nodes) + 2)
    np.add.at(change, first[crosses] + 1, c.tensor_bytes[crosses])
    np.add.at(change, last[crosses] + 1, -c.tensor_bytes[crosses])
    return np.maximum(np.cumsum(change)[: len(nodes) + 1], 0.0)


def _sizes(c: CompiledProblem, nodes: Index) -> Array:
    """Return each layer's share of the time, where it is fastest, and of the memory (of what it shares, a part)."""
    amounts = [c.time.min(axis=1)]
    shared = c.shared_weights
    parts = (shared.readers * shared.bytes[:, None] / shared.readers.sum(axis=1, keepdims=True)).sum(axis=0)
    amounts += [limit.resident + parts for limit in c.constraints if isinstance(limit, MemoryLimit)][:1]
    shares = [np.where(np.isfinite(amount), amount, 0.0)[nodes] for amount in amounts]
    return np.asarray(np.mean([share / (share.sum() or 1.0) for share in shares], axis=0))


def _groups(nodes: Index, crossing: Array, sizes: Array, most: float) -> Iterator[Index]:
    """Yield segments of some layers, each of at most this size or one layer, that fewest bytes cross."""
    total = np.append(0.0, np.cumsum(sizes))
    best, before = np.zeros(len(nodes) + 1), np.zeros(len(nodes) + 1, dtype=np.int64)
    earliest = np.searchsorted(total, total - most - 1e-12)
    for cut in range(1, len(nodes) + 1):
        first = min(int(earliest[cut]), cut - 1)
        before[cut] = first + int(best[first:cut].argmin())
        best[cut] = best[before[cut]] + crossing[cut]
    cut = len(nodes)
    while cut > 0:
        yield nodes[before[cut] : cut]
        cut = int(before[cut])
