"""The project's own results: every part of the package over its own problems, one thread for each run.

- ``auto``: `small` and `core` (both versions) for 60 s each;
- ``formulations``: the same for 20 s each, by each of four formulations that support it (constraint programming has one
  for plans that are only placed and one for those that are scheduled, too);
- ``heuristics``: the same for 1 s each, by every heuristic;
- ``approaches``: the algorithms of published approaches on the same problems, where they serve them;
- ``relaxations``: the linear relaxation of every mixed-integer linear formulation of `small` and `core`, for 20 s each;
- ``hard``: `hard` for 120 s each.

A result file for each run goes to ``FOLDER/runs`` (``FOLDER/approaches`` for approaches). All parts take some twelve
hours of one core, ``--jobs`` at a time. Ended, by whatever, and started again, it does what is missing. Afterwards::

    dnnopt report FOLDER/runs --approaches FOLDER/approaches -o report.html
    dnnopt runs FOLDER/runs -o runs.parquet        # to keep; 'dnnopt runs runs.parquet -o FOLDER/runs' unpacks it
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dnnopt as dp
from dnnopt.approaches.scores import score
from dnnopt.base.errors import InputError
from dnnopt.base.numbers import format_runtime
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.problem import library
from dnnopt.studies.bench import outcome, run_all, tasks
from dnnopt.studies.bench_progress import BenchProgress
from dnnopt.studies.bench_task import BenchTask
from dnnopt.studies.relaxations import relaxation_tasks
from dnnopt.studies.set_comparison import set_tasks

SETS = ("small", "core", "core@2")
HARD = ("hard",)
FORMULATIONS = ("product", "edgewise", "boundary", "cp-assignment", "cp-schedule")


def heuristic_tasks(runs: Path) -> list[BenchTask]:
    """Return a task for each problem and heuristic."""
    return set_tasks(SETS, runs, heuristic_limit=1.0)


def auto_tasks(runs: Path) -> list[BenchTask]:
    """Return a task for each problem."""
    return tasks(SETS, runs, time_limit=60.0)


def hard_tasks(runs: Path) -> list[BenchTask]:
    """Return a task for each problem of `hard`."""
    return tasks(HARD, runs, time_limit=120.0)


def formulation_tasks(runs: Path) -> list[BenchTask]:
    """Return a task for each problem and formulation that supports it."""
    found: list[BenchTask] = []
    for name in library.members(SETS):
        compiled = compile_problem(dp.load(name)).at_stage(0, {})
        for formulation in FORMULATIONS:
            try:
                registry.formulation(formulation, compiled)
            except InputError:
                continue
            found += tasks([name], runs, formulation=formulation, time_limit=20.0)
    return found


def lp_tasks(runs: Path) -> list[BenchTask]:
    """Return a task for the linear relaxation of each problem and formulation that supports it."""
    return relaxation_tasks(SETS, runs, time_limit=20.0)


PARTS: dict[str, Callable[[Path], list[BenchTask]] | None] = {
    "heuristics": heuristic_tasks,
    "auto": auto_tasks,
    "formulations": formulation_tasks,
    "relaxations": lp_tasks,
    "hard": hard_tasks,
    "approaches": None,
}


def run_part(work: list[BenchTask], **engine: Any) -> Iterator[str]:
    """Run tasks, and yield what to say of each."""
    started, reached = time.monotonic(), BenchProgress()
    for task, data in run_all(work, progress=reached, **engine):
        yield f"[{reached.done}/{reached.tasks}] {task.label} {task.problem}: {outcome(data)} ({reached})"
    yield f"{reached.done} runs, {format_runtime(time.monotonic() - started)}"


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the results")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="just this one; may be repeated")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--scheduler", help="of Dask: run them on its workers")
    parser.add_argument("--oversubscribe", action="store_true", help="more threads than there are cores may run")
    parser.add_argument("--again", action="store_true", help="try those that failed before again")
    arguments = parser.parse_args()
    engine = {name: getattr(arguments, name) for name in ("jobs", "scheduler", "oversubscribe", "again")}

    def watch(reached: BenchProgress, what: str, data: Mapping[str, Any]) -> None:
        print(f"[{reached.done}/{reached.tasks}] {what}: {data['status']} ({reached})", flush=True)

    for part in arguments.part or PARTS:
        made = PARTS[part]
        if made is None:
            score(SETS, arguments.folder / "approaches", watch=watch, **engine)
            continue
        for line in run_part(made(arguments.folder / "runs"), **engine):
            print(line, flush=True)


if __name__ == "__main__":
    main()
