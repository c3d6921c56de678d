"""Commands about the library's problems: what they are, running many of them, best known values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnopt.base.errors import InputError
from dnnopt.cli.app import NO_PLAN, PluginOption, app, console, guarded, present, remark, say, tell, write_json
from dnnopt.cli.options import (
    AgainOption,
    CsvOption,
    JobsOption,
    JsonOption,
    LatexOption,
    MarkdownOption,
    MemoryLimitOption,
    OversubscribeOption,
    SchedulerOption,
    SolverOption,
    VerboseOption,
    engine_options,
    memory_of_each,
    refuse_beside,
)
from dnnopt.cli.target import command

if TYPE_CHECKING:
    from dnnopt.problem.problem import Problem
    from dnnopt.studies.bench_progress import BenchProgress
    from dnnopt.studies.bench_task import BenchTask

best = typer.Typer(help="Best known values of the library's problems.", no_args_is_help=True)
app.add_typer(best, name="best")


@command("show")
def show_command(problem: Problem, json: JsonOption = None, verbose: VerboseOption = False) -> None:
    """Say what kind of problem it is: dimensions, sizes, treewidth, best known value."""
    from dnnopt.studies.best_known import best_known
    from dnnopt.studies.features import features, print_features

    found, known = features(problem), best_known(problem)
    if json is not None:
        numbers = {key: None if value == math.inf else value for key, value in vars(found).items()}
        write_json({"problem": problem.name, **numbers, "best_known": known and vars(known)}, json)
    if json is None or str(json) != "-":
        print_features(console(), problem, found, known)


@command("bench")
def bench_command(
    problems: Annotated[
        list[str] | None, typer.Argument(help="Sets (such as core, core@2) or problems of the library.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the results; what is there is not redone.")
    ] = None,
    time_limit: Annotated[float, typer.Option("--time-limit", "-t", help="Seconds for each problem.")] = 60.0,
    formulation: Annotated[
        list[str] | None, typer.Option("--formulation", "-f", help="Run this one (see 'list'); may be repeated.")
    ] = None,
    solver: SolverOption = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method", help="auto, an exact method or a heuristic; may be repeated. Default: auto, or --formulation."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="Of each problem.")] = 1,
    jobs: JobsOption = 1,
    seed: Annotated[
        list[int] | None, typer.Option("--seed", help="Of everything random; may be repeated. Default: 0.")
    ] = None,
    memory_limit: MemoryLimitOption = None,
    again: AgainOption = False,
    scheduler: SchedulerOption = None,
    oversubscribe: OversubscribeOption = False,
    old_and_new: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--compare", metavar="OLD NEW", help="Run nothing: say what is better or worse in the new folder."
        ),
    ] = None,
    csv: CsvOption = None,
    markdown: MarkdownOption = None,
    latex: LatexOption = None,
    plugin: PluginOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Solve many problems, each by each method and seed, in processes; started again, it does what is missing.

    The exit code is 1 where any of them failed.
    """
    from dnnopt.studies.bench import bench, outcome

    if old_and_new is not None:
        refuse_beside("--compare", {"PROBLEMS": problems, "--output": output})
        _compare_folders(*old_and_new, {"csv": csv, "markdown": markdown, "latex": latex})
        return
    if not problems:
        raise InputError("", field="PROBLEMS", problem="missing: sets or problems of the library")
    if output is None:
        raise InputError("", field="--output", problem="missing: a folder for the results")
    progress = say if "-" in map(str, (csv, markdown, latex)) else tell  # a table that is printed stands alone
    several = max(len(method or ()) + len(formulation or ()), len(seed or ())) > 1
    failed = 0

    def watch(reached: BenchProgress, task: BenchTask, data: Mapping[str, Any]) -> None:
        nonlocal failed
        failed = reached.failed
        name = f"{task.problem} by {task.label}" if several else task.problem
        rest = f" ({reached})" if str(reached) else ""
        progress(f"[{reached.done}/{reached.tasks}] {name}: {outcome(data)}{rest}")

    found = bench(
        problems,
        output,
        method=method,
        formulation=formulation,
        solver=solver,
        time_limit=time_limit,
        threads=threads,
        seed=seed or 0,
        memory=memory_of_each(memory_limit),
        watch=watch,
        log=remark,
        plugins=plugin or (),
        **engine_options(jobs, again, scheduler, oversubscribe),
    )
    progress("")
    present(found, None, {"csv": csv, "markdown": markdown, "latex": latex})
    if failed:
        raise typer.Exit(NO_PLAN)


def _compare_folders(old: Path, new: Path, files: dict[str, Path | None]) -> None:
    """Say what is better or worse in the new folder of runs."""
    from dnnopt.studies.bench_comparison import compare_runs
    from dnnopt.studies.run_folders import read_runs

    present(compare_runs(read_runs(old), read_runs(new)), None, files)


@best.command("verify")
@guarded
def verify_command(verbose: VerboseOption = False) -> None:
    """Judge every plan of the table of best known values anew."""
    from dnnopt.studies.best_known import verify

    count = wrong = 0
    for row, problem in verify():
        count += 1
        if problem is not None:
            wrong += 1
            say(f"{row.problem}: {problem}")
        elif verbose:
            tell(f"{row.problem}: {row.status} {row.objective}")
    tell(f"{count - wrong} of {count} rows hold")
    if wrong:
        raise typer.Exit(NO_PLAN)


@best.command("confirm")
@guarded
def confirm_command(
    problems: Annotated[list[str], typer.Argument(help="Sets (such as core, core@2) or problems of the library.")],
    time_limit: Annotated[float, typer.Option("--time-limit", "-t", help="Seconds for each problem.")] = 60.0,
    threads: Annotated[int, typer.Option(help="Of each problem.")] = 1,
    again: Annotated[bool, typer.Option("--again", help="Those that are confirmed already, too.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Ask a second engine for better plans than those that the table says are proved, and note what it says."""
    from dnnopt.problem import library
    from dnnopt.studies.best_known import confirm_values

    confirmed = refuted = count = 0
    for row, contradiction in confirm_values(
        library.members(problems), time_limit=time_limit, threads=threads, again=again
    ):
        count += 1
        refuted += bool(contradiction)
        confirmed += bool(row.confirmed_by)
        said = f"confirmed by {row.confirmed_by}" if row.confirmed_by else "not confirmed"
        tell(f"{row.problem}: {f'refuted: {contradiction}' if contradiction else said} in {row.confirming:.2f} s")
    tell(f"{confirmed} of {count} confirmed, {refuted} refuted")
    if refuted:
        raise typer.Exit(NO_PLAN)


@best.command("update")
@guarded
def update_command(
    runs: Annotated[Path, typer.Argument(help="Result file, or folder of them.")], verbose: VerboseOption = False
) -> None:
    """Take what result files know better into the table; nothing gets worse."""
    from dnnopt.base.numbers import counted
    from dnnopt.studies.best_known import update

    if not runs.exists():
        raise InputError("a result file, or a folder of them", field="RUNS", value=str(runs))
    count = 0
    for name, better in update(runs):
        count += 1
        tell(f"{name}: {better}")
    tell(f"{counted(count, 'row')} improved")
