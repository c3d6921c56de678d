"""Two folders of runs, old and new: what got better or worse beyond noise, problem by problem and by a paired test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dnnopt.base.console import table, words
from dnnopt.base.errors import InputError
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import counted, format_excess, format_number, format_runtime
from dnnopt.base.tables import Heading, Tabular
from dnnopt.studies.run_folders import BenchRun
from dnnopt.studies.statistics import SAME, PairedTest, holm, paired, relative_difference

if TYPE_CHECKING:
    from rich.console import Console

BETTER, WORSE = "better", "worse"
NOISE_FACTOR, NOISE_SECONDS = 1.5, 0.1  # times closer than both are the same: machines are not alike twice
_CERTAIN = 0.05
_PROOFS = ("optimal", "infeasible")
_MOST_ROWS = 40


@unchangeable
@dataclass(frozen=True)
class ChangedRun:
    """A method on a problem, before and after.

    Attributes
    ----------
    method, problem : str
    objective, proof, seconds : str
        ``better``, ``worse``, or empty: the same up to noise.
    old_status, new_status : str
    old_objective, new_objective, old_seconds, new_seconds : float, optional
    """

    method: str
    problem: str
    objective: str
    proof: str
    seconds: str
    old_status: str
    new_status: str
    old_objective: float | None
    new_objective: float | None
    old_seconds: float | None
    new_seconds: float | None

    @property
    def changed(self) -> bool:
        """Whether anything is better or worse beyond noise."""
        return bool(self.objective or self.proof or self.seconds)


@unchangeable
@dataclass(frozen=True)
class MethodChange:
    """A method over all problems, before and after.

    Attributes
    ----------
    method : str
    values, times : PairedTest
        Wins are those of the new runs; p is corrected for the number of methods.
    gained, lost : int
        Proofs.
    ratio : float, optional
        Geometric mean of new time / old time, of the runs with the same status.
    """

    method: str
    values: PairedTest
    times: PairedTest
    gained: int
    lost: int
    ratio: float | None


@unchangeable
@dataclass(frozen=True, repr=False)
class BenchComparison(Tabular):
    """What `compare_runs` returns: a row for each run of both, and one for each method."""

    row_noun = "run"

    rows: tuple[ChangedRun, ...]
    methods: tuple[MethodChange, ...]
    only_old: int
    only_new: int
    other_data: int

    def to_rows(self) -> list[dict[str, Any]]:
        """Return plain rows."""
        return [vars(row) for row in self.rows]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        return {
            "objective": Heading("plan"),
            "seconds": Heading("time"),
            "old_objective": Heading("old value"),
            "new_objective": Heading("new value"),
            "old_seconds": Heading("old time", "s"),
            "new_seconds": Heading("new time", "s"),
        }

    def report(self, console: Console) -> None:
        """Print it for a person: the methods, then the problems that changed."""
        columns = [
            ("method", "left"),
            ("runs", "right"),
            ("plans better", "right"),
            ("worse", "right"),
            ("p", "right"),
            ("proofs gained", "right"),
            ("lost", "right"),
            ("quicker", "right"),
            ("slower", "right"),
            ("p of times", "right"),
            ("time, new / old", "right"),
        ]
        rows = [
            (
                one.method,
                f"{one.values.wins + one.values.ties + one.values.losses:,}",
                *(f"{count:,}" for count in (one.values.wins, one.values.losses)),
                f"{one.values.p:.2g}",
                *(f"{count:,}" for count in (one.gained, one.lost, one.times.wins, one.times.losses)),
                f"{one.times.p:.2g}",
                "" if one.ratio is None else format_number(one.ratio, 3),
            )
            for one in self.methods
        ]
        console.print(table("New runs against old ones", columns, rows))
        for one in self.methods:
            for noun, test, good, bad in (
                ("plans", one.values, "better", "worse"),
                ("times", one.times, "less", "more"),
            ):
                if test.p <= _CERTAIN:
                    word = good if test.wins > test.losses else bad
                    console.print(
                        words(f"{one.method}: {noun} are {word} beyond chance (p {format_number(test.p, 2)})")
                    )
        changed = [row for row in self.rows if row.changed]
        if changed:
            console.print()
            console.print(_changes(changed))
        else:
            console.print(words("No run is better or worse beyond noise."))
        outside = f"{self.only_old:,} runs are in the old folder alone, {self.only_new:,} in the new one"
        if self.only_old or self.only_new:
            console.print(words(outside))
        if self.other_data:
            console.print(words(f"{counted(self.other_data, 'run')} left out: the problem's data differ"))


def _changes(changed: list[ChangedRun]) -> Any:
    """Return the table of runs that changed, those that got worse first."""
    changed = sorted(changed, key=lambda row: WORSE not in (row.objective, row.proof, row.seconds))
    rows = [
        (
            row.method,
            row.problem,
            ", ".join(
                f"{noun} {word}"
                for noun, word in (("plan", row.objective), ("proof", row.proof), ("time", row.seconds))
                if word
            ),
            _difference(row),
            f"{row.old_status} -> {row.new_status}" if row.old_status != row.new_status else row.new_status,
            " -> ".join("-" if one is None else format_runtime(one) for one in (row.old_seconds, row.new_seconds)),
        )
        for row in changed[:_MOST_ROWS]
    ]
    title = f"Better or worse beyond noise: {counted(len(changed), 'run')}"
    if len(changed) > _MOST_ROWS:
        title += f", of which {_MOST_ROWS} are here (--csv has all)"
    columns = [("method", "left"), ("problem", "left"), ("what", "left"), ("plan", "right"), ("status", "left")]
    return table(title, [*columns, ("time", "right")], rows)


def _difference(row: ChangedRun) -> str:
    if row.old_objective is None or row.new_objective is None:
        return "" if row.old_objective == row.new_objective else "found" if row.old_objective is None else "lost"
    if not row.objective or not row.old_objective:
        return ""
    return format_excess((row.new_objective - row.old_objective) / abs(row.old_objective))


def compare_runs(old: Iterable[BenchRun], new: Iterable[BenchRun]) -> BenchComparison:
    """Compare runs of the same methods on the same problems.

    A plan is better where its value is lower by more than a millionth, and any plan is better than none. A proof is
    gained or lost where just one of the runs has it. Times are compared where both runs have the same status, and
    differ where the factor is above 1.5 and the difference above 0.1 s. The tests are Wilcoxon's signed-rank test over
    all problems of a method, of values and of times (of these, differences up to those limits are ties), corrected by
    Holm for the number of methods.

    Parameters
    ----------
    old, new : iterable of BenchRun

    Raises
    ------
    InputError
        If no run is in both.
    """
    before = {(run.method, run.data["problem"]): run.data for run in old}
    after = {(run.method, run.data["problem"]): run.data for run in new}
    both = [key for key in before if key in after]
    same = [key for key in both if _of_same_data(before[key], after[key])]
    if not same:
        raise InputError("", problem="no method has runs of a problem in both folders, with the same data")
    rows = tuple(_changed(key, before[key], after[key]) for key in sorted(same))
    names = list(dict.fromkeys(row.method for row in rows))
    tests = {name: _tests([row for row in rows if row.method == name]) for name in names}
    corrected = [holm({name: tests[name][place].p for name in names}) for place in (0, 1)]
    methods = tuple(
        _of_method(name, [row for row in rows if row.method == name], tests[name], [one[name] for one in corrected])
        for name in names
    )
    return BenchComparison(rows, methods, len(before) - len(both), len(after) - len(both), len(both) - len(same))


def _of_same_data(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether two results are of the same problem; a run that died knows no checksum."""
    return old["checksum"] == new["checksum"] or None in (old["checksum"], new["checksum"])


