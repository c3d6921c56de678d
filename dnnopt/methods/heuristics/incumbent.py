"""The best placement that a search has seen, and when it is worth telling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Array, Index

_WORTH_TELLING = 0.01  # the referee takes far longer over a plan than the evaluator


class Incumbent:
    """The best placement so far: least violation, then least objective.

    Parameters
    ----------
    name : str
        Under which it is told.

    Attributes
    ----------
    placement : array (N,), or None before the first
    excess, objective : float
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.placement: Index | None = None
        self.excess = self.objective = math.inf
        self._told = math.inf
        self._news = False

    def offer(self, placement: Sequence[int] | Index, excess: float, objective: float) -> bool:
        """Keep a placement if it is better, and return whether it is."""
        if self.placement is not None and (excess, objective) >= (self.excess, self.objective):
            return False
        self.placement, self.excess, self.objective = np.array(placement), float(excess), float(objective)
        self._news = True
        return True

    def judge(self, evaluator: Evaluator, placement: Index) -> bool:
        """Offer a placement (N,) with what the evaluator says of it, and return whether it is better."""
        one = placement[None]
        return self.offer(placement, float(evaluator.excess(one)[0]), float(evaluator.objectives(one)[0]))

    def offer_best(self, placements: Index, excess: Array, objectives: Array) -> bool:
        """Offer the best of some placements (B, N), the first of equals."""
        chosen = np.lexsort((objectives, excess))[0]
        return self.offer(placements[chosen], excess[chosen], objectives[chosen])

    def news(self) -> Iterator[tuple[str, Index]]:
        """Yield the placement if it is feasible, and by 1 % better than the last one told."""
        first = math.isinf(self._told)
        if self.excess == 0 and (first or self.objective < self._told - _WORTH_TELLING * abs(self._told)):
            yield from self.last()

    def last(self) -> Iterator[tuple[str, Index]]:
        """Yield the placement unless it has been told: feasible or, if none was found that is, the least infeasible."""
        if self._news and self.placement is not None:
            self._told = self.objective if self.excess == 0 else math.inf
            self._news = False
            yield self.name, self.placement
