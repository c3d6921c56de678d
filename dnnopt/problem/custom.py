"""Pieces of a user's own: a metric as data, and a constraint as a class.

A metric is a table, so every formulation, search and file takes it like the built-in ones. A constraint is code: it
says by how much a plan breaks it, which the referee asks, and how it is written as linear rows.
"""

from __future__ import annotations

import math
import re
from typing import Any

from pydantic import model_validator

from dnnopt.base.errors import InputError
from dnnopt.base.frozen import Frozen, FrozenDict
from dnnopt.base.records import Name, Number, Record
from dnnopt.problem.metrics import STANDARD

_NAME = re.compile(r"[A-Za-z_]\w*")


class LinkCharge(Record):
    """What one copy of a tensor over a link costs, and each of its bytes."""

    per_copy: Number = 0.0
    per_byte: Number = 0.0


class Metric(Record):
    """A metric of your own: `Σ layers[v, i] x_vi + Σ_τℓ (per_copy_ℓ + b_τ per_byte_ℓ) w_τℓ + Σ_τ exposed[τ] h_τ`.

    Attributes
    ----------
    name : str
        Letters, digits and underscores, no digit first; not the name of a standard metric.
    unit : str
        For reports, such as ``g``; SI units (``s``, ``bytes``, ``J``, ``USD``) are scaled with the problem's.
    layers : mapping of str to mapping of str to mapping of str to float
        What each layer of each network costs on each device, 0 or more; 0 where nothing is said.
    links : mapping of str to LinkCharge
        What each link charges; copies are counted as the problem's `transport` says.
    exposed : mapping of str to mapping of str to float
        What each tensor of each network costs where it is exposed (as for leakage).
    """

    name: Name
    unit: str = ""
    layers: Frozen[Name, Frozen[Name, Frozen[Name, Number]]] = FrozenDict()
    links: Frozen[Name, LinkCharge] = FrozenDict()
    exposed: Frozen[Name, Frozen[Name, Number]] = FrozenDict()

    @model_validator(mode="after")
    def _check(self) -> Metric:
        if not _NAME.fullmatch(self.name):
            raise InputError("a name of letters, digits and underscores, no digit first", field="name", value=self.name)
        if self.name in STANDARD:
            raise InputError("a name that no standard metric has", field="name", value=self.name)
        return self


class CustomConstraint:
    """Base of a constraint of your own; an instance goes into a problem's `subject_to`.

    It holds in every linear formulation and in every search; constraint-programming formulations refuse it by name. A
    problem that has one cannot be written to a file.

    Attributes
    ----------
    label : str
        Names it in reports, rows and errors.
    """

    constraint = "custom"
    label = "custom"

    @property
    def is_linear(self) -> bool:
        """Whether it is written as rows: if not, formulations refuse it, and only heuristics and `scan` keep to it."""
        return getattr(self.add, "__func__", None) is not CustomConstraint.add

    def violation(self, problem: Any, plan: Any) -> float:
        """Return by how much a `Plan` of a `Problem` breaks the constraint; 0: it holds. What the referee asks.

        It is about `plan.placement`: a schedule is never shown.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method 'violation'")

    def amount(self, problem: Any, plan: Any) -> float:
        """Return `violation`, which must be a number: whether nan breaks a limit is unknown."""
        value = self.violation(problem, plan.model_copy(update={"schedule": None}))
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if math.isnan(number):
            raise InputError("a number", field=f"violation of {self.label}", value=value)
        return number

    def add(self, build: Any) -> None:
        """Add rows, and the variables that they need, to a linear model: no plan may be cut off that keeps to it.

        `build.x` (nodes, devices) are the columns of the placement, `build.layers` and `build.devices` what its rows
        and columns stand for, and `build.problem` is the problem; see `Build` of `dnnopt.formulations.milp.build`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method 'add'")
