"""Best known values: for each problem of the library the best plan, the best bound, and where they came from.

The table is `instances/best_known.csv`; the plans lie beside it, in `instances/plans/`. Nothing in it is taken on trust
but bounds: the referee judges every plan anew, and a checksum of the whole problem says which data it is for.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from dnnopt import library
from dnnopt.errors import InputError
from dnnopt.evaluator import TOLERANCE
from dnnopt.formats.files import read_data, read_plan, read_text, write_plan, write_text
from dnnopt.problem import Problem
from dnnopt.referee import evaluate
from dnnopt.result import OPTIMAL_GAP, relative_gap

STATUSES = ("proved", "open", "infeasible")
_SHOWN = ("dnnopt", "python", "highspy", "ortools")


@dataclass(frozen=True)
class BestKnown:
    """A row of the table.

    Attributes
    ----------
    problem : str
        Name in the library.
    status : str
        ``proved`` (gap at most 1e-6), ``open``, or ``infeasible`` (proved).
    objective, bound : float, optional
        SI, of the first priority.
    plan : str
        File of the plan, from the table's folder; empty where there is none.
    found_by, bound_by : str
    seconds : float
        Of the run that improved the row last.
    date : str
        Of that run, ``YYYY-MM-DD``.
    versions : str
        What it ran on.
    checksum : str
        SHA-256 of the problem, networks and platform included.
    """

    problem: str
    status: str
    objective: float | None
    bound: float | None
    plan: str
    found_by: str
    bound_by: str
    seconds: float
    date: str
    versions: str
    checksum: str

    @property
    def gap(self) -> float | None:
        """`(objective - bound) / |objective|`."""
        return relative_gap(self.objective, self.bound)


COLUMNS = tuple(field.name for field in fields(BestKnown))


def table_path() -> Path:
    """Return where the table is."""
    return Path(str(library.folder("best_known.csv")))


def read_table(path: Path | None = None) -> dict[str, BestKnown]:
    """Return the rows by problem.

    Raises
    ------
    InputError
        With the line and the column that is wrong.
    """
    path = table_path() if path is None else path
    if not path.exists():
        return {}
    reader = csv.DictReader(io.StringIO(read_text(path)))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise InputError(f"the columns {', '.join(COLUMNS)}", file=str(path), value=", ".join(reader.fieldnames or ()))
    rows: dict[str, BestKnown] = {}
    for cells in reader:
        where = f"line {reader.line_num}"
        if None in cells or None in cells.values():
            raise InputError("", file=str(path), field=where, problem=f"has not {len(COLUMNS)} cells")
        numbers = {name: _number(cells[name], path, f"{where}, {name}") for name in ("objective", "bound", "seconds")}
        texts = {name: str(cells[name]) for name in COLUMNS if name not in numbers}
        row = BestKnown(
            **texts, objective=numbers["objective"], bound=numbers["bound"], seconds=numbers["seconds"] or 0.0
        )
        if row.status not in STATUSES:
            raise InputError(
                f"one of {', '.join(STATUSES)}", file=str(path), field=f"{where}, status", value=row.status
            )
        if row.problem in rows:
            raise InputError("every problem once", file=str(path), field=where, value=row.problem)
        rows[row.problem] = row
    return rows


def _number(text: str, path: Path, field: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError("a finite number, or nothing", file=str(path), field=field, value=text)
    return value


def write_table(rows: Iterable[BestKnown], path: Path | None = None) -> None:
    """Write the rows, sorted by problem."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in sorted(rows, key=lambda row: row.problem):
        writer.writerow(["" if value is None else value for value in vars(row).values()])
    write_text(table_path() if path is None else path, stream.getvalue())


def verify(path: Path | None = None) -> Iterator[tuple[BestKnown, str | None]]:
    """Judge every plan of the table anew; yield each row, and what is wrong with it or None."""
    path = table_path() if path is None else path
    for row in read_table(path).values():
        try:
            yield row, _wrong(row, path.parent)
        except InputError as error:
            yield row, str(error)


