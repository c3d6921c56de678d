"""Methods over a set of problems: how far their plans are above the best known ones, for each class of problems."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from dnnopt.base.console import table, words
from dnnopt.base.errors import InputError
from dnnopt.base.numbers import counted, format_excess, format_percent, format_runtime
from dnnopt.base.tables import Heading, Tabular
from dnnopt.methods.heuristics import BASELINES
from dnnopt.models.solvers.interface import check_seconds
from dnnopt.problem.problem import Problem, load
from dnnopt.studies.bench import BenchTask, tasks
from dnnopt.studies.best_known import BestKnown, read_table
from dnnopt.studies.comparison import HEURISTIC_LIMIT, excess

if TYPE_CHECKING:
    from rich.console import Console

CLASSES = ("execution", "locations", "all")
WITHIN = 0.01
_ALL = "all"


@dataclass(frozen=True)
class SetRow:
    """One method on one class of problems.

    Attributes
    ----------
    method, kind : str
        Kind: the class of problems; ``all``: every one.
    problems : int
        Of which it has a result.
    feasible, within : float
        Share of the problems with a plan, and with one at most 1 % above the best known.
    mean, median, worst : float, optional
        Of `(objective - best known) / |best known|` over the problems with a plan.
    failed : int
        Runs that ended in an error: refused, dead, out of memory or time.
    seconds : float, optional
        Median.
    """

    method: str
    kind: str
    problems: int
    feasible: float
    within: float
    mean: float | None
    median: float | None
    worst: float | None
    failed: int
    seconds: float | None


@dataclass(frozen=True)
class SetComparison(Tabular):
    """What `summarise` returns; `gaps` has for each method and problem how far its plan is above the best known."""

    rows: tuple[SetRow, ...]
    gaps: Mapping[str, Mapping[str, float | None]]

    def to_rows(self) -> list[dict[str, Any]]:
        """Return plain rows."""
        return [vars(row) for row in self.rows]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        return {
            "kind": Heading("problems"),
            "problems": Heading("number"),
            "feasible": Heading("plan", "%"),
            "within": Heading(f"within {format_percent(WITHIN)}", "%"),
            "mean": Heading("mean gap", "%"),
            "median": Heading("median gap", "%"),
            "worst": Heading("worst gap", "%"),
            "seconds": Heading("time", "s"),
        }

    def to_data(self) -> dict[str, Any]:
        """Return plain data."""
        return {"format": "dnnopt-set-comparison", "version": 1, "rows": self.to_rows(), "gaps": self.gaps}

    def report(self, console: Console) -> None:
        """Print it for a person: a table for each class of problems."""
        console.print(words("Gaps to the best known values, over the problems with a plan", "bold"))
        names = ("method", "plan", f"within {format_percent(WITHIN)}", "mean gap", "median gap", "worst gap", "failed")
        columns = [(name, "right" if position else "left") for position, name in enumerate((*names, "time"))]
        for kind in dict.fromkeys(row.kind for row in self.rows):
            of_kind = [row for row in self.rows if row.kind == kind]
            most = max(row.problems for row in of_kind)
            rows = [
                (
                    row.method if row.problems == most else f"{row.method} (of {row.problems:,})",
                    f"{100 * row.feasible:.0f} %",
                    f"{100 * row.within:.0f} %",
                    *("" if gap is None else format_excess(gap) for gap in (row.mean, row.median, row.worst)),
                    f"{row.failed:,}",
                    "" if row.seconds is None else format_runtime(row.seconds),
                )
                for row in of_kind
            ]
            console.print()
            console.print(table(f"{kind}: {counted(most, 'problem')}", columns, rows, ("time", "mean gap")))


def set_tasks(
    problems: Iterable[str],
    runs: Path,
    methods: Sequence[str] = (),
    *,
    time_limit: float = 60.0,
    heuristic_limit: float = HEURISTIC_LIMIT,
    threads: int = 1,
    seed: int = 0,
    memory: float | None = None,
) -> list[BenchTask]:
    """Return a task for each problem and method; results go to ``runs/method/problem.json``.

    Parameters
    ----------
    problems : iterable of str
        Sets or problems of the library.
    runs : Path
    methods : sequence of str
        As for `solve`; by default all baselines that can be run here.
    time_limit, heuristic_limit : float
        Seconds for each method that is none, and for each that is a baseline.
    threads, seed
        As for `solve`.
    memory : float, optional
        Bytes for each task.

    Raises
    ------
    InputError
        For names that there are not, and for options that `solve` would refuse.
    """
    check_seconds(time_limit, "time_limit")
    check_seconds(heuristic_limit, "heuristic_limit")
    names = list(problems)
    found = []
    for method in methods or [name for name, one in BASELINES.items() if one.installed]:
        limit = heuristic_limit if method in BASELINES else time_limit
        found += tasks(names, runs, method=method, time_limit=limit, threads=threads, seed=seed, memory=memory)
    return sorted(found, key=lambda task: task.problem)


def summarise(results: Iterable[tuple[str, Mapping[str, Any]]], by: str = "execution") -> SetComparison:
    """Return how far the plans of methods are above the best known ones.

    The best known value is the table's or, where the runs have a better one, theirs; where the table has none, the best
    bound of the runs or, without one, their best value.

    Parameters
    ----------
    results : iterable of (str, mapping)
        Method, and the data of a result file.
    by : {"execution", "locations", "all"}
        Class of problems; ``all``: every one is of one class.

    Raises
    ------
    InputError
        For another class.
    """
    if by not in CLASSES:
        raise InputError(f"one of {', '.join(CLASSES)}", field="by", value=by)
    runs: dict[str, dict[str, Mapping[str, Any]]] = {}
    for method, data in results:
        runs.setdefault(data["problem"], {})[method] = data
    table = read_table()
    best = {name: _best_known(table.get(name), list(found.values())) for name, found in runs.items()}
    kinds = {name: _kind(load(name), by) for name in runs}
    methods = list(dict.fromkeys(method for found in runs.values() for method in found))
    gaps: dict[str, dict[str, float | None]] = {
        method: {name: _gap(found[method]["objective"], best[name]) for name, found in runs.items() if method in found}
        for method in methods
    }
    rows = []
    for method in methods:
        for kind in [_ALL, *sorted(set(kinds.values()) - {_ALL})]:
            members = [name for name in gaps[method] if kind in (_ALL, kinds[name])]
            if members:
                rows.append(
                    _row(method, kind, [runs[name][method] for name in members], [gaps[method][n] for n in members])
                )
    return SetComparison(tuple(rows), gaps)


def first_failures(results: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    """Return for each method of which a run failed the problem where it did, and why."""
    found: dict[str, str] = {}
    for method, data in sorted(results, key=lambda result: result[1]["problem"]):
        if data["status"] == "error":
            found.setdefault(method, f"{data['problem']}: {data['message']}")
    return found


def _best_known(known: BestKnown | None, found: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the value that gaps of one problem are to."""
    least = min((data["objective"] for data in found if data["objective"] is not None), default=None)
    same = known is not None and known.objective is not None and any(d["checksum"] == known.checksum for d in found)
    if known is not None and known.objective is not None and same:
        return known.objective if least is None else min(known.objective, least)
    bound = max((data["bound"] for data in found if data["bound"] is not None), default=None)
    return least if bound is None else bound


