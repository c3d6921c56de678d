"""Arguments of public functions: a wrong one is an InputError that names it, not an error from somewhere inside."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, wraps
from importlib.resources.abc import Traversable
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

from dnnopt.base.errors import InputError
from dnnopt.base.units import parse_value


@dataclass(frozen=True)
class Quantity:
    """In ``Annotated``: a number that a text with a unit may stand for."""

    dimension: str

    def __str__(self) -> str:
        return f"a number, or a text such as {_EXAMPLES[self.dimension]!r}"


_EXAMPLES = {"time": "30 s", "number": "1 %", "bandwidth": "1 GB/s"}
Duration = Annotated[float, Quantity("time")]
Share = Annotated[float, Quantity("number")]
Rate = Annotated[float, Quantity("bandwidth")]

P = ParamSpec("P")
R = TypeVar("R")

_WORDS: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    Path: "a path",
    NoneType: "None",
    Traversable: "",  # the package's own files
}
_ABSTRACT = {int: Integral, float: Real}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of a function against its annotations before it runs; numbers of numpy become plain ones.

    A text such as ``"5 s"`` may stand for a `Duration`, ``"1 %"`` for a `Share`, and ``"1 GB/s"`` for a `Rate`.

    Raises
    ------
    InputError
        For an argument of another type, one that is missing, and a name that is not one of its arguments. A text in
        ``Annotated`` says what is expected.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            bound = signature.bind(*arguments, **named)
        except TypeError as error:
            raise _unfit(function.__name__, signature, named, error) from None
        for name, value in bound.arguments.items():
            hint = _hints(function)[name]
            several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
            if isinstance(value, str):
                try:
                    value = _read(value, hint)
                except InputError as error:
                    raise error.within(field=name) from None
            for one in value if several else (value,):
                if not _fits(one, hint):
                    raise InputError(_words(hint), field=name, value=one)
            bound.arguments[name] = _plain(value)
        return function(*bound.args, **bound.kwargs)

    return call


def _plain(value: Any) -> Any:
    if isinstance(value, int | float) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _unfit(function: str, signature: inspect.Signature, named: Mapping[str, Any], error: TypeError) -> InputError:
    known = signature.parameters
    for name in named:
        if name not in known:
            meant = get_close_matches(name, known, n=1)
            hint = f"did you mean {meant[0]!r}?" if meant else f"it takes {_names(known)}"
            return InputError("", field=name, problem=f"no argument of {function}; {hint}")
    problem = str(error)
    if problem.startswith("too many"):
        problem += f"; it takes {_names(known)}"
    return InputError("", field=function, problem=problem)


def _names(known: Mapping[str, inspect.Parameter]) -> str:
    words = ["NAME=VALUE" if one.kind is one.VAR_KEYWORD else name for name, one in known.items() if name != "self"]
    return ", ".join(words) or "none"


def _read(text: str, hint: Any) -> Any:
    """Return what a text says where a quantity may stand, and itself elsewhere."""
    if get_origin(hint) is Annotated and isinstance(get_args(hint)[1], Quantity):
        return parse_value(text, get_args(hint)[1].dimension)
    if get_origin(hint) in (Union, UnionType):
        return next((value for part in get_args(hint) if (value := _read(text, part)) is not text), text)
    return text


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotation of each argument; Any for one whose names are not there when programs run."""
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        found[name] = Any
        if isinstance(parameter.annotation, str) and parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            try:
                found[name] = eval(parameter.annotation, inspect.unwrap(function).__globals__)
            except NameError:
                continue
    return found


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if hint is None:
        return value is None
    if origin is Annotated:
        return _fits(value, parts[0])
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return isinstance(value, str)  # which ones there are, the function says
    if origin is not None and issubclass(origin, Callable):  # type: ignore[arg-type]
        return callable(value)
    is_mapping = hasattr(value, "keys") and hasattr(value, "__getitem__")  # a series of pandas is one as well
    if origin is not None and issubclass(origin, Mapping):
        return is_mapping
    if origin is not None and issubclass(origin, Iterable):
        if isinstance(value, str | bytes) or is_mapping or not isinstance(value, Iterable):
            return False
        if not hasattr(value, "__len__"):  # to look at it would use it up
            return not issubclass(origin, Sequence)
        return all(_fits(one, parts[0]) for one in value)
    kind = _ABSTRACT.get(hint, hint)
    return isinstance(value, kind) and (hint is bool or not isinstance(value, bool))


def _words(hint: Any) -> str:
    """Return what an annotation asks for."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return str(parts[1])
    if origin in (Union, UnionType):
        words = [text for part in parts if part is not NoneType and (text := _words(part))]
        return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    if origin is Literal:
        return f"one of {', '.join(map(repr, parts))}"
    if origin is not None and issubclass(origin, Callable):  # type: ignore[arg-type]
        return "a function"
    if origin is not None and issubclass(origin, Mapping):
        return "a mapping"
    if origin is not None:
        return f"a list, each {_words(parts[0])}"
    return _WORDS.get(hint, f"a {hint.__name__}")
