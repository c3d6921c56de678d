"""Pages of one problem: a result, several methods beside each other, its best plans, or its variants."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from dnnopt.methods.result import Result
from dnnopt.plot.report.data import report_data
from dnnopt.plot.report.page import write_report
from dnnopt.problem.problem import Problem
from dnnopt.studies.comparison import Comparison
from dnnopt.studies.ranking import BestPlans
from dnnopt.studies.run_folders import BenchRun
from dnnopt.studies.variants import BestVariant


def write_result_page(result: Result, path: str | Path) -> None:
    """Write a page that shows a result."""
    name = result.formulation or result.method
    _write(result.problem, [BenchRun(name, _named(result.to_data(), result.problem))], path)


def write_comparison_page(comparison: Comparison, path: str | Path) -> None:
    """Write a page that shows methods side by side; plans that break a constraint are beside them, as baselines."""
    results = {f"{result.formulation} ({result.solver})": result for result in comparison.results}
    results |= {result.method: result for result in comparison.results if result.method in _names(comparison)}
    runs, broken = [], []
    for row in comparison.rows:
        if row.violations:
            if math.isfinite(row.objective):
                broken.append({"name": row.name, "objective": row.objective, "violations": len(row.violations)})
            continue
        found = results.get(row.name)
        data = _nothing(row.status, row.name)
        data |= {} if found is None else found.to_data()
        data |= {} if row.plan is None else {"objective": row.objective, **row.plan.to_data()}
        data |= {"runtime": row.seconds}
        runs.append(BenchRun(row.name, _named(data, comparison.problem)))
    if runs:
        runs[0] = BenchRun(runs[0].method, {**runs[0].data, "baselines": [*runs[0].data["baselines"], *broken]})
    _write(comparison.problem, runs, path)


def write_ranking_page(found: BestPlans, path: str | Path) -> None:
    """Write a page that shows the best plans, each as if it were a method's."""
    runs = []
    for rank, ranked in enumerate(found.plans, 1):
        proved = rank == 1 and ranked.proved
        data = _nothing("optimal" if proved else "feasible", found.method) | {"objective": ranked.objective}
        if rank == 1:
            data["bound"] = ranked.bound  # of later ones it is no bound of the problem
        elif ranked.proved:
            data["message"] = f"proved: no other plan but the {rank - 1} before it is better"
        runs.append(BenchRun(f"plan {rank}", _named(data | ranked.plan.to_data(), found.problem)))
    if not runs:
        status = "infeasible" if found.exhausted else "no_solution"
        runs.append(BenchRun(found.method, _named(_nothing(status, ""), found.problem)))
    _write(found.problem, runs, path)


def write_variants_page(found: BestVariant, path: str | Path) -> None:
    """Write a page that shows variants of a problem, each with a page of its own."""
    problems = {name: problem.replace(name=name) for name, problem in found.variants.problems.items()}
    runs = []
    for row in found.rows:
        data = _nothing("error", "") if row.result is None else row.result.to_data()
        data |= {"status": "error" if row.result is None else row.status, "message": row.message}
        data |= {"objective": row.objective, "bound": row.bound, "runtime": row.seconds}
        runs.append(BenchRun("solve", _named(data, problems[row.name])))
    data = report_data(runs, problems, title=found.variants.title)
    write_report(data | {"variants": {"headline": found.headline(), "best": found.variant}}, path)


def _nothing(status: str, found_by: str) -> dict[str, Any]:
    """Return the data of a result without a plan."""
    data: dict[str, Any] = {"status": status, "found_by": found_by, "message": "", "date": "", "versions": {}}
    data |= dict.fromkeys(("objective", "bound", "runtime", "placement"))
    return data | {"baselines": [], "trace": []}


def _names(comparison: Comparison) -> set[str]:
    return {row.name for row in comparison.rows}


def _named(data: dict[str, Any], problem: Problem) -> dict[str, Any]:
    """Return the data with the problem's title and checksum."""
    return data | {"problem": problem.title, "checksum": problem.checksum if problem.is_data else None}


def _write(problem: Problem, runs: list[BenchRun], path: str | Path) -> None:
    write_report(report_data(runs, {problem.title: problem}, title=problem.title), path)
