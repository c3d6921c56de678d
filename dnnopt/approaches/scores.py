"""Approaches over sets of problems, by the metrics that their authors report: a row for each approach.

Each algorithm is run on each problem that it serves, as the approach sees it (`as_seen`); the referee judges its plan
on the whole problem. Approaches with one algorithm and one view of a problem share a run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, geometric_mean, median
from tempfile import TemporaryDirectory
from typing import Any

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.classifying import limit_value
from dnnopt.approaches.registry import approach_named, published
from dnnopt.approaches.scope import as_seen
from dnnopt.approaches.score_table import WITHIN, ApproachScore, Scores
from dnnopt.approaches.trial import on_one_side, with_schedule
from dnnopt.base.arguments import Duration, checked
from dnnopt.base.errors import InputError
from dnnopt.base.files import dump_json, write_text
from dnnopt.base.outputs import make_folder
from dnnopt.formulations import registry as formulations
from dnnopt.methods.result import Result, read_result
from dnnopt.methods.solving import is_search
from dnnopt.models.solvers.interface import Clock
from dnnopt.problem import library
from dnnopt.problem.plan import Plan, read_plan
from dnnopt.problem.problem import Problem, load, write_problem
from dnnopt.problem.scenarios import Scenario
from dnnopt.problem.variation import in_scenario
from dnnopt.referee import Evaluation, evaluate
from dnnopt.studies.bench import run_all
from dnnopt.studies.bench_progress import BenchProgress
from dnnopt.studies.bench_task import BenchTask
from dnnopt.studies.best_known import read_table, table_path
from dnnopt.studies.run_folders import read_runs, unpack_runs
from dnnopt.studies.run_store import is_store

SEARCH_LIMIT = 2.0  # seconds
_SLOWER = 0.5  # of each link's bandwidth, where regrets are told


@dataclass(frozen=True)
class _Run:
    """An approach on a problem: the file of its result."""

    approach: Approach
    problem: Problem
    file: Path


@checked
def score(
    problems: str | Iterable[str],
    output: str | Path,
    *,
    approaches: Sequence[str] = (),
    time_limit: Duration = 10.0,
    search_limit: Duration = SEARCH_LIMIT,
    jobs: int = 1,
    seed: int = 0,
    memory: float | None = None,
    again: bool = False,
    scheduler: str | None = None,
    oversubscribe: bool = False,
    watch: Callable[[BenchProgress, str, Mapping[str, Any]], None] | None = None,
    log: Callable[[str], None] | None = None,
) -> Scores:
    """Run approaches over sets of problems, and score them; called again, it does what is missing.

    Parameters
    ----------
    problems : str or iterable of str
        Sets (``small``, ``core``, ``hard``) or names of problems.
    output : path
        Folder for the results: a file for each run.
    approaches : sequence of str
        Names; by default all.
    time_limit, search_limit : float or str
        Seconds for each exact method or formulation, and for each heuristic.
    seed : int
    memory : float, optional
        Bytes for each run; by default an equal share of the machine's.
    jobs, again, scheduler, oversubscribe, log
        As for `dnnopt.bench`.
    watch : callable, optional
        Called with how far it is, what was run, and its result file's data, as each ends.

    Raises
    ------
    InputError
        For names that there are not.
    """
    names = library.members([problems] if isinstance(problems, str) else problems)
    folder = Path(output)
    served, outside = _served(_chosen(approaches), names, folder)
    tasks: dict[Path, BenchTask] = {}
    for run, seen in served:
        if run.approach.plan is not None:
            _run_rule(run, seen)
        elif run.file not in tasks:
            options = _options(run.approach, seed)
            limit = search_limit if "--method" in options and is_search(run.approach.method) else time_limit
            where = _seen_file(folder, run.file, run.problem, seen)
            tasks[run.file] = BenchTask(where, options, limit, str(run.file), memory, run.approach.method)
    progress = BenchProgress()
    for task, data in run_all(
        list(tasks.values()),
        jobs,
        again=again,
        scheduler=scheduler,
        oversubscribe=oversubscribe,
        progress=progress,
        log=log,
    ):
        if watch is not None:
            watch(progress, f"{data['problem']} by {task.label}", data)
    return _scores([run for run, _ in served], outside)


@checked
def read_scores(place: str | Path, *, approaches: Sequence[str] = ()) -> Scores:
    """Score what `score` has run already: a folder of its results, or a Parquet file made of one; nothing is run.

    Parameters
    ----------
    place : path
    approaches : sequence of str
        Names; by default all.

    Raises
    ------
    InputError
        For names that there are not, and where there are no results of problems of the library.
    """
    with TemporaryDirectory(prefix="dnnopt-approaches-") as unpacked:
        folder = Path(place)
        if is_store(place):
            folder = Path(unpacked)
            unpack_runs([place], folder)
        known = set(library.names("problems"))
        names = sorted({run.data["problem"] for run in read_runs(folder)} & known)
        served, outside = _served(_chosen(approaches), names, folder)
        runs = [run for run, _ in served if run.file.exists()]
        if not runs:
            words = "has no results of 'dnnopt approaches' for problems of the library"
            raise InputError("", file=str(place), problem=words)
        return _scores(runs, outside)


def _chosen(approaches: Sequence[str]) -> list[Approach]:
    return [approach_named(name) for name in approaches] or list(published().values())


def _served(
    approaches: Sequence[Approach], names: Sequence[str], folder: Path
) -> tuple[list[tuple[_Run, Problem]], dict[str, dict[str, str]]]:
    """Return the runs of approaches on problems that they serve, as they see these, and why they serve no others."""
    found: list[tuple[_Run, Problem]] = []
    outside: dict[str, dict[str, str]] = {}
    loaded = {name: load(name) for name in names}
    for one in approaches:
        outside[one.name] = {}
        for name, problem in loaded.items():
            try:
                seen = as_seen(one, problem)
            except InputError as error:
                outside[one.name][name] = error.problem
                continue
            found.append((_Run(one, problem, _file(folder, one, problem, seen)), seen))
    return found, outside


def _options(approach: Approach, seed: int) -> tuple[str, ...]:
    kind = "--formulation" if approach.method in formulations.names() else "--method"
    return (kind, approach.method, "--threads", "1", "--seed", str(seed))


def _file(folder: Path, approach: Approach, problem: Problem, seen: Problem) -> Path:
    """Return where a result goes: approaches with one algorithm and one view of a problem have one file."""
    view = "+".join(dict.fromkeys(limit_value(limit) for limit in seen.subject_to)) or "nothing"
    return folder / (approach.method or approach.name) / f"{problem.name}-{view}.json"


def _seen_file(folder: Path, result: Path, problem: Problem, seen: Problem) -> str:
    """Return the name or the file of a problem as it is seen; where it is not the library's, it is written."""
    if seen.checksum == problem.checksum:
        return problem.name
    view = result.stem.partition("-")[2]
    path = folder / "problems" / f"{problem.name}-{view}.json"
    if not path.exists():
        make_folder(path.parent)
        write_problem(seen, path)
    return str(path)


