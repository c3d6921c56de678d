"""Objectives: what is minimised, as terms that add up to weighted sums.

    minimize = dp.latency()
    minimize = 0.5 * dp.latency() + 2.0 * dp.energy("pi")

Comparing a term with a number makes a constraint: ``dp.energy("pi") <= 2.0``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from dnnopt.base.errors import InputError
from dnnopt.base.records import Flag, Name, Number, Record
from dnnopt.problem.constraints import KINDS, Constraint
from dnnopt.problem.metrics import STANDARD, about

_OPTIONS = ("network", "devices", "idle", "links")


class Term(Record):
    """One weighted metric of the objective.

    Attributes
    ----------
    metric : str
        ``latency`` or another standard metric (`dnnopt.problem.metrics.STANDARD`), or one of the problem's own.
    weight : float
    priority : int
        Terms of one priority are summed; lower priorities are optimised first.
    network : str, optional
        Latency of this network alone; None: `Σ_a ω_a · latency_a`.
    devices : tuple of str, optional
        Energy of these devices alone (with their parts of the links' energy); None: of everything.
    idle : bool
        Energy: whether `Σ_i P⁰_i · (latency - busy_i)` is added.
    links : tuple of str, optional
        Traffic of these links alone; None: of all.
    over : {"sum", "max"}
        ``max``: the largest latency of a network, energy of one of the devices, or traffic of one of the links.
    """

    metric: Name
    weight: Number = 1.0
    priority: int = Field(default=0, strict=True, ge=-(2**31), le=2**31 - 1)
    network: Name | None = None
    devices: tuple[Name, ...] | None = None
    idle: Flag = False
    links: tuple[Name, ...] | None = None
    over: Literal["sum", "max"] = "sum"

    @model_validator(mode="after")
    def _check(self) -> Term:
        known = about(self.metric)
        if self.over == "max" and (not known.parts or self.network or self.idle):
            raise InputError("'sum' (a maximum is over networks, devices or links)", field="over", value="max")
        for option in _OPTIONS:
            if getattr(self, option) and option not in known.options:
                fitting = next(one.name for one in STANDARD.values() if option in one.options)
                raise InputError(
                    f"no such key for {self.metric!r} (it goes with {fitting!r})",
                    field=option,
                    value=getattr(self, option),
                )
        return self

    @property
    def unit(self) -> str:
        """Unit of a standard metric; empty for a pure number, and for a metric of the problem's own."""
        return about(self.metric).unit

    @property
    def label(self) -> str:
        """What it is called in reports: ``2 x largest energy(pi)``."""
        arguments = [self.network] if self.network else list(self.devices or self.links or ())
        name = self.metric + (f"({','.join(arguments)})" if arguments else "") + (" with idle" if self.idle else "")
        name = f"largest {name}" if self.over == "max" else name
        return name if self.weight == 1 else f"{self.weight:g} x {name}"

    def __mul__(self, factor: float) -> Term:
        return Term(**(dict(self) | {"weight": self.weight * factor}))

    __rmul__ = __mul__

    def __add__(self, other: Term | tuple[Term, ...]) -> tuple[Term, ...]:
        return (self, *other) if isinstance(other, tuple) else (self, other)

    def __radd__(self, other: tuple[Term, ...]) -> tuple[Term, ...]:
        return (*other, self)

    def __le__(self, limit: float) -> Constraint:
        return limit_on(self, limit)


def limit_on(term: Term, limit: float) -> Constraint:
    """Return the constraint that `term` is at most `limit`.

    Raises
    ------
    InputError
        For a metric that has no constraint of its own.
    """
    if term.weight != 1.0 or term.idle or term.over == "max":
        raise InputError("a metric without weight, idle energy or maximum on the left of <=", value=term.metric)
    kind = KINDS.get(about(term.metric).limit)
    if kind is None:
        raise InputError("a metric that can be limited", value=term.metric)
    said = {name: getattr(term, name) for name in ("metric", *_OPTIONS) if name in kind.model_fields}
    return kind(limit=limit, **said)


def latency(network: str | None = None) -> Term:
    """Latency under the problem's execution semantics, of one network or weighted over all."""
    return Term(metric="latency", network=network)


def period() -> Term:
    """Largest load of a resource: seconds between two answers in the steady state of a pipeline."""
    return Term(metric="period")


def energy(*devices: str, idle: bool = False) -> Term:
    """Joules of one inference, of everything or of the named devices."""
    return Term(metric="energy", devices=devices or None, idle=idle)


def cost() -> Term:
    """USD of one inference."""
    return Term(metric="cost")


def leakage() -> Term:
    """Summed sensitivity of the tensors that are exposed."""
    return Term(metric="leakage")


def worst_leakage() -> Term:
    """Largest sensitivity of a tensor that is exposed."""
    return Term(metric="worst_leakage")


def traffic(*links: str) -> Term:
    """Bytes over the named links, or over all."""
    return Term(metric="traffic", links=links or None)


def metric(name: str) -> Term:
    """One of the problem's own metrics (`Problem.metrics`)."""
    return Term(metric=name)


def largest(term: Term) -> Term:
    """The largest latency of a network, energy of one of the devices, or traffic of one of the links, not their sum."""
    return Term(**(dict(term) | {"over": "max"}))


def as_terms(objective: Any) -> Any:
    """Return a term, a sum of terms or a list of either as one flat list; other data as it is."""
    if isinstance(objective, Term):
        return (objective,)
    if isinstance(objective, list | tuple):
        flat: list[Any] = []
        for entry in objective:
            flat.extend(entry if isinstance(entry, tuple) else (entry,))
        return tuple(flat)
    return objective
