"""Parameters of a problem that may be varied, as a person types them: ``bandwidth(wan-up)=1..100 MB/s``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from dnnopt.base.errors import InputError
from dnnopt.base.records import check_known
from dnnopt.base.text import between_commas, unquoted
from dnnopt.base.units import parse_quantity, typed_unit
from dnnopt.problem.constraints import Bandwidth, Deadline, Memory, MetricLimit, Utilisation
from dnnopt.problem.expressions import THROUGHPUT, parse_objective
from dnnopt.problem.objectives import Term
from dnnopt.problem.problem import Problem

_Kind = Literal["bandwidth", "memory", "deadline", "period", "throughput", "rate", "weight"]
_RANGE = "NAME=LOW..HIGH, such as 'bandwidth(wan-up)=1..100 MB/s', 'memory(pi)=8..64 MiB' or 'deadline=50 ms..1 s'"
_VALUE = "NAME=VALUE, such as 'bandwidth(wan-up)=5 Mbit/s', 'memory(pi)=32 MiB' or 'deadline=300 ms'"
# Dimension (of units.py) and SI unit of a value: with names in brackets, and without.
_UNITS = {
    "bandwidth": (("bandwidth", "bytes/s"), ("number", "")),
    "memory": (("bytes", "bytes"), ("number", "")),
    "deadline": (("time", "s"), ("time", "s")),
    "period": (("time", "s"), ("time", "s")),
    THROUGHPUT: (("frequency", "1/s"), ("frequency", "1/s")),
    "rate": (("frequency", "1/s"), ("frequency", "1/s")),
    "weight": (("number", ""), ("number", "")),
}
_WHOLE = ("period", THROUGHPUT)  # of the problem, not of something in it
_POSITIVE = ("bandwidth", *_WHOLE)


@dataclass(frozen=True)
class Parameter:
    """What is varied.

    Attributes
    ----------
    kind : {"bandwidth", "memory", "deadline", "period", "throughput", "rate", "weight"}
        Bandwidth of links (bytes/s; of none in particular: a factor on all). Memory that a memory constraint allows on
        devices (bytes; a factor on all). Deadline of a network or of all (s), which is added where there is none; so is
        the longest period (s), or the least throughput (1/s). Requests of networks, or of each (1/s). Weight of a term
        of the objective.
    names : tuple of str
        Links, or resources for all the links in them; devices, networks; for a weight, the term.
    """

    kind: _Kind
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.kind + (f"({','.join(self.names)})" if self.names else "")

    @property
    def unit(self) -> str:
        """SI unit of its values; empty for a pure number."""
        return _UNITS[self.kind][0 if self.names else 1][1]

    def check(self, problem: Problem) -> None:
        """Raise InputError where the problem has no such parameter, or nothing depends on it."""
        kinds = [spec.constraint for spec in problem.subject_to]
        links = [link.name for link in problem.platform.links]
        networks = [network.name for network in problem.networks]
        shared = [resource.name for resource in problem.platform.resources if resource.links]
        what = "link, or of a resource of links" if shared else "link"
        known = {"bandwidth": (links + shared, what), "memory": (problem.platform.device_names(), "device")}
        if self.kind in _WHOLE and self.names:
            raise InputError(f"{self.kind!r} without names", field="", value=str(self))
        if self.kind != "weight":
            names, what = known.get(self.kind, (networks, "network"))
            for name in self.names:
                check_known(name, names, self.kind, what)
        if self.kind == "memory" and "memory" not in kinds:
            raise self._idle("there is no memory constraint")
        if self.kind == "bandwidth" and not links:
            raise self._idle("there are no links")
        if self.kind == "deadline" and len(self.names) > 1:
            raise InputError("one network, or none for all of them", field="deadline", value=list(self.names))
        if self.kind == "rate" and not any(map(_reads_rates, problem.subject_to)):
            raise self._idle("no utilisation or bandwidth constraint reads rates")
        if self.kind == "weight" and not any(_is_term(term, self._term(problem)) for term in problem.minimize):
            raise self._idle("the objective has no such term")

    def _idle(self, why: str) -> InputError:
        return InputError("", field=str(self), problem=f"nothing depends on it: {why}")

    def _term(self, problem: Problem) -> Term:
        terms = parse_objective(",".join(self.names), [metric.name for metric in problem.metrics])
        if len(terms) != 1:
            raise InputError("one term of the objective, such as 'weight(energy(pi))'", value=str(self))
        return terms[0]

    def at(self, problem: Problem, value: float) -> Problem:
        """Return the problem with this value of the parameter."""
        return getattr(self, f"_{self.kind}")(problem, value)

    def _bandwidth(self, problem: Problem, value: float) -> Problem:
        varied = set(self.names) & {link.name for link in problem.platform.links}
        for resource in problem.platform.resources:
            if resource.name in self.names and resource.name not in varied:
                varied |= set(resource.links)
        links = tuple(
            link.replace(bandwidth=value if self.names else value * link.bandwidth)
            if not self.names or link.name in varied
            else link
            for link in problem.platform.links
        )
        return _with(problem, platform=problem.platform.model_copy(update={"links": links}))

    def _memory(self, problem: Problem, value: float) -> Problem:
        devices = problem.platform.devices

        def limited(spec: Any) -> Any:
            if not isinstance(spec, Memory):
                return spec
            before = {one.name: limit for one in devices if (limit := spec.limit_on(one)) is not None}
            scaled = {name: value * limit for name, limit in before.items()}
            return spec.replace(limits=before | dict.fromkeys(self.names, value) if self.names else scaled)

        return _with(problem, subject_to=tuple(map(limited, problem.subject_to)))

    def _deadline(self, problem: Problem, value: float) -> Problem:
        new = Deadline(limit=value, network=self.names[0] if self.names else None)
        return _limited(problem, new, lambda spec: isinstance(spec, Deadline) and spec.network == new.network)

    def _period(self, problem: Problem, value: float) -> Problem:
        return _limited(problem, MetricLimit(metric="period", limit=value), _is_period)

    def _throughput(self, problem: Problem, value: float) -> Problem:
        return self._period(problem, 1 / value)

    def _rate(self, problem: Problem, value: float) -> Problem:
        networks = tuple(
            network.model_copy(update={"rate": value}) if not self.names or network.name in self.names else network
            for network in problem.networks
        )
        return _with(problem, networks=networks)

    def _weight(self, problem: Problem, value: float) -> Problem:
        varied = self._term(problem)
        terms = [term.replace(weight=value) if _is_term(term, varied) else term for term in problem.minimize]
        return _with(problem, minimize=tuple(terms))

    def values_are_constant(self, problem: Problem) -> bool:
        """Return whether it is a limit alone: more plans are feasible the looser it is, with the same objectives.

        Not where there is a constraint of the user's own, which may read it.
        """
        return self.kind in ("memory", "deadline", "rate", *_WHOLE) and problem.is_data

    def is_looser_when_low(self) -> bool:
        """Return whether fewer plans are feasible the larger it is, where it matters for that alone."""
        return self.kind in ("rate", THROUGHPUT)

    def limits_are_constant(self, problem: Problem) -> bool:
        """Return whether it does not matter for which plans are feasible."""
        if self.kind == "bandwidth":
            return problem.is_data and not any(map(_reads_bandwidths, problem.subject_to))
        return problem.is_data and self.kind == "weight"


def _with(problem: Problem, **fields: Any) -> Problem:
    """Return a copy; what differs cannot make it invalid."""
    return problem.model_copy(update=fields)


def _limited(problem: Problem, new: Any, is_one: Callable[[Any], bool]) -> Problem:
    """Return a copy with the limit of `new`, in the constraints that are such, however they look across scenarios."""
    if not any(map(is_one, problem.subject_to)):
        return _with(problem, subject_to=(*problem.subject_to, new))
    limited = (spec.replace(limit=new.limit) if is_one(spec) else spec for spec in problem.subject_to)
    return _with(problem, subject_to=tuple(limited))


def _reads_rates(spec: Any) -> bool:
    return isinstance(spec, Utilisation) or (isinstance(spec, Bandwidth) and spec.limit is None)


def _reads_bandwidths(spec: Any) -> bool:
    timed = isinstance(spec, MetricLimit) and spec.metric in ("period", "batch_latency")
    return isinstance(spec, Deadline) or timed or _reads_rates(spec)


def _is_period(spec: Any) -> bool:
    return isinstance(spec, MetricLimit) and spec.metric == "period"


def _is_term(term: Term, other: Term) -> bool:
    return term.replace(weight=1.0, priority=0) == other.replace(weight=1.0, priority=0)


def parse_range(text: str) -> tuple[Parameter, float, float]:
    """Return the parameter, and its least and largest value (SI); the unit may stand once, at the end.

    Raises
    ------
    InputError
        For anything but ``NAME=LOW..HIGH``.
    """
    parameter, values = _parse(text, _RANGE)
    before, dots, after = values.partition("..")
    if not dots:
        raise InputError(f"{_RANGE}; NAME is one of {', '.join(_UNITS)}", value=text)
    high = _quantity(parameter, after, f"{parameter}={before.strip()}..")
    low = _quantity(parameter, before if typed_unit(before) else f"{before} {typed_unit(after)}", f"{parameter}=")
    if not 0 <= low < high or (parameter.kind in _POSITIVE and low == 0):
        raise InputError("0 < LOW < HIGH" if parameter.kind in _POSITIVE else "0 <= LOW < HIGH", value=text)
    return parameter, low, high


def parse_setting(text: str) -> tuple[Parameter, float]:
    """Return the parameter, and its value (SI).

    Raises
    ------
    InputError
        For anything but ``NAME=VALUE``.
    """
    parameter, typed = _parse(text, _VALUE)
    value = _quantity(parameter, typed, f"{parameter}=")
    if not value >= 0 or (parameter.kind in _POSITIVE and value == 0):
        raise InputError("a value > 0" if parameter.kind in _POSITIVE else "a value >= 0", value=text)
    return parameter, value


def _parse(text: str, syntax: str) -> tuple[Parameter, str]:
    """Return the parameter before the sign of equality, and what stands after it."""
    match = re.fullmatch(r"\s*([a-z]+)\s*(?:\((.*)\))?\s*=(.*)", text)
    if not match or match[1] not in _UNITS:
        raise _no_parameter(text, syntax)
    kind: Any = match[1]
    names = [match[2].strip()] if kind == "weight" and match[2] else map(unquoted, between_commas(match[2] or ""))
    parameter = Parameter(kind, tuple(filter(None, names)))
    if kind == "weight" and not parameter.names:
        raise InputError("a term of the objective in brackets, such as 'weight(energy(pi))=...'", value=text)
    return parameter, match[3]


def _no_parameter(text: str, syntax: str) -> InputError:
    """Return the error about a text that is none, with what may have been meant."""
    compared = re.match(r"\s*([a-z]+).*?[<>]=", text)
    if compared and compared[1] in _UNITS:
        end = "the least that there must be" if compared[1] == THROUGHPUT else "a limit where it is one"
        return InputError(f"'=' without < or >: the value of {compared[1]!r} is {end}", value=text)
    word = re.match(r"\s*(\w*)", text)
    close = get_close_matches(word[1], _UNITS, n=1) if word else []
    meant = f"did you mean {close[0]!r}?" if close else f"NAME is one of {', '.join(_UNITS)}"
    return InputError(f"{syntax}; {meant}", value=text)


def _quantity(parameter: Parameter, text: str, after: str) -> float:
    with_names, alone = (dimension for dimension, _ in _UNITS[parameter.kind])
    try:
        return parse_quantity(text, with_names if parameter.names else alone, after=after)
    except InputError:
        if parameter.names or with_names == alone:
            raise
        form = f"{parameter}(NAME)=..."
        raise InputError(f"a factor on all, such as '0.5', or names in brackets as in '{form}'", value=text) from None
