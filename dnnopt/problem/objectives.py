"""Objectives: what is minimised, as terms that add up to weighted sums.

    minimize = dp.latency()
    minimize = 0.5 * dp.latency() + 2.0 * dp.energy("pi")
    minimize = sum(dp.energy(device) for device in ("pi", "nx")) / 2

Comparing a term with a number makes a constraint: ``dp.energy("pi") <= 2.0``.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal

from pydantic import Field, model_validator

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.records import Flag, Name, Number, PerSecond, Record
from dnnopt.problem.constraints import KINDS, Constraint
from dnnopt.problem.metrics import STANDARD, about
from dnnopt.problem.scenarios import Across, Level, Rounds, across_label, check_across

NO_DIFFERENCE = (
    "terms cannot be subtracted: weights are 0 or more, as bounds rest on every part of the objective being a cost"
)
_NO_MINIMUM = "minimize=dp.period() maximises it, as it is 1 / period"
_UNITS = {"s": "seconds", "J": "joules", "USD": "dollars", "bytes": "bytes", "": "pure numbers"}
_OPTIONS = ("network", "devices", "idle", "links", "rounds")


class _Summand:
    """What adds up with other terms, and may be weighted."""

    __array_ufunc__ = None  # a number of numpy leaves products to it

    def __add__(self, other: Any) -> WeightedSum:
        return WeightedSum((*as_sum(self), *as_sum(other)))

    def __radd__(self, other: Any) -> WeightedSum:
        return WeightedSum((*as_sum(other), *as_sum(self)))

    def __sub__(self, other: Any) -> WeightedSum:
        raise InputError("", problem=NO_DIFFERENCE)

    def __rsub__(self, other: Any) -> WeightedSum:
        raise InputError("", problem=NO_DIFFERENCE)

    def __neg__(self) -> WeightedSum:
        raise InputError("", problem=NO_DIFFERENCE)

    def __lt__(self, limit: Any) -> Any:
        raise InputError("<= between a metric and its limit", value="<")

    def __gt__(self, limit: Any) -> Any:
        raise InputError("<= between a metric and its limit", value=">")

    def __ge__(self, limit: Any) -> Any:
        raise InputError("<= between a metric and its limit", value=">=")


class Term(_Summand, Record):
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
    across : {"expected", "worst", "cvar"}
        Where the problem has scenarios: what of the values in all of them counts.
    level : float, optional
        Of ``cvar``: the mean of the worst share 1 - level counts.
    rounds : int, optional
        Of ``batch_latency``, which is latency + (rounds - 1) · period; None: 1.
    """

    metric: Name
    weight: Number = 1.0
    priority: int = Field(default=0, strict=True, ge=-(2**31), le=2**31 - 1)
    network: Name | None = None
    devices: tuple[Name, ...] | None = None
    idle: Flag = False
    links: tuple[Name, ...] | None = None
    over: Literal["sum", "max"] = "sum"
    across: Across = "expected"
    level: Level | None = None
    rounds: Rounds | None = None

    @model_validator(mode="after")
    def _check(self) -> Term:
        known = about(self.metric)
        check_across(self)
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
        arguments += [f"{self.rounds} rounds"] if self.rounds else []
        name = self.metric + (f"({','.join(arguments)})" if arguments else "") + (" with idle" if self.idle else "")
        name = across_label(self) + (f"largest {name}" if self.over == "max" else name)
        return name if self.weight == 1 else f"{self.weight:g} x {name}"

    def __mul__(self, factor: float) -> Term:
        if isinstance(factor, bool) or not isinstance(factor, Real):
            raise InputError("a number, as the factor of a term", value=factor)
        return Term(**(dict(self) | {"weight": self.weight * float(factor)}))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Term:
        if isinstance(divisor, bool) or not isinstance(divisor, Real) or divisor == 0:
            raise InputError("a number other than 0, as the divisor of a term", value=divisor)
        return Term(**(dict(self) | {"weight": self.weight / float(divisor)}))

    def __le__(self, limit: float) -> Constraint:
        return limit_on(self, limit)


class WeightedSum(_Summand, tuple[Term, ...]):
    """Terms that add up: a tuple of them, which may be weighted and added to as a whole."""

    __slots__ = ()

    def __mul__(self, factor: Any) -> WeightedSum:
        return WeightedSum(term * factor for term in self)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> WeightedSum:
        return WeightedSum(term / divisor for term in self)

    def __le__(self, limit: Any) -> Any:
        raise InputError("one metric on the left of <=", value=" + ".join(term.label for term in self))


class Throughput:
    """Answers per second in the steady state of a pipeline: 1 / period.

    ``dp.throughput() >= 20`` limits the period; as an objective of a front it stands for the period.
    """

    def __ge__(self, limit: Any) -> Constraint:
        rate: float = _Rate(limit=limit).limit
        return limit_on(period(), 1.0 / rate)

    def __le__(self, limit: Any) -> Any:
        raise InputError(">= between the throughput and its limit", value="<=")

    def __add__(self, other: Any) -> Any:
        raise InputError("", problem="throughput is 1 / period, which does not add up with others; dp.period() does")

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __add__


class _Rate(Record):
    limit: PerSecond


