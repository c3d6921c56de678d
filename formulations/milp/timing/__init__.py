"""Timing encodings: one file each, registered here by name.

A timing says which objective terms it can express. `add` puts its variables and rows into a Build.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.needs import needs_critical_path, needs_period
from dnnopt.formulations.milp.build import Build
from dnnopt.formulations.milp.timing import calls, disjunctive, modules, paths, potentials, time_indexed


@dataclass(frozen=True)
class Timing:
    """A timing encoding.

    Attributes
    ----------
    name : str
    period : bool
        Whether objectives and constraints on the period can be expressed.
    latency : str or None
        The execution whose latency can be expressed, where that is not a linear metric.
    add : callable
        Adds start times to a Build.
    value : {"exact", "bound", "plan"}
        What the optimum of the model is: the problem's, a bound only, or only what some plan reaches.
    refuses : callable
        Returns why it does not fit a problem, or None.
    pairs : bool
        Whether it needs variables for pairs of devices.
    choices : bool
        Whether it knows modes and forms.
    """

    name: str
    period: bool
    latency: str | None
    add: Callable[[Build], None]
    value: str = "exact"
    refuses: Callable[[CompiledProblem], str | None] = lambda c: None
    pairs: bool = False
    choices: bool = False


def _nothing(build: Build) -> None:
    """Linear metrics need no further variables."""


TIMINGS: dict[str, Timing] = {
    "sum": Timing("sum", period=False, latency=None, add=_nothing, choices=True),
    "period": Timing("period", period=True, latency=None, add=_nothing, choices=True),
    "potentials": Timing("potentials", period=True, latency="parallel", add=potentials.add_start_times, choices=True),
    "paths": Timing("paths", period=True, latency="parallel", add=paths.add),
    "calls": Timing("calls", period=True, latency="call", add=calls.add),
    "modules": Timing("modules", period=True, latency="scheduled", add=modules.add, value="bound"),
    "disjunctive": Timing(
        "disjunctive", period=True, latency="scheduled", add=disjunctive.add, refuses=disjunctive.refuses, pairs=True
    ),
    "time-indexed": Timing(
        "time-indexed",
        period=True,
        latency="scheduled",
        add=time_indexed.add_bound,
        value="bound",
        refuses=time_indexed.refuses,
        pairs=True,
    ),
    "time-indexed-plan": Timing(
        "time-indexed-plan",
        period=True,
        latency="scheduled",
        add=time_indexed.add_plan,
        value="plan",
        refuses=time_indexed.refuses,
        pairs=True,
    ),
}


def default_timing(c: CompiledProblem) -> str:
    """Return the name of the timing that a problem needs."""
    if needs_critical_path(c):
        return {"scheduled": "disjunctive", "call": "calls"}.get(c.execution, "potentials")
    return "period" if needs_period(c) else "sum"
