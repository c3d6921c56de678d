"""HiGHS through highspy: numpy arrays go in as they are."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import Any

import highspy
import numpy as np

from dnnopt.models.arrays import LinearArrays
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome, Values, run_in_thread

# Presolve of small models with continuous variables calls wrong values optimal, in 1.8 to 1.15 (ERGO-Code/HiGHS #1725,
# #2900, #3043, #3073, #3094, and tests/models/test_traps.py). Up to so many rows, doing without it costs about a
# quarter of the time (the problems of `small`); beyond them it is worth more.
_MOST_ROWS_UNPRESOLVED = 1000
_SMALL_TOLERANCE, _LARGEST_TOLERANCE = 1e-9, 1e-6
# HiGHS, and so whatever gets its models through HiGHS, takes no coefficients from there on.
TOO_LARGE = 1e15


def tolerance_for(arrays: LinearArrays) -> float:
    """Return an absolute feasibility tolerance that suits the model.

    Where the objective is about 100, an integer variable off by 1e-6 with a coefficient of 1e5 would be worth 0.1, so
    1e-9 is the aim. But no row can be met better than its coefficients times the rounding of its variables: with 1e-9
    and coefficients of 1e9, HiGHS was seen to call feasible models infeasible.
    """
    largest = float(np.abs(arrays.value).max(initial=1.0))
    return min(max(_SMALL_TOLERANCE, 1e-15 * largest), _LARGEST_TOLERANCE)


def pass_model(arrays: LinearArrays) -> highspy.Highs:
    """Return a silent Highs object that holds the model."""
    highs = highspy.Highs()
    highs.silent()
    arrays = arrays.with_room()
    # HiGHS refuses rows in which a column comes twice, which is soon found out; tidying all models would take longer.
    if not _accepts(highs, arrays) and not _accepts(highs, arrays.tidied()):
        raise RuntimeError(f"HiGHS refused the model, whose largest coefficient is {arrays.largest:g}")
    return highs


def _accepts(highs: highspy.Highs, arrays: LinearArrays) -> bool:
    status = highs.passModel(
        len(arrays.cost),
        len(arrays.row_lower),
        len(arrays.value),
        2,  # by rows
        1,  # minimise
        arrays.offset,
        arrays.cost,
        arrays.lower,
        arrays.upper,
        arrays.row_lower,
        arrays.row_upper,
        arrays.start,
        arrays.index,
        arrays.value,
        arrays.integer,
    )
    return bool(status != highspy.HighsStatus.kError)


def set_options(highs: highspy.Highs, limits: Limits, tolerance: float, log: str | None = None) -> None:
    """Set limits and tolerances."""
    options: dict[str, Any] = {
        "mip_rel_gap": limits.gap,
        "mip_abs_gap": 0.0,
        "mip_feasibility_tolerance": tolerance,
        "primal_feasibility_tolerance": tolerance,
        "dual_feasibility_tolerance": tolerance,
        "random_seed": limits.seed,
        "threads": limits.processors,
        "mip_min_logging_interval": 0.5,
    }
    if limits.time_limit is not None:
        options["time_limit"] = limits.time_limit
    if log is not None:
        options |= {"output_flag": True, "log_to_console": False, "log_file": log}
    for name, value in options.items():
        if highs.setOptionValue(name, value) != highspy.HighsStatus.kOk:
            raise RuntimeError(f"HiGHS refused the option {name} = {value}")


def solve(model: LinearModel, limits: Limits, start: Values | None, control: Control) -> Outcome:
    """Solve a linear model."""
    return solve_arrays(model.arrays(), limits, start, control)


def solve_unpresolved(model: LinearModel, limits: Limits, start: Values | None, control: Control) -> Outcome:
    """Solve a linear model without HiGHS' presolve, which is where its wrong optima come from."""
    return solve_arrays(model.arrays(), limits, start, control, presolve=False)


def solve_arrays(
    arrays: LinearArrays, limits: Limits, start: Values | None, control: Control, *, presolve: bool | None = None
) -> Outcome:
    """Solve a linear model that is given as arrays; small ones without HiGHS' presolve, unless it is asked for."""
    if len(arrays.cost) == 0:
        return Outcome("optimal", values=np.zeros(0), objective=arrays.offset, bound=arrays.offset)
    if arrays.largest >= TOO_LARGE:
        return Outcome("error", message=f"HiGHS takes no coefficient of {arrays.largest:g}")
    clock = Clock(limits.time_limit)
    # One process-wide pool of threads: a run with another number of threads fails unless the pool is made anew.
    highspy.Highs.resetGlobalScheduler(True)
    highs = pass_model(arrays)
    set_options(highs, limits, tolerance_for(arrays), control.log)
    if presolve is None:
        presolve = len(arrays.row_lower) > _MOST_ROWS_UNPRESOLVED
    if not presolve:
        highs.setOptionValue("presolve", "off")
    if start is not None:
        solution = highspy.HighsSolution()
        solution.col_value = start.tolist()
        highs.setSolution(solution)

    def progress(event: Any) -> None:
        data = event.data_out
        control.report(_finite(data.mip_primal_bound), _finite(data.mip_dual_bound))

    def improved(event: Any) -> None:
        progress(event)
        if control.found is not None:
            control.found(np.array(event.data_out.mip_solution))

    def interrupt(event: Any) -> None:
        if control.stop.is_set():
            event.interrupt()

    highs.cbMipImprovingSolution.subscribe(improved)
    highs.cbMipLogging.subscribe(progress)
    highs.cbMipInterrupt.subscribe(interrupt)
    highs.cbSimplexInterrupt.subscribe(interrupt)
    run_in_thread(lambda: _run(highs), control, cancel=lambda: None)
    if highs.getModelStatus() == highspy.HighsModelStatus.kSolveError:
        # It ends so where its optimum breaks a row by more than the tolerance, which was too tight for its numbers.
        set_options(highs, limits.within(clock.left()), _LARGEST_TOLERANCE, control.log)
        run_in_thread(lambda: _run(highs), control, cancel=lambda: None)
    if highs.getModelStatus() == highspy.HighsModelStatus.kUnbounded and not presolve:
        # Seen of models that are bounded, where the objective is a variable without a bound of its own.
        set_options(highs, limits.within(clock.left()), tolerance_for(arrays), control.log)
        highs.setOptionValue("presolve", "on")
        run_in_thread(lambda: _run(highs), control, cancel=lambda: None)
    return _outcome(highs, arrays, control)


