"""Objectives and constraints as a person types them: ``0.5*latency + 2*energy(pi)``, ``energy(pi) <= 2 J``."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.base.units import parse_quantity
from dnnopt.problem.constraints import Constraint
from dnnopt.problem.metrics import STANDARD, about
from dnnopt.problem.objectives import Term, limit_on

_TERM = re.compile(r"(?:(?P<weight>[\d.eE+-]+)\s*\*\s*)?(?P<metric>[A-Za-z_]\w*)\s*(?:\((?P<arguments>[^()]*)\))?")


def parse_objective(text: str, own: Collection[str] = ()) -> tuple[Term, ...]:
    """Return the terms of a weighted sum such as ``0.5*latency + 2*energy(pi,idle)``; `own` are further metrics.

    Raises
    ------
    InputError
        For anything else.
    """
    parts = re.split(r"(?<![\d.][eE])\+", text)  # not the plus of 1e+3
    return tuple(_parse_term(part.strip(), text, own) for part in parts)


def parse_constraint(text: str) -> Constraint:
    """Return the constraint ``metric <= limit``; the limit may have a unit.

    Raises
    ------
    InputError
        For anything else.
    """
    left, operator, right = text.partition("<=")
    if not operator:
        raise InputError("a limit such as 'energy(pi) <= 2 J'", value=text)
    term = _parse_term(left.strip(), text)
    return limit_on(term, parse_quantity(right, about(term.metric).dimension))


def _parse_term(text: str, whole: str, own: Collection[str] = ()) -> Term:
    match = _TERM.fullmatch(text)
    known = (*STANDARD, *own)
    if not match or match["metric"] not in known:
        raise InputError(f"terms of {', '.join(known)}, such as '0.5*latency + 2*energy(pi)'", value=whole)
    arguments = [name.strip() for name in (match["arguments"] or "").split(",") if name.strip()]
    metric = match["metric"]
    options = about(metric).options
    fields: dict[str, Any] = {}
    if "idle" in options and "idle" in arguments:
        fields["idle"] = True
        arguments = [name for name in arguments if name != "idle"]
    if "network" in options and len(arguments) == 1:
        fields["network"] = arguments[0]
    elif arguments:
        several = [option for option in options if option in ("devices", "links")]
        if not several:
            raise InputError(f"no names in brackets after {metric!r}", value=text)
        fields[several[0]] = tuple(arguments)
    term = Term(metric=metric, **fields)
    if match["weight"] is None:
        return term
    return term * parse_quantity(match["weight"], "number")
