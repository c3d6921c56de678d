"""The JSON files of dnnopt: read with checks, written whole or not at all."""

from __future__ import annotations

import gzip
import io
import json
import math
import zlib
from collections.abc import Callable
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.base.json_text import parse_json
from dnnopt.base.outputs import write_output
from dnnopt.base.sizes import MOST_BYTES, check_bytes, check_places, read_bytes
from dnnopt.networks import Network
from dnnopt.plan import Plan
from dnnopt.platforms import Platform
from dnnopt.problem import Problem
from dnnopt.profiles import Profile

VERSION = 1
PLAN_KEYS = ("placement", "schedule")


def read_text(path: str | Path | Traversable, *, allow_large: bool = False) -> str:
    """Return the text of a file; one whose name ends in ``.gz`` is unpacked.

    Parameters
    ----------
    path : path
    allow_large : bool
        Whether its length is not limited (see `dnnopt.base.sizes`).

    Raises
    ------
    InputError
        If it cannot be read, is too large, is not UTF-8, or is named ``.gz`` and is no whole gzip file.
    """
    source = Path(path) if isinstance(path, str) else path
    most = None if allow_large else MOST_BYTES + 1
    try:
        with source.open("rb") as stream:
            data = read_bytes(stream, most)
        check_bytes(len(data), allow_large=allow_large, file=str(path))
        if source.name.endswith(".gz"):
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                data = read_bytes(packed, most)
            check_bytes(len(data), allow_large=allow_large, file=str(path))
        return data.decode("utf-8")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        cut = "; is the file cut off?" if isinstance(error, EOFError) else ""
        raise InputError("", file=str(path), problem=f"not a gzip file, or a damaged one: {error}{cut}") from None
    except OSError as error:
        raise InputError("", file=str(path), problem=error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise InputError("", file=str(path), problem="not a text file in UTF-8") from None
    except InputError:
        raise
    except ValueError as error:  # a null character in the path
        raise InputError("", file=str(path), problem=f"cannot be read: {error}") from None


def write_text(path: str | Path, text: str | bytes) -> None:
    """Write a file whole or not at all (see `dnnopt.base.outputs`).

    Text is written in UTF-8, and packed (with no time stamp) where the name ends in ``.gz``.
    """
    # Halves of surrogate pairs, as of a path that is no UTF-8, are written as JSON does.
    data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
    if isinstance(text, str) and str(path).endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    write_output(path, data)


def read_data(path: str | Path | Traversable, kind: str | None, *, allow_large: bool = False) -> dict[str, Any]:
    """Return a file's object without its header, which must say ``dnnopt-<kind>`` and a version known here.

    Raises
    ------
    InputError
        For a file that is missing, too large, not JSON, cut off, of another kind, or written by a newer version.
    """
    file = str(path)
    data = parse_json(read_text(path, allow_large=allow_large), file=file, allow_large=allow_large)
    if not isinstance(data, dict):
        raise InputError("an object (names to values)", file=file, value=data)
    if kind is not None:
        _take_header(data, kind, file)
    return data


def _take_header(data: dict[str, Any], kind: str, file: str) -> None:
    """Take the header, which must be that of a kind of file, out of its data."""
    header = data.pop("format", None)
    if header != f"dnnopt-{kind}":
        raise InputError(f"'dnnopt-{kind}'", file=file, field="format", value=header)
    version = data.pop("version", None)
    if isinstance(version, int) and version > VERSION:
        raise InputError(
            f"at most {VERSION} (the file was written by a newer dnnopt)", file=file, field="version", value=version
        )
    if version != VERSION or isinstance(version, bool):
        raise InputError(f"{VERSION}", file=file, field="version", value=version)


def dump_json(data: Any) -> str:
    """Return `data` as indented JSON text; infinite and undefined numbers are refused."""
    return json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _write(path: str | Path, kind: str, data: dict[str, Any]) -> None:
    write_text(path, _text(kind, data))


def _text(kind: str, data: dict[str, Any]) -> str:
    return dump_json({"format": f"dnnopt-{kind}", "version": VERSION, **data})


def read_network(path: str | Path | Traversable, *, allow_large: bool = False) -> Network:
    """Read a network file; `allow_large` lifts the limits of `dnnopt.base.sizes`, here and in the other readers."""
    return _network(read_data(path, "network", allow_large=allow_large), str(path), allow_large)


def _network(data: dict[str, Any], file: str, allow_large: bool) -> Network:
    _check_amounts([data], None, file, allow_large)
    return Network.from_data(data, file=file)


def write_network(network: Network, path: str | Path) -> None:
    """Write a network file."""
    _write(path, "network", network.to_data())


def read_platform(path: str | Path | Traversable, *, allow_large: bool = False) -> Platform:
    """Read a platform file; texts with units such as ``"20 Mbit/s"`` are accepted in it."""
    data = read_data(path, "platform", allow_large=allow_large)
    _check_amounts([], data, str(path), allow_large)
    return Platform.from_data(data, file=str(path), units=True)


def write_platform(platform: Platform, path: str | Path) -> None:
    """Write a platform file, in SI units."""
    _write(path, "platform", platform.to_data())


def read_profile(path: str | Path | Traversable, *, allow_large: bool = False) -> Profile:
    """Read a profile file: measured times and energies of layers on devices."""
    return Profile.from_data(read_data(path, "profile", allow_large=allow_large), file=str(path))


def write_profile(profile: Profile, path: str | Path) -> None:
    """Write a profile file."""
    _write(path, "profile", profile.to_data())


def read_problem(path: str | Path | Traversable, *, allow_large: bool = False) -> Problem:
    """Read a problem file; networks and platforms may be named, and are then the library's."""
    return _problem(read_data(path, "problem", allow_large=allow_large), str(path), allow_large)


def read_problem_or_network(path: str | Path, *, allow_large: bool = False) -> Problem | Network:
    """Read a problem file or a network file, whichever it is; just once, as it may be a pipe."""
    data, file = read_data(path, None, allow_large=allow_large), str(path)
    kind = "network" if data.get("format") == "dnnopt-network" else "problem"
    _take_header(data, kind, file)
    return (_network if kind == "network" else _problem)(data, file, allow_large)


def _problem(data: dict[str, Any], file: str, allow_large: bool) -> Problem:
    networks = data.get("networks")
    _check_amounts(networks if isinstance(networks, list) else [], data.get("platform"), file, allow_large)
    return Problem.from_data(data, file=file)


def _check_amounts(networks: list[Any], platform: Any, file: str, allow_large: bool) -> None:
    """Refuse data with more layers and devices than real ones have, before all of them are looked at."""

    def count(part: Any, key: str) -> int:
        listed = part.get(key) if isinstance(part, dict) else None
        return len(listed) if isinstance(listed, list) else 0

    layers = sum(count(network, "layers") for network in networks)
    check_places(layers, count(platform, "devices"), allow_large=allow_large, file=file)


def write_problem(problem: Problem, path: str | Path) -> None:
    """Write a problem file with its networks and platform in full."""
    write_text(path, problem_text(problem))


def problem_text(problem: Problem) -> str:
    """Return the text of a problem file."""
    return _text("problem", problem.to_data())


def read_plan(path: str | Path, problem: Problem | None = None, *, allow_large: bool = False) -> Plan:
    """Read the plan in a plan or result file, and check that it fits `problem` where one is given."""
    data = read_data(path, None, allow_large=allow_large)
    if "placement" in data and data["placement"] is None:
        raise InputError("", file=str(path), field="placement", problem="the file has no plan")
    plan = Plan.from_data({key: data[key] for key in PLAN_KEYS if data.get(key) is not None}, file=str(path))
    if problem is not None:
        try:
            plan.check(problem)
        except InputError as error:
            raise error.within(file=str(path)) from None
    return plan


def read_result(path: str | Path, *, allow_large: bool = False) -> dict[str, Any]:
    """Return the data of a result file; what a run that ended in an error lacks is None or empty.

    Raises
    ------
    InputError
        For what `read_data` refuses, and for values of another kind. The plan is left to `read_plan`.
    """
    data = read_data(path, "result", allow_large=allow_large)
    result = {**_MISSING, **data}
    for key, fits, expected in _RESULT:
        if not fits(result.get(key)):
            raise InputError(expected, file=str(path), field=key, value=result.get(key))
    return result


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


_MISSING: dict[str, Any] = {
    **dict.fromkeys(("objective", "bound", "gap", "runtime", "checksum", "placement")),
    **dict.fromkeys(("found_by", "bound_by", "date", "message"), ""),
    "versions": {},
}
_RESULT: list[tuple[str, Callable[[Any], bool], str]] = [
    *((key, lambda value: isinstance(value, str), "a text") for key in ("problem", "status")),
    *((key, _is_number, "a finite number, or null") for key in ("objective", "bound", "gap", "runtime")),
    ("checksum", lambda value: value is None or isinstance(value, str), "a text, or null"),
    *((key, lambda value: isinstance(value, str), "a text") for key in ("found_by", "bound_by", "date", "message")),
    ("versions", _is_texts, "an object of texts"),
]


def write_plan(plan: Plan, path: str | Path) -> None:
    """Write a plan file."""
    write_text(path, dump_json(plan.to_data()))
