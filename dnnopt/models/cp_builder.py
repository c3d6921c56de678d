"""CP-SAT models, by the compiled part of OR-Tools: its `cp_model` imports pandas, which takes longer than most solves.

Each method does what that of the same name of `cp_model.CpModel` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ortools.sat.python import cp_model_helper
from ortools.util.python.sorted_interval_list import Domain

Variable = cp_model_helper.IntVar  # or the negation of one
LEAST, MOST = -(2**63), 2**63 - 1


class CpBuilder(cp_model_helper.CpBaseModel):
    """A CP-SAT model under construction."""

    def __init__(self, name: str) -> None:
        super().__init__(None)
        self._base: Any = self  # with the methods of which its stub says nothing
        self.proto.name = name

    @property
    def proto(self) -> Any:
        """The model as a CpModelProto."""
        return self.model_proto

    def new_int_var(self, lower: int, upper: int) -> Variable:
        """Return a new whole variable."""
        return cp_model_helper.IntVar(self.proto).with_name("").with_domain(Domain(lower, upper))

    def add_exactly_one(self, literals: Sequence[Any]) -> None:
        """Add that exactly one literal is true."""
        self._base._add_bool_argument_constraint(cp_model_helper.BoolArgumentConstraint.exactly_one, literals)

    def add_bool_or(self, literals: Sequence[Any]) -> Any:
        """Add that a literal is true."""
        return self._base._add_bool_argument_constraint(cp_model_helper.BoolArgumentConstraint.bool_or, literals)

    def add_linear_constraint(self, expression: Any, lower: int, upper: int) -> Any:
        """Add bounds on an expression, and return the constraint."""
        bounded = cp_model_helper.BoundedLinearExpression(expression, Domain(lower, upper))
        return self._base._add_bounded_linear_expression(bounded)

    def new_fixed_size_interval_var(self, start: Any, size: int, present: Sequence[Any] = ()) -> Any:
        """Return a new interval, which is there where the literals are true."""
        return self._base._new_interval_var("", start, size, start + size, list(present))

    def add_no_overlap(self, intervals: Sequence[Any]) -> None:
        """Add that no two of some intervals overlap."""
        self._base._add_no_overlap(intervals)

    def minimize(self, expression: Any) -> None:
        """Set the objective."""
        flat = cp_model_helper.FlatIntExpr(expression)
        objective = self.proto.objective
        for variable in flat.vars:
            objective.vars.append(variable.index)
        objective.scaling_factor = 1.0
        objective.offset = flat.offset
        objective.coeffs.extend(flat.coeffs)

    def add_hint(self, variable: Any, value: int) -> None:
        """Add a value that the variable may have."""
        self.proto.solution_hint.vars.append(variable.index)
        self.proto.solution_hint.values.append(value)

    def export_to_file(self, file: str) -> bool:
        """Write the model, as text where the name ends so, and return whether it was written."""
        return bool(cp_model_helper.CpSatHelper.write_model_to_file(self.proto, file))


def weighted_sum(variables: list[Any], coefficients: list[int]) -> Any:
    """Return an expression."""
    return cp_model_helper.LinearExpr.weighted_sum(variables, coefficients)
