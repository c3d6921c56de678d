"""Runs of many problems: each in a process of its own, with a result file for each, so that a run can go on later.

A task is a plain record that any engine can run (`run_task`): it says which problem, how, and where the result goes,
and needs nothing else. A process that dies, hangs or needs more memory than it may is an outcome like another.
"""

from __future__ import annotations

import math
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnopt.base.arguments import Duration, checked
from dnnopt.base.children import Child
from dnnopt.base.console import table, words
from dnnopt.base.errors import InputError
from dnnopt.base.files import dump_json, read_text, write_text
from dnnopt.base.frozen import unchangeable
from dnnopt.base.json_text import parse_json
from dnnopt.base.machine import PEAK_FILE, machine, usable_memory
from dnnopt.base.numbers import format_gap, format_percent, format_quantity, format_runtime
from dnnopt.base.outputs import make_folder
from dnnopt.base.plugins import load_plugin, located
from dnnopt.base.tables import Tabular
from dnnopt.base.versions import __version__
from dnnopt.methods.result import read_result
from dnnopt.methods.solving import check_choice
from dnnopt.models.solvers.interface import Limits
from dnnopt.problem import library
from dnnopt.problem.problem import load
from dnnopt.problem.words import objective_name
from dnnopt.studies.run_frames import Readable

if TYPE_CHECKING:
    from rich.console import Console

_GRACE = 30.0  # seconds beyond one and a half times the limit after which a process is ended
_SHARES = (0.01, 0.15)  # of gaps, in summaries
_SMALLEST = 1e-12  # stands for a gap of 0 without a proof, as of a later priority
_POLL = 0.1
_ATTEMPTS = 2  # of a process that a signal ends
_TASK = "task"  # keys of result files: what was asked for, and how the run went
_RUN = "run"
_DAMAGED = ".damaged"  # added to the name of a cut file
_NEVER = threading.Event()
_PROGRAM = "from dnnopt.cli.limited import limited; limited()"


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
        Bytes that the process may take.
    label : str
        What the way is called.
    """

    problem: str
    options: tuple[str, ...]
    time_limit: float
    output: str
    memory: float | None = None
    label: str = ""


@checked
def tasks(
    problems: Iterable[str],
    runs: Path,
    *,
    method: str = "auto",
    formulation: str | None = None,
    solver: str | None = None,
    time_limit: Duration = 60.0,
    threads: int = 1,
    seed: int = 0,
    memory: float | None = None,
    plugins: Sequence[str] = (),
) -> list[BenchTask]:
    """Return the tasks for problems or sets of the library.

    Results go to ``runs/label/problem.json``; the label is the method, or the formulation and the solver.

    Parameters
    ----------
    problems : iterable of str
    runs : Path
    method, formulation, solver, time_limit, threads, seed
        As for `solve`.
    memory : float, optional
        Bytes for each task.
    plugins : sequence of str
        Modules, or .py files, that each process imports first; `method` and the like may be what they register.

    Raises
    ------
    InputError
        For a name that is not in the library, and for options that `solve` would refuse.
    """
    for plugin in plugins:
        load_plugin(plugin)
    Limits(time_limit, threads=threads, seed=seed)  # a mistake in the options is no outcome of every problem
    check_choice(method, formulation, solver)
    named = {"method": method, "formulation": formulation, "solver": solver, "threads": threads, "seed": seed}
    given = [(name, str(value)) for name, value in named.items() if value is not None]
    given += [("plugin", plugin) for plugin in located(plugins)]
    options = tuple(word for name, value in given for word in (f"--{name}", value))
    label = "+".join(filter(None, (formulation or method, solver)))
    return [
        BenchTask(name, options, time_limit, str(runs / label / f"{name}.json"), memory, label)
        for name in library.members(problems)
    ]


def outcome(data: Mapping[str, Any]) -> str:
    """Return what the result file of a problem of the library says, in a few words."""
    objective = ""
    if data["objective"] is not None:
        name, unit = objective_name(load(data["problem"]))
        objective = f", {name} {format_quantity(data['objective'], unit, 6)}"
    gap = "" if data["gap"] is None else f", gap {format_gap(data['gap'])}"
    seconds = "" if data["runtime"] is None else f", in {format_runtime(data['runtime'])}"
    why = f": {data['message']}" if data["status"] == "error" else ""
    return f"{data['status'].replace('_', ' ')}{objective}{gap}{seconds}{why}"


@unchangeable
@dataclass(frozen=True, repr=False)
class BenchSummary(Tabular):
    """How many of the problems of each execution have what gap at most, and how many proofs are confirmed.

    Attributes
    ----------
    gaps : mapping of str to tuple of float
        Of the problems of an execution: 0 where proved, infinite without a plan or a bound.
    proofs, confirmed : int
    confirming, proving : float
        Seconds.
    """

    row_noun = "execution"

    gaps: Mapping[str, tuple[float, ...]]
    proofs: int
    confirmed: int
    confirming: float
    proving: float

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a plain row for each execution: counts of problems."""
        return [
            {
                "execution": execution,
                "problems": len(gaps),
                "proved": sum(gap == 0 for gap in gaps),
                **{_at_most(share): sum(gap <= share for gap in gaps) for share in _SHARES},
            }
            for execution, gaps in sorted(self.gaps.items())
        ]

    def report(self, console: Console) -> None:
        """Print it for a person."""
        rows = [
            (
                row["execution"],
                f"{row['problems']:,}",
                *(_counted_of(row[key], row["problems"]) for key in list(row)[2:]),
            )
            for row in self.to_rows()
        ]
        columns = [
            ("execution", "left"),
            *((name, "right") for name in ("problems", "proved", *map(_at_most, _SHARES))),
        ]
        console.print(table("", columns, rows))
        share = f", {100 * self.confirming / self.proving:.0f} % of the time to the proofs" if self.proving > 0 else ""
        took = format_runtime(self.confirming)
        console.print(words(f"{self.confirmed:,} of {self.proofs:,} proofs confirmed, in {took}{share}"))


