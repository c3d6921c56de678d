"""The library of instances: networks, platforms and problems by name."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

from dnnopt.errors import InputError
from dnnopt.networks import Network
from dnnopt.platforms import Platform

if TYPE_CHECKING:
    from dnnopt.problem import Problem


# Sets of problems, from easy to hard. What is in a set never changes: a new choice would be a new version.
SETS = ("small", "core", "hard")


def folder(kind: str) -> Traversable:
    """Return the library's folder, or file, of that name."""
    return files("dnnopt") / "instances" / kind


def names(kind: str) -> list[str]:
    """Return the names of all ``networks``, ``platforms`` or ``problems`` in the library, sorted."""
    if kind == "problems":
        return [*_files(kind), *(f"{name}/{member}" for name in SETS for member in _files(f"{kind}/{name}"))]
    found = {entry.name.removesuffix(".json") for entry in folder(kind).iterdir() if entry.name.endswith(".json")}
    if kind == "networks":
        from dnnopt.formats.onnx_reader import WHEEL_NETWORKS

        found |= set(WHEEL_NETWORKS)
    return sorted(found)


def _files(kind: str) -> list[str]:
    place = folder(kind)
    entries = place.iterdir() if place.is_dir() else ()
    return sorted(entry.name.removesuffix(".json") for entry in entries if entry.name.endswith(".json"))


def unknown(kind: str, name: str, known: list[str]) -> InputError:
    """Return the error that there is no such name, with those that are close."""
    import difflib

    close = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {', '.join(close)}?" if close else f"there are: {', '.join(known)}"
    return InputError("", problem=f"no {kind} named {name!r} in the library; {hint}")


def entry(kind: str, name: str) -> Traversable | None:
    """Return the library's file of that name, or None."""
    if name not in names(kind):
        return None
    path = folder(kind) / f"{name}.json"
    return path if path.is_file() else None


def network(name: str, *, source: str | None = None, sink: str | None = None) -> Network:
    """Return the library's network of that name.

    Parameters
    ----------
    name : str
    source, sink : str, optional
        Device where the input starts, and device where the answer must arrive.

    Raises
    ------
    InputError
        If there is none.
    """
    return _network(name).model_copy(update={"source": source, "sink": sink})


@cache
def _network(name: str) -> Network:
    from dnnopt.formats.files import read_network
    from dnnopt.formats.onnx_reader import WHEEL_NETWORKS, wheel_network

    if name in WHEEL_NETWORKS:
        return wheel_network(name)
    path = entry("networks", name)
    if path is None:
        raise unknown("network", name, names("networks"))
    return read_network(path)


@cache
def platform(name: str) -> Platform:
    """Return the library's platform of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    from dnnopt.formats.files import read_platform

    path = entry("platforms", name)
    if path is None:
        raise unknown("platform", name, names("platforms"))
    return read_platform(path)


@cache
def load(name: str) -> Problem:
    """Return the library's problem of that name, such as ``core/017``.

    Raises
    ------
    InputError
        If there is none.
    """
    from dnnopt.formats.files import read_problem

    path = entry("problems", name)
    if path is None:
        raise unknown("problem", name, names("problems"))
    return read_problem(path)
