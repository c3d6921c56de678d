"""The library of instances: networks, platforms and problems by name."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.problem.networks import Network, read_network
from dnnopt.problem.platforms import Platform, read_platform
from dnnopt.problem.transforms.coarsening import GRANULARITIES, coarsen

# Sets of problems, from easy to hard, then those with choices beyond placement, and graphs of operators. What is in a
# set never changes: a new choice is a new version, NAME@2.
SETS = ("small", "core", "hard", "papers", "core@2", "hard@2", "hard@3")
_FIRST = "@1"  # small@1 is small
ENDINGS = (".json", ".json.gz")
_KINDS = ("networks", "platforms", "problems")
_MOST_LISTED = 60


def folder(kind: str) -> Traversable:
    """Return the library's folder, or file, of that name."""
    return files("dnnopt") / "instances" / kind


@checked
def names(kind: str) -> list[str]:
    """Return the names of all ``networks``, ``platforms`` or ``problems`` in the library, sorted.

    Raises
    ------
    InputError
        For another kind.
    """
    if kind not in _KINDS:
        raise InputError(f"one of {', '.join(_KINDS)}", field="kind", value=kind)
    if kind == "problems":
        return [*_files(kind), *(f"{name}/{member}" for name in SETS for member in _files(f"{kind}/{name}"))]
    return list(_files(kind))


def members(wanted: Iterable[str]) -> list[str]:
    """Return the names of problems, and of all that are in the sets among them, each once.

    Raises
    ------
    InputError
        For a name that is neither.
    """
    known, found = names("problems"), dict[str, None]()
    for name in (name.removesuffix(_FIRST) for name in wanted):
        for member in [member for member in known if member.startswith(f"{name}/")] if name in SETS else [name]:
            if member not in known:
                raise unknown("problem or set", member, [*SETS, *known])
            found[member] = None
    return list(found)


def _files(kind: str) -> dict[str, Traversable]:
    """Return the files of a folder under their names, which are sorted."""
    place = folder(kind)
    entries = [entry for entry in place.iterdir() if entry.name.endswith(ENDINGS)] if place.is_dir() else []
    return dict(sorted((entry.name.removesuffix(".gz").removesuffix(".json"), entry) for entry in entries))


def unknown(kind: str, name: str, known: list[str], listed: str = "problems") -> InputError:
    """Return the error that there is no such name, with those that are close; `listed` is what to list for more."""
    import difflib

    close = difflib.get_close_matches(name, known, n=3)
    if kind == "problem" and has_network(name):
        hint = "it is a network, of which dp.Problem makes one, with a platform (--platform on the command line)"
    elif close:
        hint = f"did you mean {', '.join(close)}?"
    elif len(known) <= _MOST_LISTED:
        hint = f"there are: {', '.join(known)}"
    else:
        hint = f"there are {len(known)}: see 'dnnopt list {listed}'"
    return InputError("", problem=f"no {kind} named {name!r} in the library; {hint}")


def entry(kind: str, name: str) -> Traversable | None:
    """Return the library's file of that name, or None."""
    section, _, member = name.rpartition("/")
    if section and (kind != "problems" or section not in SETS):
        return None
    return _files(f"{kind}/{section}".rstrip("/")).get(member)


@checked
def network(name: str, *, source: str | None = None, sink: str | None = None) -> Network:
    """Return the library's network of that name.

    Parameters
    ----------
    name : str
        Such as ``vit-b``, whose layers are operators; or at another granularity, such as ``vit-b@layer``,
        ``vit-b@block`` or ``vgg16@rows:4`` (see `dnnopt.problem.transforms.granularity`).
    source, sink : str, optional
        Device where the input starts, and device where the answer must arrive.

    Raises
    ------
    InputError
        If there is none.
    """
    return _network(name).model_copy(update={"source": source, "sink": sink})


def has_network(name: str) -> bool:
    """Return whether the library has a network of that name, whatever granularity is asked for."""
    return entry("networks", name.partition("@")[0]) is not None


@cache
def _network(name: str) -> Network:
    base, at, granularity = name.partition("@")
    if granularity in GRANULARITIES:
        return coarsen(_network(base), granularity)
    if at:
        from dnnopt.problem.transforms.granularity import in_pieces

        return in_pieces(_network(base), granularity).network
    path = entry("networks", name)
    if path is None:
        raise unknown("network", name, names("networks"))
    return read_network(path)


@checked
@cache
def platform(name: str) -> Platform:
    """Return the library's platform of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    path = entry("platforms", name)
    if path is None:
        raise unknown("platform", name, names("platforms"))
    return read_platform(path)
