"""DADS under light load: minimum cuts that ignore resources, for every pair of executors, then repair.

Hu, Bao, Wang, Liang: Dynamic adaptive DNN surgery for inference acceleration on the edge, INFOCOM 2019. Two executors
share the layers so that the sum of all times of computing and sending is least, by a minimum cut with a vertex for each
tensor; layers that may be on neither are where they are fastest. What the best of these cuts breaks of memory and other
limits is repaired by local search. (DADS under heavy load, for a period, is a 3-approximation; here the evaluator picks
the best cut for whatever is minimised.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import LinearTerm
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scaling import all_on_one, total_load
from dnnopt.methods.exact.min_cut import Cut
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.choice import best
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.local_search import repaired


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield the best cut of those that the time allows to find."""
    c = evaluator.compiled
    relaxed = replace(
        c, execution="sequential", objective=((LinearTerm(1.0, total_load(c)),),), constraints=(), call_links=None
    )
    candidates = list(all_on_one(c))
    for pair in combinations(range(c.time.shape[1]), 2):
        if effort.spent():
            break
        found = Cut(_between(relaxed, pair)).minimum()
        if found is not None:
            candidates.append(found[1])
    yield "repaired min-cut", repaired(evaluator, best(evaluator, np.array(candidates)), effort)


BASELINE = Baseline(
    name="repaired-min-cut",
    summary="the best minimum cut between two devices as if there were no limits, then repaired",
    source="Hu, Bao, Wang, Liang: Dynamic adaptive DNN surgery for inference acceleration on the edge (DADS), "
    "INFOCOM 2019",
    order=60,
    run=placements,
)


def _between(c: CompiledProblem, pair: tuple[int, int]) -> CompiledProblem:
    """Return the problem on two executors; nodes that may be on neither have one place."""
    both = np.zeros(c.time.shape[1], dtype=bool)
    both[list(pair)] = True
    fastest = c.allowed_time.argmin(axis=1)
    alone = np.arange(c.time.shape[1]) == fastest[:, None]
    allowed = c.allowed & both
    return replace(c, allowed=np.where(allowed.any(axis=1, keepdims=True), allowed, alone))
