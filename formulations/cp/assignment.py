"""Formulation `cp-assignment`: literals for placements and copies, implications, and linear rows in whole numbers.

    exactly one of x_vi over i                                  for each node v
    x_ui ∧ x_vj → y_ep, p = (i, j)                              for each edge e = (u, v); no route: not both
    y_ep → w_τp  (unicast)    y_ep → w_τℓ, ℓ ∈ R_p  (multicast)  for each use e of a tensor τ with several uses
    Σ_p y_ep [destination j] + stay_ej = x_vj,  the same by origin    redundant: the marginals of `edgewise`

For objectives and limits that are linear in placement and copies, and for the period. Metrics are scaled to whole
numbers and rounded down (see ConstraintModel).
"""

from __future__ import annotations

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import LatencyTerm, LinearTerm, MaxTerm, PeriodTerm, WorstLeakageTerm
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scaling import Units
from dnnopt.compiled.scheduling import Times
from dnnopt.compiled.scope import Scope
from dnnopt.formulations.cp.constraints import CONSTRAINTS, add_constraints
from dnnopt.formulations.cp.literals import Literals
from dnnopt.formulations.cp.objective import add_objective
from dnnopt.formulations.formulation import check_supported
from dnnopt.formulations.plans import times_in
from dnnopt.models.arrays import Values
from dnnopt.models.constraint import ConstraintModel


class AssignmentFormulation:
    """The formulation `cp-assignment`."""

    name = "cp-assignment"
    kind = "cp"
    value = "exact"

    @property
    def scope(self) -> Scope:
        """What it looks at."""
        terms = {LinearTerm, LatencyTerm, PeriodTerm, WorstLeakageTerm, MaxTerm}
        return Scope(enforces=frozenset(CONSTRAINTS), terms=frozenset(terms), choices=True, blocks=True)

    def supports(self, compiled: CompiledProblem) -> str | None:
        """Return None, or what of the problem the formulation does not support."""
        return self.scope.refuses(compiled)

    def build(self, compiled: CompiledProblem, units: Units | None = None) -> ConstraintModel:
        """Return the model; its numbers are whole whatever the `units`.

        Raises
        ------
        UnsupportedError
            If the formulation does not support the problem.
        """
        check_supported(self, compiled)
        model = ConstraintModel(f"{compiled.problem_name}: {self.name}")
        self._write(Literals(model, compiled))
        return model

    def _write(self, literals: Literals) -> None:
        """Add objective and constraints."""
        add_objective(literals)
        add_constraints(literals)

    def encode(
        self, compiled: CompiledProblem, model: ConstraintModel, placement: Index, times: Times | None = None
    ) -> Values:
        """Return the values of all variables in a plan."""
        return model.encode(placement)

    def read(self, compiled: CompiledProblem, model: ConstraintModel, values: Values) -> Index:
        """Return the placement that the values describe."""
        placement: Index = values[model.placement].argmax(axis=1)
        return placement

    def times(self, compiled: CompiledProblem, model: ConstraintModel, values: Values) -> Times | None:
        """Return when everything starts in the order of the solution, where it has one."""
        return times_in(compiled, self.read(compiled, model, values), values, model.task_starts)

    def forbid(self, compiled: CompiledProblem, model: ConstraintModel, placement: Index) -> None:
        """Add `Σ_v x_v,placement(v) <= N - 1`, of all placements that are the same plan."""
        model.add_whole_row("forbid", model.placement[compiled.of_same_plan(placement)], 1, upper=len(placement) - 1)
