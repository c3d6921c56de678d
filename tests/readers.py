"""Other people's programs that read exported model files: each solves one and leaves a solution file."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import highspy
import pytest

from dnnopt.base.programs import find_cbc

_TOLERANCE = 1e-9
_SECONDS = 60.0


@dataclass(frozen=True)
class Reading:
    """What a program made of a file: the optimum, its solution file, and the size of the model.

    The optimum is None where it is infeasible, or not proved in the time.
    """

    objective: float | None
    solution: Path
    columns: int
    rows: int
    nonzeros: int


def program(name: str, package: str) -> str:
    """Return the path of a program, or skip the test."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian package {package})")
    return found


def run(*words: str | Path, codes: tuple[int, ...] = (0,), seconds: float = _SECONDS) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=2 * seconds + 30)
    assert done.returncode in codes, done.stdout + done.stderr
    return done.stdout


def highs(model: Path, style: int = 0, seconds: float = _SECONDS) -> Reading:
    solution = model.with_name("highs.sol")
    solver = highspy.Highs()
    solver.silent()
    assert solver.readModel(str(model)) == highspy.HighsStatus.kOk
    for option in ("mip_feasibility_tolerance", "primal_feasibility_tolerance", "dual_feasibility_tolerance"):
        solver.setOptionValue(option, _TOLERANCE)
    solver.setOptionValue("mip_rel_gap", 0.0)
    solver.setOptionValue("time_limit", seconds)
    solver.run()
    solver.writeSolution(str(solution), style)
    optimal = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    objective = solver.getInfo().objective_function_value if optimal else None
    return Reading(objective, solution, solver.getNumCol(), solver.getNumRow(), solver.getNumNz())


def cbc(model: Path, seconds: float = _SECONDS) -> Reading:
    solution = model.with_name("cbc.sol")
    tight = ("-integerTolerance", _TOLERANCE, "-primalTolerance", _TOLERANCE, "-dualTolerance", _TOLERANCE)
    words = ("-allow", 0, "-ratio", 0, "-increment", 1e-12, *tight, "-solve", "-solution", solution, "-quit")
    program = find_cbc()
    assert program is not None
    log = run(program.path, model, "-sec", str(seconds), *map(str, words), seconds=seconds)
    rows, columns, nonzeros = map(int, re.findall(r"\|(?:Rows|Cols|NZ)\| += +(\d+)", log))
    status = solution.read_text(encoding="utf-8").partition("\n")[0]
    optimum = re.match(r"Optimal.* objective value (\S+)", status)
    return Reading(float(optimum[1]) if optimum else None, solution, columns, rows, nonzeros)


def glpk(model: Path, option: str = "--write", seconds: float = _SECONDS) -> Reading:
    solution = model.with_name("glpk.sol")
    kind = "--lp" if model.suffix == ".lp" else "--freemps"
    limit = str(math.ceil(seconds))
    log = run(program("glpsol", "glpk-utils"), kind, model, "--tmlim", limit, option, solution, seconds=seconds)
    # What is read from .mps files has the objective as a row; the size is said again without it.
    sizes = re.findall(r"Optimizer .*\n(\d+) rows?, (\d+) columns?, (\d+) non-zeros?", log)
    rows, columns, nonzeros = map(int, sizes[0])
    text = solution.read_text(encoding="utf-8")
    optimum = re.search(r"(?<!NON-)OPTIMAL\n.*\n?(?:c )?Objective: .*= (\S+)", text)
    return Reading(float(optimum[1]) if optimum else None, solution, columns, rows, nonzeros)


def scip(model: Path, seconds: float = _SECONDS) -> Reading:
    pyscipopt = pytest.importorskip("pyscipopt", reason="pyscipopt is not installed")
    solution = model.with_name("scip.sol")
    solver = pyscipopt.Model()
    solver.hideOutput()
    solver.readProblem(str(model))
    solver.setParams({"numerics/feastol": _TOLERANCE, "numerics/dualfeastol": _TOLERANCE, "limits/time": seconds})
    rows = solver.getConss()
    size = solver.getNVars(), len(rows), sum(len(solver.getValsLinear(row)) for row in rows)
    solver.optimize()
    solver.writeBestSol(str(solution))
    return Reading(solver.getObjVal() if solver.getStatus() == "optimal" else None, solution, *size)


def lp_solve(model: Path) -> Reading:
    """Solve a model; of an .lp file, which lp_solve has a format of its own for, the .mps file beside it."""
    if model.suffix == ".lp":
        highspy_model = highspy.Highs()
        highspy_model.silent()
        highspy_model.readModel(str(model))
        model = model.with_suffix(".mps")
        highspy_model.writeModel(str(model))
    solution = model.with_name("lp_solve.sol")
    printed = run(program("lp_solve", "lp-solve"), "-fmps", model, "-S3", codes=(0, 2))  # 2: infeasible
    solution.write_text(printed, encoding="utf-8")
    found = re.search(r"Value of objective function: (\S+)", solution.read_text(encoding="utf-8"))
    return Reading(float(found[1]) if found else None, solution, 0, 0, 0)


READERS: dict[str, Callable[..., Reading]] = {"highs": highs, "cbc": cbc, "glpk": glpk, "scip": scip}


def solve_proto(path: Path) -> tuple[float | None, Path | None]:
    """Solve a .pb.txt file by CP-SAT; return the optimum and a solution as `name value` lines (None: infeasible)."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    assert model.proto.parse_text_format(path.read_text(encoding="utf-8"))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.presolve_inclusion_work_limit = 0  # as in dnnopt.models.solvers.cpsat, and as the files say
    solver.parameters.cp_model_probing_level = 0
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return None, None
    assert status == cp_model.OPTIMAL
    values = zip(model.proto.variables, solver.response_proto.solution, strict=True)
    solution = path.with_name("cpsat.sol")
    solution.write_text("".join(f"{variable.name} {value}\n" for variable, value in values), encoding="utf-8")
    return solver.objective_value, solution
