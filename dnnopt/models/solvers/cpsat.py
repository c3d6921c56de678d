"""CP-SAT from OR-Tools."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import numpy as np
from ortools.sat.python.cp_model_helper import CpSolverStatus, SatParameters, SolutionCallback, SolveWrapper

from dnnopt.models.constraint import ConstraintModel, Intervals, RowBlock
from dnnopt.models.cp_builder import LEAST, MOST, CpBuilder, Variable, weighted_sum
from dnnopt.models.solvers.interface import Control, Limits, Outcome, Values, run_in_thread

_EXACT = 2.0**53  # whole numbers below it are exact as floating-point numbers


def to_cp_sat(model: ConstraintModel) -> tuple[CpBuilder, list[Variable]]:
    """Return the CP-SAT model and its variables, in the order of the model's columns."""
    cp = CpBuilder(model.name)
    variables = [cp.new_int_var(low, high) for low, high in zip(model.lower, model.upper, strict=True)]
    for choices in model.exactly_one:
        for row in choices.tolist():
            cp.add_exactly_one([variables[column] for column in row])
    for clauses in model.clauses:
        positive = clauses.positive.tolist()
        for row in clauses.columns.tolist():
            cp.add_bool_or([variables[c] if plain else ~variables[c] for c, plain in zip(row, positive, strict=True)])
    for linear in model.linear:
        expression = _sum(variables, linear.columns, linear.coefficients)
        lower = LEAST if linear.lower is None else linear.lower
        upper = MOST if linear.upper is None else linear.upper
        cp.add_linear_constraint(expression, lower, upper)
    for rows in model.rows:
        _add_rows(cp, variables, rows)
    intervals = [interval for block in model.intervals for interval in _intervals(cp, variables, block)]
    for no_overlap in model.no_overlaps:
        cp.add_no_overlap([intervals[index] for index in no_overlap.intervals.tolist()])
    if model.objective_columns:
        columns = np.concatenate(model.objective_columns)
        cp.minimize(_sum(variables, columns, np.concatenate(model.objective_coefficients)))
    return cp, variables


def _intervals(cp: CpBuilder, variables: list[Variable], block: Intervals) -> list[Any]:
    tasks = zip(block.start.tolist(), block.size.tolist(), strict=True)
    if block.presence is None:
        return [cp.new_fixed_size_interval_var(variables[start], size) for start, size in tasks]
    return [
        cp.new_fixed_size_interval_var(variables[start], size, [variables[presence]])
        for (start, size), presence in zip(tasks, block.presence.tolist(), strict=True)
    ]


def _add_rows(cp: CpBuilder, variables: list[Variable], rows: RowBlock) -> None:
    lower = repeat(LEAST) if rows.lower is None else rows.lower.tolist()
    upper = repeat(MOST) if rows.upper is None else rows.upper.tolist()
    parts = zip(rows.columns, rows.coefficients, rows.literals.tolist(), lower, upper, strict=False)
    for columns, coefficients, literals, low, high in parts:
        row = cp.add_linear_constraint(_sum(variables, columns, coefficients), low, high)
        if literals:
            row.only_enforce_if([variables[literal] for literal in literals])


def _sum(variables: list[Variable], columns: Any, coefficients: Any) -> Any:
    kept = np.flatnonzero(coefficients)
    return weighted_sum([variables[column] for column in columns[kept].tolist()], coefficients[kept].tolist())


class _Watch(SolutionCallback):
    """Reports solutions."""

    def __init__(self, control: Control, variables: list[Variable], rounding: float) -> None:
        super().__init__()
        self._control = control
        self._variables = variables
        self._rounding = rounding

    def OnSolutionCallback(self) -> None:
        """Report a solution; the solver calls it."""
        self._control.report(self.ObjectiveValue(), self.BestObjectiveBound() - self._rounding)
        if self._control.found is not None:
            self._control.found(np.array([self.Value(variable) for variable in self._variables], dtype=float))


def solve_unpresolved(model: ConstraintModel, limits: Limits, start: Values | None, control: Control) -> Outcome:
    """Solve a constraint model without CP-SAT's presolve."""
    return solve(model, limits, start, control, presolve=False)


def solve(
    model: ConstraintModel, limits: Limits, start: Values | None, control: Control, *, presolve: bool = True
) -> Outcome:
    """Solve a constraint model; objective and bound are in its units."""
    cp, variables = to_cp_sat(model)
    if start is not None:
        for variable, value in zip(variables, start.tolist(), strict=True):
            cp.add_hint(variable, round(value))
    solver, parameters = SolveWrapper(), SatParameters()
    parameters.num_workers = limits.processors
    parameters.random_seed = limits.seed
    parameters.relative_gap_limit = limits.gap
    parameters.absolute_gap_limit = 0.0
    parameters.linearization_level = 2
    # These parts of the presolve of 9.15 cut off optimal plans (or-tools #5293, tests/models/test_traps.py); without
    # them the problems of `small` take no longer.
    parameters.presolve_inclusion_work_limit = 0
    parameters.cp_model_probing_level = 0
    # One worker calls a feasible model infeasible with it: the lower bounds that it derives are wrong.
    parameters.auto_detect_greater_than_at_least_one_of = False
    parameters.cp_model_presolve = presolve
    parameters.catch_sigint_signal = False
    if limits.time_limit is not None:
        parameters.max_time_in_seconds = limits.time_limit
    log: list[str] = []
    if control.log is not None:
        parameters.log_search_progress = True
        parameters.log_to_stdout = False
        solver.add_log_callback(log.append)
    rounding = _rounding(model)
    watch = _Watch(control, variables, rounding)
    solver.set_parameters(parameters)
    solver.add_solution_callback(watch)
    solver.add_best_bound_callback(lambda bound: control.report(None, bound - rounding))
    responses: list[Any] = []
    run_in_thread(lambda: responses.append(solver.solve(cp.proto)), control, cancel=solver.stop_search)
    solver.clear_solution_callback(watch)
    if control.log is not None:
        with open(control.log, "w", encoding="utf-8") as stream:
            stream.write("\n".join(log))
    return _outcome(responses[0], control, rounding)


def _rounding(model: ConstraintModel) -> float:
    """Return by how much the objective and its bound may be off, which come as sums in floating-point numbers.

    Presolve moves coefficients into the offset, so these sums may be as large as that of all coefficients.
    """
    most = np.maximum(np.abs(np.array(model.lower, dtype=float)), np.abs(np.array(model.upper, dtype=float)))
    parts = zip(model.objective_columns, model.objective_coefficients, strict=True)
    total = sum(float(np.abs(coefficients) @ most[columns]) for columns, coefficients in parts)
    return 4 * float(np.finfo(float).eps) * total if total >= _EXACT else 0.0


def _outcome(response: Any, control: Control, rounding: float) -> Outcome:
    nodes, status = response.num_branches, response.status
    if status == CpSolverStatus.INFEASIBLE:
        return Outcome("infeasible", nodes=nodes)
    if status == CpSolverStatus.MODEL_INVALID:
        return Outcome("error", message="CP-SAT: invalid model")
    stopped, bound = control.stop.is_set(), response.best_objective_bound - rounding
    if status == CpSolverStatus.UNKNOWN:
        return Outcome("interrupted" if stopped else "no_solution", bound=bound, nodes=nodes)
    values = np.array(response.solution, dtype=float)
    known = "optimal" if status == CpSolverStatus.OPTIMAL else "interrupted" if stopped else "feasible"
    return Outcome(known, values, response.objective_value, bound, nodes)
