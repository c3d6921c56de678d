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

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.files import read_text, write_text
from dnnopt.base.outputs import make_folder
from dnnopt.compiled.evaluator import TOLERANCE
from dnnopt.methods.result import OPTIMAL_GAP, read_result, relative_gap, result_from_text
from dnnopt.models.solvers.interface import Limits
from dnnopt.problem import library
from dnnopt.problem.plan import plan_in, read_plan, write_plan
from dnnopt.problem.problem import Problem, load
from dnnopt.referee import evaluate
from dnnopt.studies.run_store import is_store, stored_records

STATUSES = ("proved", "open", "infeasible")
_SHOWN = ("dnnopt", "python", "highspy", "ortools")
_NUMBERS = ("objective", "bound", "confirming", "seconds")
_SAME = 1e-12  # relative: values this close are the same


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
    confirmed_by : str
        The second engine that says the same of a proof, or that it is one of an exact method; empty: nothing does.
    confirming : float
        Seconds that the second engines were given last.
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
    confirmed_by: str
    confirming: float
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
    rows: dict[str, BestKnown] = {}
    for cells in _cells(reader, path):
        where = f"line {reader.line_num}"
        if None in cells or None in cells.values():
            raise InputError("", file=str(path), field=where, problem=f"has not {len(COLUMNS)} cells")
        numbers = {name: _number(cells[name], path, f"{where}, {name}") for name in _NUMBERS}
        texts = {name: str(cells[name]) for name in COLUMNS if name not in numbers}
        row = BestKnown(
            **texts,
            objective=numbers["objective"],
            bound=numbers["bound"],
            confirming=numbers["confirming"] or 0.0,
            seconds=numbers["seconds"] or 0.0,
        )
        if row.status not in STATUSES:
            raise InputError(
                f"one of {', '.join(STATUSES)}", file=str(path), field=f"{where}, status", value=row.status
            )
        if row.problem in rows:
            raise InputError("every problem once", file=str(path), field=where, value=row.problem)
        rows[row.problem] = row
    return rows


@checked
def best_known(problem: Problem | str) -> BestKnown | None:
    """Return what is known of a problem of the library, by its name or itself; None where nothing is of these data."""
    problem = load(problem) if isinstance(problem, str) else problem
    row = read_table().get(problem.name)
    return row if row is not None and problem.is_data and row.checksum == problem.checksum else None


def _cells(reader: csv.DictReader[str], path: Path) -> Iterator[dict[str, str]]:
    try:
        names = tuple(reader.fieldnames or ())
        if names != COLUMNS:
            raise InputError(f"the columns {', '.join(COLUMNS)}", file=str(path), value=", ".join(names))
        yield from reader
    except csv.Error as error:
        raise InputError("", file=str(path), field=f"after line {reader.line_num}", problem=str(error)) from None


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
    problem = load(row.problem)
    if problem.checksum != row.checksum:
        return "the checksum is of other data than the library's"
    if row.objective is None:
        if row.plan:
            return "there is a plan without an objective"
        return "status proved, but there is no plan" if row.status == "proved" else None
    evaluation = evaluate(problem, read_plan(folder / row.plan, problem))
    if not evaluation.feasible:
        return f"the plan is infeasible: {evaluation.violations[0].message}"
    if abs(evaluation.objective - row.objective) > TOLERANCE * abs(row.objective):
        return f"the plan's objective is {evaluation.objective!r}, not {row.objective!r}"
    if row.bound is not None and row.bound > row.objective * (1 + TOLERANCE):
        return f"the bound {row.bound!r} exceeds the objective"
    return None if row.status == _status(row) else f"status {row.status}, but the gap is {row.gap}"


def _status(row: BestKnown) -> str:
    """Return what objective and bound say."""
    return "proved" if row.gap is not None and row.gap <= OPTIMAL_GAP else "open"


def confirm_values(
    names: Iterable[str], *, time_limit: float, threads: int = 1, again: bool = False, path: Path | None = None
) -> Iterator[tuple[BestKnown, str]]:
    """Ask a second engine for a better plan than each one that the table says is proved; yield what came of it.

    The table is written after each row.

    Parameters
    ----------
    names : iterable of str
        Problems; those that are not proved are passed over.
    time_limit : float
        Seconds for each of them.
    threads : int
    again : bool
        Whether to ask for those that are confirmed already, too.
    path : Path, optional
        Of the table.

    Yields
    ------
    (BestKnown, str)
        The row, and by what plan it was refuted (its row is open then) or an empty text.
    """
    from dnnopt.methods.confirmation import second_opinion

    path = table_path() if path is None else path
    rows = read_table(path)
    for name in names:
        row = rows.get(name)
        if row is None or row.status != "proved" or (row.confirmed_by and not again):
            continue
        problem = load(name)
        plan = read_plan(path.parent / row.plan, problem)
        opinion = second_opinion(problem, plan, row.bound_by, Limits(time_limit, threads=threads))
        row = replace(row, confirmed_by=opinion.confirmed_by, confirming=round(opinion.seconds, 3))
        if opinion.contradiction:
            row = replace(row, status="open", bound=None, bound_by="")
        rows[name] = row
        write_table(rows.values(), path)
        yield row, opinion.contradiction


