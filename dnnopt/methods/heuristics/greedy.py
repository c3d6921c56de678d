"""Baseline `greedy`: layer by layer in topological order, each to the device that is best if all later ones follow."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scaling import all_on_one
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.choice import best
from dnnopt.methods.heuristics.effort import Effort


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield the greedy placement; when the time is up, the layers that are left stay where the last one went."""
    c = evaluator.compiled
    whole = all_on_one(c)
    placement = best(evaluator, whole)
    nodes = np.arange(len(placement))
    for node in np.flatnonzero(c.is_layer):
        if effort.spent():
            break
        moved = np.where(nodes < node, placement, whole)
        placement = best(evaluator, np.concatenate([placement[None], moved]))
    yield "greedy", placement


BASELINE = Baseline(
    name="greedy",
    summary="layer by layer, each to the device that is best if all later ones follow",
    order=40,
    run=placements,
)
