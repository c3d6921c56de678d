"""Simulated annealing on placements, for every execution and constraint that the evaluator knows.

Moves give one layer, a window of the topological order, or a walk along the graph to one device, mostly that of a
neighbour; or swap the devices of two layers. Many moves from one plan are evaluated at once, and the first that is
accepted is made, so the chain is the usual one (Kirkpatrick, Gelatt, Vecchi: Optimization by simulated annealing,
Science 220, 1983). What a plan breaks of its limits counts as a cost that grows while the temperature falls.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np

from dnnopt.compiled import CompiledProblem, Index
from dnnopt.evaluator import Evaluator
from dnnopt.solvers.interface import Clock

# Temperatures, as shares of the start's objective; geometric in between.
_HOT, _COLD = 0.03, 1e-5
# What an excess of 1 (twice a limit) costs, as a multiple of the start's objective: at first, at last.
_PENALTY = (1.0, 100.0)
_LEAST_BATCH, _MOST_BATCH = 32, 128
_LONGEST_WINDOW = 12


def anneal(
    evaluator: Evaluator,
    start: Index,
    seconds: float,
    seed: int,
    found: Callable[[Index], None],
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Improve a placement.

    Parameters
    ----------
    evaluator : Evaluator
    start : array (N,)
    seconds : float
    seed : int
    found : callable
        Called with each feasible placement that is better than the start and all found before.
    stopped : callable
        Asked now and then whether to stop early.
    """
    clock = Clock(seconds)
    rng = random.Random(seed)
    moves = _Moves(evaluator.compiled, rng)
    current = start.copy()
    excess, objective = float(evaluator.excess(start[None])[0]), float(evaluator.objectives(start[None])[0])
    best = objective if excess == 0 else math.inf
    size = abs(objective) or 1.0
    batch, accepted = _LEAST_BATCH, 0.1
    while not clock.expired() and not stopped():
        progress = clock.elapsed() / seconds
        temperature = size * _HOT * (_COLD / _HOT) ** progress
        penalty = size * _PENALTY[0] * (_PENALTY[1] / _PENALTY[0]) ** progress
        proposals = np.array([moves.propose(current) for _ in range(batch)])
        over, values = evaluator.excess(proposals), evaluator.objectives(proposals)
        cost = objective + penalty * excess
        tried = batch
        for position in range(batch):
            rise = values[position] + penalty * over[position] - cost
            if rise <= 0 or rng.random() < math.exp(-rise / temperature):
                current, excess, objective = proposals[position], float(over[position]), float(values[position])
                tried = position + 1
                break
        better = np.flatnonzero((over == 0) & (values < best))
        if len(better):
            chosen = better[values[better].argmin()]
            best = float(values[chosen])
            found(proposals[chosen])
        # About as many proposals as it takes until one is accepted.
        accepted += 0.1 * ((1.0 / tried if tried < batch else 0.5 / batch) - accepted)
        batch = int(min(max(1.5 / accepted, _LEAST_BATCH), _MOST_BATCH))


class _Moves:
    """Random changes of a placement."""

    def __init__(self, c: CompiledProblem, rng: random.Random) -> None:
        self.rng = rng
        self.free = np.flatnonzero(c.is_layer & (c.allowed.sum(axis=1) > 1)).tolist()
        self.choices = [np.flatnonzero(row).tolist() for row in c.allowed]
        self.allowed = c.allowed
        size = len(c.node_names)
        self.after: list[list[int]] = [[] for _ in range(size)]
        self.beside: list[list[int]] = [[] for _ in range(size)]
        for u, v in zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True):
            self.after[u].append(v)
            self.beside[u].append(v)
            self.beside[v].append(u)

    def propose(self, placement: Index) -> Index:
        """Return a placement with some layers elsewhere."""
        rng = self.rng
        changed = placement.copy()
        if not self.free:
            return changed
        kind = rng.random()
        if kind < 0.1:
            u, v = rng.choice(self.free), rng.choice(self.free)
            if self.allowed[u, placement[v]] and self.allowed[v, placement[u]]:
                changed[u], changed[v] = placement[v], placement[u]
            return changed
        first = rng.randrange(len(self.free))
        if kind < 0.45:
            nodes = [self.free[first]]
        elif kind < 0.7:
            nodes = self.free[first : first + rng.randint(2, _LONGEST_WINDOW)]
        elif kind < 0.9:
            nodes = self._walk(self.free[first], rng.randint(2, _LONGEST_WINDOW))
        else:
            nodes = self.free[first : first + rng.randint(_LONGEST_WINDOW, max(_LONGEST_WINDOW, len(self.free) // 3))]
        target = self._target(placement, nodes)
        for node in nodes:
            if self.allowed[node, target]:
                changed[node] = target
        return changed

    def _walk(self, node: int, length: int) -> list[int]:
        nodes = [node]
        while len(nodes) < length and self.after[node]:
            node = self.rng.choice(self.after[node])
            nodes.append(node)
        return nodes

    def _target(self, placement: Index, nodes: list[int]) -> int:
        end = self.rng.choice((nodes[0], nodes[-1]))
        if self.beside[end] and self.rng.random() < 0.6:
            return int(placement[self.rng.choice(self.beside[end])])
        return int(self.rng.choice(self.choices[self.rng.choice(nodes)]))
