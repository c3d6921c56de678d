"""Choice among placements: least violation first, then least objective."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index

_BATCH = 2_000_000


def best(evaluator: Evaluator, placements: Index, spent: Callable[[], bool] | None = None) -> Index:
    """Return the best of the placements (B, N), as (N,); the first of equals. Once time is spent, of the first ones."""
    c = evaluator.compiled
    size = max(1, _BATCH // max(1, len(c.node_names) + len(c.edges) + len(c.tensor_names) * len(c.link_names)))
    excess, objective = [], []
    for start in range(0, len(placements), size):
        batch = placements[start : start + size]
        excess.append(evaluator.excess(batch))
        objective.append(evaluator.objectives(batch))
        if spent is not None and spent():
            break
    order = np.lexsort((np.concatenate(objective), np.concatenate(excess)))
    chosen: Index = placements[order[0]]
    return chosen
