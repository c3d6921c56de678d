"""The variables `x_vi`, which say that node v has executor i, in every kind of model."""

from __future__ import annotations

from typing import Any

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Mask
from dnnopt.models.arrays import Columns, Joined
from dnnopt.models.constraint import ConstraintModel
from dnnopt.models.linear import LinearModel


def add_executors(model: LinearModel | ConstraintModel, c: CompiledProblem, **kind: Any) -> Columns:
    """Add the variables, of a `kind` (options of the model's own); return the columns of x (N, k).

    With modes or forms there are variables for what is allowed alone: of all executors that is little.
    """
    if c.has_choices:
        model.placement = add_some_executors(model, c, c.allowed, **kind)
    else:
        executors = np.arange(len(c.executor_names))
        model.placement = model.add_variables(
            "x",
            c.allowed.shape,
            axes=lambda: (c.node_names, c.executor_names),
            upper=c.allowed,
            evaluate=lambda placement: (placement[:, None] == executors).astype(float),
            **kind,
        )
    return model.placement


def add_some_executors(model: LinearModel | ConstraintModel, c: CompiledProblem, some: Mask, **kind: Any) -> Columns:
    """Add variables for some executors of nodes (N, k), of a `kind`; return the columns, `zero` for all others."""
    node, executor = np.nonzero(some)

    def labels() -> list[list[str]]:
        ends = zip(node, executor, strict=True)
        return [[Joined(c.node_names[v], c.executor_names[i]) for v, i in ends]]

    columns = model.add_variables(
        "x",
        (len(node),),
        axes=labels,
        upper=1,
        evaluate=lambda placement: (placement[node] == executor).astype(float),
        **kind,
    )
    x = np.full(c.allowed.shape, model.zero, dtype=columns.dtype)
    x[node, executor] = columns
    return x
