"""Placement: `x_vi ∈ {0, 1}`, `Σ_i x_vi = 1`.

`x_vi` says that node v runs on executor i. It is fixed to zero where v cannot or may not run; pseudo-layers are pinned
that way. Size: N k variables, N rows; with modes or forms, a variable for each executor that a node may have.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.models.arrays import Columns, Joined
from dnnopt.models.linear import LinearModel


def add_placement(model: LinearModel, c: CompiledProblem) -> Columns:
    """Add the variables and rows; return the columns of x (N, k)."""
    if c.has_choices:
        x = _add_allowed(model, c)
    else:
        x = model.add_variables(
            "x",
            c.allowed.shape,
            axes=lambda: (c.node_names, c.executor_names),
            upper=c.allowed,
            integer=True,
            evaluate=lambda placement: (placement[:, None] == np.arange(len(c.executor_names))).astype(float),
        )
    model.placement = x
    model.add_rows("assign", x, 1.0, lower=1.0, upper=1.0, axes=lambda: (c.node_names,))
    return x


def _add_allowed(model: LinearModel, c: CompiledProblem) -> Columns:
    """Add variables for what is allowed alone; of all executors with their modes and forms, that is little."""
    node, executor = np.nonzero(c.allowed)

    def labels() -> list[list[str]]:
        ends = zip(node, executor, strict=True)
        return [[Joined(c.node_names[v], c.executor_names[i]) for v, i in ends]]

    columns = model.add_variables(
        "x",
        (len(node),),
        axes=labels,
        upper=1.0,
        integer=True,
        evaluate=lambda placement: (placement[node] == executor).astype(float),
    )
    x = np.full(c.allowed.shape, model.zero, dtype=columns.dtype)
    x[node, executor] = columns
    return x
