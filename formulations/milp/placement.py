"""Placement: `x_vi ∈ {0, 1}`, `Σ_i x_vi = 1`.

`x_vi` says that node v runs on executor i. It is fixed to zero where v cannot or may not run; pseudo-layers are pinned
that way. Size: N k variables, N rows; with modes or forms, a variable for each executor that a node may have.
"""

from __future__ import annotations

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.formulations.executors import add_executors
from dnnopt.models.arrays import Columns
from dnnopt.models.linear import LinearModel


def add_placement(model: LinearModel, c: CompiledProblem) -> Columns:
    """Add the variables and rows; return the columns of x (N, k)."""
    x = add_executors(model, c, integer=True)
    model.add_rows("assign", x, 1.0, lower=1.0, upper=1.0, axes=lambda: (c.node_names,))
    return x
