"""Baseline `single-cut`: the best cut in two by exhaustive scan, for each ordered pair of devices.

Kang et al.: Neurosurgeon: Collaborative intelligence between the cloud and mobile edge, ASPLOS 2017, for chains; a
graph is cut in a topological order of its layers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scaling import all_on_one, in_every_form
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.choice import best
from dnnopt.methods.heuristics.effort import Effort


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield the best single cut of those that the time allows to scan."""
    c = evaluator.compiled
    before_cut, whole = in_every_form(c), all_on_one(c)
    layers = np.flatnonzero(c.is_layer)
    candidates = [best(evaluator, whole)]
    before = np.arange(len(c.node_names))[None, :] < layers[1:, None]
    for first in range(len(before_cut)):
        for second in range(len(whole)):
            if c.executor_host[first] != second and not effort.spent() and len(before):
                cuts = np.where(before, before_cut[first], whole[second])
                candidates.append(best(evaluator, cuts, effort.spent))
    yield "best single cut", best(evaluator, np.array(candidates))


BASELINE = Baseline(
    name="single-cut",
    summary="the best cut in two, for each ordered pair of devices",
    source="Kang et al.: Neurosurgeon: Collaborative intelligence between the cloud and mobile edge, ASPLOS 2017",
    order=20,
    run=placements,
)
