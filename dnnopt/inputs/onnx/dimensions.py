"""Sizes of the symbolic dimensions of an ONNX file: ``batch``, ``past + seq``, or ``x[2]`` for an axis of a value."""

from __future__ import annotations

import operator
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor
from typing import TYPE_CHECKING

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.file import MOST_ELEMENTS, join

if TYPE_CHECKING:
    from onnx import TensorShapeProto, ValueInfoProto

# A name may hold any character but these; a minus sign stands apart (batch-size is a name, seq - 1 a difference).
_TOKEN = re.compile(r"\s*(//|[+*/%(),]|-(?=\s)|[^\s+*/%(),]+)")
_OPERATORS = frozenset(["//", "+", "*", "/", "%", "(", ")", ",", "-"])
_FUNCTIONS = frozenset({"floor", "ceil", "ceiling", "max", "min"})
_NAMELESS = frozenset({"", "?", "*", "none", "-1"})  # written for what is not known: two of them may differ
_LONGEST = 200  # characters of an expression
_Number = int | Fraction


@dataclass(frozen=True)
class _Axis:
    """One dimension of a value: what it is called by its place (``x[2]``), and what the file writes for it."""

    place: str
    text: str
    entry: TensorShapeProto.Dimension

    @property
    def written(self) -> str:
        """The name or expression; empty where nothing is known."""
        return "" if self.text.strip().lower() in _NAMELESS else self.text

    @property
    def names(self) -> frozenset[str]:
        return _names(self.written)

    @property
    def keys(self) -> list[str]:
        """What must be given for the axis to have a size."""
        return sorted(self.names) if self.written else [self.place]


def set_sizes(given: Mapping[str, int], inputs: Iterable[ValueInfoProto], others: Iterable[ValueInfoProto]) -> None:
    """Put sizes into the types of inputs, which must then be complete, and of the other values that are declared.

    Parameters
    ----------
    given : mapping of str to int
        Size of each name, or of ``value[axis]``. What is computed from names follows from theirs.
    inputs, others : iterable of onnx.ValueInfoProto

    Raises
    ------
    InputError
        For a size that is no whole number >= 0, a dimension that is unset or unknown, and sizes that contradict each
        other or the file.
    """
    wanted, declared = _axes(inputs), _axes(others)
    sizes = _Sizes(given, [*wanted, *declared])
    for axis in (*wanted, *declared):
        size = sizes.of(axis)
        if size is not None:
            axis.entry.dim_value = size
    unset = dict.fromkeys(
        key for axis in wanted if sizes.of(axis) is None for key in axis.keys if key not in sizes.known
    )
    if unset:
        example = ", ".join(f"{key!r}: ..." for key in unset)
        typed = " ".join(f"--dim {shlex.quote(f'{key}=1')}" for key in unset)
        told = f"no size for {join(unset)}; give dimensions={{{example}}}, or on the command line {typed}"
        raise InputError("", field="dimensions", problem=told)
    for axis in wanted:
        if sizes.of(axis) is None:
            found = _evaluate(axis.text, sizes.known)
            problem = f"{axis.text!r} of {axis.place} is {found}, expected a whole number >= 0"
            raise InputError("", field="dimensions", problem=problem)


def _axes(values: Iterable[ValueInfoProto]) -> list[_Axis]:
    return [
        _Axis(f"{value.name}[{position}]", entry.dim_param, entry)
        for value in values
        for position, entry in enumerate(value.type.tensor_type.shape.dim)
    ]


