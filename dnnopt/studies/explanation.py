"""Explanation: why a problem has no feasible plan: its conflicts, and how much each limit would have to give way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dnnopt.base.console import words
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import counted, format_quantity, format_runtime, rounded_up
from dnnopt.base.tables import Tabular
from dnnopt.base.text import visible
from dnnopt.methods.result import block_table, placement_table
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.referee import evaluate

if TYPE_CHECKING:
    from rich.console import Console


@unchangeable
@dataclass(frozen=True)
class Enough:
    """How much one limit of a conflict would have to allow, while everything outside of other conflicts holds.

    Attributes
    ----------
    group : str
        The part of the conflict that it belongs to.
    quantity : str
        What is limited, such as ``memory of nx``.
    allowed : float
        The limit as it is (in the SI unit `unit`).
    unit : str
    status : {"exact", "found", "impossible", "unknown"}
        ``exact``: `value` is the least that is enough; ``found``: it is enough, perhaps less is; ``impossible``:
        nothing is; ``unknown``: not determined in time.
    value : float, optional
        Of a plan that breaks nothing else.
    bound : float, optional
        Nothing below this is enough.
    seconds : float
        That were spent on it; 0: there were none.
    plan : Plan, optional
        The plan with that value.
    """

    group: str
    quantity: str
    allowed: float
    unit: str
    status: str
    value: float | None = None
    bound: float | None = None
    seconds: float = 0.0
    plan: Plan | None = None

    def __str__(self) -> str:
        allowed = f"{format_quantity(self.allowed, self.unit)} allowed"
        if self.value is not None:
            most = "" if self.status == "exact" else "at most "
            value = format_quantity(rounded_up(self.value, 4), self.unit)
            return visible(f"{self.quantity}: {most}{value} would be enough, {allowed}")
        if self.status == "impossible":
            return visible(f"{self.quantity}: no value alone would be enough, {allowed}")
        when = f"in {format_runtime(self.seconds)}" if self.seconds else "in time"
        return visible(f"{self.quantity}: not determined {when} what would be enough")

    def to_data(self) -> dict[str, Any]:
        """Return plain data, without the plan."""
        return {name: value for name, value in vars(self).items() if name != "plan"}


@unchangeable
@dataclass(frozen=True)
class Conflict:
    """Parts of a problem that cannot hold together.

    Attributes
    ----------
    groups : tuple of str
    undetermined : tuple of str
        Those of which it was not determined in time whether the others can hold together.
    enough : tuple of Enough
        Of each limit among them: what it would have to allow.
    """

    groups: tuple[str, ...]
    undetermined: tuple[str, ...] = ()
    enough: tuple[Enough, ...] = ()

    @property
    def minimal(self) -> bool:
        """Whether the groups can hold together without any one of them."""
        return not self.undetermined

    @property
    def headline(self) -> str:
        """What is wrong with the groups, in words."""
        return "this alone allows no plan" if len(self.groups) == 1 else "these cannot hold together"

    def lines(self) -> list[str]:
        """Return each part, and what would be enough, for a person to read."""
        shown = [f"  - {visible(group)}{' ?' if group in self.undetermined else ''}" for group in self.groups]
        return [*shown, *(f"    {one}" for one in self.enough)]

    def to_data(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "groups": list(self.groups),
            "minimal": self.minimal,
            "undetermined": list(self.undetermined),
            "enough": [one.to_data() for one in self.enough],
        }


@unchangeable
@dataclass(frozen=True, repr=False)
class Explanation(Tabular):
    """Why a problem has no feasible plan, or one that it has.

    Attributes
    ----------
    problem : Problem
    status : {"infeasible", "feasible", "unknown"}
        ``unknown``: it was not determined in time.
    conflicts : tuple of Conflict
        Of an infeasible problem: sets of its parts that cannot hold together, no two with a part in common.
    complete : bool
        Whether it is known that what is left without all conflicts can hold together; if not, time ended.
    plan : Plan, optional
        Of a feasible problem: one that breaks nothing.
    """

    problem: Problem
    status: str
    conflicts: tuple[Conflict, ...] = ()
    complete: bool = False
    plan: Plan | None = None

    def renamed(self, names: Mapping[str, str]) -> Explanation:
        """Return it with other names for some parts."""

        def called(parts: Sequence[str]) -> tuple[str, ...]:
            return tuple(names.get(part, part) for part in parts)

        conflicts = tuple(
            replace(
                one,
                groups=called(one.groups),
                undetermined=called(one.undetermined),
                enough=tuple(replace(limit, group=names.get(limit.group, limit.group)) for limit in one.enough),
            )
            for one in self.conflicts
        )
        return replace(self, conflicts=conflicts)

    @property
    def groups(self) -> tuple[str, ...]:
        """The parts of the first conflict."""
        return self.conflicts[0].groups if self.conflicts else ()

    @property
    def undetermined(self) -> tuple[str, ...]:
        """Those of the first conflict that are not known to be needed."""
        return self.conflicts[0].undetermined if self.conflicts else ()

    @property
    def minimal(self) -> bool:
        """Whether the problem is infeasible, and every conflict minimal."""
        return self.status == "infeasible" and all(conflict.minimal for conflict in self.conflicts)

    @property
    def enough(self) -> tuple[Enough, ...]:
        """What each limit of any conflict would have to allow."""
        return tuple(one for conflict in self.conflicts for one in conflict.enough)

    def headline(self) -> str:
        """Return the first words of it, and the parts of the first conflict."""
        return f"{str(self).splitlines()[0].rstrip(':')}" + (f": {', '.join(self.groups)}" if self.groups else "")

    def __str__(self) -> str:
        if self.plan is not None:
            return "feasible: there is a plan that breaks nothing"
        if self.status != "infeasible":
            return "not determined in time whether there is a feasible plan"
        if not self.groups:
            return "infeasible, whatever is left out"
        unsure = "?: not determined in time whether it is needed"
        if len(self.conflicts) == 1 and self.complete:
            several = "" if len(self.groups) == 1 else " (without any one of them the others can)"
            why = f" ({unsure})" if self.undetermined else several
            return "\n".join([f"infeasible; {self.conflicts[0].headline}{why}:", *self.conflicts[0].lines()])
        why = "" if self.minimal else f" ({unsure})"
        count = counted(len(self.conflicts), "reason")
        lines = [f"infeasible, for {count} that share no part; a value is enough once the other reasons are gone{why}"]
        if len(self.conflicts) == 1:
            lines = [f"infeasible; {self.conflicts[0].headline}{why}:"]
        for number, conflict in enumerate(self.conflicts, 1):
            lines += [f"{number}. {conflict.headline}:"] if len(self.conflicts) > 1 else []
            lines += conflict.lines()
        return "\n".join(lines if self.complete else [*lines, "the time ended: there may be more reasons"])

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a plain row for each part of each conflict, and for each of its limits where it has some."""
        rows = []
        for number, conflict in enumerate(self.conflicts, 1):
            for group in conflict.groups:
                limits: list[Enough | None] = [one for one in conflict.enough if one.group == group]
                for one in limits or [None]:
                    rows.append(
                        {
                            "conflict": number,
                            "part": group,
                            "needed": None if group in conflict.undetermined else True,
                            "quantity": one and one.quantity,
                            "allowed": one and one.allowed,
                            "enough": one and one.value,
                            "unit": one and one.unit,
                            "known": one and one.status,
                        }
                    )
        return rows

    def to_data(self) -> dict[str, Any]:
        """Return plain data; of a feasible problem it is also a plan file."""
        return {
            "format": "dnnopt-explanation",
            "version": 1,
            "problem": self.problem.name,
            "status": self.status,
            "minimal": self.minimal,
            "complete": self.complete,
            "conflicts": [conflict.to_data() for conflict in self.conflicts],
            **(self.plan.to_data() if self.plan else {"placement": None}),
        }

    def report(self, console: Console) -> None:
        """Print it for a person."""
        first, *lines = str(self).split("\n")
        console.print(words(f"{self.problem.title}: {first}"))
        for line in lines:
            console.print(words(line))
        if self.plan is not None:
            console.print(placement_table(self.problem, self.plan, evaluate(self.problem, self.plan)))
            if self.plan.blocks:
                console.print(block_table(self.problem, self.plan))