def _gap(objective: float | None, best: float | None) -> float | None:
    """Return how far a plan is above the best known value; None: no plan, infinite: the best value is 0."""
    if objective is None or best is None:
        return None
    gap = excess(objective, best)
    return math.inf if gap is None else max(gap, 0.0)


def _kind(problem: Problem, by: str) -> str:
    if by == "execution":
        return problem.execution
    if by == _ALL:
        return _ALL
    tiers = {device.tier for device in problem.platform.devices}
    return "-".join(tier for tier in ("end", "edge", "cloud") if tier in tiers) or "no tiers"


def _row(method: str, kind: str, results: Sequence[Mapping[str, Any]], gaps: Sequence[float | None]) -> SetRow:
    known = [gap for gap in gaps if gap is not None]
    finite = [gap for gap in known if math.isfinite(gap)]
    seconds = [data["runtime"] for data in results if data["runtime"] is not None]
    return SetRow(
        method=method,
        kind=kind,
        problems=len(results),
        feasible=sum(data["objective"] is not None for data in results) / len(results),
        within=sum(gap <= WITHIN for gap in known) / len(results),
        mean=fmean(finite) if finite else None,
        median=median(finite) if finite else None,
        worst=max(finite, default=None),
        failed=sum(data["status"] == "error" for data in results),
        seconds=median(seconds) if seconds else None,
    )