def update(runs: Path, path: Path | None = None) -> Iterator[tuple[str, str]]:
    """Improve the table by result files; yield (problem, what got better).

    Parameters
    ----------
    runs : Path
        A result file of ``dnnopt solve --json`` or ``dnnopt bench``, a folder of them, or a Parquet file of ``dnnopt
        runs``.
    path : Path, optional
        Of the table.

    Raises
    ------
    InputError
        If a result is of other data than the library's, or contradicts the table.
    """
    path = table_path() if path is None else path
    rows, names = read_table(path), library.names("problems")
    for file, data in _results(runs):
        if data["status"] == "error" or data["problem"] not in names:
            continue
        problem = load(data["problem"])
        if data["checksum"] != problem.checksum:
            raise InputError(
                "the checksum of the library's problem", file=file, field="checksum", value=data["checksum"]
            )
        row, better = _improved(rows.get(problem.name), problem, data, file, path.parent)
        if better:
            rows[problem.name] = row
            write_table(rows.values(), path)
            yield problem.name, better


def _results(runs: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the result files at a place, with their data."""
    if is_store(runs):
        for place, text in stored_records(runs):
            yield f"{runs}: {place}", result_from_text(text, file=f"{runs}: {place}")
    else:
        for path in sorted(runs.rglob("*.json")) if runs.is_dir() else [runs]:
            yield str(path), read_result(path)


def _improved(
    old: BestKnown | None, problem: Problem, data: dict[str, Any], file: str, folder: Path
) -> tuple[BestKnown, str]:
    """Return the row with what a result knows better, and what that is; write the plan if it is better."""
    known = old
    if known is None or known.checksum != problem.checksum:
        known = BestKnown(problem.name, "open", None, None, "", "", "", "", 0.0, 0.0, "", "", problem.checksum)
    new, better, plan = known, [], None
    if data["placement"] is not None:
        plan = plan_in(data, problem, file=file)
        judged = evaluate(problem, plan)
        if not judged.feasible:
            raise InputError("", file=file, problem=f"the plan is infeasible: {judged.violations[0].message}")
        if known.objective is None or judged.objective < known.objective * (1 - _SAME):
            name = f"plans/{problem.name}.json.gz"
            new = replace(new, objective=judged.objective, plan=name, found_by=data["found_by"])
            better.append(f"objective {judged.objective:.9g}")
        else:
            plan = None
    infeasible, bound = data["status"] == "infeasible", data["bound"]
    if bound is not None and not infeasible and (known.bound is None or bound > known.bound + _SAME * abs(known.bound)):
        new = replace(new, bound=bound, bound_by=data["bound_by"])
        better.append(f"bound {bound:.9g}")
    if infeasible and known.status != "infeasible":
        better.append("infeasible")
    confirmed = data.get("confirmed_by", "")
    if better or (confirmed and not known.confirmed_by and data["status"] == "optimal"):
        new = replace(new, confirmed_by=confirmed, confirming=round(data.get("confirming", 0.0), 3))
    if confirmed and not better and new != known:
        better.append(f"confirmed by {confirmed}")
    if not better:
        return known, ""
    if new.objective is not None and infeasible:
        raise InputError("", file=file, field="status", problem="infeasible, but a plan is known")
    if new.objective is not None and known.status == "infeasible":
        raise InputError("", file=file, problem="a plan of a problem that the table says is infeasible")
    if new.objective is not None and new.bound is not None:
        if new.bound > new.objective + OPTIMAL_GAP * abs(new.objective):
            words = f"the bound {new.bound!r} exceeds the known plan's objective {new.objective!r}"
            raise InputError("", file=file, field="bound", problem=words)
        new = replace(new, bound=min(new.bound, new.objective))
    if plan is not None:
        make_folder((folder / new.plan).parent)
        write_plan(plan, folder / new.plan)
    listed = ", ".join(f"{name} {data['versions'][name]}" for name in _SHOWN if name in data["versions"])
    status = "infeasible" if "infeasible" in (data["status"], known.status) else _status(new)
    seconds = round(data["runtime"] or 0.0, 3)
    return replace(new, status=status, seconds=seconds, date=data["date"], versions=listed), ", ".join(better)