def relaxation(model: LinearModel, limits: Limits, stop: threading.Event | None = None) -> Outcome:
    """Solve the linear relaxation, unless it is asked to stop; its objective is a bound."""
    arrays = model.arrays()
    relaxed = replace(arrays, integer=np.zeros_like(arrays.integer))
    return solve_arrays(relaxed, limits, None, Control() if stop is None else Control(stop=stop))


class GrowingProgram:
    """A small linear program over variables in [lower, upper] that gets row after row, each solved from the last basis.

    Parameters
    ----------
    cost, lower, upper : array
        Of each variable; the objective is minimised.
    """

    def __init__(self, cost: Values, lower: Values, upper: Values) -> None:
        highspy.Highs.resetGlobalScheduler(True)
        self._highs = highspy.Highs()
        self._highs.silent()
        set_options(self._highs, Limits(threads=1), _SMALL_TOLERANCE)
        self._highs.setOptionValue("presolve", "off")
        self._columns = np.arange(len(cost), dtype=np.int32)
        self._highs.addVars(len(cost), lower, upper)
        self._highs.changeColsCost(len(cost), self._columns, cost)

    def add_row(self, coefficients: Values, lower: float, upper: float) -> None:
        """Add a row."""
        # Coefficients below 1e-9 are left out, with a warning.
        status = self._highs.addRow(lower, upper, len(self._columns), self._columns, coefficients)
        if status == highspy.HighsStatus.kError:
            raise RuntimeError(f"HiGHS refused a row whose largest coefficient is {np.abs(coefficients).max():g}")

    def solve(self) -> Values | None:
        """Return the values of all variables at the optimum; None: HiGHS does not find it."""
        for tolerance in (_SMALL_TOLERANCE, _LARGEST_TOLERANCE):
            for kind in ("primal", "dual"):
                self._highs.setOptionValue(f"{kind}_feasibility_tolerance", tolerance)
            self._highs.run()
            if self._highs.getModelStatus() == highspy.HighsModelStatus.kOptimal:
                return np.array(self._highs.getSolution().col_value)
        return None


def _run(highs: highspy.Highs) -> None:
    highs.run()


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) and abs(value) < 1e30 else None


def _outcome(highs: highspy.Highs, arrays: LinearArrays, control: Control) -> Outcome:
    info = highs.getInfo()
    status = highs.getModelStatus()
    is_mip = bool(arrays.integer.any())
    # Without an incumbent getSolution() can still hold values; this says whether they are a solution.
    solved = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    values = np.array(highs.getSolution().col_value) if solved else None
    objective = _finite(info.objective_function_value) if solved else None
    bound = _finite(info.mip_dual_bound) if is_mip else None
    kinds = highspy.HighsModelStatus
    if status == kinds.kOptimal:
        bound = objective if bound is None else bound
        return Outcome("optimal", values, objective, bound, max(int(info.mip_node_count), 0))
    if status == kinds.kInfeasible:
        return Outcome("infeasible")
    if status in (kinds.kUnbounded, kinds.kUnboundedOrInfeasible):
        # All variables of our models that may grow are minimised, so presolve's "or" means infeasible; re-check.
        return Outcome("unbounded" if status == kinds.kUnbounded else "infeasible")
    known = {kinds.kTimeLimit, kinds.kInterrupt, kinds.kSolutionLimit, kinds.kIterationLimit}
    name = highs.modelStatusToString(status)
    if control.stop.is_set() and status == kinds.kInterrupt:
        return Outcome("interrupted", values, objective, bound, max(int(info.mip_node_count), 0))
    if status == kinds.kSolveError and is_mip:
        # No proof, but maybe a plan.
        rough = np.array(highs.getSolution().col_value)
        left = len(rough) == len(arrays.cost) and bool(np.isfinite(rough).all())
        return Outcome("feasible" if left else "no_solution", rough if left else None, message=f"HiGHS: {name}")
    if status not in known:
        return Outcome("error", values, objective, bound, message=f"HiGHS: {name}")
    found = "feasible" if values is not None else "no_solution"
    return Outcome(found, values, objective, bound, max(int(info.mip_node_count), 0))
