"""Communication `product`: the product of two placements by McCormick's inequality.

    y_eij >= x_ui + x_vj - 1        for each edge e = (u, v) and i != j

What most papers write, and the weakest: at `x = 1/k` the right side is negative, so the relaxation sends nothing.
Size: E k (k-1) variables and as many rows.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.formulations.edges import at_device, at_origin, edge_labels, pair_labels
from dnnopt.formulations.milp.communication.copies import add_copies
from dnnopt.formulations.milp.communication.pairs import add_pair_variables
from dnnopt.formulations.moves import PairMoves
from dnnopt.models.arrays import Columns
from dnnopt.models.linear import LinearModel


def add_pairs(model: LinearModel, c: CompiledProblem, x: Columns) -> PairMoves:
    """Add the variables and rows; return the moves."""
    y = add_pair_variables(model, c)
    at = at_device(c, x, model)
    modes = at.shape[2]
    columns = np.empty((*y.shape, 1 + 2 * modes), dtype=np.int32)
    columns[:, :, 0] = y
    columns[:, :, 1 : 1 + modes] = at_origin(c, x, model)[:, c.pair_origin]
    columns[:, :, 1 + modes :] = at[c.edge_consumer[:, None], c.pair_destination]
    values = np.array([1.0] + [-1.0] * (2 * modes))
    model.add_rows("product", columns, values, lower=-1.0, axes=lambda: (edge_labels(c), pair_labels(c)))
    return PairMoves(c, y, add_copies(model, c, y))
