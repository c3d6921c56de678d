"""All formulations by name."""

from __future__ import annotations

from collections.abc import Iterable

from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.formulations.cp.assignment import AssignmentFormulation
from dnnopt.formulations.cp.schedule import ScheduleFormulation
from dnnopt.formulations.formulation import Formulation
from dnnopt.formulations.milp.communication import COMMUNICATIONS
from dnnopt.formulations.milp.formulation import MilpFormulation
from dnnopt.formulations.milp.timing import TIMINGS, default_timing

CP: dict[str, type[Formulation]] = {"cp-assignment": AssignmentFormulation, "cp-schedule": ScheduleFormulation}


def names() -> list[str]:
    """Return the full names of all formulations."""
    return [f"{communication}+{timing}" for communication in COMMUNICATIONS for timing in TIMINGS] + list(CP)


def formulation_kind(name: str) -> str:
    """Return the kind of models that a formulation makes, ``milp`` or ``cp``.

    Raises
    ------
    InputError
        If there is no such formulation.
    """
    return "milp" if name in COMMUNICATIONS else find(name).kind


def formulation(name: str, compiled: CompiledProblem) -> Formulation:
    """Return a formulation that supports the problem.

    Parameters
    ----------
    name : str
        ``communication+timing``; with only the first part, the timing that the problem needs is taken.

    Raises
    ------
    InputError
        If there is no such formulation.
    UnsupportedError
        If it does not support the problem; the message names those that do.
    """
    if name in COMMUNICATIONS:
        name = f"{name}+{default_timing(compiled)}"
    found = find(name)
    reason = found.supports(compiled)
    if reason:
        able = supporting(compiled)
        hint = f"these do: {', '.join(able)}" if able else "no formulation does"
        raise UnsupportedError("", problem=f"formulation {name!r} does not support {reason}; {hint}")
    return found


def supporting(compiled: CompiledProblem, kind: str | None = None, first: str | None = None) -> list[str]:
    """Return the full names of the formulations (of one kind, with one first part, or all) that support the problem."""
    found = [find(name) for name in names() if first in (None, name.partition("+")[0])]
    return [f.name for f in found if kind in (None, f.kind) and f.supports(compiled) is None]


def why_not(compiled: CompiledProblem, among: Iterable[str]) -> str:
    """Return what each of some formulations, by full name or without timing, does not support, in words."""
    found = [find(f"{name}+{default_timing(compiled)}" if name in COMMUNICATIONS else name) for name in among]
    reasons = [(one.name, one.supports(compiled)) for one in found]
    return "; ".join(f"{name!r} does not support {reason}" for name, reason in reasons if reason)


def suiting(compiled: CompiledProblem) -> list[str]:
    """Return those of the formulations that support the problem whose timing says no more than the problem needs.

    Without those that are for blocks where there are none.
    """
    able = supporting(compiled)
    timing = TIMINGS[default_timing(compiled)]

    def suits(name: str) -> bool:
        if name in CP:
            return True
        if COMMUNICATIONS[name.partition("+")[0]].for_blocks and not compiled.blocks:
            return False
        other = TIMINGS[name.partition("+")[2]]
        return other == timing if timing.latency is None else other.latency == timing.latency

    return [name for name in able if suits(name)]


def find(name: str) -> Formulation:
    """Return a formulation by its full name, whatever it supports.

    Raises
    ------
    InputError
        If there is no such formulation.
    """
    if name in CP:
        return CP[name]()
    communication, _, timing = name.partition("+")
    if communication in COMMUNICATIONS and timing in TIMINGS:
        return MilpFormulation(communication, timing)
    raise InputError(f"one of {', '.join([*COMMUNICATIONS, *names()])}", field="formulation", value=name)
