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
from dnnopt.base.files import read_data
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import counted, format_excess, format_percent, format_runtime
from dnnopt.base.plugins import load_plugin
from dnnopt.base.records import Record
from dnnopt.base.tables import Heading, Tabular
from dnnopt.methods.heuristics import BASELINES
from dnnopt.models.solvers.interface import check_seconds
from dnnopt.problem.problem import Problem, load
from dnnopt.studies.bench import tasks
from dnnopt.studies.bench_task import BenchTask
from dnnopt.studies.best_known import BestKnown, read_table
from dnnopt.studies.comparison import HEURISTIC_LIMIT, excess
from dnnopt.studies.run_folders import read_runs
from dnnopt.studies.run_store import is_store

if TYPE_CHECKING:
    from rich.console import Console

CLASSES = ("execution", "locations", "all")
WITHIN = 0.01
RATIOS = ("objective", "time")
_ALL = "all"
_LEAST_SECONDS = 1e-3  # what is quicker is as quick


@unchangeable
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


class _Written(Record):
    """What the file of `SetComparison.to_data` has."""

    rows: tuple[SetRow, ...]
    gaps: dict[str, dict[str, float | None]]
    seconds: dict[str, dict[str, float | None]]


@unchangeable
@dataclass(frozen=True, repr=False)
class SetComparison(Tabular):
    """What `summarise` returns.

    Attributes
    ----------
    rows : tuple of SetRow
    gaps : mapping
        Method -> problem -> how far its plan is above the best known, relative to that; None: it found no plan.
    seconds : mapping
        Method -> problem -> how long it took; None: it was ended.
    """

    rows: tuple[SetRow, ...]
    gaps: Mapping[str, Mapping[str, float | None]]
    seconds: Mapping[str, Mapping[str, float | None]]

    def ratios(self, of: str = "objective") -> dict[str, dict[str, float | None]]:
        """Return how many times each method's value is the least of all methods, as performance profiles have it.

        Parameters
        ----------
        of : {"objective", "time"}
            Of the plans, or of how long the methods took that found a plan at most 1 % above the best known.

        Returns
        -------
        dict
            Method -> problem -> ratio, 1 or more, of the problems that all methods have a result of; None: no plan, or
            with times none so good.

        Raises
        ------
        InputError
            For another word.
        """
        if of not in RATIOS:
            raise InputError(f"one of {', '.join(RATIOS)}", field="of", value=of)
        shared = [name for name in next(iter(self.gaps.values()), ()) if all(name in one for one in self.gaps.values())]
        found: dict[str, dict[str, float | None]] = {method: {} for method in self.gaps}
        for name in shared:
            values = {method: self._compared(method, name, of) for method in self.gaps}
            least = min((value for value in values.values() if value is not None), default=None)
            for method, value in values.items():
                found[method][name] = None if value is None or least is None else value / least
        return found

    def _compared(self, method: str, name: str, of: str) -> float | None:
        """Return what counts of a method on a problem: a value above 0, or None."""
        gap, seconds = self.gaps[method][name], self.seconds[method][name]
        if gap is None or not math.isfinite(gap):
            return None
        if of == "objective":
            return 1.0 + gap
        return None if seconds is None or gap > WITHIN else max(seconds, _LEAST_SECONDS)

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
        return {
            "format": "dnnopt-set-comparison",
            "version": 1,
            "rows": self.to_rows(),
            "gaps": self.gaps,
            "seconds": self.seconds,
        }

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
        console.print()
        console.print(words("Gaps above 1,000 % are factors: 12× is twelve times the best known value."))


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
    plugins: Sequence[str] = (),
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
    plugins : sequence of str
        As for `dnnopt.studies.bench.tasks`.

    Raises
    ------
    InputError
        For names that there are not, and for options that `solve` would refuse.
    """
    check_seconds(time_limit, "time_limit")
    check_seconds(heuristic_limit, "heuristic_limit")
    for plugin in plugins:
        load_plugin(plugin)
    names, common = list(problems), {"threads": threads, "seed": seed, "memory": memory, "plugins": plugins}
    found: list[BenchTask] = []
    for method in methods or [name for name, one in BASELINES.items() if one.installed]:
        limit = heuristic_limit if method in BASELINES else time_limit
        found += tasks(names, runs, method=method, time_limit=limit, **common)  # type: ignore[arg-type]
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
    best = best_values({name: list(found.values()) for name, found in runs.items()})
    kinds = {name: _ALL if by == _ALL else _kind(load(name), by) for name in runs}
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
    seconds = {
        method: {name: found[method]["runtime"] for name, found in runs.items() if method in found}
        for method in methods
    }
    return SetComparison(tuple(rows), gaps, seconds)


def read_set_comparison(path: str | Path) -> SetComparison:
    """Return what ``compare --over`` has written: its file of ``--json``, or its folder of results, also as Parquet.

    Raises
    ------
    InputError
        If there is none of these.
    """
    path = Path(path)
    if path.is_dir() or is_store(path):
        return summarise(((run.method, run.data) for run in read_runs(path)), _ALL)
    if path.suffix.lower() in (".csv", ".md", ".tex"):
        words = "a table has no values of single problems: name the folder (--output) or the file of --json"
        raise InputError("", file=str(path), problem=words)
    written: _Written = _Written.from_data(read_data(path, "set-comparison"), file=str(path))
    for method, gaps in written.gaps.items():
        if written.seconds.get(method, {}).keys() != gaps.keys():
            raise InputError("the problems of gaps", file=str(path), field="seconds", value=method)
    return SetComparison(written.rows, written.gaps, written.seconds)


def first_failures(results: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    """Return for each method of which a run failed the problem where it did, and why."""
    found: dict[str, str] = {}
    for method, data in sorted(results, key=lambda result: result[1]["problem"]):
        if data["status"] == "error":
            found.setdefault(method, f"{data['problem']}: {data['message']}")
    return found


def best_values(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, float | None]:
    """Return for each problem, of which there are results, the value that gaps are to."""
    table = read_table()
    return {name: _best_known(table.get(name), found) for name, found in runs.items()}


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
