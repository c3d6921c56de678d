"""Exported files of a set of problems against the models: sizes and optima, as other programs read them.

Every linear formulation that supports a problem is written as .lp and .mps, for each of its priorities, and read by
HiGHS, CBC, GLPK and SCIP: rows, columns and nonzeros must be the model's, and the optimum the best value known. A
program that has not proved it in the time, or has broken off, is said to be late. Constraint models are written as
.pb.txt and solved by CP-SAT.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from common import add_json_option, print_table, write_json

import dnnopt as dp
from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.priorities import of_priority
from dnnopt.formulations import registry
from dnnopt.methods.solutions import plan_from_file
from dnnopt.models.constraint import ConstraintModel
from dnnopt.models.linear import LinearModel
from dnnopt.problem import library
from dnnopt.problem.problem import load

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from readers import READERS, solve_proto

_SAME = 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", help="names in the library (default: the set small)")
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds of each program for each file")
    add_json_option(parser)
    arguments = parser.parse_args()
    names = arguments.problems or [name for name in library.names("problems") if name.startswith("small/")]
    readers = [name for name in READERS if name != "glpk" or shutil.which("glpsol")]
    counts: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    for name in names:
        for formulation, model, known in models(name, counts):
            count = counts.setdefault(formulation, Counter())
            count["models"] += 1
            with tempfile.TemporaryDirectory() as folder:
                if isinstance(model, ConstraintModel):
                    outcomes = [read_constraints(name, model, known, Path(folder))]
                else:
                    outcomes = list(read_linear(model, known, Path(folder), readers, arguments.time_limit))
            for who, outcome in outcomes:
                count[f"{who} {outcome.partition(':')[0]}"] += 1
                if ":" in outcome:
                    wrong.append(f"{name}, {formulation}, {who}: {outcome}")
    print_counts(counts, readers)
    for line in wrong:
        print(line)
    write_json(arguments.json, {"counts": {name: dict(count) for name, count in counts.items()}, "wrong": wrong})
    sys.exit(bool(wrong))


def models(
    name: str, counts: dict[str, Counter[str]]
) -> Iterator[tuple[str, LinearModel | ConstraintModel, float | None]]:
    """Yield the formulations' models of each priority, with the best value known (SI) where all of a model is exact."""
    problem = load(name)
    plan = dp.read_plan(Path(str(library.folder("plans"))) / f"{name}.json.gz", problem)
    best = dp.evaluate(problem, plan).objectives
    for stage in range(len(best)):
        compiled = of_priority(compile_problem(problem), best[:stage])
        for formulation in registry.supporting(compiled):
            try:
                model = dp.formulate(problem, formulation, reached=best[:stage])
            except UnsupportedError:  # more paths than are written out
                counts.setdefault(formulation, Counter())["refused"] += 1
                continue
            exact = registry.formulation(formulation, compiled).value == "exact"
            yield formulation, model, best[stage] if exact else None


def read_linear(
    model: LinearModel, known: float | None, folder: Path, readers: list[str], seconds: float
) -> Iterator[tuple[str, str]]:
    """Yield for each program and each file what came of it."""
    for ending in (".lp", ".mps"):
        file = folder / f"model{ending}"
        model.write(file)
        for name in readers:
            try:
                reading = READERS[name](file, seconds=seconds)
            except (AssertionError, subprocess.TimeoutExpired):  # it did not end by itself, or not well
                yield name, "late"
                continue
            size = reading.columns, reading.rows, reading.nonzeros
            if size != model.size():
                yield name, f"size: {ending} {size}, not {model.size()}"
            elif reading.objective is None:
                yield name, "late"
            else:
                yield name, same(reading.objective * model.objective_unit, known, ending)


def read_constraints(name: str, model: ConstraintModel, known: float | None, folder: Path) -> tuple[str, str]:
    """Return what came of a constraint model's file in CP-SAT."""
    file = folder / "model.pb.txt"
    model.write(file)
    _, solution = solve_proto(file)
    if solution is None:
        return "cp-sat", "optimum: infeasible"
    problem = load(name)
    objectives = dp.evaluate(problem, plan_from_file(file, solution, problem)).objectives
    stage = len(objectives) - 1 if "reached before" in model.note else 0
    return "cp-sat", same(objectives[stage], known, ".pb.txt")


def same(objective: float, known: float | None, ending: str) -> str:
    if known is None or abs(objective - known) <= _SAME * abs(known):
        return "optimum"
    return f"optimum: {ending} {objective:.9g}, not {known:.9g}"


def print_counts(counts: dict[str, Counter[str]], readers: list[str]) -> None:
    """Print a row for each formulation: files that were read with the right size, and what they were solved to."""
    rows = []
    for formulation, count in sorted(counts.items()):
        cells = [formulation, str(count["models"]), str(count["refused"])]
        for name in [*readers, "cp-sat"]:
            late = f" ({count[f'{name} late']} late)" if count[f"{name} late"] else ""
            cells.append(f"{count[f'{name} optimum']}{late}")
        cells.append(str(sum(number for what, number in count.items() if what.endswith("size"))))
        rows.append(cells)
    print_table(["formulation", "models", "too many paths", *readers, "cp-sat", "wrong sizes"], rows)


if __name__ == "__main__":
    main()
