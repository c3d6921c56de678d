"""Sweep: what a sweep returns: the best plan at each value of a parameter, and where it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dnnopt.base.console import table, words
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import compared, counted, format_gap, format_percent, format_quantity
from dnnopt.base.tables import Heading, Tabular
from dnnopt.methods.result import relative_gap
from dnnopt.problem.parameters import Parameter
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.problem.words import objective_name, print_strips, where

if TYPE_CHECKING:
    from rich.console import Console


@unchangeable
@dataclass(frozen=True)
class SweepPoint:
    """The problem at one value of the parameter.

    Attributes
    ----------
    value : float
        SI.
    status : str
        ``optimal``, ``feasible``, ``infeasible`` (proved) or ``no_solution``.
    objective, bound : float, optional
    plan : int, optional
        Index into the sweep's plans.
    baselines : mapping of str to (float or None)
        The objective of the best plan of each baseline; None where all break a limit, or it was not run here.
    seconds : float
    asked : bool
        Whether it is one of the points asked for; the others are beside break points.
    """

    value: float
    status: str
    objective: float | None
    bound: float | None
    plan: int | None
    baselines: dict[str, float | None]
    seconds: float
    asked: bool

    @property
    def gap(self) -> float | None:
        """`(objective - bound) / |objective|`."""
        return relative_gap(self.objective, self.bound)


@unchangeable
@dataclass(frozen=True)
class Break:
    """Where the optimal plan changes: between `low` and `high`, which are as close together as the tolerance says.

    Attributes
    ----------
    low, high : float
        SI.
    before, after : int, optional
        Indices into the sweep's plans; None: no plan is feasible, or none was found.
    proved : bool
        Whether the plans on both sides are proved optimal there, or it is proved that there is none.
    """

    low: float
    high: float
    before: int | None
    after: int | None
    proved: bool


@unchangeable
@dataclass(frozen=True, repr=False)
class Sweep(Tabular):
    """What `sweep` returns.

    Attributes
    ----------
    problem : Problem
        As it was given.
    parameter : Parameter
    low, high : float
        Range (SI).
    scale : {"log", "linear"}
    tolerance : float
        Of break points: relative (log scale), or as a share of the range (linear scale).
    points : tuple of SweepPoint
        By their values; those asked for, and two at each break point.
    breaks : tuple of Break
    plans : tuple of Plan
        Every plan of a point, in the order of the parameter.
    complete : bool
        Whether it came to its end. If not (Ctrl-C, or more points than allowed), points or break points are missing.
    exhaustive : bool
        Whether no break point can be missing: it is complete, every point is proved, and each plan's value is linear in
        the parameter (or its inverse) or does not depend on it. Otherwise another plan may be the best in a part of the
        range between two points that share theirs.
    """

    row_noun = "point"

    problem: Problem
    parameter: Parameter
    low: float
    high: float
    scale: str
    tolerance: float
    points: tuple[SweepPoint, ...]
    breaks: tuple[Break, ...]
    plans: tuple[Plan, ...]
    complete: bool
    exhaustive: bool

    def at(self, value: float) -> Problem:
        """Return the problem with this value of the parameter."""
        return self.parameter.at(self.problem, value)

    @property
    def segments(self) -> tuple[tuple[float, float, int | None], ...]:
        """From where to where which plan is the best: (low, high, index into `plans`), in order."""
        if not self.points:
            return ()
        starts = [self.points[0].value, *(found.high for found in self.breaks)]
        ends = [*(found.low for found in self.breaks), self.points[-1].value]
        plans = [self.points[0].plan, *(found.after for found in self.breaks)]
        return tuple(zip(starts, ends, plans, strict=True))

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a plain row for each point."""
        beside = dict.fromkeys(name for point in self.points for name in point.baselines)
        return [
            {
                str(self.parameter): point.value,
                "status": point.status,
                "objective": point.objective,
                "bound": point.bound,
                "gap": point.gap,
                "plan": point.plan,
                **{name: point.baselines.get(name) for name in beside},
                "seconds": point.seconds,
                "asked": point.asked,
            }
            for point in self.points
        ]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        name, unit = objective_name(self.problem)
        beside = dict.fromkeys(name for point in self.points for name in point.baselines)
        return {
            str(self.parameter): Heading(str(self.parameter), self.parameter.unit),
            "objective": Heading(name, unit),
            "bound": Heading("bound", unit),
            "gap": Heading("gap", "%"),
            **{baseline: Heading(baseline, unit) for baseline in beside},
            "seconds": Heading("time", "s"),
        }

    def to_data(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "format": "dnnopt-sweep",
            "version": 1,
            "problem": self.problem.name,
            "parameter": str(self.parameter),
            "unit": self.parameter.unit,
            "low": self.low,
            "high": self.high,
            "scale": self.scale,
            "tolerance": self.tolerance,
            "complete": self.complete,
            "exhaustive": self.exhaustive,
            "points": [vars(point) | {"gap": point.gap} for point in self.points],
            "breaks": [vars(found) for found in self.breaks],
            "plans": [plan.to_data() for plan in self.plans],
        }

    def plot(self) -> Any:
        """Return the picture of `dnnopt.plot.sweep`."""
        from dnnopt.plot import sweep

        return sweep(self)

    def report(self, console: Console) -> None:
        """Print it for a person."""
        name, unit = objective_name(self.problem)
        varied = self.parameter.unit

        def value(number: float, digits: int = 6) -> str:
            return format_quantity(number, varied, digits)

        def objective(number: float | None) -> str:
            return "-" if number is None else format_quantity(number, unit, 6)

        at = {point.value: point for point in self.points}
        several = len(self.plans) > 1
        rows = [
            (
                "none" if plan is None else f"plan {plan + 1}",
                value(low),
                value(high),
                objective(at[low].objective),
                objective(at[high].objective),
                "" if plan is None else where(self.problem, self.plans[plan]),
            )
            for low, high, plan in self.segments
        ]
        columns = [
            ("best", "left"),
            ("from", "right"),
            ("to", "right"),
            (f"{name} there", "right"),
            ("and there", "right"),
        ]
        columns.append(("layers on each device", "left"))
        title = f"{self.problem.title}: {self.parameter} from {value(self.low)} to {value(self.high)}"
        console.print(table(title, columns, rows))
        console.print(words(_certainty(self)))
        console.print()
        print_strips(console, self.problem, {f"plan {index + 1}": plan for index, plan in enumerate(self.plans)})
        console.print()
        asked = [point for point in self.points if point.asked]
        names = list(dict.fromkeys(name for point in asked for name in point.baselines))
        columns = [(str(self.parameter), "right"), (name, "right"), ("gap", "right")]
        columns += [("plan", "right")] if several else []
        columns += [(f"best {baseline}" if baseline == "all-on-one" else baseline, "left") for baseline in names]
        lines = []
        for point in asked:
            line = [value(point.value, 4), objective(point.objective), format_gap(point.gap)]
            if point.objective is None:
                line[2] = point.status
            line += [("-" if point.plan is None else str(point.plan + 1))] if several else []
            line += [_beside(point.baselines.get(baseline), point.objective) for baseline in names]
            lines.append(line)
        console.print(table("Points", columns, lines))
        if any(value is None for point in asked for value in point.baselines.values()):
            console.print(words("-: none of its plans keeps to the limits there."))


def _beside(value: float | None, best: float | None) -> str:
    """Return how much worse a baseline is."""
    if value is None:
        return "-"
    if best is None:
        return "a plan"
    return compared(value, best)


def _certainty(sweep: Sweep) -> str:
    """Return what is known of the break points."""
    count = len(sweep.breaks)
    share = "its value" if sweep.scale == "log" else "the range"
    found = f"{counted(count, 'break point')}, within {format_percent(sweep.tolerance)} of {share}" if count else ""
    found = found or "no break point"
    if not sweep.complete:
        return f"{found}; not complete: points or break points are missing"
    if sweep.exhaustive:
        return f"{found}; no other is possible"
    proved = all(point.status in ("optimal", "infeasible") for point in sweep.points)
    why = "" if proved else ", and not every point is proved optimal"
    return f"{found}; between two points with the same plan, others are possible{why}"
