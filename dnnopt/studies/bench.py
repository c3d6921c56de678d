"""Runs of many problems: each in a process of its own, with a result file for each, so that a run can go on later."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnopt.base.arguments import Duration, checked
from dnnopt.base.console import table, words
from dnnopt.base.frozen import unchangeable
from dnnopt.base.machine import check_cores
from dnnopt.base.numbers import format_gap, format_percent, format_quantity, format_runtime
from dnnopt.base.outputs import make_folder
from dnnopt.base.plugins import load_plugin, located
from dnnopt.base.tables import Tabular
from dnnopt.methods.solving import check_choice
from dnnopt.models.solvers.interface import Limits
from dnnopt.problem import library
from dnnopt.problem.problem import load
from dnnopt.problem.words import objective_name
from dnnopt.studies.bench_cluster import LOCAL, run_on_cluster
from dnnopt.studies.bench_progress import BenchProgress
from dnnopt.studies.bench_task import BenchTask, fair_share, keep_result, kept_result, run_task, threads_of
from dnnopt.studies.run_frames import Readable

if TYPE_CHECKING:
    from rich.console import Console

_SHARES = (0.01, 0.15)  # of gaps, in summaries
_SMALLEST = 1e-12  # stands for a gap of 0 without a proof, as of a later priority


@checked
def tasks(
    problems: Iterable[str],
    runs: Path,
    *,
    method: str | Sequence[str] | None = None,
    formulation: str | Sequence[str] | None = None,
    solver: str | None = None,
    time_limit: Duration = 60.0,
    threads: int = 1,
    seed: int | Sequence[int] = 0,
    memory: float | None = None,
    plugins: Sequence[str] = (),
) -> list[BenchTask]:
    """Return the tasks for problems or sets of the library: each problem by each method, formulation and seed.

    Results go to ``runs/label/problem.json``; the label is the method, or the formulation and the solver, and the seed
    where it is not 0 (``auto+seed=1``).

    Parameters
    ----------
    problems : iterable of str
    runs : Path
    method, formulation, seed
        As for `solve`, one or several; without any method, that is ``auto`` where there is no formulation either.
    solver, time_limit, threads
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
    methods, formulations = _each(method), _each(formulation)
    seeds = list(dict.fromkeys([seed] if isinstance(seed, int) else seed)) or [0]
    ways: list[tuple[str, str | None]] = [(name, None) for name in methods or ([] if formulations else ["auto"])]
    ways += [("auto", name) for name in formulations]
    for chosen in ways:  # a mistake in the options is no outcome of every problem
        check_choice(*chosen, solver)
    for one in seeds:
        Limits(time_limit, threads=threads, seed=one)
    own = [word for plugin in located(plugins) for word in ("--plugin", plugin)]
    found = []
    for name in library.members(problems):
        for (by, formed), one in product(ways, seeds):
            named = {"method": by, "formulation": formed, "solver": solver, "threads": threads, "seed": one}
            given = [(key, str(value)) for key, value in named.items() if value is not None]
            options = (*(word for key, value in given for word in (f"--{key}", value)), *own)
            label = "+".join(filter(None, (formed or by, solver, f"seed={one}" if one else "")))
            output = str(runs / label / f"{name}.json")
            found.append(BenchTask(name, options, time_limit, output, memory, label))
    return found


def _each(names: str | Sequence[str] | None) -> list[str]:
    return list(dict.fromkeys([names] if isinstance(names, str) else names or ()))


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
    gaps : mapping of (str, str) to tuple of float
        Of the problems of an execution by a way of solving them: 0 where proved, infinite without a plan or a bound.
    proofs, confirmed : int
    confirming, proving : float
        Seconds.
    """

    row_noun = "execution"

    gaps: Mapping[tuple[str, str], tuple[float, ...]]
    proofs: int
    confirmed: int
    confirming: float
    proving: float

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a plain row for each execution: counts of problems; where there are several methods, for each, too."""
        several = len({method for method, _ in self.gaps}) > 1
        return [
            {
                **({"method": method} if several else {}),
                "execution": execution,
                "problems": len(gaps),
                "proved": sum(gap == 0 for gap in gaps),
                **{_at_most(share): sum(gap <= share for gap in gaps) for share in _SHARES},
            }
            for (method, execution), gaps in sorted(self.gaps.items())
        ]

    def report(self, console: Console) -> None:
        """Print it for a person."""
        counts = ("proved", *map(_at_most, _SHARES))
        found = self.to_rows()
        texts = [name for name in ("method", "execution") if not found or name in found[0]]
        rows = [
            (
                *(row[name] for name in texts),
                f"{row['problems']:,}",
                *(_counted_of(row[name], row["problems"]) for name in counts),
            )
            for row in found
        ]
        columns = [*((name, "left") for name in texts), *((name, "right") for name in ("problems", *counts))]
        console.print(table("", columns, rows))
        share = f", {100 * self.confirming / self.proving:.0f} % of the time to the proofs" if self.proving > 0 else ""
        took = format_runtime(self.confirming)
        console.print(words(f"{self.confirmed:,} of {self.proofs:,} proofs confirmed, in {took}{share}"))