def summary(results: Iterable[tuple[str, Mapping[str, Any]]]) -> BenchSummary:
    """Return what problems (name, result data) have in common."""
    gaps: dict[str, list[float]] = {}
    proofs = []
    for name, data in results:
        proved, gap = data["status"] == "optimal", data["gap"]
        found = 0.0 if proved else math.inf if gap is None else max(gap, _SMALLEST)
        gaps.setdefault(load(name).execution, []).append(found)
        if data["status"] in ("optimal", "infeasible"):
            proofs.append(data)
    confirming = sum(data.get("confirming", 0.0) for data in proofs)
    return BenchSummary(
        gaps={execution: tuple(found) for execution, found in gaps.items()},
        proofs=len(proofs),
        confirmed=sum(bool(data.get("confirmed_by")) for data in proofs),
        confirming=confirming,
        proving=sum(data["runtime"] or 0.0 for data in proofs) - confirming,
    )


def _at_most(share: float) -> str:
    return f"gap at most {format_percent(share)}"


def _counted_of(count: int, whole: int) -> str:
    return f"{count:,} ({100 * count / whole:.0f} %)"


def fair_share(jobs: int) -> float | None:
    """Return the bytes that each of so many processes may take of the machine or its container; None: not known."""
    whole = usable_memory()
    return None if whole is None else whole / jobs


def run_task(task: BenchTask, stop: threading.Event = _NEVER) -> dict[str, Any]:
    """Solve a task's problem in a process of its own, and return its result file's data; it is there afterwards.

    Raises
    ------
    InputError
        If the result cannot be written.
    KeyboardInterrupt
        If `stop` is set before the process ends; there is no result file then, as its search was cut short.
    """
    output = Path(task.output)
    make_folder(output.parent)
    run: dict[str, Any] = {"machine": machine()}
    for attempt in range(1, _ATTEMPTS + 1):
        run["started"] = datetime.now(UTC).isoformat(timespec="seconds")
        code, message = _attempt(task, output, run, stop)
        if output.exists() or code >= 0 or attempt == _ATTEMPTS:
            break
    if not output.exists():
        dead = {"format": "dnnopt-result", "version": 1, "problem": task.problem, "status": "error"}
        empty = {"objective": None, "bound": None, "gap": None, "placement": None, "runtime": None}
        write_text(output, dump_json(dead | empty | {"message": message, _TASK: _asked(task), _RUN: run}))
    return read_result(output)


def _attempt(task: BenchTask, output: Path, run: dict[str, Any], stop: threading.Event) -> tuple[int, str]:
    """Run the process of a task; return its exit code, below 0 where a signal ended it, and what to say of it.

    How much memory it took is added to `run`.
    """
    # A name of its own: another bench may be at the same task.
    unfinished = output.with_name(f".{output.name}.{secrets.token_hex(4)}.unfinished")
    limit = ("--time-limit", f"{task.time_limit:g}")
    program = [sys.executable, "-c", _PROGRAM, f"{task.memory or math.inf}"]
    command = [*program, "solve", task.problem, *task.options, *limit, "--json", str(unfinished)]
    code = 0
    try:
        code, said, run["peak_memory"] = _run(command, unfinished, 1.5 * task.time_limit + _GRACE, stop)
        last = " ".join(said.strip().splitlines()[-1:]).removeprefix("dnnopt: ")
        message = last or (
            f"the process was killed by signal {-code}" if code < 0 else f"it died with exit code {code}"
        )
        if code not in (0, 1, 2) and task.memory is not None and math.isfinite(task.memory):
            message += f"; it had {format_quantity(task.memory, 'bytes')} of memory at most"
        if unfinished.exists():
            data = parse_json(read_text(unfinished, allow_large=True), file=str(unfinished), allow_large=True)
            write_text(unfinished, dump_json(data | {_TASK: _asked(task), _RUN: run}))
            _put_in_place(unfinished, output)
    except subprocess.TimeoutExpired:
        message = f"ended, as it ran {_GRACE:g} s longer than one and a half times its limit"
    finally:
        unfinished.unlink(missing_ok=True)
    return code, message