def as_sum(objective: Any) -> WeightedSum:
    """Return a term, or several, as a sum; 0 is the empty one, as that is what `sum` begins with.

    Raises
    ------
    InputError
        For anything else.
    """
    if isinstance(objective, Term):
        return WeightedSum((objective,))
    if isinstance(objective, list | tuple) and all(isinstance(term, Term) for term in objective):
        return WeightedSum(objective)
    if isinstance(objective, int | float) and not isinstance(objective, bool) and objective == 0:
        return WeightedSum()
    raise InputError("a term or a sum of terms, such as dp.latency() + 2 * dp.energy()", value=objective)


def limit_on(term: Term, limit: float) -> Constraint:
    """Return the constraint that `term` is at most `limit`.

    Raises
    ------
    InputError
        For a term with a weight, idle energy or a maximum.
    """
    if term.weight != 1.0 or term.idle or term.over == "max":
        raise InputError("a metric without weight, idle energy or maximum on the left of <=", value=term.metric)
    if limit is None:
        raise InputError("a number on the right of <=", value=None)
    kind = KINDS[about(term.metric).limit]
    options = ("metric", "across", "level", *_OPTIONS)
    said = {name: getattr(term, name) for name in options if name in kind.model_fields}
    if term.across != "expected" and "across" not in kind.model_fields:
        raise InputError("a metric that differs between scenarios", field="across", value=term.metric)
    return kind(limit=limit, **said)


@checked
def latency(network: str | None = None) -> Term:
    """Latency under the problem's execution semantics, of one network or weighted over all."""
    return Term(metric="latency", network=network)


@checked
def period() -> Term:
    """Largest load of a resource: seconds between two answers in the steady state of a pipeline."""
    return Term(metric="period")


@checked
def throughput() -> Throughput:
    """1 / `period`: with ``>=`` a limit on it, and an objective of fronts."""
    return Throughput()


@checked
def batch_latency(rounds: int) -> Term:
    """Latency of so many samples or micro-batches, one after the other: latency + (rounds - 1) · period."""
    return Term(metric="batch_latency", rounds=rounds)


@checked
def energy(*devices: str, idle: bool = False) -> Term:
    """Joules of one inference, of everything or of the named devices."""
    return Term(metric="energy", devices=devices or None, idle=idle)


@checked
def cost() -> Term:
    """USD of one inference."""
    return Term(metric="cost")


@checked
def leakage() -> Term:
    """Summed sensitivity of the tensors that are exposed."""
    return Term(metric="leakage")


@checked
def worst_leakage() -> Term:
    """Largest sensitivity of a tensor that is exposed."""
    return Term(metric="worst_leakage")


@checked
def accuracy_loss() -> Term:
    """Accuracy lost by modes, forms and networks, added up: a proxy, as losses do not add up exactly."""
    return Term(metric="accuracy_loss")


@checked
def traffic(*links: str) -> Term:
    """Bytes over the named links, or over all."""
    return Term(metric="traffic", links=links or None)


@checked
def metric(name: str) -> Term:
    """One of the problem's own metrics (`Problem.metrics`)."""
    return Term(metric=name)


@checked
def largest(term: Term) -> Term:
    """The largest latency of a network, energy of one of the devices, or traffic of one of the links, not their sum."""
    return Term(**(dict(term) | {"over": "max"}))


@checked
def worst(term: Term) -> Term:
    """The term in the scenario where it is largest."""
    return Term(**(dict(term) | {"across": "worst", "level": None}))


@checked
def cvar(term: Term, level: float) -> Term:
    """The mean of the term over the worst share 1 - `level` of the scenarios (conditional value at risk)."""
    return Term(**(dict(term) | {"across": "cvar", "level": level}))


@checked
def in_order(*objectives: Term | tuple[Term, ...]) -> WeightedSum:
    """Return objectives that are optimised one after the other, none at the expense of those before it.

        minimize = dp.in_order(dp.latency(), dp.energy("pi") + dp.energy("nx"))

    Raises
    ------
    InputError
        For none, and for anything else than terms and sums of them.
    """
    if not objectives:
        raise InputError("one objective or more", field="in_order", value=[])
    return WeightedSum(
        Term(**(dict(term) | {"priority": priority}))
        for priority, objective in enumerate(objectives)
        for term in as_sum(objective)
    )


def as_terms(objective: Any) -> Any:
    """Return a term, a sum of terms or a list of either as one flat tuple; other data as it is.

    Raises
    ------
    InputError
        For a list of terms with different units: it may mean their sum, or one after the other.
    """
    if isinstance(objective, Term):
        return (objective,)
    if isinstance(objective, Throughput):
        raise InputError("", problem=f"the more throughput the better: {_NO_MINIMUM}")
    if not isinstance(objective, list | tuple):
        return objective
    flat: list[Any] = []
    for entry in objective:
        flat.extend(entry if isinstance(entry, tuple) else (entry,))
    if isinstance(objective, list) and all(isinstance(entry, Term) for entry in flat):
        _check_units(flat)
    return tuple(flat)


def _check_units(terms: Sequence[Term]) -> None:
    """Raise InputError where standard metrics of one priority have different units."""
    for priority in {term.priority for term in terms}:
        together = {term.unit: term for term in terms if term.priority == priority and term.metric in STANDARD}
        if len(together) > 1:
            one, other, *_ = together.values()
            told = " and ".join(_UNITS[term.unit] for term in (one, other))
            first, second = (term.replace(weight=1.0).label for term in (one, other))
            raise InputError(
                "",
                problem=f"{told} in one list: write an explicit sum with weights ({first} + 2 * {second}), "
                f"or dp.in_order({first}, {second})",
            )
