"""Placement: `x_vi ∈ {0, 1}`, `Σ_i x_vi = 1`.

`x_vi` says that node v runs on executor i. It is fixed to zero where v cannot or may not run; pseudo-layers are pinned
that way. Size: N k variables, N rows.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index
from dnnopt.models.arrays import Columns, Values
from dnnopt.models.linear import LinearModel


def add_placement(model: LinearModel, c: CompiledProblem) -> Columns:
    """Add the variables and rows; return the columns of x (N, k)."""
    nodes, executors = c.allowed.shape

    def one_hot(placement: Index) -> Values:
        return (placement[:, None] == np.arange(executors)).astype(float)

    x = model.add_variables(
        "x",
        (nodes, executors),
        axes=lambda: (c.node_names, c.executor_names),
        upper=c.allowed,
        integer=True,
        evaluate=one_hot,
    )
    model.add_rows("assign", x, 1.0, lower=1.0, upper=1.0, axes=lambda: (c.node_names,))
    return x


def read_placement(values: Values, x: Columns) -> Index:
    """Return the executor of each node (N,): where its `x` is largest."""
    return values[x].argmax(axis=1)
