"""A LinearModel as a PuLP LpProblem."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from dnnopt.base.extras import optional
from dnnopt.models.components import components
from dnnopt.models.portable import Size, header, portable

if TYPE_CHECKING:
    from dnnopt.models.linear import LinearModel


def pulp_model(model: LinearModel) -> Any:
    """Return an LpProblem whose variables and constraints have the names that exported files have.

    Its attribute ``blocks`` has the variables by block and raw labels: ``lp.blocks["x"]["conv1", "pi"]``; a block of
    one is the variable itself. ``header`` says which problem and formulation it is of, for `plan_from_pulp`.

    Raises
    ------
    InputError
        If PuLP is not installed, or for a number that no file can hold.
    """
    pulp = optional("pulp", "PuLP", "modelling")
    model.complete()
    made = portable(model, one_sided=True, constant=False)
    arrays = made.arrays
    lp = pulp.LpProblem("dnnopt", pulp.LpMinimize)
    variables = [
        lp.add_variable(
            name,
            low if low > -np.inf else None,
            high if high < np.inf else None,
            pulp.LpInteger if integer else pulp.LpContinuous,
        )
        for name, low, high, integer in zip(
            made.columns,
            arrays.lower.tolist(),
            arrays.upper.tolist(),
            arrays.integer.tolist(),
            strict=True,
        )
    ]
    # A variable belongs to the problem if it comes in the objective or in a row; an empty objective has no value.
    shown = np.flatnonzero((arrays.cost != 0) | ~arrays.used).tolist() or [0]
    cost = arrays.cost.tolist()
    lp.setObjective(pulp.LpAffineExpression({variables[c]: cost[c] for c in shown}, arrays.offset))
    index, value = arrays.index.tolist(), arrays.value.tolist()
    rows = zip(
        made.rows,
        pairwise(arrays.start.tolist()),
        arrays.row_lower.tolist(),
        arrays.row_upper.tolist(),
        strict=True,
    )
    for name, (first, last), low, high in rows:
        entries = {variables[index[k]]: value[k] for k in range(first, last)} or {variables[0]: 0.0}
        if low == high:
            sense, side = pulp.LpConstraintEQ, low
        elif low == -np.inf:
            sense, side = pulp.LpConstraintLE, high
        else:
            sense, side = pulp.LpConstraintGE, low
        lp.addConstraint(pulp.LpConstraint(pulp.LpAffineExpression(entries), sense, name, side))
    made.check("PuLP model", _size(lp))
    lp.header = header(model)
    lp.blocks = {
        component.name: variables[component.members[None]]
        if None in component.members
        else {key: variables[column] for key, column in component.members.items()}
        for component in components(model.variables)
    }
    return lp


def _size(lp: Any) -> Size:
    nonzeros = sum(1 for row in lp.constraints() for value in row.values() if value)
    return Size(
        columns=len({variable.name for variable in lp.variables()}), rows=len(lp.constraints()), nonzeros=nonzeros
    )