def _put_in_place(unfinished: Path, output: Path) -> None:
    """Make a file the result, but where another bench has made one in the meantime."""
    try:
        os.link(unfinished, output)
    except FileExistsError:
        return
    except OSError:  # there are no hard links there
        unfinished.replace(output)


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


def _run(command: list[str], unfinished: Path, seconds: float, stop: threading.Event) -> tuple[int, str, int | None]:
    """Run a process that writes a file; return its exit code, what it wrote to stderr, and how much memory it took.

    Its temporary files are in a folder of its own, so that none is left where it is killed.
    """
    end = time.monotonic() + seconds
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    streams |= {"encoding": "utf-8", "errors": "replace"}
    with (
        tempfile.TemporaryDirectory(prefix="dnnopt-bench-", ignore_cleanup_errors=True) as folder,
        Child(command, leftovers=[unfinished, folder], env=os.environ | {"TMPDIR": folder}, **streams) as process,
    ):
        try:
            while True:
                try:
                    said = process.communicate(timeout=_POLL)[1]
                    return process.returncode, said, _peak(Path(folder))
                except subprocess.TimeoutExpired:
                    if stop.is_set():
                        raise KeyboardInterrupt from None
                    if time.monotonic() > end:
                        raise
        except BaseException:
            _end(process)
            raise


def _peak(folder: Path) -> int | None:
    """Return what a process has left in its temporary folder as the most memory it held; None: it was killed."""
    try:
        return int((folder / PEAK_FILE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _end(process: Child) -> None:
    """Ask a process to end, so that it clears away what it has made; kill it where that does not help."""
    for _ in range(10):
        if process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
    process.kill()


@Readable
@checked
def bench(
    problems: str | Iterable[str],
    output: str | Path,
    *,
    jobs: int = 1,
    memory: float | None = None,
    again: bool = False,
    watch: Callable[[int, BenchTask, Mapping[str, Any]], None] | None = None,
    **options: Any,
) -> BenchSummary:
    """Solve many problems of the library, each in a process of its own; called again, it does what is missing.

    Parameters
    ----------
    problems : str or iterable of str
        Sets (``small``, ``core``, ``hard``) or names of problems.
    output : path
        Folder for the results: a result file for each problem.
    jobs : int
        Problems at a time; more than there are cores spoil the times.
    memory : float, optional
        Bytes for each process; by default an equal share of the machine's.
    again : bool
        Whether to try tasks again that failed before.
    watch : callable, optional
        Called with the number of tasks, a task and its result file's data, as each ends.
    **options
        ``method``, ``formulation``, ``solver``, ``time_limit`` (60 seconds), ``threads`` (1), ``seed``: as for `solve`;
        ``plugins``: modules, or .py files, that each process imports first.

    Raises
    ------
    InputError
        For a name that is not in the library, and for options that `solve` would refuse.
    """
    named = [problems] if isinstance(problems, str) else problems
    work = tasks(named, Path(output), memory=fair_share(jobs) if memory is None else memory, **options)
    results = []
    for task, data in run_all(work, jobs, again=again):
        results.append((task.problem, data))
        if watch is not None:
            watch(len(work), task, data)
    return summary(results)


def run_all(work: list[BenchTask], jobs: int = 1, *, again: bool = False) -> Iterator[tuple[BenchTask, dict[str, Any]]]:
    """Yield each task with its result, as they end; tasks whose result is there already come first.

    With `again`, failed ones are tried again. Where the iteration ends early (Ctrl-C), so do the processes; what they
    have not finished is not there.
    """
    kept = [kept_result(task, again) for task in work]  # before anything is shown
    missing = []
    for task, data in zip(work, kept, strict=True):
        if data is None:
            missing.append(task)
        else:
            yield task, data
    stop = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            futures = {pool.submit(run_task, task, stop): task for task in missing}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
