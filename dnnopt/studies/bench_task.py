"""One task of a bench: a problem solved in a process of its own, within limits, and the file of its result.

A task is a plain record that any engine can run: it says which problem, how, and where the result goes, and needs
nothing else. A process that dies, hangs or needs more memory than it may is an outcome like another.
"""

from __future__ import annotations

import errno
import math
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from dnnopt.base.children import Child
from dnnopt.base.errors import InputError
from dnnopt.base.files import dump_json, read_text, write_text
from dnnopt.base.json_text import parse_json
from dnnopt.base.machine import PEAK_FILE, machine, usable_cores, usable_memory
from dnnopt.base.numbers import format_quantity
from dnnopt.base.outputs import make_folder
from dnnopt.base.versions import __version__
from dnnopt.methods.result import read_result

_GRACE = 30.0  # seconds beyond one and a half times the limit after which a process is ended
_POLL = 0.1
_ATTEMPTS = 2  # of a process that a signal ends
_TASK = "task"  # keys of result files: what was asked for, and how the run went
_RUN = "run"
_RESULT = "result.json"  # in the folder of a process
_DAMAGED = ".damaged"  # added to the name of a cut file
_FULL = tuple(os.strerror(number) for name in ("ENOSPC", "EDQUOT") if (number := getattr(errno, name, None)))
_NEVER = threading.Event()
_PROGRAM = "from dnnopt.cli.limited import limited; limited()"


class Stop(Protocol):
    """Says whether what runs is to end early, as `threading.Event` does."""

    def is_set(self) -> bool:
        """Return whether it is."""


@dataclass(frozen=True)
class BenchTask:
    """One problem to solve in one way.

    Attributes
    ----------
    problem : str
        Name in the library.
    options : tuple of str
        Of ``dnnopt solve``.
    time_limit : float
        Seconds.
    output : str
        Result file.
    memory : float, optional
        Bytes that the process may take; None: where it is run with others, an equal share of the machine's.
    label : str
        What the way is called.
    """

    problem: str
    options: tuple[str, ...]
    time_limit: float
    output: str
    memory: float | None = None
    label: str = ""


def fair_share(jobs: int) -> float | None:
    """Return the bytes that each of so many processes may take of the machine or its container; None: not known."""
    whole = usable_memory()
    return None if whole is None else whole / jobs


def run_task(task: BenchTask, stop: Stop = _NEVER) -> dict[str, Any]:
    """Solve a task's problem in a process of its own, and return its result file's data; it is there afterwards.

    Raises
    ------
    InputError
        If the result cannot be written.
    KeyboardInterrupt
        If `stop` is set before the process ends; there is no result file then, as its search was cut short.
    """
    make_folder(Path(task.output).parent)  # before any work
    return keep_result(task, solve_task(task, stop))


def solve_task(task: BenchTask, stop: Stop = _NEVER) -> dict[str, Any]:
    """Do what `run_task` does, but for the file: return what it is to say."""
    run: dict[str, Any] = {"machine": machine()}
    data = None
    for _ in range(_ATTEMPTS):
        run["started"] = datetime.now(UTC).isoformat(timespec="seconds")
        code, message, data = _attempt(task, run, stop)
        if data is not None or code >= 0:
            break
    return (failed_result(task, message) if data is None else data) | {_TASK: _asked(task), _RUN: run}


def failed_result(task: BenchTask, message: str) -> dict[str, Any]:
    """Return the data of the result file of a task that has failed."""
    dead = {"format": "dnnopt-result", "version": 1, "problem": task.problem, "status": "error"}
    empty = {"objective": None, "bound": None, "gap": None, "placement": None, "runtime": None}
    return dead | empty | {"message": message, _TASK: _asked(task)}


