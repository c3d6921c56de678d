"""Any solver that Pyomo knows: ``pyomo:appsi_highs``, ``pyomo:cbc``, ``pyomo:gurobi``, ...

Time limit, gap, threads and seed are passed on where Pyomo's interface to the solver has them. There is no trace while it
runs; asked to stop, it gets a few seconds, and is then left alone.
"""

from __future__ import annotations

import logging
import math
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from dnnopt.errors import InputError
from dnnopt.formats.pyomo_model import import_pyomo, pyomo_model, variables_of
from dnnopt.linear_model import LinearModel
from dnnopt.solvers.interface import Clock, Control, Limits, Outcome, Values

# Seconds that a solver gets to end by itself when it should.
_GRACE = 3.0
# A solver that ends as optimal has half of the gap asked for, so the other half is left for rounding.
_SHARE = 0.5
# Interfaces read bounds from logs, which have six digits.
_PRINTED = 5e-6
_WHOLE = 1e-4


def _options(name: str, limits: Limits) -> dict[str, Any]:
    """Return gap, threads and seed by the names that solvers with a command line, or a library, have for them."""
    gap, threads, seed = _SHARE * limits.gap, limits.processors, limits.seed
    if name == "cbc":
        options = {"ratio": gap, "allow": 0, "increment": 1e-12, "randomCbcSeed": seed}
        return options | ({"threads": threads} if threads > 1 else {})
    if name == "glpk":
        return {"mipgap": gap}
    if name == "scip":
        return {"limits/gap": gap, "limits/absgap": 0, "randomization/randomseedshift": seed}
    if name.startswith("gurobi"):
        return {"MIPGap": gap, "MIPGapAbs": 0, "Threads": threads, "Seed": seed}
    if name.startswith("cplex"):
        return {"mip_tolerances_mipgap": gap, "mip_tolerances_absmipgap": 0, "threads": threads, "randomseed": seed}
    return {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pyomo from logging what the outcome says too."""
    log = logging.getLogger("pyomo")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _solver(name: str) -> Any:
    """Return Pyomo's interface to a solver.

    Raises
    ------
    InputError
        If Pyomo has none of that name, or the solver is not installed.
    """
    pyo = import_pyomo()
    with _quiet():
        try:
            solver = pyo.SolverFactory(name)
            there = bool(solver.available(exception_flag=False))
            if name == "cbc" and not there:
                import cbcbox

                solver = pyo.SolverFactory(name, executable=str(cbcbox.cbc_bin_path()))
                there = True
        except Exception as error:
            raise InputError("", field="solver", problem=f"Pyomo cannot use {name!r}: {error}") from None
    if not there:
        known = sorted(found for found in pyo.SolverFactory if not found.startswith("_"))
        words = "is not installed here" if name in known else f"is not a solver that Pyomo knows: {', '.join(known)}"
        raise InputError("", field="solver", problem=f"'pyomo:{name}': {name!r} {words}")
    return solver


def _configure(solver: Any, name: str, limits: Limits) -> tuple[dict[str, Any], bool]:
    """Set limits; return further arguments of `solve`, and whether the gap asked for is passed on."""
    config = getattr(solver, "config", None)
    if config is None:  # an interface of the older kind
        options = _options(name, limits)
        solver.options.update(options)
        if limits.time_limit is None:
            return {}, bool(options)
        whole = math.ceil(limits.time_limit)  # glpsol takes no fractions
        return {"timelimit": whole if name == "glpk" else limits.time_limit}, bool(options)
    wanted = {
        "time_limit": limits.time_limit,
        "rel_gap": _SHARE * limits.gap,
        "mip_gap": _SHARE * limits.gap,
        "abs_gap": 0.0,
        "threads": limits.processors,
    }
    for option, value in wanted.items():
        if option in config and value is not None:
            config[option] = value
    return {}, "rel_gap" in config or "mip_gap" in config


def _log(solver: Any, name: str, path: str) -> dict[str, Any]:
    """Return the argument of `solve` for a log.

    Raises
    ------
    InputError
        If Pyomo's interface has none.
    """
    if not hasattr(solver, "config"):
        return {"logfile": path}
    if "tee" not in solver.config:
        raise InputError("", field="log", problem=f"Pyomo's interface to {name!r} writes no log")
    return {"tee": [open(path, "w", encoding="utf-8", buffering=1)]}  # noqa: SIM115 (the search may outlive this function)


def solve(name: str, model: LinearModel, limits: Limits, start: Values | None, control: Control) -> Outcome:
    """Solve a linear model by the solver that Pyomo calls `name`."""
    clock = Clock(limits.time_limit)
    solver = _solver(name)
    m = pyomo_model(model)
    variables = variables_of(m, model)
    if start is not None:
        for variable, value in zip(variables, start.tolist(), strict=True):
            variable.set_value(value, skip_validation=True)
    left = Limits(clock.left(), limits.gap, limits.threads, limits.seed)
    arguments, keeps_gap = _configure(solver, name, left)
    if start is not None and getattr(solver, "warm_start_capable", lambda: False)():
        arguments["warmstart"] = True
    if control.log is not None:
        arguments |= _log(solver, name, control.log)
    done: list[Any] = []
    failure: list[Exception] = []

    def run() -> None:
        try:
            done.append(solver.solve(m, load_solutions=False, **arguments))
        except Exception as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    with _quiet():
        thread.start()
        _wait(thread, left, control)
        if failure and isinstance(failure[0], subprocess.TimeoutExpired):
            return Outcome("no_solution", message=f"pyomo:{name}: killed, as it had not ended by itself in time")
        if failure:
            return Outcome("error", message=f"pyomo:{name}: {type(failure[0]).__name__}: {failure[0]}")
        if not done:
            return Outcome("interrupted" if control.stop.is_set() else "no_solution")
        values = _values(m, done[0], variables)
    return _outcome(name, model, done[0], values, left.gap if keeps_gap else None, control)


def _wait(thread: threading.Thread, limits: Limits, control: Control) -> None:
    """Wait for the thread, and no longer than some seconds after it should have ended."""
    late = Clock(None if limits.time_limit is None else 1.1 * limits.time_limit + _GRACE)
    stopping: Clock | None = None
    while thread.is_alive() and not late.expired() and not (stopping is not None and stopping.expired()):
        thread.join(0.05)
        if control.stop.is_set() and stopping is None:
            stopping = Clock(_GRACE)


def _values(m: Any, results: Any, variables: list[Any]) -> Values | None:
    if not len(results.solution):
        return None
    m.solutions.load_from(results)
    found = [variable.value for variable in variables]
    # A variable that is in no row and has no cost never reaches the solver.
    return np.array(
        [_resting(variable) if value is None else value for value, variable in zip(found, variables, strict=True)],
        float,
    )


def _resting(variable: Any) -> float:
    """Return the value of a variable that nothing depends on: the one nearest to 0."""
    return float(
        min(max(0.0, variable.lb if variable.lb is not None else 0.0), np.inf if variable.ub is None else variable.ub)
    )


def _outcome(
    name: str, model: LinearModel, results: Any, values: Values | None, gap: float | None, control: Control
) -> Outcome:
    condition = str(results.solver.termination_condition)
    if condition in ("infeasible", "infeasibleOrUnbounded"):
        # What may grow in our models is minimised, so "or unbounded" means infeasible.
        return Outcome("infeasible")
    if condition == "unbounded":
        return Outcome("unbounded")
    bound = results.problem.lower_bound
    bound = float(bound) if isinstance(bound, int | float) and np.isfinite(bound) else None
    if bound is not None:
        bound -= _PRINTED * abs(bound)
    if values is None:
        if condition in ("maxTimeLimit", "userInterrupt", "unknown", "noSolution", "resourceInterrupt"):
            return Outcome("interrupted" if control.stop.is_set() else "no_solution", bound=bound)
        words = getattr(results.solver, "message", None) or results.solver.status
        return Outcome("error", message=f"pyomo:{name}: {condition}: {words}")
    arrays = model.arrays()
    whole = values[arrays.integer != 0]
    if (np.abs(whole - np.round(whole)) > _WHOLE).any():
        return Outcome("error", message=f"pyomo:{name}: the solver does not keep integer variables whole")
    objective = float(arrays.cost @ values) + arrays.offset
    if condition == "optimal":
        if gap is not None:
            bound = objective - _SHARE * gap * abs(objective)
        return Outcome("optimal", values, objective, bound)
    return Outcome("interrupted" if control.stop.is_set() else "feasible", values, objective, bound)
