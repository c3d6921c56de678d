"""A placement that moves: what searches change, step by step, and judge by the evaluator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Array, Index

Change = tuple[Sequence[int], Sequence[int]]  # distinct nodes, and the executors that they go to


class MovingPlan:
    """A placement that moves, with its objective and excess (as `Evaluator.objectives` and `Evaluator.excess`).

    Parameters
    ----------
    evaluator : Evaluator
    placement : array (N,)

    Attributes
    ----------
    placement : list of int (N,)
    excess, objective : float
    """

    def __init__(self, evaluator: Evaluator, placement: Index) -> None:
        self._evaluator = evaluator
        self.reset(placement)

    def reset(self, placement: Index) -> None:
        """Go to another placement (N,)."""
        self.placement: list[int] = placement.tolist()
        self.move([], [])

    def judge(self, changes: Sequence[Change]) -> tuple[Array, Array]:
        """Return the excess and the objective (B,) after each of some changes, none of which is made."""
        placements = np.tile(np.array(self.placement), (len(changes), 1))
        for row, (nodes, executors) in enumerate(changes):
            placements[row, nodes] = executors
        return self._evaluator.excess(placements), self._evaluator.objectives(placements)

    def move(self, nodes: Sequence[int], executors: Sequence[int]) -> None:
        """Make a change."""
        for node, executor in zip(nodes, executors, strict=True):
            self.placement[node] = executor
        excess, objective = self.judge([([], [])])
        self.excess, self.objective = float(excess[0]), float(objective[0])
