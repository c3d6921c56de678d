"""Where searches start."""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scaling import all_on_one
from dnnopt.methods.heuristics import multi_cut
from dnnopt.methods.heuristics.choice import best
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.models.solvers.interface import Clock

_SHARE = 0.1
_LEAST_SECONDS = 1.0  # with less there is no time for cuts


def start(evaluator: Evaluator, effort: Effort) -> Index:
    """Return the placement (N,) of the effort, or else the best of a multi-cut and of all on one device."""
    if effort.start is not None:
        return effort.start.copy()
    candidates = all_on_one(evaluator.compiled)
    left = effort.clock.left()
    if left is None or left >= _LEAST_SECONDS:
        seconds = left if left is None or effort.iterations is not None else _SHARE * left
        cuts = [placement for _, placement in multi_cut.placements(evaluator, Effort(Clock(seconds), stop=effort.stop))]
        candidates = np.concatenate([candidates, cuts])
    return best(evaluator, candidates)
