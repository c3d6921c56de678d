"""Graphs: topological orders, tree decompositions by minimum-degree elimination, and dominators."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


def topological_order(predecessors: Sequence[Collection[int]]) -> tuple[list[int], list[int]]:
    """Return the vertices in a topological order, of those that are ready the first one first, and a cycle.

    The cycle has its first vertex again at its end; where there is none, it is empty.
    """
    successors: list[list[int]] = [[] for _ in predecessors]
    for vertex, before in enumerate(predecessors):
        for other in before:
            successors[other].append(vertex)
    waiting = [len(before) for before in predecessors]
    ready = [vertex for vertex, count in enumerate(waiting) if count == 0]
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        for other in successors[order[-1]]:
            waiting[other] -= 1
            if waiting[other] == 0:
                heapq.heappush(ready, other)
    if len(order) == len(predecessors):
        return order, []
    path: dict[int, None] = {}
    vertex = next(vertex for vertex, count in enumerate(waiting) if count > 0)
    while vertex not in path:  # backwards, among those that never became ready
        path[vertex] = None
        vertex = min(other for other in predecessors[vertex] if waiting[other] > 0)
    walked = list(path)
    return order, [*walked[walked.index(vertex) :], vertex][::-1]


@dataclass(frozen=True)
class TreeDecomposition:
    """One bag for each node, in the order of elimination.

    Attributes
    ----------
    bags : tuple of tuples of int
        The node that is eliminated, then its neighbours at that time, sorted.
    parent : tuple of int
        Index of the bag that the rest of each bag is contained in; -1: a root.
    position : tuple of int
        Index of each node's own bag.
    """

    bags: tuple[tuple[int, ...], ...]
    parent: tuple[int, ...]
    position: tuple[int, ...]

    @property
    def width(self) -> int:
        """Size of the largest bag, less one."""
        return max((len(bag) for bag in self.bags), default=1) - 1

    def holding(self, nodes: Iterable[int]) -> int:
        """Return the index of a bag that holds all of these nodes, which must be pairwise adjacent in the graph."""
        return min(self.position[node] for node in nodes)


def tree_decomposition(nodes: int, cliques: Iterable[Sequence[int]]) -> TreeDecomposition:
    """Return a tree decomposition of the graph on ``range(nodes)`` in which every clique's nodes are adjacent."""
    neighbours: list[set[int]] = [set() for _ in range(nodes)]
    for clique in cliques:
        for node in clique:
            neighbours[node].update(clique)
    for node in range(nodes):
        neighbours[node].discard(node)
    heap = [(len(neighbours[node]), node) for node in range(nodes)]
    heapq.heapify(heap)
    position = [-1] * nodes
    bags: list[tuple[int, ...]] = []
    while heap:
        degree, node = heapq.heappop(heap)
        if position[node] >= 0 or degree != len(neighbours[node]):
            continue
        position[node] = len(bags)
        bags.append((node, *sorted(neighbours[node])))
        for other in neighbours[node]:
            neighbours[other] |= neighbours[node]
            neighbours[other] -= {node, other}
        for other in neighbours[node]:
            heapq.heappush(heap, (len(neighbours[other]), other))
    parent = [min((position[node] for node in bag[1:]), default=-1) for bag in bags]
    return TreeDecomposition(tuple(bags), tuple(parent), tuple(position))


def immediate_dominators(predecessors: Sequence[Sequence[int]]) -> list[int]:
    """Return for each vertex the last one that every way to it passes.

    Cooper, Harvey, Kennedy: A simple, fast dominance algorithm, Rice University, 2001.

    Parameters
    ----------
    predecessors : sequence of sequence of int
        For each vertex, in a topological order.

    Returns
    -------
    list of int
        -1 is a virtual vertex before all that have no predecessors.
    """
    dominator: list[int] = []
    for before in predecessors:
        common = before[0] if before else -1
        for other in before[1:]:
            while common != other:
                if common > other:
                    common = dominator[common]
                else:
                    other = dominator[other]
        dominator.append(common)
    return dominator
