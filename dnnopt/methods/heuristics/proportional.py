"""Proportional split: each device gets a segment of the order, as long as its speed says.

As MoDNN splits layers (Mao et al.: MoDNN: Local distributed mobile computing system for deep neural network, DATE 2017)
and DeepSlicing models (Zhang et al.: DeepSlicing: Collaborative and adaptive CNN inference with low latency, IEEE TPDS
32(9), 2021): here of layers, over the m fastest executors for every m, in the order of the platform, of tiers, and of
speed. Transfers are ignored; the evaluator picks the best, and limits that it breaks are repaired by local search.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.choice import best
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.local_search import repaired


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield the best proportional split."""
    c = evaluator.compiled
    layers = np.flatnonzero(c.is_layer)
    time = c.allowed_time
    fastest = time.argmin(axis=1)
    finite = np.where(np.isfinite(time), time, np.nan)[layers]
    work = np.nan_to_num(np.nanmean(np.where(np.isnan(finite).all(axis=1, keepdims=True), 0.0, finite), axis=1))
    total = np.nansum(np.where(np.isnan(finite), work[:, None], finite), axis=0)
    speed = 1.0 / np.maximum(total, np.finfo(float).tiny)
    executors = np.arange(c.time.shape[1])
    tier = c.device_tier[c.executor_device]
    done = np.cumsum(work) - work / 2
    candidates = []
    for order in (executors, executors[::-1], np.lexsort((speed, tier)), np.argsort(speed, kind="stable")):
        for count in range(1, len(executors) + 1):
            used = set(np.argsort(-speed, kind="stable")[:count].tolist())
            chosen = np.array([executor for executor in order if executor in used])
            ends = np.cumsum(speed[chosen] / speed[chosen].sum()) * work.sum()
            wanted = fastest.copy()
            wanted[layers] = chosen[np.minimum(np.searchsorted(ends, done, side="right"), count - 1)]
            allowed = c.allowed[np.arange(len(wanted)), wanted]
            candidates.append(np.where(allowed, wanted, fastest))
    yield "proportional", repaired(evaluator, best(evaluator, np.array(candidates)), effort)


BASELINE = Baseline(
    name="proportional",
    summary="segments as long as the devices are fast",
    source="Mao et al.: MoDNN: Local distributed mobile computing system for deep neural network, DATE 2017",
    order=70,
    run=placements,
)