def _run_rule(run: _Run, seen: Problem) -> None:
    """Write the result of an approach's own rule, where it is not there."""
    if run.file.exists() or run.approach.plan is None:
        return
    clock, plan, message = Clock(), None, ""
    try:
        plan = with_schedule(seen, run.approach.plan(seen))
    except InputError as error:
        message = str(error)
    judged = None if plan is None else evaluate(seen, plan)
    found = Result(
        problem=seen,
        status="no_solution" if plan is None else "feasible",
        plan=plan,
        evaluation=judged,
        bounds=(None,),
        runtime=clock.elapsed(),
        method=run.approach.name,
        message=message,
    )
    make_folder(run.file.parent)
    write_text(run.file, dump_json(found.to_data()))


def _scores(runs: Sequence[_Run], outside: Mapping[str, Mapping[str, str]]) -> Scores:
    """Return the scores of runs that have a file each."""
    judged = {run.file: _judged(run) for run in runs}
    of_problem: dict[str, list[Path]] = {}
    for run in runs:
        of_problem.setdefault(run.problem.name, []).append(run.file)
    sides = {run.problem.name: on_one_side(run.problem) for run in runs}
    loaded = {run.problem.name: run.problem for run in runs}
    best, slower = {}, {}
    for name, files in of_problem.items():
        found = [one for file in files if (one := judged[file][1]) is not None]
        best[name] = _best_known(loaded[name], [one.objective for one in found])
        slower[name] = _slower(loaded[name], {file: judged[file][0] for file in files})
    rows, gaps = [], {}
    for approach in outside:
        own = [run for run in runs if run.approach.name == approach]
        if not own:
            continue
        values = {run.problem.name: judged[run.file][1] for run in own}
        gaps[approach] = {name: _gap(value, best[name]) for name, value in values.items()}
        regrets = [slower[run.problem.name].get(run.file) for run in own]
        seconds = [judged[run.file][2] for run in own]
        rows.append(_row(approach, own, values, gaps[approach], sides, regrets, seconds))
    return Scores(tuple(rows), gaps, outside)


