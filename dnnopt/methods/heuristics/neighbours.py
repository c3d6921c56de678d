"""Random changes of a placement: what local search, annealing and neighbourhood search move."""

from __future__ import annotations

import random

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.logical import Colocation
from dnnopt.compiled.moves import Change

_LONGEST_WINDOW = 12


class Neighbours:
    """Draws changes. Nodes go where they are allowed, mostly where a neighbour in the graph is.

    Kinds: one layer; a window of the topological order, short or up to a third of it; a walk along the graph; two
    layers that swap; a cut that shifts: the layers of one device next to another device's follow that one. Layers that
    are colocated go together.

    Parameters
    ----------
    compiled : CompiledProblem
    rng : random.Random
    """

    def __init__(self, compiled: CompiledProblem, rng: random.Random) -> None:
        c = compiled
        self.rng = rng
        self.free: list[int] = np.flatnonzero(c.is_layer & (c.allowed.sum(axis=1) > 1)).tolist()
        self.choices = [np.flatnonzero(row).tolist() for row in c.allowed]
        self._allowed = c.allowed.tolist()
        self._together = _together(c)
        self.after: list[list[int]] = [[] for _ in c.node_names]
        self.beside: list[list[int]] = [[] for _ in c.node_names]
        for u, v in zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True):
            self.after[u].append(v)
            self.beside[u].append(v)
            self.beside[v].append(u)

    def draw(self, placement: list[int]) -> Change:
        """Return a change of a placement: at least one node, which may stay where it is."""
        nodes, executors = self._drawn(placement)
        if not self._together:
            return nodes, executors
        moved: dict[int, int] = {}
        for node, executor in zip(nodes, executors, strict=True):
            if node not in moved:
                moved |= dict.fromkeys(self._together.get(node, (node,)), executor)
        return list(moved), list(moved.values())

    def _drawn(self, placement: list[int]) -> Change:
        rng, free = self.rng, self.free
        if not free:
            return [0], placement[:1]
        kind = rng.random()
        first = rng.randrange(len(free))
        if kind < 0.1:
            u, v = free[first], rng.choice(free)
            if u != v and self._allowed[u][placement[v]] and self._allowed[v][placement[u]]:
                return [u, v], [placement[v], placement[u]]
            kind = 1.0
        if kind < 0.2:
            return self._shift(placement, first)
        if kind < 0.45:
            nodes = [free[first]]
        elif kind < 0.7:
            nodes = free[first : first + rng.randint(2, _LONGEST_WINDOW)]
        elif kind < 0.9:
            nodes = self._walk(free[first], rng.randint(2, _LONGEST_WINDOW))
        else:
            nodes = free[first : first + rng.randint(_LONGEST_WINDOW, max(_LONGEST_WINDOW, len(free) // 3))]
        return self._to(placement, nodes, self._target(placement, nodes))

    def _to(self, placement: list[int], nodes: list[int], target: int) -> Change:
        moved = [node for node in nodes if self._allowed[node][target]]
        if not moved:
            return nodes[:1], [placement[nodes[0]]]
        return moved, [target] * len(moved)

    def _shift(self, placement: list[int], first: int) -> Change:
        """Move the next cut of the order at or after a position, by up to a window, in either direction."""
        free, rng = self.free, self.rng
        cut = first + 1
        while cut < len(free) and placement[free[cut]] == placement[free[cut - 1]]:
            cut += 1
        if cut >= len(free):
            return self._to(placement, [free[first]], rng.choice(self.choices[free[first]]))
        width = rng.randint(1, _LONGEST_WINDOW)
        if rng.random() < 0.5:
            return self._to(placement, free[cut : cut + width], placement[free[cut - 1]])
        return self._to(placement, free[max(cut - width, 0) : cut], placement[free[cut]])

    def _walk(self, node: int, length: int) -> list[int]:
        nodes = [node]
        while len(nodes) < length and self.after[node]:
            node = self.rng.choice(self.after[node])
            nodes.append(node)
        return nodes

    def _target(self, placement: list[int], nodes: list[int]) -> int:
        end = self.rng.choice((nodes[0], nodes[-1]))
        if self.beside[end] and self.rng.random() < 0.6:
            return placement[self.rng.choice(self.beside[end])]
        choices = self.choices[self.rng.choice(nodes)]
        return self.rng.choice(choices or [placement[end]])


def _together(c: CompiledProblem) -> dict[int, tuple[int, ...]]:
    """Return the nodes that are colocated with each node, itself among them; nodes that are with none are left out."""
    found: dict[int, tuple[int, ...]] = {}
    for constraint in c.constraints:
        if isinstance(constraint, Colocation):
            nodes = set(constraint.nodes).union(*(found.get(node, ()) for node in constraint.nodes))
            found |= dict.fromkeys(nodes, tuple(sorted(nodes)))
    return found
