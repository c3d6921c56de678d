"""Pages of one problem: a result, or several methods beside each other."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from dnnopt.methods.result import Result
from dnnopt.plot.report.data import report_data
from dnnopt.plot.report.page import write_report
from dnnopt.problem.problem import Problem
from dnnopt.studies.comparison import Comparison
from dnnopt.studies.run_folders import BenchRun


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
        data: dict[str, Any] = {"status": row.status, "bound": None, "found_by": row.name, "message": "", "trace": []}
        data |= {"versions": {}, "date": "", "baselines": [], "placement": None, "objective": None}
        data |= {} if found is None else found.to_data()
        data |= {} if row.plan is None else {"objective": row.objective, **row.plan.to_data()}
        data |= {"runtime": row.seconds}
        runs.append(BenchRun(row.name, _named(data, comparison.problem)))
    if runs:
        runs[0] = BenchRun(runs[0].method, {**runs[0].data, "baselines": [*runs[0].data["baselines"], *broken]})
    _write(comparison.problem, runs, path)


def _names(comparison: Comparison) -> set[str]:
    return {row.name for row in comparison.rows}


def _named(data: dict[str, Any], problem: Problem) -> dict[str, Any]:
    """Return the data with the problem's title and checksum."""
    return data | {"problem": problem.title, "checksum": problem.checksum if problem.is_data else None}


def _write(problem: Problem, runs: list[BenchRun], path: str | Path) -> None:
    write_report(report_data(runs, {problem.title: problem}, title=problem.title), path)
