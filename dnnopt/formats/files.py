"""The JSON files of dnnopt: read with checks, written whole or not at all."""

from __future__ import annotations

import gzip
import json
import math
import os
import tempfile
import zlib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from dnnopt.errors import InputError
from dnnopt.networks import Network
from dnnopt.plan import Plan
from dnnopt.platforms import Platform
from dnnopt.problem import Problem
from dnnopt.profiles import Profile

VERSION = 1
PLAN_KEYS = ("placement", "schedule")


def read_text(path: str | Path | Traversable) -> str:
    """Return the text of a file; one whose name ends in ``.gz`` is unpacked.

    Raises
    ------
    InputError
        If it cannot be read, is not UTF-8, or is named ``.gz`` and is no whole gzip file.
    """
    source = Path(path) if isinstance(path, str) else path
    try:
        data = source.read_bytes()
        if source.name.endswith(".gz"):
            data = gzip.decompress(data)
        return data.decode("utf-8")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        cut = "; is the file cut off?" if isinstance(error, EOFError) else ""
        raise InputError("", file=str(path), problem=f"not a gzip file, or a damaged one: {error}{cut}") from None
    except OSError as error:
        raise InputError("", file=str(path), problem=error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise InputError("", file=str(path), problem="not a text file in UTF-8") from None


def write_text(path: str | Path, text: str | bytes) -> None:
    """Write a file whole or not at all, to a temporary file beside it that is then renamed.

    Text is written in UTF-8, and packed (with no time stamp) where the name ends in ``.gz``.
    """
    path = Path(path)
    data = text.encode("utf-8") if isinstance(text, str) else text
    if isinstance(text, str) and path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent or ".", prefix=f".{path.name}.")
    except OSError as error:
        raise InputError("", file=str(path), problem=f"cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError("", file=str(path), problem=f"cannot be written: {error.strerror}") from None
        raise


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where it is not there yet.

    Raises
    ------
    InputError
        If that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("", file=str(path), problem=f"the folder cannot be made: {error.strerror}") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InputError("every name once", field=key, value=key)
            seen.add(key)
    return data


def read_data(path: str | Path | Traversable, kind: str | None) -> dict[str, Any]:
    """Return a file's object without its header, which must say ``dnnopt-<kind>`` and a version known here.

    Raises
    ------
    InputError
        For a file that is missing, not JSON, cut off, of another kind, or written by a newer version.
    """
    file = str(path)
    text = read_text(path)
    try:
        data = json.loads(text, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        cut = "" if text.rstrip().endswith("}") else "; is the file cut off?"
        raise InputError("", file=file, problem=f"not JSON: {error.msg} at {where}{cut}") from None
    except RecursionError:
        raise InputError("", file=file, problem="not a file of this kind: nested too deeply") from None
    except InputError as error:
        raise error.within(file=file) from None
    if not isinstance(data, dict):
        raise InputError("an object (names to values)", file=file, value=data)
    if kind is not None:
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
    return data


def dump_json(data: Any) -> str:
    """Return `data` as indented JSON text; infinite and undefined numbers are refused."""
    return json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _write(path: str | Path, kind: str, data: dict[str, Any]) -> None:
    write_text(path, dump_json({"format": f"dnnopt-{kind}", "version": VERSION, **data}))


def read_network(path: str | Path | Traversable) -> Network:
    """Read a network file."""
    return Network.from_data(read_data(path, "network"), file=str(path))


def write_network(network: Network, path: str | Path) -> None:
    """Write a network file."""
    _write(path, "network", network.to_data())


def read_platform(path: str | Path | Traversable) -> Platform:
    """Read a platform file; texts with units such as ``"20 Mbit/s"`` are accepted in it."""
    return Platform.from_data(read_data(path, "platform"), file=str(path), units=True)


def write_platform(platform: Platform, path: str | Path) -> None:
    """Write a platform file, in SI units."""
    _write(path, "platform", platform.to_data())


def read_profile(path: str | Path | Traversable) -> Profile:
    """Read a profile file: measured times and energies of layers on devices."""
    return Profile.from_data(read_data(path, "profile"), file=str(path))


def write_profile(profile: Profile, path: str | Path) -> None:
    """Write a profile file."""
    _write(path, "profile", profile.to_data())


def read_problem(path: str | Path | Traversable) -> Problem:
    """Read a problem file; networks and platforms may be named, and are then the library's."""
    return Problem.from_data(read_data(path, "problem"), file=str(path))


def write_problem(problem: Problem, path: str | Path) -> None:
    """Write a problem file with its networks and platform in full."""
    _write(path, "problem", problem.to_data())


def read_plan(path: str | Path, problem: Problem | None = None) -> Plan:
    """Read the plan in a plan or result file, and check that it fits `problem` where one is given."""
    data = read_data(path, None)
    if "placement" in data and data["placement"] is None:
        raise InputError("", file=str(path), field="placement", problem="the file has no plan")
    plan = Plan.from_data({key: data[key] for key in PLAN_KEYS if data.get(key) is not None}, file=str(path))
    if problem is not None:
        try:
            plan.check(problem)
        except InputError as error:
            raise error.within(file=str(path)) from None
    return plan


def read_result(path: str | Path) -> dict[str, Any]:
    """Return the data of a result file; what a run that ended in an error lacks is None or empty.

    Raises
    ------
    InputError
        For what `read_data` refuses, and for values of another kind. The plan is left to `read_plan`.
    """
    data = read_data(path, "result")
    for key in ("problem", "status"):
        if not isinstance(data.get(key), str):
            raise InputError("a text", file=str(path), field=key, value=data.get(key))
    for key in ("objective", "bound", "gap", "runtime"):
        value = data.setdefault(key, None)
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if value is not None and not number:
            raise InputError("a finite number, or null", file=str(path), field=key, value=value)
    empty = {"checksum": None, "placement": None, "found_by": "", "bound_by": "", "date": "", "message": ""}
    return {**empty, "versions": {}, **data}


def write_plan(plan: Plan, path: str | Path) -> None:
    """Write a plan file."""
    write_text(path, dump_json(plan.to_data()))
