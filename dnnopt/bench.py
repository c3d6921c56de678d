"""Runs of many problems: each in a process of its own, with a result file for each, so that a run can go on later.

A unit of work is a plain record that any engine can run (`run_unit`): it says which problem, how, and where the result
goes, and needs nothing else. A process that dies or hangs is an outcome like another.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnnopt import library
from dnnopt.formats.files import dump_json, make_folder, read_result, write_text

_GRACE = 30.0  # seconds beyond one and a half times the limit after which a process is ended
_POLL = 0.1
_NEVER = threading.Event()


@dataclass(frozen=True)
class Unit:
    """One problem to solve.

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
    """

    problem: str
    options: tuple[str, ...]
    time_limit: float
    output: str


def units(
    problems: Iterable[str], runs: Path, *, time_limit: float, options: tuple[str, ...] = (), label: str = "auto"
) -> list[Unit]:
    """Return the units for problems or sets of the library; results go to ``runs/label/problem.json``.

    Raises
    ------
    InputError
        For a name that is not in the library.
    """
    names: dict[str, None] = {}
    known = library.names("problems")
    for name in problems:
        found = [member for member in known if member.startswith(f"{name}/")] if name in library.SETS else [name]
        for member in found:
            if member not in known:
                raise library.unknown("problem or set", member, [*library.SETS, *known])
            names[member] = None
    return [Unit(name, options, time_limit, str(runs / label / f"{name}.json")) for name in names]


def run_unit(unit: Unit, stop: threading.Event = _NEVER) -> dict[str, Any]:
    """Solve a unit's problem in a process of its own, and return its result file's data; it is there afterwards.

    Raises
    ------
    InputError
        If the result cannot be written.
    KeyboardInterrupt
        If `stop` is set before the process ends; there is no result file then, as its search was cut short.
    """
    output = Path(unit.output)
    make_folder(output.parent)
    unfinished = output.with_name(f".{output.name}.unfinished")
    limit = ("--time-limit", f"{unit.time_limit:g}")
    words = [sys.executable, "-m", "dnnopt", "solve", unit.problem, *unit.options, *limit, "--json", str(unfinished)]
    try:
        code, said = _run(words, 1.5 * unit.time_limit + _GRACE, stop)
        message = " ".join(said.strip().splitlines()[-1:]) or f"the process died with exit code {code}"
        if unfinished.exists():
            unfinished.replace(output)
    except subprocess.TimeoutExpired:
        message = f"ended, as it ran {_GRACE:g} s longer than one and a half times its limit"
    finally:
        unfinished.unlink(missing_ok=True)
    if not output.exists():
        dead = {"format": "dnnopt-result", "version": 1, "problem": unit.problem, "status": "error"}
        empty = {"objective": None, "bound": None, "gap": None, "placement": None, "runtime": None}
        write_text(output, dump_json(dead | empty | {"message": message}))
    return read_result(output)


def _run(words: list[str], seconds: float, stop: threading.Event) -> tuple[int, str]:
    """Run a process that no Ctrl-C reaches but through us; return its exit code and what it wrote to stderr."""
    end = time.monotonic() + seconds
    with subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
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
            _end(process)
            raise


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupt a process until it ends, so that it ends what it has started; kill it where that does not help."""
    for _ in range(10):
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
    process.kill()


def run_all(work: list[Unit], jobs: int = 1) -> Iterator[tuple[Unit, dict[str, Any]]]:
    """Yield each unit with its result, as they end; units whose result is there already come first.

    Where the iteration ends early (Ctrl-C), so do the processes; what they have not finished is not there.
    """
    missing = []
    for unit in work:
        if Path(unit.output).exists():
            yield unit, read_result(unit.output)
        else:
            missing.append(unit)
    stop = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            futures = {pool.submit(run_unit, unit, stop): unit for unit in missing}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
