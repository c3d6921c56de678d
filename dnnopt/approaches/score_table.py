"""Scores of approaches over problems: a row for each, and how all of them are printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dnnopt.base.console import table, words
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import counted, format_excess, format_number, format_percent, format_runtime
from dnnopt.base.tables import Heading, Tabular

if TYPE_CHECKING:
    from rich.console import Console

WITHIN = 0.01


@unchangeable
@dataclass(frozen=True)
class ApproachScore:
    """One approach over the problems that its algorithm serves; what is not known is None.

    Attributes
    ----------
    approach : str
    problems : int
        That it serves.
    plans, within : float
        Share of them with a plan that keeps all limits, and with one at most 1 % above the best known value.
    mean, median, worst : float, optional
        Of the gaps to the best known values, over the problems with a plan; so is all that follows.
    seconds : float, optional
        That its algorithm takes, in the middle.
    local, remote : float, optional
        How many times its objective is that of everything on the device of the lowest tier, and of the highest one,
        where that keeps all limits: geometric means.
    energy : float, optional
        Its energy as a share of that of everything on the device of the lowest tier: geometric mean.
    traffic, memory, cost : float, optional
        Bytes that are sent, bytes on the fullest device, USD: medians.
    loss, leakage : float, optional
        Means; of leakage over the problems that have sensitivities.
    regret : float, optional
        At half the bandwidth of all links, with the plan kept: how far it is above the best plan of all approaches, and
        the best known one, there; mean.
    layers, devices : int
        Of the largest problem with a plan.
    """

    approach: str
    problems: int
    plans: float
    within: float
    mean: float | None
    median: float | None
    worst: float | None
    seconds: float | None
    local: float | None
    remote: float | None
    energy: float | None
    traffic: float | None
    memory: float | None
    cost: float | None
    loss: float | None
    leakage: float | None
    regret: float | None
    layers: int
    devices: int


@unchangeable
@dataclass(frozen=True, repr=False)
class Scores(Tabular):
    """What `score` returns.

    Attributes
    ----------
    rows : tuple of ApproachScore
        Of the approaches that serve a problem.
    gaps : mapping
        Approach -> problem -> how far its plan is above the best known one; None: it found no plan.
    outside : mapping
        Approach -> problem -> why its algorithm does not serve it.
    """

    rows: tuple[ApproachScore, ...]
    gaps: Mapping[str, Mapping[str, float | None]]
    outside: Mapping[str, Mapping[str, str]]

    row_noun = "approach"

    def headline(self) -> str:
        """Return how many approaches serve how many problems."""
        served = {name for gaps in self.gaps.values() for name in gaps}
        return f"{len(self.rows)} of {len(self.outside)} approaches serve {counted(len(served), 'problem')} of these"

    def to_rows(self) -> list[dict[str, Any]]:
        """Return plain rows."""
        return [vars(row) for row in self.rows]

    def page_rows(self) -> list[dict[str, Any]]:
        """Return the columns that a page has room for."""
        names = ("approach", "problems", "plans", "within", "median", "worst", "seconds", "local", "remote", "regret")
        return [{name: row[name] for name in names} for row in self.to_rows()]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        return {
            "plans": Heading("plan", "%"),
            "within": Heading(f"within {format_percent(WITHIN)}", "%"),
            "mean": Heading("mean gap", "%"),
            "median": Heading("median gap", "%"),
            "worst": Heading("worst gap", "%"),
            "seconds": Heading("time", "s"),
            "local": Heading("over local"),
            "remote": Heading("over remote"),
            "energy": Heading("energy to local"),
            "traffic": Heading("traffic", "bytes"),
            "memory": Heading("memory", "bytes"),
            "cost": Heading("cost (USD)"),
            "loss": Heading("accuracy loss"),
            "regret": Heading("regret", "%"),
        }

    def to_data(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "format": "dnnopt-approaches",
            "version": 1,
            "rows": self.to_rows(),
            "gaps": {name: dict(gaps) for name, gaps in self.gaps.items()},
            "outside": {name: dict(reasons) for name, reasons in self.outside.items()},
        }

    def report(self, console: Console) -> None:
        """Print it for a person."""
        names = ("approach", "problems", "plan", "within 1 %", "median gap", "worst gap", "time", "local", "remote")
        columns = [(name, "right" if position else "left") for position, name in enumerate((*names, "regret"))]
        rows = [
            (
                row.approach,
                f"{row.problems:,}",
                f"{100 * row.plans:.0f} %",
                f"{100 * row.within:.0f} %",
                *("" if gap is None else format_excess(gap) for gap in (row.median, row.worst)),
                "" if row.seconds is None else format_runtime(row.seconds),
                *("" if ratio is None else f"{format_number(ratio, 3)}×" for ratio in (row.local, row.remote)),
                "" if row.regret is None else format_excess(row.regret),
            )
            for row in self.rows
        ]
        console.print(table("", columns, rows, ("local", "remote", "regret")))
        console.print()
        console.print(words(f"{self.headline()}."))
        console.print(
            words("local, remote: how many times as much everything on one side takes, where that is allowed.")
        )