class _Sizes:
    """What is given, and what is known of names by it."""

    def __init__(self, given: Mapping[str, int], axes: list[_Axis]):
        self.given: dict[str, tuple[str, int]] = {}  # without blanks -> as written, and the size
        for key, size in given.items():
            whole = not isinstance(size, bool) and hasattr(size, "__index__")
            if not whole or not 0 <= operator.index(size) <= MOST_ELEMENTS:
                raise InputError("a whole number >= 0", field=f"dimensions[{key!r}]", value=size)
            self.given[_plain(key)] = key, operator.index(size)
        self._refuse_unknown(axes)
        self.known: dict[str, int] = {}
        said_by: dict[str, str] = {}
        for axis in axes:
            # An axis that has nothing but a name gives the name its size.
            places = [axis.text, axis.place] if axis.names == {axis.text} else []
            for name, source in [*((axis.text, place) for place in places), *((name, name) for name in axis.names)]:
                if _plain(source) in self.given:
                    key, size = self.given[_plain(source)]
                    by = said_by.setdefault(name, key)
                    if self.known.setdefault(name, size) != size:
                        expected = f"{self.known[name]}, as {by!r}: they are the same dimension, {name!r}"
                        raise InputError(expected, field=f"dimensions[{key!r}]", value=size)

    def of(self, axis: _Axis) -> int | None:
        """Return the size of an axis: what the file says, its name or expression, or what is given for its place."""
        found: tuple[str, int] | None = None
        if axis.entry.dim_value > 0 and not axis.text:  # exporters write 0 and -1 for what they do not know
            found = "the file", axis.entry.dim_value
        elif axis.written:
            value = _evaluate(axis.text, self.known)
            if value is not None and value.denominator == 1 and 0 <= value <= MOST_ELEMENTS:
                found = repr(axis.text), int(value)
        for source in (axis.written, axis.place):
            if source and _plain(source) in self.given:
                key, size = self.given[_plain(source)]
                found = found or (repr(key), size)
                if found[1] != size:
                    raise InputError(f"{found[1]}, as {found[0]} says", field=f"dimensions[{key!r}]", value=size)
        return found[1] if found else None

    def _refuse_unknown(self, axes: list[_Axis]) -> None:
        valid = {_plain(key) for axis in axes for key in (axis.place, axis.written, *axis.names) if key}
        unknown = [key for plain, (key, _) in self.given.items() if plain not in valid]
        if unknown:
            open_ = [key for axis in axes if axis.entry.dim_value <= 0 for key in axis.keys]
            expected = (
                f"expected some of {join(dict.fromkeys(open_))}" if open_ else "the file has no symbolic dimension"
            )
            raise InputError("", field="dimensions", problem=f"no dimension is called {join(unknown)}; {expected}")


def _plain(key: str) -> str:
    return "".join(key.split())


@lru_cache(maxsize=1000)
def _names(text: str) -> frozenset[str]:
    """Return the names in what the file writes for a dimension; what is no expression is a name as a whole."""
    if not text:
        return frozenset()
    expression = _Expression(text)
    return frozenset(expression.found) if expression.value() is not None else frozenset({text})


def _evaluate(text: str, sizes: Mapping[str, int]) -> _Number | None:
    """Return what a dimension is, or None where a name in it has no size."""
    names = _names(text)
    if not names <= sizes.keys():
        return None
    return sizes[text] if names == {text} else _Expression(text, sizes).value()


class _Expression:
    """A sum, difference, product, quotient, ``floor``, ``ceil``, ``max`` or ``min`` of names and whole numbers.

    Without sizes every name counts as 1; `found` are the names.
    """

    def __init__(self, text: str, sizes: Mapping[str, int] | None = None):
        self._tokens = ["", *reversed(_TOKEN.findall(text))] if len(text) <= _LONGEST else [""]
        self._sizes = sizes
        self.found: list[str] = []

    def value(self) -> _Number | None:
        """Return the value, or None if the text is no expression; a division by zero gives -1, which is no size."""
        try:
            value = self._sum()
        except ZeroDivisionError:
            return -1
        except (KeyError, ValueError):
            return None
        return value if self._tokens == [""] else None

    def _take(self, *tokens: str) -> str:
        return self._tokens.pop() if self._tokens[-1] in tokens else ""

    def _sum(self) -> _Number:
        value = -self._product() if self._take("-") else self._product()
        while sign := self._take("+", "-"):
            value = value + self._product() if sign == "+" else value - self._product()
        return value

    def _product(self) -> _Number:
        value = self._factor()
        while sign := self._take("*", "/", "//", "%"):
            factor = self._factor()
            if sign == "*":
                value = value * factor
            elif sign == "/":
                value = Fraction(value) / factor
            else:
                value = value // factor if sign == "//" else value % factor
        return value

    def _factor(self) -> _Number:
        token = self._tokens[-1]
        if token == "(":
            return self._closed()[0]
        if token in _OPERATORS or not token:
            raise ValueError
        self._tokens.pop()
        if self._tokens[-1] == "(" and token.lower() in _FUNCTIONS:
            arguments = self._closed()
            if token.lower() in ("max", "min"):
                return max(arguments) if token.lower() == "max" else min(arguments)
            return floor(arguments[0]) if token.lower() == "floor" else ceil(arguments[0])
        if token.isdecimal():
            return int(token)
        self.found.append(token)
        return 1 if self._sizes is None else self._sizes[token]

    def _closed(self) -> list[_Number]:
        """Read what stands in brackets."""
        self._tokens.pop()
        values = [self._sum()]
        while self._take(","):
            values.append(self._sum())
        if not self._take(")"):
            raise ValueError
        return values
