"""Runs as tables: a data frame, or a table for other programs, with the columns of `RUN_COLUMNS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from dnnopt.base.arguments import checked
from dnnopt.base.console import table
from dnnopt.base.extras import optional
from dnnopt.base.frozen import unchangeable
from dnnopt.base.tables import Heading, Tabular
from dnnopt.studies.run_columns import NUMBER, RUN_COLUMNS, TIME, WHOLE
from dnnopt.studies.run_folders import run_rows
from dnnopt.studies.run_store import is_store, stored_columns

if TYPE_CHECKING:
    from rich.console import Console

_DTYPES = {NUMBER: "float64", WHOLE: "Int64"}
_UNITS = {"time_limit": "s", "runtime": "s", "memory": "bytes", "peak_memory": "bytes", "gap": "%"}
P = ParamSpec("P")
R = TypeVar("R")


@unchangeable
@dataclass(frozen=True, repr=False)
class RunTable(Tabular):
    """Runs, each a row with the columns of `RUN_COLUMNS`."""

    row_noun = "run"

    rows: tuple[dict[str, Any], ...]

    def to_rows(self) -> list[dict[str, Any]]:
        """Return plain rows."""
        return [dict(row) for row in self.rows]

    def page_rows(self) -> list[dict[str, Any]]:
        """Return the columns that a page has room for."""
        kept = ("method", "problem", "status", "objective", "unit", "gap", "runtime", "peak_memory")
        return [{name: row[name] for name in kept} for row in self.rows]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        return {name: Heading(name.replace("_", " "), unit) for name, unit in _UNITS.items()}

    def report(self, console: Console) -> None:
        """Print for a person what ran when: a row for each method."""
        of: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows:
            of.setdefault(row["method"], []).append(row)
        columns = [("method", "left"), *((name, "right") for name in ("runs", "with a plan", "proved", "failed"))]
        columns += [(name, "left") for name in ("first", "last", "dnnopt", "machine")]
        rows = [
            (
                method,
                *(f"{count:,}" for count in _counts(own)),
                *_ends(own),
                ", ".join(sorted({row["dnnopt"] for row in own if row["dnnopt"]})),
                ", ".join(sorted({row["processor"] for row in own if row["processor"]})),
            )
            for method, own in sorted(of.items())
        ]
        console.print(table("", columns, rows, ("machine", "dnnopt", "first", "last")))


def _counts(rows: list[dict[str, Any]]) -> tuple[int, int, int, int]:
    """Return how many runs there are, have a plan, are proofs and failed."""
    statuses = [row["status"] for row in rows]
    plans = sum(row["objective"] is not None for row in rows)
    return len(rows), plans, sum(one in ("optimal", "infeasible") for one in statuses), statuses.count("error")


def _ends(rows: list[dict[str, Any]]) -> tuple[str, str]:
    """Return when the first run and the last one started, to the minute; of older files, the day."""
    times = sorted(filter(None, (row["started"] or row["date"] for row in rows)))
    shown = [time[:16].replace("T", " ") for time in times]
    return (shown[0], shown[-1]) if shown else ("", "")


def run_table(*places: str | Path) -> RunTable:
    """Return the runs of folders of results and Parquet files of ``dnnopt runs`` as a table.

    Raises
    ------
    InputError
        For what `dnnopt.studies.run_folders.read_runs` refuses.
    """
    alone = is_store(places[0]) if len(places) == 1 else False
    return RunTable(tuple(stored_columns(places[0]) if alone else run_rows(*places)))


@checked
def run_frame(*places: str | Path) -> Any:
    """Return runs as a pandas DataFrame: a row for each, with the columns that docs/reports.md lists.

    Parameters
    ----------
    *places : str or Path
        Folders of results, or Parquet files of ``dnnopt runs``. Of the same run in several of them, one counts: one
        that did not fail, then the one that started last, then that of the last place.

    Raises
    ------
    InputError
        If pandas is not installed (of a Parquet file: duckdb), if a place has no runs, a file is no result, or two
        results of one name are of other limits or options.
    """
    pandas = optional("pandas", "pandas", "tables")
    frame = pandas.DataFrame(run_table(*places).to_rows(), columns=list(RUN_COLUMNS))
    for name, column in RUN_COLUMNS.items():
        if column.kind == TIME:
            frame[name] = pandas.to_datetime(frame[name], utc=True, format="ISO8601", errors="coerce")
        else:
            frame[name] = frame[name].astype(_DTYPES.get(column.kind, "string"))
    return frame


class Readable(Generic[P, R]):
    """A function that makes runs, with `read`, which reads them: ``dp.bench(...)`` and ``dp.bench.read(...)``."""

    read = staticmethod(run_frame)

    def __init__(self, function: Callable[P, R]) -> None:
        update_wrapper(self, function)
        self._function = function

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> R:
        return self._function(*arguments, **named)

    def __repr__(self) -> str:
        return repr(self._function)

    def __reduce__(self) -> str:  # by its name, as functions
        return self._function.__qualname__
