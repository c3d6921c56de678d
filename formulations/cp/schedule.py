"""Formulation `cp-schedule`: the literals of `cp-assignment`, and start times with optional intervals.

For `scheduled` execution (unicast, per_edge, and multicast over routes that form trees), and, without no-overlap, for
`parallel`. The rows are in `times.py` and `hops.py`; the numbers are whole, rounded such that the bound is valid.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import LatencyTerm, MaxTerm, MulticastTrees, OneMode
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scheduling import Times
from dnnopt.compiled.scope import Scope
from dnnopt.formulations.cp.assignment import AssignmentFormulation
from dnnopt.formulations.cp.literals import Literals
from dnnopt.formulations.cp.times import TimeVariables
from dnnopt.formulations.hops import not_a_tree
from dnnopt.formulations.plans import times_for
from dnnopt.models.arrays import Values
from dnnopt.models.constraint import ConstraintModel


class ScheduleFormulation(AssignmentFormulation):
    """The formulation `cp-schedule`."""

    name = "cp-schedule"

    @property
    def scope(self) -> Scope:
        """What it looks at."""
        timed = frozenset({"parallel", "scheduled"})
        own = super().scope
        return replace(
            own,
            enforces=own.enforces - {MulticastTrees, OneMode},
            latencies=timed,
            executions=timed,
            choices=False,
            blocks=False,
        )

    def supports(self, compiled: CompiledProblem) -> str | None:
        """Return None, or what of the problem the formulation does not support."""
        return not_a_tree(compiled) or self.scope.refuses(compiled)

    def _write(self, literals: Literals) -> None:
        """Add start times, objective and constraints. Plans above the problem's cap may be missing."""
        compiled, model = literals.c, literals.model
        literals.times = times = TimeVariables(literals)
        model.task_starts = times.task_starts
        super()._write(literals)
        if np.isfinite(compiled.floor) and model.objective_columns:
            columns = np.concatenate(model.objective_columns)
            coefficients = np.concatenate(model.objective_coefficients)
            lower = compiled.floor / model.objective_unit - _lost(literals, times)
            model.add_whole_row("floor", columns, coefficients, lower=math.floor(lower))

    def encode(
        self, compiled: CompiledProblem, model: ConstraintModel, placement: Index, times: Times | None = None
    ) -> Values:
        """Return the values of all variables in a plan."""
        return model.encode(placement, times_for(compiled, placement, times))


def _lost(literals: Literals, times: TimeVariables) -> float:
    """Return what rounding down may take from a plan's objective, in whole numbers of it.

    Less than one for each column and for each unit of a latency; and for each task a unit of time of every latency.
    """
    c, model = literals.c, literals.model
    weight = sum(
        term.weight * max((part.weight for part in term.parts), default=0.0)
        if isinstance(term, MaxTerm)
        else term.weight
        for term in c.objective[0]
        if isinstance(term, LatencyTerm | MaxTerm)
    )
    tasks = len(c.node_names) + (0 if times.hops is None else len(times.hops.slot_carrier))
    rounded = len(model.lower) + int(times.limits.sum())
    return len(c.objective[0]) * rounded + weight * tasks / times.scale / model.objective_unit
