"""Which groups of devices the decomposition has programs for."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import MemoryLimit
from dnnopt.compiled.metrics import Array
from dnnopt.methods.programs.rows import linear_costs


def family(c: CompiledProblem) -> list[tuple[int, ...]]:
    """Return devices with a limit on memory alone, and clusters of those between which sending is cheap.

    Clusters are agglomerated by the mean cost of a tensor between two devices, either way.
    """
    limited = sorted({limit.device for limit in c.constraints if isinstance(limit, MemoryLimit) and limit.limit > 0})
    listed: list[tuple[int, ...]] = [(device,) for device in limited]
    distance = distances(c)
    clusters = list(listed)
    while len(clusters) > 2:
        first, second = min(combinations(clusters, 2), key=lambda pair: distance[np.ix_(*pair)].mean())
        joined = tuple(sorted(first + second))
        clusters = [one for one in clusters if one not in (first, second)] + [joined]
        listed.append(joined)
    return listed


def distances(c: CompiledProblem) -> Array:
    """Return what a tensor costs in the mean between two devices, there and back (D, D); much: there is no route."""
    _, beta = linear_costs(c)
    mean = c.by_devices(c.pair_uses_link @ (beta.sum(axis=0) / max(1, len(beta))))
    routed = c.by_devices(c.pair_routed)
    far = mean.max(initial=0.0) * 10.0 + 1.0
    mean = np.where(routed, mean, far)
    return mean + mean.T