def summary(results: Iterable[tuple[BenchTask, Mapping[str, Any]]]) -> BenchSummary:
    """Return what tasks and the data of their results have in common."""
    gaps: dict[tuple[str, str], list[float]] = {}
    proofs = []
    for task, data in results:
        proved, gap = data["status"] == "optimal", data["gap"]
        found = 0.0 if proved else math.inf if gap is None else max(gap, _SMALLEST)
        gaps.setdefault((task.label, load(task.problem).execution), []).append(found)
        if data["status"] in ("optimal", "infeasible"):
            proofs.append(data)
    confirming = sum(data.get("confirming", 0.0) for data in proofs)
    return BenchSummary(
        gaps={key: tuple(found) for key, found in gaps.items()},
        proofs=len(proofs),
        confirmed=sum(bool(data.get("confirmed_by")) for data in proofs),
        confirming=confirming,
        proving=sum(data["runtime"] or 0.0 for data in proofs) - confirming,
    )


def _at_most(share: float) -> str:
    return f"gap at most {format_percent(share)}"


def _counted_of(count: int, whole: int) -> str:
    return f"{count:,} ({100 * count / whole:.0f} %)"


@Readable
@checked
def bench(
    problems: str | Iterable[str],
    output: str | Path,
    *,
    jobs: int = 1,
    memory: float | None = None,
    again: bool = False,
    scheduler: str | None = None,
    oversubscribe: bool = False,
    watch: Callable[[BenchProgress, BenchTask, Mapping[str, Any]], None] | None = None,
    log: Callable[[str], None] | None = None,
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
        Problems at a time.
    memory : float, optional
        Bytes for each process; by default an equal share of the machine's.
    again : bool
        Whether to try tasks again that failed before.
    scheduler : str, optional
        As for `run_all`: where a Dask scheduler is whose workers are to solve them.
    oversubscribe : bool
        Whether there may be more threads in all than there are processors; that spoils the times.
    watch : callable, optional
        Called with how far it is, a task and its result file's data, as each ends.
    log : callable, optional
        Called with what is to be said of a cluster.
    **options
        ``method``, ``formulation``, ``seed``: as for `solve`, one or several, each a run of each problem; ``solver``,
        ``time_limit`` (60 seconds), ``threads`` (1): as for `solve`; ``plugins``: modules, or .py files, that each
        process imports first.

    Raises
    ------
    InputError
        For a name that is not in the library, and for options that `solve` would refuse.
    """
    named = [problems] if isinstance(problems, str) else problems
    work = tasks(named, Path(output), memory=memory, **options)
    progress, results = BenchProgress(), []
    for task, data in run_all(
        work, jobs, again=again, scheduler=scheduler, oversubscribe=oversubscribe, progress=progress, log=log
    ):
        results.append((task, data))
        if watch is not None:
            watch(progress, task, data)
    return summary(results)


def run_all(
    work: Sequence[BenchTask],
    jobs: int = 1,
    *,
    again: bool = False,
    scheduler: str | None = None,
    oversubscribe: bool = False,
    progress: BenchProgress | None = None,
    log: Callable[[str], None] | None = None,
) -> Iterator[tuple[BenchTask, dict[str, Any]]]:
    """Yield each task with its result, as they end; tasks whose result is there already come first.

    Where the iteration ends early (Ctrl-C), so do the processes; what they have not finished is not there.

    Parameters
    ----------
    work : sequence of BenchTask
    jobs : int
        Tasks at a time.
    again : bool
        Whether failed ones are tried again.
    scheduler : str, optional
        ``HOST:PORT`` of a Dask scheduler, or the file that it has written: its workers run the tasks, and this process
        writes the results. ``local``: one that is started here, with `jobs` workers. Without it, the processes are of
        this machine.
    oversubscribe : bool
        Whether there may be more threads in all than there are processors.
    progress : BenchProgress, optional
        To be kept up to date.
    log : callable, optional
        Called with what is to be said of a cluster.

    Raises
    ------
    InputError
        For more threads than there are processors, results of other limits, and a scheduler that is not there.
    """
    progress = BenchProgress() if progress is None else progress
    if scheduler is None or scheduler == LOCAL:
        check_cores(jobs, max(map(threads_of, work), default=1), oversubscribe=oversubscribe)
    kept = [kept_result(task, again) for task in work]  # before anything is shown
    progress.expects(work)
    missing = []
    for task, data in zip(work, kept, strict=True):
        if data is None:
            missing.append(task)
        else:
            progress.ends(task, data)
            yield task, data
    if not missing:
        return
    for folder in {Path(task.output).parent for task in missing}:
        make_folder(folder)
    if scheduler is None:
        yield from _run_here(missing, jobs, progress)
        return
    with closing(run_on_cluster(missing, scheduler, jobs, oversubscribe, progress, log)) as found:
        for task, data in found:
            data = keep_result(task, data)
            progress.ends(task, data)
            yield task, data


def _run_here(
    work: Sequence[BenchTask], jobs: int, progress: BenchProgress
) -> Iterator[tuple[BenchTask, dict[str, Any]]]:
    """Run tasks in processes of this machine."""
    stop, share = threading.Event(), fair_share(jobs)
    progress.slots = jobs

    def run(task: BenchTask) -> dict[str, Any]:
        progress.starts(task)
        return run_task(task if task.memory is not None else replace(task, memory=share), stop)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            futures = {pool.submit(run, task): task for task in work}
            for future in as_completed(futures):
                task, data = futures[future], future.result()
                progress.ends(task, data)
                yield task, data
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
