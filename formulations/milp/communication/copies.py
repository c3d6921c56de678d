"""Copies in a linear model.

unicast     w_τp >= y_ep                        for each use e of τ: one copy for each destination device
multicast   w_τℓ >= Σ_{p: ℓ ∈ R_p} y_ep         for each use e of τ: one copy for each link
per_edge    w = y                               one copy for each use
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.formulations.copies import Copies, shared_tensors
from dnnopt.models.arrays import Columns
from dnnopt.models.linear import LinearModel


def add_copies(model: LinearModel, c: CompiledProblem, y: Columns) -> list[Copies]:
    """Add the variables and rows; return what is charged."""
    pairs = c.pair_uses_link.astype(float)
    shared = shared_tensors(c)
    if shared is None:
        return [Copies(y, c.edge_tensor, pairs)]
    multicast = c.transport == "multicast"
    w = shared.add(model, c)
    of_edge = w[shared.position]
    uses = y[shared.edges]
    if multicast:
        through = np.broadcast_to(uses[:, None, :], (*of_edge.shape, uses.shape[1]))
        columns = np.concatenate([of_edge[:, :, None], through], axis=2)
        values = np.concatenate([np.ones((len(shared.ways), 1)), -pairs.T], axis=1)
    else:
        columns = np.stack([of_edge, uses], axis=2)
        values = np.array([1.0, -1.0])
    model.add_rows(
        "copy",
        columns,
        values,
        lower=0.0,
        drop_zeros=multicast,
        axes=lambda: (shared.labels(c), shared.way_labels(c)),
    )
    return shared.charged(c, y, w)