def _wrong(row: BestKnown, folder: Path) -> str | None:
    """Return what is wrong with a row, or None."""
    problem = library.load(row.problem)
    if problem.checksum != row.checksum:
        return "the checksum is of other data than the library's"
    if row.objective is None:
        return None if not row.plan else "there is a plan without an objective"
    evaluation = evaluate(problem, read_plan(folder / row.plan, problem))
    if not evaluation.feasible:
        return f"the plan is infeasible: {evaluation.violations[0].message}"
    if abs(evaluation.objective - row.objective) > TOLERANCE * abs(row.objective):
        return f"the plan's objective is {evaluation.objective!r}, not {row.objective!r}"
    if row.bound is not None and row.bound > row.objective * (1 + TOLERANCE):
        return f"the bound {row.bound!r} exceeds the objective"
    proved = row.gap is not None and row.gap <= OPTIMAL_GAP
    return None if proved == (row.status == "proved") else f"status {row.status}, but the gap is {row.gap}"


def update(runs: Path, path: Path | None = None) -> Iterator[tuple[str, str]]:
    """Improve the table by result files; yield (problem, what got better).

    Parameters
    ----------
    runs : Path
        A result file of ``dnnopt solve --json`` or ``dnnopt bench``, or a folder of them.
    path : Path, optional
        Of the table.

    Raises
    ------
    InputError
        If a result is of other data than the library's, or contradicts the table.
    """
    path = table_path() if path is None else path
    rows = read_table(path)
    for file in sorted(runs.rglob("*.json")) if runs.is_dir() else [runs]:
        data = read_data(file, "result")
        if data["status"] == "error" or data["problem"] not in library.names("problems"):
            continue
        problem = library.load(data["problem"])
        if data.get("checksum") != problem.checksum:
            raise InputError(
                "the checksum of the library's problem", file=str(file), field="checksum", value=data.get("checksum")
            )
        row, better = _improved(rows.get(problem.name), problem, data, file, path.parent)
        if better:
            rows[problem.name] = row
            write_table(rows.values(), path)
            yield problem.name, better


def _improved(
    old: BestKnown | None, problem: Problem, data: dict[str, Any], file: Path, folder: Path
) -> tuple[BestKnown, str]:
    """Return the row with what a result knows better, and what that is."""
    new = old or BestKnown(problem.name, "open", None, None, "", "", "", 0.0, "", "", problem.checksum)
    if old is not None and old.checksum != problem.checksum:
        new = replace(new, objective=None, bound=None, plan="", status="open", checksum=problem.checksum)
    better = []
    if data["placement"] is not None:
        plan = read_plan(file, problem)
        objective = evaluate(problem, plan)
        if not objective.feasible:
            raise InputError("", file=str(file), problem=f"the plan is infeasible: {objective.violations[0].message}")
        if new.objective is None or objective.objective < new.objective * (1 - 1e-12):
            name = f"plans/{problem.name}.json.gz"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_plan(plan, folder / name)
            new = replace(new, objective=objective.objective, plan=name, found_by=data["found_by"])
            better.append(f"objective {objective.objective:.9g}")
    bound = None if data["status"] == "infeasible" else data["bound"]
    if bound is not None and (new.bound is None or bound > new.bound + 1e-12 * abs(new.bound)):
        if new.objective is not None and bound > new.objective + 1e-6 * abs(new.objective):
            raise InputError(
                "", file=str(file), field="bound", problem=f"{bound!r} exceeds the known plan's {new.objective!r}"
            )
        new = replace(new, bound=bound, bound_by=data["bound_by"])
        better.append(f"bound {bound:.9g}")
    if new.objective is not None and new.bound is not None:
        new = replace(new, bound=min(new.bound, new.objective))
    if data["status"] == "infeasible":
        if new.objective is not None:
            raise InputError("", file=str(file), field="status", problem="infeasible, but a plan is known")
        if new.status != "infeasible":
            better.append("infeasible")
        status = "infeasible"
    else:
        status = "proved" if new.gap is not None and new.gap <= OPTIMAL_GAP else "open"
    if better:
        listed = ", ".join(f"{name} {data['versions'][name]}" for name in _SHOWN if name in data["versions"])
        new = replace(
            new, status=status, seconds=round(data["runtime"], 3), date=str(data.get("date", "")), versions=listed
        )
    return new, ", ".join(better)
