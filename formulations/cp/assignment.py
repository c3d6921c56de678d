"""Formulation `cp-assignment`: literals for placements and copies, implications, and linear rows in whole numbers.

    exactly one of x_vi over i                                  for each node v
    x_ui ∧ x_vj → y_ep, p = (i, j)                              for each edge e = (u, v); no route: not both
    y_ep → w_τp  (unicast)    y_ep → w_τℓ, ℓ ∈ R_p  (multicast)  for each use e of a tensor τ with several uses
    Σ_p y_ep [destination j] + stay_ej = x_vj,  the same by origin    redundant: the marginals of `edgewise`

For objectives and limits that are linear in placement and copies, and for the period. Metrics are scaled to whole
numbers and rounded down (see ConstraintModel).
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled import CompiledProblem, Index, LinearTerm, PeriodTerm, WorstLeakageTerm
from dnnopt.constraint_model import ConstraintModel, scale_for
from dnnopt.errors import UnsupportedError
from dnnopt.evaluator import Evaluator
from dnnopt.formulations.cp.constraints import CONSTRAINTS, add_constraints
from dnnopt.formulations.cp.literals import Literals
from dnnopt.linear_model import Columns, Values
from dnnopt.plan import Plan
from dnnopt.scaling import Units, all_on_one


class AssignmentFormulation:
    """The formulation `cp-assignment`."""

    name = "cp-assignment"
    kind = "cp"

    def supports(self, compiled: CompiledProblem) -> str | None:
        """Return None, or what of the problem the formulation does not support."""
        if compiled.execution == "scheduled":
            return "scheduled execution"
        if len(compiled.objective) > 1:
            return "objectives of several priorities"
        for term in compiled.objective[0]:
            if not isinstance(term, LinearTerm | PeriodTerm | WorstLeakageTerm):
                return "latency under parallel execution (a critical path)"
        for constraint in compiled.constraints:
            if type(constraint) not in CONSTRAINTS:
                return f"the constraint {constraint.label}"
        return None

    def build(self, compiled: CompiledProblem, units: Units | None = None) -> ConstraintModel:
        """Return the model; its numbers are whole whatever the `units`.

        Raises
        ------
        UnsupportedError
            If the formulation does not support the problem.
        """
        reason = self.supports(compiled)
        if reason:
            raise UnsupportedError("", problem=f"formulation {self.name!r} does not support {reason}")
        model = ConstraintModel(f"{compiled.problem_name or 'problem'}: {self.name}")
        literals = Literals(model, compiled)
        _add_objective(literals)
        add_constraints(literals)
        return model

    def encode(self, compiled: CompiledProblem, model: ConstraintModel, plan: Plan) -> Values:
        """Return the values of all variables in a plan."""
        return model.encode(compiled.placement(plan))

    def read(self, compiled: CompiledProblem, model: ConstraintModel, values: Values) -> Plan:
        """Return the plan that the values describe."""
        return compiled.plan(values[_x(model)].argmax(axis=1))

    def forbid(self, compiled: CompiledProblem, model: ConstraintModel, plan: Plan) -> None:
        """Add the clause that some node is elsewhere."""
        placement = compiled.placement(plan)
        columns = _x(model)[np.arange(len(placement)), placement]
        model.add_clauses("forbid", columns[None], (False,) * len(placement))


def _x(model: ConstraintModel) -> Columns:
    block = model.variables[0]  # x is the first block
    return np.arange(block.first, block.first + block.size).reshape(block.shape)


def _add_objective(literals: Literals) -> None:
    """Minimise the weighted sum of linear metrics, of the period and of the worst leakage.

    One scale serves all terms. A maximum becomes a variable that is at least each of its rows.
    """
    c, model = literals.c, literals.model
    linear: list[tuple[Columns, Values]] = []
    maxima: list[list[tuple[Columns, Values]]] = []
    for term in c.objective[0]:
        if isinstance(term, LinearTerm):
            columns, values = literals.entries(term.metric)
            linear.append((columns, term.weight * values))
        elif isinstance(term, PeriodTerm):
            loads = [literals.load_entries(q) for q in range(len(c.resource_names))]
            maxima.append([(columns, term.weight * values) for columns, values in loads])
        elif isinstance(term, WorstLeakageTerm):
            sensitivity = term.weight * np.nan_to_num(c.sensitivity)
            maxima.append([(literals.exposed[t : t + 1], sensitivity[t : t + 1]) for t in range(len(sensitivity))])
    total = sum(float(np.abs(values).sum()) for _, values in linear)
    total += sum(max((float(values.sum()) for _, values in rows), default=0.0) for rows in maxima)
    sizes = Evaluator(c).objectives(all_on_one(c))
    scale = scale_for(float(np.abs(sizes).min()), total)
    model.objective_unit = 1.0 / scale
    for columns, values in linear:
        model.minimize(columns, np.floor(values * scale).astype(np.int64))
    for index, rows in enumerate(maxima):
        _add_maximum(literals, f"largest{index}", rows, scale)


def _add_maximum(literals: Literals, name: str, rows: list[tuple[Columns, Values]], scale: float) -> None:
    model = literals.model
    whole = [(columns, np.floor(values * scale).astype(np.int64)) for columns, values in rows]
    position = len(model.lower)

    def evaluate(placement: Index) -> float:
        encoded = np.concatenate(
            [
                np.asarray(block.evaluate(placement), dtype=float).ravel()
                for block in model.variables
                if block.first < position and block.evaluate
            ]
        )
        return max((float(coefficients @ encoded[columns]) for columns, coefficients in whole), default=0.0)

    upper = max((int(np.maximum(coefficients, 0).sum()) for _, coefficients in whole), default=0)
    largest = model.add_variables(name, (1,), axes=lambda: ((name,),), upper=upper, evaluate=evaluate)
    for columns, coefficients in whole:
        keep = coefficients != 0
        if keep.any():
            model.add_whole_row(
                name,
                np.concatenate([largest, columns[keep]]),
                np.concatenate([[1], -coefficients[keep]]),
                lower=0,
            )
    model.minimize(largest, np.ones(1, dtype=np.int64))