def _judged(run: _Run) -> tuple[Plan | None, Evaluation | None, float | None]:
    """Return the plan of a run and what the referee says of it, if it keeps all limits of the problem; and its time."""
    data = read_result(run.file)
    if data["placement"] is None:
        return None, None, data["runtime"]
    plan = with_schedule(run.problem, read_plan(run.file, run.problem))
    found = evaluate(run.problem, plan)
    return (plan, found, data["runtime"]) if found.feasible else (None, None, data["runtime"])


def _best_known(problem: Problem, found: Sequence[float]) -> float | None:
    known = read_table().get(problem.name)
    same = known is not None and known.checksum == problem.checksum
    values = [*found, *([known.objective] if same and known is not None and known.objective is not None else [])]
    return min(values, default=None)


def _gap(value: Evaluation | None, best: float | None) -> float | None:
    if value is None or best is None:
        return None
    above = value.objective - best
    return max(above / abs(best), 0.0) if best else (0.0 if above <= 0 else math.inf)


def _slower(problem: Problem, plans: Mapping[Path, Plan | None]) -> dict[Path, float]:
    """Return by how much each plan is above the best of them, and the best known one, on links half as fast."""
    slow = {link.name: _SLOWER for link in problem.platform.links}
    other = in_scenario(problem, Scenario(name="slow", probability=1.0, bandwidth=slow)).replace(subject_to=())
    found = {
        file: evaluate(other, with_schedule(other, plan)).objective for file, plan in plans.items() if plan is not None
    }
    known = read_table().get(problem.name)
    least = list(found.values())
    if known is not None and known.plan and known.checksum == problem.checksum:
        plan = read_plan(table_path().parent / known.plan, problem)
        least.append(evaluate(other, with_schedule(other, plan)).objective)
    best = min(least, default=0.0)
    return {file: value / best - 1 for file, value in found.items() if best > 0}


def _row(
    approach: str,
    runs: Sequence[_Run],
    values: Mapping[str, Evaluation | None],
    gaps: Mapping[str, float | None],
    sides: Mapping[str, Mapping[str, Evaluation]],
    regrets: Sequence[float | None],
    seconds: Sequence[float | None],
) -> ApproachScore:
    found = {name: value for name, value in values.items() if value is not None}
    known = [gap for gap in gaps.values() if gap is not None]
    finite = [gap for gap in known if math.isfinite(gap)]
    took, regret = [one for one in seconds if one is not None], [one for one in regrets if one is not None]
    local: list[float] = []
    remote: list[float] = []
    joules: list[float] = []
    for name, value in found.items():
        alone = list(sides[name].items())
        for ratios, one in zip((local, remote), _ends(alone), strict=True):
            if one is not None and value.objective > 0 and not one.violations:
                ratios.append(one.objective / value.objective)
        first = _ends(alone)[0]
        if first is not None and first.metrics["energy"] > 0:
            joules.append(value.metrics["energy"] / first.metrics["energy"])
    solved = [run.problem for run in runs if run.problem.name in found]

    def middle(metric: str) -> float | None:
        return median([value.metrics[metric] for value in found.values()]) if found else None

    def mean(numbers: Sequence[float]) -> float | None:
        return fmean(numbers) if numbers else None

    fullest = [
        max((size for name, size in value.metrics.items() if name.startswith("memory(")), default=0.0)
        for value in found.values()
    ]
    positive = [ratio for ratio in joules if ratio > 0]
    return ApproachScore(
        approach=approach,
        problems=len(values),
        plans=len(found) / len(values),
        within=sum(gap <= WITHIN for gap in known) / len(values),
        mean=mean(finite),
        median=median(finite) if finite else None,
        worst=max(finite, default=None),
        seconds=median(took) if took else None,
        local=geometric_mean(local) if local else None,
        remote=geometric_mean(remote) if remote else None,
        energy=geometric_mean(positive) if positive else None,
        traffic=middle("traffic"),
        memory=median(fullest) if fullest else None,
        cost=middle("cost"),
        loss=mean([value.metrics.get("accuracy_loss", 0.0) for value in found.values()]),
        leakage=mean([value.metrics["leakage"] for value in found.values() if "leakage" in value.metrics]),
        regret=mean(regret),
        layers=max((len(problem.networks[0].layers) for problem in solved), default=0),
        devices=max((len(problem.platform.devices) for problem in solved), default=0),
    )


def _ends(alone: Sequence[tuple[str, Evaluation]]) -> tuple[Evaluation | None, Evaluation | None]:
    return (alone[0][1], alone[-1][1]) if len(alone) == 2 else (None, None)
