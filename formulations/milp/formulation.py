"""MILP formulations: a communication linearisation and a timing encoding, put together."""

from __future__ import annotations

from dataclasses import replace

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import (
    LatencyTerm,
    LinearTerm,
    MaxTerm,
    MulticastTrees,
    OneMode,
    PeriodTerm,
    WorstLeakageTerm,
)
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scaling import choose_units
from dnnopt.compiled.scheduling import Times
from dnnopt.compiled.scope import Scope
from dnnopt.compiled.symmetry import canonical, identical_devices
from dnnopt.compiled.units import Units
from dnnopt.formulations.formulation import check_supported
from dnnopt.formulations.hops import not_a_tree
from dnnopt.formulations.milp.build import Build
from dnnopt.formulations.milp.communication import COMMUNICATIONS
from dnnopt.formulations.milp.constraints import CONSTRAINTS, add_constraints, not_linear
from dnnopt.formulations.milp.objective import add_objective
from dnnopt.formulations.milp.symmetry import add_symmetry_breaking
from dnnopt.formulations.milp.timing import TIMINGS
from dnnopt.formulations.plans import times_for, times_in
from dnnopt.models.arrays import Values
from dnnopt.models.linear import LinearModel


class MilpFormulation:
    """A mixed-integer linear formulation.

    Parameters
    ----------
    communication : str
        Name in COMMUNICATIONS.
    timing : str
        Name in TIMINGS.
    """

    kind = "milp"

    def __init__(self, communication: str, timing: str) -> None:
        self.name = f"{communication}+{timing}"
        self.value = TIMINGS[timing].value
        self._communication = COMMUNICATIONS[communication]
        self._timing = TIMINGS[timing]

    @property
    def scope(self) -> Scope:
        """What it looks at."""
        terms = {LinearTerm, LatencyTerm, WorstLeakageTerm, MaxTerm}
        if self._timing.period:
            terms.add(PeriodTerm)
        choices = self._communication.choices and self._timing.choices
        enforced = frozenset(CONSTRAINTS) if choices else frozenset(CONSTRAINTS) - {OneMode}
        linear = Scope(enforces=enforced, terms=frozenset(terms), choices=choices, blocks=choices)
        if self._timing.latency is None:
            return linear
        timed = frozenset({self._timing.latency})
        return replace(linear, enforces=linear.enforces - {MulticastTrees}, latencies=timed, executions=timed)

    def supports(self, compiled: CompiledProblem) -> str | None:
        """Return None, or what of the problem the formulation does not support."""
        timed = self._timing.latency is not None
        reason = (timed and not_a_tree(compiled)) or self.scope.refuses(compiled) or not_linear(compiled)
        if reason is None:
            reason = self._timing.refuses(compiled)  # its rows are added, whatever is asked for
        if reason is None and self._timing.pairs and not self._communication.pairs:
            return "the timing, which needs variables for pairs of devices"
        return reason or self._communication.refuses(compiled)

    def build(self, compiled: CompiledProblem, units: Units | None = None) -> LinearModel:
        """Return the model, in `units` or in units that suit the problem.

        Raises
        ------
        UnsupportedError
            If the formulation does not support the problem.
        """
        check_supported(self, compiled)
        model = LinearModel(f"{compiled.problem_name}: {self.name}", units or choose_units(compiled))
        build = Build(model, compiled, self._communication)
        self._timing.add(build)
        add_objective(build, compiled.objective[0])
        add_constraints(build)
        add_symmetry_breaking(build, _classes(compiled))
        return model

    def encode(
        self, compiled: CompiledProblem, model: LinearModel, placement: Index, times: Times | None = None
    ) -> Values:
        """Return the values of all variables in a plan."""
        if compiled.execution == "scheduled":
            return model.encode(placement, times_for(compiled, placement, times))
        return model.encode(canonical(compiled, placement, _classes(compiled)))

    def read(self, compiled: CompiledProblem, model: LinearModel, values: Values) -> Index:
        """Return the placement that the values describe."""
        placement: Index = values[model.placement].argmax(axis=1)
        return placement

    def times(self, compiled: CompiledProblem, model: LinearModel, values: Values) -> Times | None:
        """Return when everything starts in the order of the solution, where it has one."""
        return times_in(compiled, self.read(compiled, model, values), values, model.task_starts)

    def forbid(self, compiled: CompiledProblem, model: LinearModel, placement: Index) -> None:
        """Add the row `Σ_v x_v,placement(v) <= N - 1`, of all placements that are the same plan."""
        placement = canonical(compiled, placement, _classes(compiled))
        columns = model.placement[compiled.of_same_plan(placement)]
        model.add_rows("forbid", columns, 1.0, upper=len(placement) - 1.0)


def _classes(compiled: CompiledProblem) -> list[list[int]]:
    """Return the classes of identical devices; of a schedule only the placement could be renamed, so there none."""
    return [] if compiled.execution == "scheduled" else identical_devices(compiled)
