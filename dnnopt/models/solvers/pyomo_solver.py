"""Any solver that Pyomo knows: ``pyomo:appsi_highs``, ``pyomo:cbc``, ``pyomo:gurobi``, ...

Time limit, gap, threads and seed are passed on where Pyomo's interface to the solver has them. It runs in a process of
its own: asked to stop, or late, it is ended, whatever the solver is. What it has found is known when it has ended.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dnnopt.base.children import Child
from dnnopt.base.errors import InputError
from dnnopt.base.programs import find_cbc
from dnnopt.models.arrays import LinearArrays
from dnnopt.models.components import Component
from dnnopt.models.linear import LinearModel
from dnnopt.models.pyomo import fill_model, import_pyomo
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome, Values

# Seconds that a run may be late: Pyomo itself takes some of them.
_GRACE = 5.0
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


def interface(name: str) -> Any:
    """Return Pyomo's interface to a solver.

    Raises
    ------
    InputError
        If Pyomo has none of that name, or the solver is not installed.
    """
    pyo = import_pyomo()
    with _quiet():
        try:
            cbc = find_cbc() if name == "cbc" else None
            solver = pyo.SolverFactory(name, **({} if cbc is None else {"executable": cbc.path}))
            there = bool(solver.available(exception_flag=False))
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


def _writes_log(solver: Any) -> bool:
    return not hasattr(solver, "config") or "tee" in solver.config


def solve(name: str, model: LinearModel, limits: Limits, start: Values | None, control: Control) -> Outcome:
    """Solve a linear model by the solver that Pyomo calls `name`, in a process that can be ended at any time."""
    begun = time.time()
    solver = interface(name)
    if control.log is not None and not _writes_log(solver):
        raise InputError("", field="log", problem=f"Pyomo's interface to {name!r} writes no log")
    with tempfile.TemporaryDirectory(prefix="dnnopt-pyomo-", ignore_cleanup_errors=True) as folder:
        job, result, errors = (Path(folder) / file for file in ("job", "result", "errors"))
        job.write_bytes(pickle.dumps((name, model.arrays(), limits, start, control.log, begun)))
        ended = _run([sys.executable, "-m", __name__, str(job), str(result)], folder, errors, limits, control)
        if result.exists():
            outcome: Outcome = pickle.loads(result.read_bytes())
            return outcome
        if control.stop.is_set():
            return Outcome("interrupted")
        if not ended:
            return Outcome("no_solution", message=f"pyomo:{name}: killed, as it had not ended by itself in time")
        return Outcome("error", message=f"pyomo:{name}: {errors.read_text('utf-8', errors='replace')[-300:].strip()}")


def _run(words: list[str], folder: str, errors: Path, limits: Limits, control: Control) -> bool:
    """Run a process, with its files in a folder, until it ends, is late or is to stop; return whether it has ended."""
    late = Clock(None if limits.time_limit is None else 1.1 * limits.time_limit + _GRACE)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": folder}
    with (
        open(errors, "wb") as stream,
        Child(words, leftovers=[folder], stdout=stream, stderr=stream, env=environment) as process,
    ):
        try:
            while process.poll() is None and not late.expired() and not control.stop.is_set():
                time.sleep(0.02)
            return process.poll() is not None
        finally:
            process.kill()


def _main(job: str, result: str) -> None:
    """Do a job in a process of its own: read it from a file, write the outcome to another."""
    name, arrays, limits, start, log, begun = pickle.loads(Path(job).read_bytes())
    outcome = _solve_here(name, arrays, limits, start, log, begun)
    Path(f"{result}.part").write_bytes(pickle.dumps(outcome))
    os.replace(f"{result}.part", result)


def _solve_here(
    name: str, arrays: LinearArrays, limits: Limits, start: Values | None, log: str | None, begun: float
) -> Outcome:
    solver = interface(name)
    m = import_pyomo().ConcreteModel()
    columns = Component("x", {column: column for column in range(len(arrays.cost))})
    rows = Component("row", {row: row for row in range(len(arrays.row_lower))})
    variables = fill_model(m, arrays, [columns], [rows])
    if start is not None:
        for variable, value in zip(variables, start.tolist(), strict=True):
            variable.set_value(value, skip_validation=True)
    time_limit = None if limits.time_limit is None else max(limits.time_limit - (time.time() - begun), 0.1)
    left = Limits(time_limit, limits.gap, limits.threads, limits.seed)
    arguments, keeps_gap = _configure(solver, name, left)
    if start is not None and getattr(solver, "warm_start_capable", lambda: False)():
        arguments["warmstart"] = True
    with _quiet(), open(log or os.devnull, "w", encoding="utf-8") as stream:
        if log is not None:
            arguments |= {"tee": [stream]} if hasattr(solver, "config") else {"logfile": log}
        try:
            results = solver.solve(m, load_solutions=False, **arguments)
        except subprocess.TimeoutExpired:
            return Outcome("no_solution", message=f"pyomo:{name}: killed, as it had not ended by itself in time")
        except Exception as error:
            return Outcome("error", message=f"pyomo:{name}: {type(error).__name__}: {error}")
        values = _values(m, results, variables)
    return _outcome(name, arrays, results, values, left.gap if keeps_gap else None)


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


def _outcome(name: str, arrays: LinearArrays, results: Any, values: Values | None, gap: float | None) -> Outcome:
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
    whole = None if values is None else values[arrays.integer != 0]
    if whole is not None and (np.abs(whole - np.round(whole)) > _WHOLE).any():
        if condition == "optimal":
            return Outcome("error", message=f"pyomo:{name}: the solver does not keep integer variables whole")
        values = None  # of the relaxation, all that CBC has when it stops early
    if values is None:
        if condition in ("maxTimeLimit", "userInterrupt", "unknown", "noSolution", "resourceInterrupt"):
            return Outcome("no_solution", bound=bound)
        words = getattr(results.solver, "message", None) or results.solver.status
        return Outcome("error", message=f"pyomo:{name}: {condition}: {words}")
    objective = float(arrays.cost @ values) + arrays.offset
    if condition == "optimal":
        if gap is not None:
            bound = objective - _SHARE * gap * abs(objective)
        return Outcome("optimal", values, objective, bound)
    return Outcome("feasible", values, objective, bound)


if __name__ == "__main__":
    _main(*sys.argv[1:])
