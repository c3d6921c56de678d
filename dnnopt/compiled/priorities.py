"""A problem with several priorities as problems with one: each within what the earlier ones have reached."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from dnnopt.base.errors import InputError
from dnnopt.compiled.compiled import CompiledProblem

_NOTE = re.compile(r"Priority (\d+) of (\d+)(?:; reached before: ([-+\de., ]+))?\.$")


def of_priority(compiled: CompiledProblem, reached: Sequence[float] | None) -> CompiledProblem:
    """Return the problem of one priority: the first that nothing is said of.

    Parameters
    ----------
    compiled : CompiledProblem
    reached : sequence of float, optional
        What each of the earlier priorities has reached (SI), which become limits. None is for a problem of one alone.

    Raises
    ------
    InputError
        If that is not clear, or no priority is left.
    """
    count = len(compiled.objective)
    if reached is None:
        if count > 1:
            words = f"the problem has {count} priorities, and a model has one: say what the earlier ones have reached"
            raise InputError("", field="reached", problem=f"{words} (nothing, for the first)")
        return compiled
    if len(reached) >= count:
        words = f"at most {count - 1} values, for the problem has {count} {'priorities' if count > 1 else 'priority'}"
        raise InputError(words, field="reached", value=list(reached))
    for value in reached:
        if not math.isfinite(value):
            raise InputError("finite numbers", field="reached", value=list(reached))
    return compiled.at_stage(len(reached), dict(enumerate(reached)))


def note(compiled: CompiledProblem, reached: Sequence[float] | None) -> str:
    """Return what the header of an exported file says of it: nothing, for a problem with one priority."""
    count = len(compiled.objective)
    if count == 1 or reached is None:
        return ""
    before = f"; reached before: {', '.join(repr(float(value)) for value in reached)}" if reached else ""
    return f"Priority {len(reached) + 1} of {count}{before}."


def noted(compiled: CompiledProblem, header: str) -> list[float] | None:
    """Return what the earlier priorities had reached when a file with this header was written.

    Raises
    ------
    InputError
        If the header is of a problem with another number of priorities.
    """
    found = _NOTE.search(header.rstrip())
    count = len(compiled.objective)
    if found is None:
        return None if count == 1 else []
    try:
        reached = [float(word) for word in found[3].split(",")] if found[3] else []
    except ValueError:
        reached = None
    if reached is None or int(found[2]) != count or int(found[1]) != len(reached) + 1:
        raise InputError("", problem=f"the header says {found[0]!r}, and the problem has {count} priorities")
    return reached
