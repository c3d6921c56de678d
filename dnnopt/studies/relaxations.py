"""How good the linear relaxations of formulations are over sets of problems: how far below the best known values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from dnnopt.base.console import table, words
from dnnopt.base.errors import InputError
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import format_percent, format_runtime
from dnnopt.base.tables import Heading, Tabular
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.relaxing import RELAXATION
from dnnopt.problem import library
from dnnopt.problem.problem import load
from dnnopt.studies.bench import BenchTask
from dnnopt.studies.set_comparison import best_values
from dnnopt.studies.statistics import SAME, shifted_geometric_mean

if TYPE_CHECKING:
    from rich.console import Console

_PREFIX = "relaxation-of-"
_SHIFT = 0.01


@unchangeable
@dataclass(frozen=True)
class RelaxationRow:
    """The linear relaxation of one formulation over problems.

    Attributes
    ----------
    formulation : str
    problems : int
        That it supports, and that have a best known plan, of a value other than 0.
    solved : float
        Share of them of which the relaxation was solved in time; so is all that follows.
    tight : float
        Share of which its value is the best known one, up to a millionth.
    mean, median, worst : float, optional
        Of `(best known - value) / |best known|`; the mean is the shifted geometric one (1 %).
    seconds : float, optional
        Median.
    """

    formulation: str
    problems: int
    solved: float
    tight: float
    mean: float | None
    median: float | None
    worst: float | None
    seconds: float | None


@unchangeable
@dataclass(frozen=True, repr=False)
class Relaxations(Tabular):
    """What `bound_quality` returns.

    Attributes
    ----------
    rows : tuple of RelaxationRow
    gaps : mapping
        Formulation -> problem -> how far the relaxation is below the best known value; None: it was not solved.
    """

    row_noun = "formulation"

    rows: tuple[RelaxationRow, ...]
    gaps: Mapping[str, Mapping[str, float | None]]

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a plain row for each formulation."""
        return [vars(row) for row in self.rows]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        shares = {
            "solved": "solved",
            "tight": "tight",
            "mean": "mean gap",
            "median": "median gap",
            "worst": "worst gap",
        }
        return {key: Heading(name, "%") for key, name in shares.items()} | {"seconds": Heading("time", "s")}

    def to_data(self) -> dict[str, Any]:
        """Return plain data."""
        gaps = {name: dict(of) for name, of in self.gaps.items()}
        return {"format": "dnnopt-relaxations", "version": 1, "rows": self.to_rows(), "gaps": gaps}

    def report(self, console: Console) -> None:
        """Print it for a person."""
        rows = [
            (
                row.formulation,
                f"{row.problems:,}",
                format_percent(row.solved),
                format_percent(row.tight),
                *("" if gap is None else format_percent(gap) for gap in (row.mean, row.median, row.worst)),
                "" if row.seconds is None else format_runtime(row.seconds),
            )
            for row in self.rows
        ]
        heads = ("formulation", "problems", "solved", "tight", "mean gap", "median gap", "worst gap", "time")
        columns = [(head, "right" if place else "left") for place, head in enumerate(heads)]
        console.print(table("Linear relaxations", columns, rows))
        console.print(words("gap: how far the relaxation is below the best known value; tight: not at all."))


def relaxation_tasks(
    problems: Iterable[str],
    runs: Path,
    formulations: Sequence[str] = (),
    *,
    time_limit: float = 60.0,
    threads: int = 1,
    seed: int = 0,
    memory: float | None = None,
) -> list[BenchTask]:
    """Return a task for the relaxation of each formulation of each problem that it supports.

    Results go to ``runs/relaxation-of-FORMULATION/problem.json``, as those of any method.

    Parameters
    ----------
    problems : iterable of str
        Sets or problems of the library.
    runs : Path
    formulations : sequence of str
        Without timings, the one that each problem needs is taken; by default all linear ones that suit it.
    time_limit, threads, seed, memory
        As for `dnnopt.studies.bench.tasks`.

    Raises
    ------
    InputError
        For names that there are not, and formulations that have no linear relaxation.
    """
    for name in formulations:
        if registry.formulation_kind(name) != "milp":
            raise InputError("a mixed-integer linear one", field="formulation", value=name)
    found = []
    for problem in library.members(problems):
        compiled = compile_problem(load(problem)).at_stage(0, {})
        for name in formulations or _suiting(compiled):
            try:
                registry.formulation(name, compiled)
            except InputError:
                continue
            options = ("--formulation", name, "--relaxation", "--threads", str(threads), "--seed", str(seed))
            label = f"{_PREFIX}{name}"
            found.append(BenchTask(problem, options, time_limit, str(runs / label / f"{problem}.json"), memory, label))
    return found


def _suiting(compiled: CompiledProblem) -> list[str]:
    """Return the mixed-integer linear formulations that suit a problem, without timings."""
    full = [name for name in registry.suiting(compiled) if registry.formulation_kind(name) == "milp"]
    return list(dict.fromkeys(name.partition("+")[0] for name in full))


def relaxed_formulation(method: str, data: Mapping[str, Any]) -> str | None:
    """Return the formulation of which a run is the linear relaxation; None: it is another run."""
    if not method.startswith(_PREFIX) or data.get("method", RELAXATION) != RELAXATION:
        return None
    return method.removeprefix(_PREFIX)


def relaxation_gap(bound: float | None, best: float | None) -> float | None:
    """Return `(best known - bound) / |best known|`, 0 up to a millionth; None: one is missing, or the latter 0."""
    if bound is None or not best:
        return None
    gap = (best - bound) / abs(best)
    return gap if gap > SAME else 0.0


def best_plans_known(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, float | None]:
    """Return for each problem, of which there are results, the value of the best known plan; None: there is none."""
    return best_values({name: [{**data, "bound": None} for data in found] for name, found in runs.items()})


def bound_quality(results: Iterable[tuple[str, Mapping[str, Any]]]) -> Relaxations:
    """Return how far linear relaxations are below the best known values.

    The best known value is that of the table's plan or, where the runs have a better one, theirs.

    Parameters
    ----------
    results : iterable of (str, mapping)
        What each way is called, and the data of a result file; runs of methods only count for best known values.
    """
    listed = list(results)
    of: dict[str, list[Mapping[str, Any]]] = {}
    for _, data in listed:
        of.setdefault(data["problem"], []).append(data)
    best = best_plans_known(of)
    gaps: dict[str, dict[str, float | None]] = {}
    seconds: dict[str, list[float]] = {}
    for label, data in listed:
        name = relaxed_formulation(label, data)
        if name is None or not best[data["problem"]]:
            continue
        gap = relaxation_gap(data["bound"], best[data["problem"]])
        gaps.setdefault(name, {})[data["problem"]] = gap
        if gap is not None:
            seconds.setdefault(name, []).append(data["runtime"] or 0.0)
    rows = []
    for name, own in gaps.items():
        known = [gap for gap in own.values() if gap is not None and math.isfinite(gap)]
        rows.append(
            RelaxationRow(
                formulation=name,
                problems=len(own),
                solved=len(known) / len(own),
                tight=sum(gap == 0 for gap in known) / len(known) if known else 0.0,
                mean=shifted_geometric_mean(known, _SHIFT) if known else None,
                median=median(known) if known else None,
                worst=max(known, default=None),
                seconds=median(seconds[name]) if known else None,
            )
        )
    return Relaxations(tuple(rows), gaps)
