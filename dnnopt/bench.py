"""Runs of many problems: each in a process of its own, with a result file for each, so that a run can go on later.

A unit of work is a plain record that any engine can run (`run_unit`): it says which problem, how, and where the result
goes, and needs nothing else. A process that dies or hangs is an outcome like another.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnnopt import library
from dnnopt.formats.files import dump_json, write_text

_GRACE = 30.0  # seconds beyond the limit after which a process is killed


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


def run_unit(unit: Unit) -> dict[str, Any]:
    """Solve a unit's problem in a process of its own, and return its result file's data; it is there afterwards."""
    output = Path(unit.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    limit = ("--time-limit", f"{unit.time_limit:g}")
    words = [sys.executable, "-m", "dnnopt", "solve", unit.problem, *unit.options, *limit, "--json", unit.output]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=1.5 * unit.time_limit + _GRACE, check=False
        )
        message = done.stderr.strip().splitlines()[-1:] if done.returncode not in (0, 1) else []
    except subprocess.TimeoutExpired:
        message = [f"killed, as it ran {_GRACE:g} s longer than one and a half times its limit"]
    if not output.exists():
        dead = {"format": "dnnopt-result", "version": 1, "problem": unit.problem, "status": "error"}
        empty = {"objective": None, "bound": None, "gap": None, "placement": None, "runtime": None}
        write_text(output, dump_json(dead | empty | {"message": " ".join(message) or "the process died"}))
    return dict(json.loads(output.read_text("utf-8")))


def run_all(work: list[Unit], jobs: int = 1) -> Iterator[tuple[Unit, dict[str, Any]]]:
    """Yield each unit with its result, as they end; units whose result is there already come first."""
    missing = []
    for unit in work:
        if Path(unit.output).exists():
            yield unit, dict(json.loads(Path(unit.output).read_text("utf-8")))
        else:
            missing.append(unit)
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(run_unit, unit): unit for unit in missing}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
