"""Other people's programs that read exported model files: each solves one and leaves a solution file."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cbcbox
import highspy
import pytest

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Reading:
    """What a program made of a file: the optimum (None: infeasible) and its solution file."""

    objective: float | None
    solution: Path


def program(name: str, package: str) -> str:
    """Return the path of a program, or skip the test."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian package {package})")
    return found


def run(*words: str | Path) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def highs(model: Path, style: int = 0) -> Reading:
    solution = model.with_name("highs.sol")
    solver = highspy.Highs()
    solver.silent()
    assert solver.readModel(str(model)) == highspy.HighsStatus.kOk
    for option in ("mip_feasibility_tolerance", "primal_feasibility_tolerance", "dual_feasibility_tolerance"):
        solver.setOptionValue(option, _TOLERANCE)
    solver.setOptionValue("mip_rel_gap", 0.0)
    solver.run()
    solver.writeSolution(str(solution), style)
    optimal = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return Reading(solver.getInfo().objective_function_value if optimal else None, solution)


def cbc(model: Path) -> Reading:
    solution = model.with_name("cbc.sol")
    tight = ("-integerTolerance", _TOLERANCE, "-primalTolerance", _TOLERANCE, "-dualTolerance", _TOLERANCE)
    words = ("-allow", 0, "-ratio", 0, "-increment", 1e-12, *tight, "-solve", "-solution", solution, "-quit")
    run(cbcbox.cbc_bin_path(), model, *map(str, words))
    status = solution.read_text(encoding="utf-8").partition("\n")[0]
    optimum = re.match(r"Optimal.* objective value (\S+)", status)
    return Reading(float(optimum[1]) if optimum else None, solution)


def glpk(model: Path, option: str = "--write") -> Reading:
    solution = model.with_name("glpk.sol")
    kind = "--lp" if model.suffix == ".lp" else "--freemps"
    run(program("glpsol", "glpk-utils"), kind, model, option, solution)
    text = solution.read_text(encoding="utf-8")
    optimum = re.search(r"OPTIMAL\n.*\n?(?:c )?Objective: .*= (\S+)", text)
    return Reading(float(optimum[1]) if optimum else None, solution)


def scip(model: Path) -> Reading:
    pyscipopt = pytest.importorskip("pyscipopt", reason="pyscipopt is not installed")
    solution = model.with_name("scip.sol")
    solver = pyscipopt.Model()
    solver.hideOutput()
    solver.readProblem(str(model))
    solver.setParams({"numerics/feastol": _TOLERANCE, "numerics/dualfeastol": _TOLERANCE})
    solver.optimize()
    solver.writeBestSol(str(solution))
    return Reading(solver.getObjVal() if solver.getStatus() == "optimal" else None, solution)


READERS: dict[str, Callable[[Path], Reading]] = {"highs": highs, "cbc": cbc, "glpk": glpk, "scip": scip}