def _changed(key: tuple[str, str], old: Mapping[str, Any], new: Mapping[str, Any]) -> ChangedRun:
    difference = relative_difference(_value(new), _value(old))
    gained, lost = (
        one["status"] in _PROOFS and other["status"] not in _PROOFS for one, other in ((new, old), (old, new))
    )
    seconds = 0.0
    if old["status"] == new["status"] and old["runtime"] is not None and new["runtime"] is not None:
        seconds = _beyond_noise(new["runtime"], old["runtime"])
    return ChangedRun(
        method=key[0],
        problem=key[1],
        objective=_word(difference if abs(difference) > SAME else 0.0),
        proof=BETTER if gained else WORSE if lost else "",
        seconds=_word(seconds),
        old_status=old["status"],
        new_status=new["status"],
        old_objective=old["objective"],
        new_objective=new["objective"],
        old_seconds=old["runtime"],
        new_seconds=new["runtime"],
    )


def _value(data: Mapping[str, Any]) -> float:
    return math.inf if data["objective"] is None else float(data["objective"])


def _beyond_noise(new: float, old: float) -> float:
    """Return the difference of two times, 0 where it is noise."""
    close = max(new, old) <= NOISE_FACTOR * min(new, old) or abs(new - old) <= NOISE_SECONDS
    return 0.0 if close else new - old


def _word(difference: float) -> str:
    return "" if difference == 0 else BETTER if difference < 0 else WORSE


def _tests(rows: list[ChangedRun]) -> tuple[PairedTest, PairedTest]:
    """Return the tests of values and of times, of the new runs against the old ones."""
    values = paired(
        {row.problem: math.inf if row.new_objective is None else row.new_objective for row in rows},
        {row.problem: math.inf if row.old_objective is None else row.old_objective for row in rows},
    )
    timed = [row for row in rows if row.old_status == row.new_status]
    times = paired(
        {row.problem: (row.new_seconds or 0.0) if row.seconds else 1.0 for row in timed},
        {row.problem: (row.old_seconds or 0.0) if row.seconds else 1.0 for row in timed},
    )
    return values, times


def _of_method(name: str, rows: list[ChangedRun], tests: tuple[PairedTest, PairedTest], p: list[float]) -> MethodChange:
    values, times = tests
    logs = [
        math.log(row.new_seconds / row.old_seconds)
        for row in rows
        if row.old_status == row.new_status and row.new_seconds and row.old_seconds
    ]
    return MethodChange(
        name,
        PairedTest(values.wins, values.ties, values.losses, p[0]),
        PairedTest(times.wins, times.ties, times.losses, p[1]),
        sum(row.proof == BETTER for row in rows),
        sum(row.proof == WORSE for row in rows),
        math.exp(math.fsum(logs) / len(logs)) if logs else None,
    )
