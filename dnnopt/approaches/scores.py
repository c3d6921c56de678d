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
from typing import TYPE_CHECKING, Any

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.classifying import limit_value
from dnnopt.approaches.registry import approach_named, published
from dnnopt.approaches.scope import as_seen
from dnnopt.approaches.trial import on_one_side, with_schedule
from dnnopt.base.arguments import Duration, checked
from dnnopt.base.console import table, words
from dnnopt.base.errors import InputError
from dnnopt.base.files import dump_json, write_text
from dnnopt.base.frozen import unchangeable
from dnnopt.base.numbers import counted, format_excess, format_number, format_percent, format_runtime
from dnnopt.base.outputs import make_folder
from dnnopt.base.tables import Heading, Tabular
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

if TYPE_CHECKING:
    from rich.console import Console

WITHIN = 0.01
SEARCH_LIMIT = 2.0  # seconds
_SLOWER = 0.5  # of each link's bandwidth, where regrets are told


@unchangeable
@dataclass(frozen=True)
class ApproachScore:
    """One approach over the problems that its algorithm serves; what is not known is None.

    Attributes
    ----------
    approach : str
    problems : int
        That it serves.
    plans, within : float
        Share of them with a plan that keeps all limits, and with one at most 1 % above the best known value.
    mean, median, worst : float, optional
        Of the gaps to the best known values, over the problems with a plan; so is all that follows.
    seconds : float, optional
        That its algorithm takes, in the middle.
    local, remote : float, optional
        How many times its objective is that of everything on the device of the lowest tier, and of the highest one,
        where that keeps all limits: geometric means.
    energy : float, optional
        Its energy as a share of that of everything on the device of the lowest tier: geometric mean.
    traffic, memory, cost : float, optional
        Bytes that are sent, bytes on the fullest device, USD: medians.
    loss, leakage : float, optional
        Means; of leakage over the problems that have sensitivities.
    regret : float, optional
        At half the bandwidth of all links, with the plan kept: how far it is above the best plan of all approaches, and
        the best known one, there; mean.
    layers, devices : int
        Of the largest problem with a plan.
    """

    approach: str
    problems: int
    plans: float
    within: float
    mean: float | None
    median: float | None
    worst: float | None
    seconds: float | None
    local: float | None
    remote: float | None
    energy: float | None
    traffic: float | None
    memory: float | None
    cost: float | None
    loss: float | None
    leakage: float | None
    regret: float | None
    layers: int
    devices: int


@unchangeable
@dataclass(frozen=True, repr=False)
class Scores(Tabular):
    """What `score` returns.

    Attributes
    ----------
    rows : tuple of ApproachScore
        Of the approaches that serve a problem.
    gaps : mapping
        Approach -> problem -> how far its plan is above the best known one; None: it found no plan.
    outside : mapping
        Approach -> problem -> why its algorithm does not serve it.
    """

    rows: tuple[ApproachScore, ...]
    gaps: Mapping[str, Mapping[str, float | None]]
    outside: Mapping[str, Mapping[str, str]]

    row_noun = "approach"

    def headline(self) -> str:
        """Return how many approaches serve how many problems."""
        served = {name for gaps in self.gaps.values() for name in gaps}
        return f"{len(self.rows)} of {len(self.outside)} approaches serve {counted(len(served), 'problem')} of these"

    def to_rows(self) -> list[dict[str, Any]]:
        """Return plain rows."""
        return [vars(row) for row in self.rows]

    def page_rows(self) -> list[dict[str, Any]]:
        """Return the columns that a page has room for."""
        names = ("approach", "problems", "plans", "within", "median", "worst", "seconds", "local", "remote", "regret")
        return [{name: row[name] for name in names} for row in self.to_rows()]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above columns in tables."""
        return {
            "plans": Heading("plan", "%"),
            "within": Heading(f"within {format_percent(WITHIN)}", "%"),
            "mean": Heading("mean gap", "%"),
            "median": Heading("median gap", "%"),
            "worst": Heading("worst gap", "%"),
            "seconds": Heading("time", "s"),
            "local": Heading("over local"),
            "remote": Heading("over remote"),
            "energy": Heading("energy to local"),
            "traffic": Heading("traffic", "bytes"),
            "memory": Heading("memory", "bytes"),
            "cost": Heading("cost (USD)"),
            "loss": Heading("accuracy loss"),
            "regret": Heading("regret", "%"),
        }

    def to_data(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "format": "dnnopt-approaches",
            "version": 1,
            "rows": self.to_rows(),
            "gaps": {name: dict(gaps) for name, gaps in self.gaps.items()},
            "outside": {name: dict(reasons) for name, reasons in self.outside.items()},
        }

    def report(self, console: Console) -> None:
        """Print it for a person."""
        names = ("approach", "problems", "plan", "within 1 %", "median gap", "worst gap", "time", "local", "remote")
        columns = [(name, "right" if position else "left") for position, name in enumerate((*names, "regret"))]
        rows = [
            (
                row.approach,
                f"{row.problems:,}",
                f"{100 * row.plans:.0f} %",
                f"{100 * row.within:.0f} %",
                *("" if gap is None else format_excess(gap) for gap in (row.median, row.worst)),
                "" if row.seconds is None else format_runtime(row.seconds),
                *("" if ratio is None else f"{format_number(ratio, 3)}×" for ratio in (row.local, row.remote)),
                "" if row.regret is None else format_excess(row.regret),
            )
            for row in self.rows
        ]
        console.print(table("", columns, rows, ("local", "remote", "regret")))
        console.print()
        console.print(words(f"{self.headline()}."))
        console.print(
            words("local, remote: how many times as much everything on one side takes, where that is allowed.")
        )


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
    chosen = [approach_named(name) for name in approaches] or list(published().values())
    folder = Path(output)
    runs: list[_Run] = []
    outside: dict[str, dict[str, str]] = {}
    tasks: dict[Path, BenchTask] = {}
    loaded = {name: load(name) for name in names}
    for one in chosen:
        outside[one.name] = {}
        for name, problem in loaded.items():
            try:
                seen = as_seen(one, problem)
            except InputError as error:
                outside[one.name][name] = error.problem
                continue
            run, options = _Run(one, problem, _file(folder, one, problem, seen)), _options(one, seed)
            runs.append(run)
            if one.plan is not None:
                _run_rule(run, seen)
            elif run.file not in tasks:
                limit = search_limit if "--method" in options and is_search(one.method) else time_limit
                where = _seen_file(folder, run.file, problem, seen)
                tasks[run.file] = BenchTask(where, options, limit, str(run.file), memory, one.method)
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
    return _scores(runs, outside)


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
