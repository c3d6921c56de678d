"""Timing encodings: one file each, registered here by name.

A timing says which objective terms it can express. `add` puts its variables and rows into a Build.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dnnopt.compiled import CompiledProblem, DeadlineLimit, LatencyTerm, PeriodTerm
from dnnopt.formulations.milp.build import Build
from dnnopt.formulations.milp.timing import potentials


@dataclass(frozen=True)
class Timing:
    """A timing encoding.

    Attributes
    ----------
    name : str
    period, critical_path : bool
        Whether objectives and constraints on the period, or on a critical path, can be expressed.
    add : callable
        Adds start times to a Build.
    """

    name: str
    period: bool
    critical_path: bool
    add: Callable[[Build], None]


def _nothing(build: Build) -> None:
    """Linear metrics need no further variables."""


TIMINGS: dict[str, Timing] = {
    "sum": Timing("sum", period=False, critical_path=False, add=_nothing),
    "period": Timing("period", period=True, critical_path=False, add=_nothing),
    "potentials": Timing("potentials", period=True, critical_path=True, add=potentials.add_start_times),
}


def needs_critical_path(c: CompiledProblem) -> bool:
    """Return whether the problem has a latency that is not a linear metric."""
    deadlines = any(isinstance(constraint, DeadlineLimit) for constraint in c.constraints)
    return deadlines or any(isinstance(term, LatencyTerm) for term in c.terms())


def needs_period(c: CompiledProblem) -> bool:
    """Return whether the period is in the objective."""
    return any(isinstance(term, PeriodTerm) for term in c.terms())


def default_timing(c: CompiledProblem) -> str:
    """Return the name of the timing that a problem needs."""
    if needs_critical_path(c):
        return "potentials"
    return "period" if needs_period(c) else "sum"
