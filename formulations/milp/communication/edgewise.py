"""Communication `edgewise`: the pairs of an edge have the placements of its ends as marginals.

    y_eii + Σ_{j != i} y_eij = x_ui        for each edge e = (u, v) and device i
    y_ejj + Σ_{i != j} y_eij = x_vj        for each edge e and device j

The transport polytope of each edge; with binary x it makes y integral. The relaxation is exact on trees without
coupling constraints and far stronger than `product` elsewhere (local marginal polytope: Wainwright, Jordan, Graphical
models, exponential families, and variational inference, 2008, section 4.1). Size: E k² variables, 2 E k rows.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index
from dnnopt.formulations.edges import at_device, edge_labels
from dnnopt.formulations.milp.communication.copies import add_copies
from dnnopt.formulations.milp.communication.pairs import add_pair_variables
from dnnopt.formulations.moves import PairMoves
from dnnopt.models.arrays import Columns, Values
from dnnopt.models.linear import LinearModel


def add_pairs(model: LinearModel, c: CompiledProblem, x: Columns) -> PairMoves:
    """Add the variables and rows; return the moves."""
    y = add_pair_variables(model, c)
    devices = np.arange(len(c.device_names))

    def stays(placement: Index) -> Values:
        device = c.executor_device[placement]
        origin, destination = device[c.edge_producer], device[c.edge_consumer]
        return ((origin == destination)[:, None] & (origin[:, None] == devices)).astype(float)

    stay = model.add_variables(
        "stay",
        (len(c.edges), len(devices)),
        axes=lambda: (edge_labels(c), c.device_names),
        upper=1.0,
        evaluate=stays,
    )
    by_origin = np.argsort(c.pair_origin, kind="stable").reshape(len(devices), -1)
    by_destination = np.argsort(c.pair_destination, kind="stable").reshape(len(devices), -1)
    at = at_device(c, x)
    values = np.array([1.0] * len(devices) + [-1.0] * at.shape[2])
    for name, pairs, node in (("leave", by_origin, c.edge_producer), ("enter", by_destination, c.edge_consumer)):
        columns = np.concatenate([stay[:, :, None], y.take(pairs, axis=1), at.take(node, axis=0)], axis=2)
        model.add_rows(name, columns, values, lower=0.0, upper=0.0, axes=lambda: (edge_labels(c), c.device_names))
    return PairMoves(c, y, add_copies(model, c, y))
