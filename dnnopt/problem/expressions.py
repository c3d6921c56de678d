"""Objectives and constraints as a person types them: ``0.5*latency + 2*energy(pi)``, ``energy(pi) <= 2 J``.

A constraint is called as its kind is in problem files; ``docs/command_line.md`` has all of them. A name with a comma, a
bracket or ``=`` in it stands in double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from dnnopt.base.errors import InputError
from dnnopt.base.text import between_commas, shortened, unquoted
from dnnopt.base.units import parse_quantity
from dnnopt.problem import constraints as kinds
from dnnopt.problem.constraints import Constraint, MemoryRule
from dnnopt.problem.metrics import STANDARD, about
from dnnopt.problem.networks import INPUT, OUTPUT, Network
from dnnopt.problem.objectives import NO_DIFFERENCE, Term, WeightedSum, in_order, largest, limit_on, period

THROUGHPUT = "throughput"  # 1 / period
_BRACKETS = r'\((?P<arguments>(?:"[^"]*"|[^"()])*)\)'
_TERM = re.compile(
    r"\s*(?:(?P<weight>[\d.]+(?:[eE][+-]?\d+)?)\s*\*\s*)?(?P<largest>largest\s*\(\s*)?"
    rf"(?P<name>[A-Za-z_]\w*)\s*(?:{_BRACKETS})?\s*(?(largest)\)\s*)"
)
_STATEMENT = re.compile(rf"\s*(?P<name>[A-Za-z_]\w*)\s*(?:{_BRACKETS})?\s*(?:(?P<sign><=|>=)(?P<limit>.*))?")
_IN_ORDER = re.compile(r"\s*in_order\s*\((.*)\)\s*")
_OBJECTIVE = re.compile(r'(?:"[^"]*"|\((?:"[^"]*"|[^"()]|\([^()]*\))*\)|[^",()])+')
_OPTION = re.compile(r'("[^"]*"|[^"=]*)=(.*)')


# Objectives


def parse_objective(text: str, own: Collection[str] = ()) -> WeightedSum:
    """Return the terms of a weighted sum such as ``0.5*latency + 2*energy(pi,idle)``; `own` are further metrics.

    ``largest(energy(pi,nx))`` is the larger one of the two, not their sum. ``throughput`` alone is the period, as the
    more of it the better. ``in_order(latency, energy(pi))`` are objectives of which the first comes first.

    Raises
    ------
    InputError
        For anything else.
    """
    if text.strip() == THROUGHPUT:
        return WeightedSum((period(),))
    ordered = _IN_ORDER.fullmatch(text)
    if ordered:
        objectives = _OBJECTIVE.findall(ordered[1])
        if ",".join(objectives) != ordered[1] or not objectives or any(map(_IN_ORDER.fullmatch, objectives)):
            raise InputError("objectives in the brackets, such as 'in_order(latency, energy(pi))'", value=text)
        return in_order(*(parse_objective(part, own) for part in objectives))
    terms, place = [], 0
    while True:
        match = _TERM.match(text, place)
        if match is None:
            raise _no_terms(text, own)
        term = _term(match["name"], between_commas(match["arguments"] or ""), text, own)
        term = largest(term) if match["largest"] else term
        terms.append(term if match["weight"] is None else term * parse_quantity(match["weight"], "number"))
        if match.end() == len(text):
            return WeightedSum(terms)
        if text[match.end()] == "-":
            raise InputError(f"no difference: {NO_DIFFERENCE}", value=text)
        if text[match.end()] != "+":
            raise _no_terms(text, own)
        place = match.end() + 1


def _no_terms(text: str, own: Collection[str]) -> InputError:
    return InputError(f"terms of {', '.join((*STANDARD, *own))}, such as '0.5*latency + 2*energy(pi)'", value=text)


def _term(metric: str, arguments: list[str], text: str, own: Collection[str]) -> Term:
    if metric == THROUGHPUT:
        raise InputError("throughput alone, as it is 1 / period, which does not add up with others", value=text)
    if metric not in (*STANDARD, *own):
        raise _no_terms(text, own)
    options = about(metric).options
    fields: dict[str, Any] = {}
    names = list(map(unquoted, arguments))
    if "rounds" in options and len(arguments) == 1:
        rounds = arguments[0].removesuffix("rounds").strip()
        if not (rounds.isascii() and rounds.isdecimal() and 0 < len(rounds) < 10):
            raise InputError("a number of rounds in the brackets, as in 'batch_latency(8)'", value=text)
        return Term(metric=metric, rounds=int(rounds))
    if "idle" in options and "idle" in arguments:
        fields["idle"] = True
        names = [unquoted(name) for name in arguments if name != "idle"]
    if "network" in options and len(names) == 1:
        fields["network"] = names[0]
    elif names:
        several = [option for option in options if option in ("devices", "links")]
        if not several:
            raise InputError(f"no names in brackets after {metric!r}", value=text)
        fields[several[0]] = tuple(names)
    return Term(metric=metric, **fields)


# Constraints


@dataclass(frozen=True)
class _Statement:
    """``NAME(ARGUMENTS) <= LIMIT`` as it was typed.

    Attributes
    ----------
    text, name : str
    arguments : list of str
    options : mapping of str to str
        Arguments of the kind ``KEY=VALUE``.
    sign : {"<=", ">=", None}
    limit : str
    networks : sequence of Network
        Those that names are looked up in.
    """

    text: str
    name: str
    arguments: list[str]
    options: dict[str, str]
    sign: str | None
    limit: str
    networks: Sequence[Network]

    def error(self, expected: str) -> InputError:
        return InputError(expected, value=self.text)

    @property
    def example(self) -> str:
        return FORMS[self.name].example if self.name in FORMS else f"{self.name} <= 2"

    def bound(self, dimension: str) -> float:
        """Return the upper limit, which must be there."""
        self.needs("<=")
        return self.quantity(dimension)

    def quantity(self, dimension: str) -> float:
        limit = self.limit.lstrip()
        return parse_quantity(limit, dimension, after=self.text[: len(self.text) - len(limit)])

    def needs(self, sign: str | None) -> None:
        if self.sign != sign:
            raise self.error(f"{sign or 'no limit'} after {self.name!r}, as in '{self.example}'")

    def names(self, least: int, most: int | None = None) -> list[str]:
        """Return the names in brackets, of which there must be so many; no option but the network is allowed."""
        self.knows("network" if self.name in _OF_A_NETWORK else "")
        if len(self.arguments) < least or (most is not None and len(self.arguments) > most):
            raise self.error(f"what is in brackets as in '{self.example}'")
        return list(map(unquoted, self.arguments))

    def knows(self, *options: str) -> None:
        for key in self.options:
            if key not in options:
                raise self.error(f"no {key!r} in brackets, as in '{self.example}'")

    def network(self) -> Network:
        """Return the network that is named, or the only one there is."""
        wanted = self.options.get("network")
        names = [network.name for network in self.networks]
        if wanted is None and len(names) == 1:
            return self.networks[0]
        if wanted not in names:
            listed = shortened(", ".join(names), 200) or "none here"
            raise self.error(f"network=NAME in the brackets, NAME being one of: {listed}")
        return self.networks[names.index(wanted)]

    def among(self, network: Network, layers: Sequence[str]) -> tuple[str, ...]:
        """Return names of layers, which must be in the network."""
        known = [layer.name for layer in network.layers]
        for name in layers:
            if name not in network.layer_names:
                close = ", ".join(get_close_matches(name, known, n=3))
                hint = f"did you mean {close}?" if close else f"there are {len(known)}, such as {', '.join(known[:3])}"
                raise InputError(f"the name of a layer of {network.name}; {hint}", value=name)
        return tuple(layers)


def _memory(said: _Statement) -> Constraint:
    if said.sign == "<=" and said.arguments:
        inside = ", ".join(f"{name}={said.limit.strip()}" for name in said.arguments)
        raise said.error(f"the limit in the brackets, as in 'memory({inside})', or by --memory")
    said.needs(None)
    if len(said.arguments) > 1 or (said.arguments and said.arguments[0] not in get_args(MemoryRule)):
        raise said.error(f"one of {', '.join(get_args(MemoryRule))}, as in '{said.example}'")
    rule: Any = said.arguments[0] if said.arguments else "weights"
    buffers, limits = 0, {}
    for name, value in said.options.items():
        if name == "buffers" and value.isascii() and value.isdecimal():  # a device's memory would have a unit
            buffers = _count(value, said)
        else:
            limits[name] = parse_quantity(value, "bytes", after=f"{name}=")
    return kinds.Memory(rule=rule, buffers=buffers, limits=limits)


def _deadline(said: _Statement) -> Constraint:
    limit = None if said.sign is None else said.bound("time")
    return kinds.Deadline(limit=limit, network=next(iter(said.names(0, 1)), None))


def _bandwidth(said: _Statement) -> Constraint:
    limit = None if said.sign is None else said.bound("bytes")
    return kinds.Bandwidth(link=next(iter(said.names(0 if limit is None else 1, 1)), None), limit=limit)


def _utilisation(said: _Statement) -> Constraint:
    said.names(0, 0)
    if said.sign is None:
        return kinds.Utilisation()
    limit = said.bound("number")
    if limit > 1:
        raise said.error(f"a share of at most 100 %: '{said.name} <= {limit:g} %'?")
    return kinds.Utilisation(limit=limit)


def _throughput(said: _Statement) -> Constraint:
    said.names(0, 0)
    said.needs(">=")
    least = said.quantity("frequency")
    if not least > 0:
        raise said.error("a throughput > 0")
    return limit_on(period(), 1 / least)


def _placement(said: _Statement) -> Constraint:
    said.needs(None)
    layer, *devices = said.names(2)
    network = said.network()
    [known] = said.among(network, [layer])
    return kinds.Placement(network=network.name, layer=known, allowed=tuple(devices))


def _input_stays(said: _Statement) -> tuple[Constraint, ...]:
    said.needs(None)
    network, devices = said.network(), tuple(said.names(1))
    reads = {v for tensor in network.tensors if tensor.producer == INPUT for v in tensor.consumers if v != OUTPUT}
    layers = [layer.name for layer in network.layers if layer.name in reads]
    if not layers:
        raise said.error("a network whose layers read raw input")
    return tuple(kinds.Placement(network=network.name, layer=layer, allowed=devices) for layer in layers)


def _colocate(said: _Statement) -> Constraint:
    said.needs(None)
    names, network = said.names(2), said.network()
    return kinds.Colocate(network=network.name, layers=said.among(network, names))


def _separate(said: _Statement) -> Constraint:
    names, network = said.names(2), said.network()
    layers = said.among(network, names)
    if said.sign is None:
        return kinds.Separate(network=network.name, layers=layers)
    said.needs("<=")
    most = _count(said.limit.strip(), said)
    if most < 1:
        raise said.error("a whole number >= 1, as in 'separate(conv1, conv2, conv3) <= 2'")
    return kinds.Separate(network=network.name, layers=layers, at_most=most)


def _contiguous(said: _Statement) -> Constraint:
    said.needs(None)
    names = said.names(0)
    if not names and not said.options:
        return kinds.Contiguous()
    network = said.network()
    return kinds.Contiguous(network=network.name, layers=said.among(network, names) or None)


def _monotone_tiers(said: _Statement) -> Constraint:
    said.needs(None)
    said.names(0, 0)
    return kinds.MonotoneTiers()


def _at_most(said: _Statement) -> Constraint:
    said.names(0, 0)
    said.needs("<=")
    kind: type[kinds.MaxDevices | kinds.MaxCuts] = kinds.MaxCuts if said.name == "max_cuts" else kinds.MaxDevices
    return kind(limit=_count(said.limit.strip(), said))


def _count(text: str, said: _Statement) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise said.error(f"a whole number below a billion, as in '{said.example}'")
    return int(text)


def _metric(said: _Statement) -> Constraint:
    said.knows()
    if said.sign == ">=":
        raise said.error("'<=': metrics have upper limits")
    term = _term(said.name, said.arguments, said.text, (said.name,))
    return limit_on(term, said.bound(about(said.name).dimension))


@dataclass(frozen=True)
class TypedConstraint:
    """How a constraint is typed.

    Attributes
    ----------
    example : str
    read : callable
        Makes one constraint, or several, of what was typed.
    """

    example: str
    read: Callable[[_Statement], Constraint | tuple[Constraint, ...]]


FORMS: dict[str, TypedConstraint] = {
    "latency": TypedConstraint("latency <= 300 ms", _metric),
    "deadline": TypedConstraint("deadline <= 300 ms", _deadline),
    "period": TypedConstraint("period <= 50 ms", _metric),
    THROUGHPUT: TypedConstraint("throughput >= 20 /s", _throughput),
    "energy": TypedConstraint("energy(pi) <= 2 J", _metric),
    "cost": TypedConstraint("cost <= 2 uUSD", _metric),
    "traffic": TypedConstraint("traffic(wan-up) <= 1 MB", _metric),
    "leakage": TypedConstraint("leakage <= 1.5", _metric),
    "worst_leakage": TypedConstraint("worst_leakage <= 0.4", _metric),
    "batch_latency": TypedConstraint("batch_latency(8) <= 2 s", _metric),
    "accuracy_loss": TypedConstraint("accuracy_loss <= 1 %", _metric),
    "memory": TypedConstraint("memory(weights+activations, buffers=1, pi=64 MiB)", _memory),
    "bandwidth": TypedConstraint("bandwidth(wifi-up) <= 2 MB", _bandwidth),
    "utilisation": TypedConstraint("utilisation <= 80 %", _utilisation),
    "placement": TypedConstraint("placement(conv1, pi, nx)", _placement),
    "input_stays": TypedConstraint("input_stays(pi, nx)", _input_stays),
    "colocate": TypedConstraint("colocate(conv1, relu1)", _colocate),
    "separate": TypedConstraint("separate(conv1, conv2)", _separate),
    "contiguous": TypedConstraint("contiguous", _contiguous),
    "monotone_tiers": TypedConstraint("monotone_tiers", _monotone_tiers),
    "max_devices": TypedConstraint("max_devices <= 2", _at_most),
    "max_cuts": TypedConstraint("max_cuts <= 3", _at_most),
}
_OF_A_NETWORK = ("placement", "input_stays", "colocate", "separate", "contiguous")


def parse_constraints(text: str, networks: Sequence[Network] = (), own: Collection[str] = ()) -> tuple[Constraint, ...]:
    """Return the constraint that a text says, as one or several records.

    Parameters
    ----------
    text : str
        As in `FORMS`.
    networks : sequence of Network
        Of the problem: where there is one, what names layers need not name it.
    own : collection of str
        Metrics of the problem's own.

    Raises
    ------
    InputError
        For anything else.
    """
    match = _STATEMENT.fullmatch(text.strip())
    if match is None:
        raise _no_constraint(text)
    name = match["name"]
    if name not in (*FORMS, *own):
        raise _no_constraint(text, own)
    arguments, options = [], {}
    for part in between_commas(match["arguments"] or ""):
        option = _OPTION.fullmatch(part)
        if option is None:
            arguments.append(part)
            continue
        key, value = (unquoted(side.strip()) for side in option.groups())
        if key in options:
            raise InputError(f"{key!r} once", value=text)
        options[key] = value
    said = _Statement(text.strip(), name, arguments, options, match["sign"], match["limit"] or "", networks)
    found = _metric(said) if name in own else FORMS[name].read(said)
    return found if isinstance(found, tuple) else (found,)


def _no_constraint(text: str, own: Collection[str] = ()) -> InputError:
    """Return the error about a text that is none, with what may have been meant."""
    known = (*FORMS, *own)
    words = re.findall(r"[A-Za-z_]\w*", text)
    close = get_close_matches(words[0], known, n=1) if words else []
    if words and words[0] in FORMS:
        expected = f"a constraint such as '{FORMS[words[0]].example}'"
    elif close:
        expected = f"a constraint; did you mean {close[0]!r}?"
    else:
        expected = f"one constraint, without weights or sums, that begins with one of {', '.join(known)}"
    return InputError(expected, value=text)
