"""ScenarioStudy: what `scenarios` returns: plans in every scenario, with regrets, and what it is worth to know."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dnnopt.base.console import table, words
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import counted, format_percent, format_quantity
from dnnopt.base.tables import Heading, Tabular
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.problem.words import objective_name, print_strips, where

if TYPE_CHECKING:
    from rich.console import Console

ALL, MEAN, EACH = "for all scenarios", "for the mean", "for each scenario its own"
_WHERE = "layers on each device"
_SAME = 1e-6  # relative: what proofs do not tell apart


@unchangeable
@dataclass(frozen=True)
class Interval:
    """A difference between two optima: by the plans that were found, and between what bounds it lies."""

    found: float
    low: float
    high: float

    def to_data(self) -> dict[str, float | None]:
        """Return plain data; None: there is no such bound."""
        return {name: value if math.isfinite(value) else None for name, value in vars(self).items()}

    def text(self, unit: str, size: float) -> str:
        """Return it in words; what is small beside `size` is nothing."""

        def shown(value: float) -> str:
            return format_quantity(0.0 if abs(value) <= _SAME * abs(size) else value, unit)

        if self.high - self.low <= 10 * _SAME * abs(size):
            return shown(self.found)
        low = f"at least {shown(self.low)}" if math.isfinite(self.low) else ""
        high = f"at most {shown(self.high)}" if math.isfinite(self.high) else ""
        return f"{shown(self.found)} (proved: {', '.join(filter(None, (low, high))) or 'no bound'})"


@unchangeable
@dataclass(frozen=True)
class PlanInScenarios:
    """What one plan, or one for each scenario, comes to; objectives in SI units.

    Attributes
    ----------
    name : str
        What it is for, such as ``for all scenarios``, or by which heuristic it is.
    plans : tuple of Plan
        For each scenario; all the same but those of ``for each scenario its own``.
    objective : float
        As stated: expected, or as its terms look across scenarios.
    expected : float
        Of the values.
    values : tuple of float
        The objective in each scenario.
    regrets : tuple of (float or None)
        How far each is above the best plan known there; None: a limit is broken there, or there is no such plan.
    breaks : tuple of str
        Constraints of the problem, as it is stated, that are broken.
    breaks_there : tuple of (tuple of str)
        Those that are broken in each scenario: a limit on the expected value may be, in some.
    """

    name: str
    plans: tuple[Plan, ...]
    objective: float
    expected: float
    values: tuple[float, ...]
    regrets: tuple[float | None, ...]
    breaks: tuple[str, ...]
    breaks_there: tuple[tuple[str, ...], ...]

    @property
    def worst(self) -> float:
        """The largest of the values."""
        return max(self.values)

    @property
    def worst_regret(self) -> float | None:
        """The largest of the regrets; None where one is."""
        known = [regret for regret in self.regrets if regret is not None]
        return max(known) if len(known) == len(self.regrets) else None


@unchangeable
@dataclass(frozen=True)
class Best:
    """A scenario, and the best plan known for it alone.

    Attributes
    ----------
    name : str
    probability : float
    status : str
        Of its solve, as of a `Result`.
    objective, bound : float, optional
        SI. None: there is no plan, or no bound.
    plan : Plan, optional
    """

    name: str
    probability: float
    status: str
    objective: float | None
    bound: float | None
    plan: Plan | None


@unchangeable
@dataclass(frozen=True, repr=False)
class ScenarioStudy(Tabular):
    """What `scenarios` returns.

    Attributes
    ----------
    problem : Problem
    status : str
        Of the problem as stated: ``optimal``, ``feasible``, ``infeasible``, ...
    mean_status : str
        Of the problem in the mean scenario.
    bound : float, optional
        SI: no plan for all scenarios is better.
    rows : tuple of PlanInScenarios
    scenarios : tuple of Best
        In the order of the problem's.
    stochastic : Interval, optional
        VSS: how much better the plan for all scenarios is than the plan for the mean. None: one is missing, or the
        latter breaks a limit of the problem.
    knowing : Interval, optional
        EVPI: how much better it would be to know the scenario and take its own plan. None: plans are missing.
    holds_everywhere : bool
        Whether all limits hold in every scenario. If not, those on expected values bind a scenario's own plan there, so
        that knowing may even cost.
    complete : bool
        Whether it came to its end.
    """

    row_noun = "plan"

    problem: Problem
    status: str
    mean_status: str
    bound: float | None
    rows: tuple[PlanInScenarios, ...]
    scenarios: tuple[Best, ...]
    stochastic: Interval | None
    knowing: Interval | None
    holds_everywhere: bool
    complete: bool

    def __getitem__(self, name: str) -> PlanInScenarios:
        return {row.name: row for row in self.rows}[name]

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a plain row for each plan."""
        return [
            {
                "plan": row.name,
                "objective": _finite(row.objective),
                "expected": _finite(row.expected),
                "worst": _finite(row.worst),
                "worst_regret": row.worst_regret,
                **{f"in {one.name}": _finite(value) for one, value in zip(self.scenarios, row.values, strict=True)},
                **{f"regret in {one.name}": regret for one, regret in zip(self.scenarios, row.regrets, strict=True)},
                "breaks": ", ".join(row.breaks),
                "breaks_in": ", ".join(
                    one.name for one, broken in zip(self.scenarios, row.breaks_there, strict=True) if broken
                ),
            }
            for row in self.rows
        ]

    def page_rows(self) -> list[dict[str, Any]]:
        """Return the rows without regrets in each scenario."""
        return [{key: row[key] for key in row if not key.startswith("regret in ")} for row in self.to_rows()]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        name, unit = objective_name(self.problem)
        of_scenarios = [f"{what}in {one.name}" for what in ("", "regret ") for one in self.scenarios]
        return {
            "objective": Heading(name, unit),
            **{
                key: Heading(key.replace("_", " "), unit)
                for key in ("expected", "worst", "worst_regret", *of_scenarios)
            },
        }

    def to_data(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "format": "dnnopt-scenarios",
            "version": 1,
            "problem": self.problem.title,
            "status": self.status,
            "mean_status": self.mean_status,
            "bound": self.bound,
            "complete": self.complete,
            "scenarios": [
                vars(one) | {"plan": None if one.plan is None else one.plan.to_data()} for one in self.scenarios
            ],
            "plans": [
                {
                    "name": row.name,
                    "objective": _finite(row.objective),
                    "expected": _finite(row.expected),
                    "worst": _finite(row.worst),
                    "values": list(map(_finite, row.values)),
                    "regrets": list(row.regrets),
                    "breaks": list(row.breaks),
                    "breaks_there": [list(broken) for broken in row.breaks_there],
                    "plan": None if row.name == EACH else row.plans[0].to_data(),
                }
                for row in self.rows
            ],
            "value_of_a_stochastic_plan": None if self.stochastic is None else self.stochastic.to_data(),
            "value_of_knowing": None if self.knowing is None else self.knowing.to_data(),
            "holds_everywhere": self.holds_everywhere,
        }

    def report(self, console: Console) -> None:
        """Print it for a person: values, regrets, and what it is worth to plan for all scenarios, and to know."""
        name, unit = objective_name(self.problem)
        groups = self._same_plans()
        labels = [_label(group) for group in groups]
        rows = [group[0] for group in groups]
        heads = [f"{one.name} ({format_percent(one.probability)})" for one in self.scenarios]
        across = any(term.across != "expected" for term in self.problem.minimize)

        def shown(value: float | None, broken: Sequence[str] = ()) -> str:
            text = "-" if value is None or not math.isfinite(value) else format_quantity(value, unit, 5)
            return f"{text} !" if broken else text

        def regret(value: float | None, beside: float | None) -> str:
            none = value is not None and beside is not None and value <= _SAME * abs(beside)
            return shown(0.0 if none else value)

        def lines(cells: Callable[[PlanInScenarios], list[str]]) -> list[tuple[str, ...]]:
            return [(label, *cells(row)) for label, row in zip(labels, rows, strict=True)]

        columns = [("plan", "left"), (name, "right")]
        columns += [("expected", "right")] if across else []
        values = lines(
            lambda row: [
                shown(row.objective, row.breaks),
                *([shown(row.expected)] if across else []),
                *map(shown, row.values, row.breaks_there),
                shown(row.worst),
            ]
        )
        columns += [*((head, "right") for head in heads), ("worst", "right")]
        title = f"{self.problem.title}: plans in {counted(len(self.scenarios), 'scenario')}"
        console.print(table(title, columns, values, heads[::-1]))
        self._report_marks(console)
        console.print()
        regrets = lines(
            lambda row: [
                *(regret(value, one.objective) for value, one in zip(row.regrets, self.scenarios, strict=True)),
                regret(row.worst_regret, row.worst),
                where(self.problem, row.plans[0]) if _is_one(row) else "",
            ]
        )
        columns = [("plan", "left"), *((head, "right") for head in heads), ("worst", "right")]
        columns += [(_WHERE, "left")]
        console.print(table("Regret: above the best plan of the scenario", columns, regrets, [_WHERE, *heads[::-1]]))
        console.print()
        for line in (self._worth_of_all(), self._worth_of_knowing(), *self._notes()):
            console.print(words(line))
        console.print()
        print_strips(
            console,
            self.problem,
            {label: row.plans[0] for label, row in zip(labels, rows, strict=True) if _is_one(row)},
        )

    def _same_plans(self) -> list[list[PlanInScenarios]]:
        groups: dict[tuple[Plan, ...], list[PlanInScenarios]] = {}
        for row in self.rows:
            groups.setdefault(row.plans, []).append(row)
        return list(groups.values())

    def _report_marks(self, console: Console) -> None:
        """Print what is broken where numbers are marked."""
        for group in self._same_plans():
            row = group[0]
            there = zip(self.scenarios, row.breaks_there, strict=True)
            found = [("as stated", row.breaks), *((f"in {one.name}", broken) for one, broken in there)]
            marks = [f"{where} {', '.join(broken)}" for where, broken in found if broken]
            if marks:
                console.print(words(f"!  {_label(group)}: breaks {'; '.join(marks)}"))

    def _worth_of_all(self) -> str:
        """Return the value of a stochastic plan, in words."""
        rows = {row.name: row for row in self.rows}
        stated, mean = rows.get(ALL), rows.get(MEAN)
        what = "The value of a stochastic plan (VSS)"
        if stated is None:
            return f"{what}: not known, as there is no plan for all scenarios ({self.status.replace('_', ' ')})."
        if mean is None:
            return f"{what}: not known, as there is no plan for the mean ({self.mean_status.replace('_', ' ')})."
        if self.stochastic is None:
            return f"{what}: without bounds, as the plan for the mean breaks {', '.join(mean.breaks)}."
        text, value = self._shown(self.stochastic, stated.objective)
        return f"{what}: {text}. {MEAN[0].upper()}{MEAN[1:]} {value(mean.objective)}, {ALL} {value(stated.objective)}."

    def _worth_of_knowing(self) -> str:
        """Return the value of knowing the scenario, in words."""
        rows = {row.name: row for row in self.rows}
        stated, each = rows.get(ALL), rows.get(EACH)
        what = "The value of knowing the scenario (EVPI)"
        if self.knowing is None or stated is None or each is None:
            without = [one.name for one in self.scenarios if one.plan is None]
            missing = f"in {', '.join(without)}" if without else "for all scenarios"
            return f"{what}: not known, as there is no plan {missing}."
        text, value = self._shown(self.knowing, stated.objective)
        return f"{what}: {text}. {ALL[0].upper()}{ALL[1:]} {value(stated.objective)}, {EACH} {value(each.objective)}."

    def _shown(self, interval: Interval, size: float) -> tuple[str, Callable[[float], str]]:
        unit = objective_name(self.problem)[1]
        return interval.text(unit, size), lambda value: format_quantity(value, unit, 6)

    def _notes(self) -> list[str]:
        """Return what else to know."""
        notes = []
        if not self.complete:
            notes.append("Not complete: interrupted.")
        if not self.holds_everywhere:
            notes.append(
                "A limit on what is expected binds a scenario's own plan in that scenario, so knowing may even cost."
            )
        if self.mean_status not in ("optimal", "infeasible") and self.complete:
            notes.append("The plan for the mean is not proved the best there; another one may have another value.")
        return notes


def _label(group: Sequence[PlanInScenarios]) -> str:
    """Return what a plan is for, and by which heuristics it is: ``for all scenarios, busy, by greedy``."""
    first, *others = [row.name for row in group]
    return ", ".join([first, *(name.removeprefix("for ") for name in others)])


def _is_one(row: PlanInScenarios) -> bool:
    """Return whether it is one plan for all scenarios."""
    return len(set(row.plans)) == 1


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
