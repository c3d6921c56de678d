"""A LinearModel as a Pyomo ConcreteModel with named, indexed components that a person can extend."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dnnopt.base.extras import optional
from dnnopt.models.components import Component, components
from dnnopt.models.portable import Size, check_counts, check_numbers, column_names, header

if TYPE_CHECKING:
    from dnnopt.models.arrays import Block, LinearArrays
    from dnnopt.models.linear import LinearModel


def import_pyomo() -> Any:
    """Return ``pyomo.environ``.

    Raises
    ------
    InputError
        If it is not installed.
    """
    return optional("pyomo.environ", "Pyomo", "modelling")


def variable_components(blocks: Sequence[Block]) -> list[Component]:
    """Return the blocks as components whose names Pyomo has no other use for."""
    return components(blocks, {"objective", *dir(import_pyomo().ConcreteModel())})


def pyomo_model(model: LinearModel) -> Any:
    """Return a ConcreteModel: a Var for each block of variables, a Constraint for each block of rows, ``objective``.

    Components are indexed by the blocks' labels as they are: ``m.x["conv1", "pi"].fix(1)``; a block of one has no
    index. ``m.doc`` says which problem and formulation it is of, for `plan_from_pyomo`.

    Raises
    ------
    InputError
        If Pyomo is not installed, or for a number that no file can hold.
    """
    model.complete()
    check_numbers(model.arrays(), column_names(model), model.row_names())
    m = import_pyomo().ConcreteModel(name=model.name, doc=header(model))
    variables = variable_components(model.variables)
    taken = {"objective", *dir(m), *(component.name for component in variables)}
    fill_model(m, model.arrays(), variables, components(model.rows, taken))
    return m


def fill_model(m: Any, arrays: LinearArrays, columns: Sequence[Component], rows: Sequence[Component]) -> list[Any]:
    """Add variables, constraints and the objective to a ConcreteModel; return the variables in order."""
    pyo = import_pyomo()
    arrays = arrays.tidied()
    variables = _add_variables(pyo, m, arrays, columns)
    _add_rows(pyo, m, arrays, rows, variables)
    nonzero = np.flatnonzero(arrays.cost)
    cost = _linear(variables, nonzero.tolist(), arrays.cost[nonzero].tolist(), arrays.offset)
    m.objective = pyo.Objective(expr=cost, sense=pyo.minimize)
    shown = np.isfinite(arrays.row_lower) | np.isfinite(arrays.row_upper)
    right = Size(len(arrays.cost), int(shown.sum()), int(np.diff(arrays.start)[shown].sum()))
    check_counts("Pyomo model", right._asdict(), _size(pyo, m)._asdict())
    return variables


def _size(pyo: Any, m: Any) -> Size:
    """Return how much of a model has reached Pyomo."""
    bodies = [row.body for row in m.component_data_objects(pyo.Constraint)]
    columns = len({id(variable) for variable in m.component_data_objects(pyo.Var)})
    return Size(columns, len(bodies), sum(1 for body in bodies for coefficient in body.linear_coefs if coefficient))


def _add_variables(pyo: Any, m: Any, arrays: LinearArrays, columns: Sequence[Component]) -> list[Any]:
    variables: list[Any] = [None] * len(arrays.cost)
    for component in columns:
        var = pyo.Var() if None in component.members else pyo.Var(list(component.members))
        m.add_component(component.name, var)
        for key, column in component.members.items():
            variables[column] = var[key]
    lower, upper = _optional(arrays.lower), _optional(arrays.upper)
    binary = (arrays.integer != 0) & (arrays.lower >= 0) & (arrays.upper <= 1)
    domains = (pyo.Reals, pyo.Integers, pyo.Binary)
    kinds = np.where(binary, 2, arrays.integer).tolist()
    for variable, low, high, kind in zip(variables, lower, upper, kinds, strict=True):
        variable.domain = domains[kind]
        variable.lower, variable.upper = low, high
    return variables


def _add_rows(pyo: Any, m: Any, arrays: LinearArrays, rows: Sequence[Component], variables: list[Any]) -> None:
    """Add the rows; those without bounds have no constraint."""
    lower, upper = _optional(arrays.row_lower), _optional(arrays.row_upper)
    index, value = arrays.index.tolist(), arrays.value.tolist()
    parts = list(pairwise(arrays.start.tolist()))
    for component in rows:
        constraint = pyo.Constraint() if None in component.members else pyo.Constraint(list(component.members))
        m.add_component(component.name, constraint)
        for key, row in component.members.items():
            first, last = parts[row]
            low, high = lower[row], upper[row]
            if low is high is None:
                continue
            body = _linear(variables, index[first:last] or [0], value[first:last] or [0.0])
            constraint[key] = (body, high) if low == high else (low, body, high)


def _linear(variables: list[Any], columns: list[int], values: list[float], constant: float = 0.0) -> Any:
    from pyomo.core.expr.numeric_expr import LinearExpression

    return LinearExpression(
        constant=constant, linear_coefs=values, linear_vars=[variables[column] for column in columns]
    )


def _optional(bounds: NDArray[np.float64]) -> list[float | None]:
    """Return the bounds, None where they are infinite."""
    finite = np.isfinite(bounds).tolist()
    return [bound if known else None for bound, known in zip(bounds.tolist(), finite, strict=True)]
