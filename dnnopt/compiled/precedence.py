"""Precedence: which nodes come before which, and the modules between a node and another that it cannot pass by.

A module is a pair of nodes u, v and what lies between them, B: the descendants of u that are ancestors of v. All of B
runs after u has ended and before v starts, and so does every copy that one of B or v waits for. The useful modules are
fork-joins: a node with several successors and its immediate post-dominator, a node with several predecessors and its
immediate dominator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnnopt.base.graphs import immediate_dominators
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index, Mask


def reachability(c: CompiledProblem) -> Mask:
    """Return whether there is a path from one node to another, of at least one edge (N, N)."""
    size = len(c.node_names)
    reach = np.zeros((size, size), dtype=bool)
    successors = _neighbours(c.edge_producer, c.edge_consumer, size)
    for u in reversed(range(size)):
        for v in successors[u]:
            reach[u] |= reach[v]
            reach[u, v] = True
    return reach


def _neighbours(nodes: Index, others: Index, size: int) -> list[list[int]]:
    """Return the distinct others of each node, ascending."""
    found: list[set[int]] = [set() for _ in range(size)]
    for node, other in zip(nodes.tolist(), others.tolist(), strict=True):
        found[node].add(other)
    return [sorted(one) for one in found]


@dataclass(frozen=True, eq=False)
class Module:
    """A module.

    Attributes
    ----------
    begin, end : int
        Nodes; -1: the start, and the end, of the network.
    network : int
    inside : array (N,)
        Which nodes lie between.
    within : array (E,)
        Which edges go from `begin` or a node inside to one inside or to `end`.
    tensors : array (T,)
        Which tensors have edges within, and no others.
    some : array
        Of every other tensor with edges within, one of these.
    chain : bool
        Whether the nodes inside are in a total order.
    """

    begin: int
    end: int
    network: int
    inside: Mask
    within: Mask
    tensors: Mask
    some: Index
    chain: bool


def fork_joins(c: CompiledProblem, reach: Mask) -> list[Module]:
    """Return the fork-join modules of all networks."""
    size = len(c.node_names)
    successors = _neighbours(c.edge_producer, c.edge_consumer, size)
    predecessors = _neighbours(c.edge_consumer, c.edge_producer, size)
    backwards = [[size - 1 - v for v in successors[size - 1 - u]] for u in range(size)]
    before = immediate_dominators(predecessors)
    after = immediate_dominators(backwards)[::-1]
    pairs = {(before[v], v) for v in range(size) if len(predecessors[v]) > 1}
    pairs |= {(u, size - 1 - after[u] if after[u] >= 0 else -1) for u in range(size) if len(successors[u]) > 1}
    modules = [module(c, reach, *pair, int(c.node_network[max(pair)])) for pair in sorted(pairs)]
    return [one for one in modules if one.inside.any()]


def whole_networks(c: CompiledProblem, reach: Mask) -> list[Module]:
    """Return each network as a module without ends."""
    return [module(c, reach, -1, -1, network) for network in range(len(c.network_names))]


def together(c: CompiledProblem, networks: tuple[int, ...]) -> Module:
    """Return several networks as one module without ends."""
    inside = np.isin(c.node_network, networks)
    within = inside[c.edge_producer]
    tensors = (c.fan_out > 0) & np.isin(c.tensor_network, networks)
    return Module(-1, -1, -1, inside, within, tensors, np.zeros(0, dtype=np.int64), False)


def module(c: CompiledProblem, reach: Mask, begin: int, end: int, network: int) -> Module:
    """Return what lies between two nodes of a network; -1: its start, its end."""
    inside = c.node_network == network
    if begin >= 0:
        inside = inside & reach[begin]
    if end >= 0:
        inside = inside & reach[:, end]
    made, used = inside.copy(), inside.copy()
    if begin >= 0:
        made[begin] = True
    if end >= 0:
        used[end] = True
    within = made[c.edge_producer] & used[c.edge_consumer]
    count = np.bincount(c.edge_tensor[within], minlength=len(c.tensor_names))
    tensors = (count > 0) & (count == c.fan_out)
    partly = np.flatnonzero(within & ~tensors[c.edge_tensor])
    _, first = np.unique(c.edge_tensor[partly], return_index=True)
    size = int(inside.sum())
    chain = reach[np.ix_(inside, inside)].sum() == size * (size - 1) // 2
    return Module(begin, end, network, inside, within, tensors, partly[first], bool(chain))