def keep_result(task: BenchTask, data: dict[str, Any]) -> dict[str, Any]:
    """Write the result file of a task; return its data, or those of another bench that has written it in the meantime.

    Raises
    ------
    InputError
        If it cannot be written; then there is none.
    """
    output = Path(task.output)
    make_folder(output.parent)
    unfinished = output.with_name(f".{output.name}.{secrets.token_hex(4)}.unfinished")
    try:
        write_text(unfinished, dump_json(data))
        _put_in_place(unfinished, output)
    except OSError as error:
        raise InputError("", file=str(output), problem=f"cannot be written: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return read_result(output)


def _put_in_place(unfinished: Path, output: Path) -> None:
    """Make a file the result, but where another bench has made one in the meantime."""
    try:
        os.link(unfinished, output)
    except FileExistsError:
        return
    except OSError:  # there are no hard links there
        unfinished.replace(output)


def _attempt(task: BenchTask, run: dict[str, Any], stop: Stop) -> tuple[int, str, dict[str, Any] | None]:
    """Run the process of a task; return its exit code, below 0 where a signal ended it, what to say of it, its result.

    How much memory it took is added to `run`. Its files are in a folder of its own: none is left where it is killed.
    """
    with tempfile.TemporaryDirectory(prefix="dnnopt-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        limit = ("--time-limit", f"{task.time_limit:g}")
        program = [sys.executable, "-c", _PROGRAM, f"{task.memory or math.inf}"]
        command = [*program, "solve", task.problem, *task.options, *limit, "--json", str(folder / _RESULT)]
        try:
            code, said = _run(command, folder, 1.5 * task.time_limit + _GRACE, stop)
        except subprocess.TimeoutExpired:
            return 0, f"ended, as it ran {_GRACE:g} s longer than one and a half times its limit", None
        run["peak_memory"] = _peak(folder)
        last = " ".join(said.strip().splitlines()[-1:]).removeprefix("dnnopt: ")
        if (folder / _RESULT).exists():
            return code, last, parse_json(read_text(folder / _RESULT, allow_large=True), allow_large=True)
    if any(words in last for words in _FULL):  # that is no outcome of a problem
        raise InputError("", file=task.output, problem=f"no result: {last}")
    message = last or (f"the process was killed by signal {-code}" if code < 0 else f"it died with exit code {code}")
    if code not in (0, 1, 2) and task.memory is not None and math.isfinite(task.memory):
        message += f"; it had {format_quantity(task.memory, 'bytes')} of memory at most"
    return code, message, None


def threads_of(task: BenchTask) -> int:
    """Return how many threads a task has: those of its options, else one for each processor."""
    return int(_asked(task).get("threads") or usable_cores())


def _asked(task: BenchTask) -> dict[str, Any]:
    """Return what makes a task another one than that of the same problem and way; plugins may lie elsewhere."""
    options: dict[str, Any] = {}
    for word, following in pairwise((*task.options, "")):
        if word.startswith("--") and word != "--plugin":
            options[word.removeprefix("--")] = True if following.startswith("--") or not following else following
    return {"time_limit": task.time_limit, **options}


def kept_result(task: BenchTask, again: bool = False) -> dict[str, Any] | None:
    """Return the result of a task that is there, or None where it is to be done.

    A file that is cut off is put aside (``.damaged``), and the task done again; so are failed ones with `again`.

    Raises
    ------
    InputError
        If it is a result of other limits or options, or of another version: it would be taken for one of these.
    """
    output = Path(task.output)
    if not output.exists():
        return None
    try:
        parse_json(read_text(output, allow_large=True), file=str(output), allow_large=True)
    except InputError:
        output.replace(output.with_name(output.name + _DAMAGED))
        return None
    data = read_result(output)
    if again and data["status"] == "error":
        output.unlink()
        return None
    here: dict[str, Any] = _asked(task) | {"dnnopt": __version__}
    there = {**data.get(_TASK, {}), **{key: data["versions"][key] for key in ("dnnopt",) if key in data["versions"]}}
    for name, value in here.items():
        if name in there and there[name] != value:
            words = f"is a result of {name.replace('_', ' ')} {there[name]}, not {value}: name another folder"
            raise InputError("", file=str(output), problem=words)
    return data


def _run(command: list[str], folder: Path, seconds: float, stop: Stop) -> tuple[int, str]:
    """Run a process with its temporary files in a folder; return its exit code and what it wrote to stderr."""
    end = time.monotonic() + seconds
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    streams |= {"encoding": "utf-8", "errors": "replace"}
    with Child(command, leftovers=[folder], env=os.environ | {"TMPDIR": str(folder)}, **streams) as process:
        try:
            while True:
                try:
                    said = process.communicate(timeout=_POLL)[1]
                    return process.returncode, said
                except subprocess.TimeoutExpired:
                    if stop.is_set():
                        raise KeyboardInterrupt from None
                    if time.monotonic() > end:
                        raise
        except BaseException:
            process.end()
            raise


def _peak(folder: Path) -> int | None:
    """Return what a process has left in its temporary folder as the most memory it held; None: it was killed."""
    try:
        return int((folder / PEAK_FILE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
