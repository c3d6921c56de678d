"""All published approaches by their names."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from dnnopt.approaches import published as folder
from dnnopt.approaches.approach import Approach
from dnnopt.base.errors import InputError

_OWN: dict[str, Approach] = {}


@cache
def _shipped() -> dict[str, Approach]:
    modules = [import_module(f"{folder.__name__}.{module.name}") for module in iter_modules(folder.__path__)]
    return {module.APPROACH.name: module.APPROACH for module in modules}


def published() -> Mapping[str, Approach]:
    """Return the approaches by their names, in order of the alphabet, with those that were registered."""
    return MappingProxyType(dict(sorted({**_shipped(), **_OWN}.items())))


def register(approach: Approach) -> None:
    """Add an approach of a user's own to the others, in this process; one of that name that was registered before goes.

    Raises
    ------
    InputError
        If one of the package has its name.
    """
    if approach.name in _shipped():
        raise InputError("a name that no approach of the package has", field="name", value=approach.name)
    _OWN[approach.name] = approach


def approach_named(name: str) -> Approach:
    """Return the approach of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    known = published()
    if name in known:
        return known[name]
    close = get_close_matches(name.lower(), known, n=3)
    hint = f"did you mean {', '.join(close)}?" if close else "see 'dnnopt list approaches'"
    raise InputError("", problem=f"no approach named {name!r}; {hint}")
