"""The command that compares methods, on one problem or over sets of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnopt.base.errors import InputError
from dnnopt.base.text import visible
from dnnopt.cli.app import PluginOption, present, remark, say
from dnnopt.cli.options import (
    AgainOption,
    CsvOption,
    GapOption,
    HtmlOption,
    JobsOption,
    JsonOption,
    LatexOption,
    MarkdownOption,
    MemoryLimitOption,
    OverOutputOption,
    OversubscribeOption,
    OverThreadsOption,
    SchedulerOption,
    SeedOption,
    VerboseOption,
    engine_given,
    engine_options,
    memory_of_each,
    refuse_beside,
    refuse_without,
)
from dnnopt.cli.solving import exit_for
from dnnopt.cli.target import OptionalTarget, command

if TYPE_CHECKING:
    from dnnopt.problem.problem import Problem

_GAP, _BY = 1e-6, "execution"


@command("compare", OptionalTarget)
def compare_command(
    problem: Problem | None = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method", help="Just this heuristic or exact method; without --over, beside auto; may be repeated."
        ),
    ] = None,
    formulation: Annotated[
        list[str] | None, typer.Option("--formulation", "-f", help="Run this one too; may be repeated.")
    ] = None,
    time_limit: Annotated[float, typer.Option("--time-limit", "-t", help="Seconds for each other method.")] = 60.0,
    heuristic_limit: Annotated[float, typer.Option(help="Seconds for each heuristic.")] = 2.0,
    gap: GapOption = _GAP,
    threads: OverThreadsOption = None,
    seed: SeedOption = 0,
    over: Annotated[
        list[str] | None,
        typer.Option(help="Instead of one problem: this set (or problem) of the library; may be repeated."),
    ] = None,
    output: OverOutputOption = None,
    jobs: JobsOption = 1,
    again: AgainOption = False,
    scheduler: SchedulerOption = None,
    oversubscribe: OversubscribeOption = False,
    by: Annotated[
        str, typer.Option(help="With --over: classes of problems, by execution or locations, or all in one.")
    ] = _BY,
    memory_limit: MemoryLimitOption = None,
    json: JsonOption = None,
    csv: CsvOption = None,
    markdown: MarkdownOption = None,
    latex: LatexOption = None,
    html: HtmlOption = None,
    plugin: PluginOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Put baselines and exact methods side by side, with gaps to the best bound; on one problem, or over sets."""
    files = {"csv": csv, "markdown": markdown, "latex": latex}
    if over:
        refuse_beside("--over", {"TARGET": problem, "--formulation": formulation, "--gap": gap != _GAP})
        if output is None:
            raise InputError("", field="--output", problem="missing: a folder for the results of --over")
        options = {
            "time_limit": time_limit,
            "heuristic_limit": heuristic_limit,
            "threads": 1 if threads is None else threads,
            "seed": seed,
            "memory": memory_of_each(memory_limit),
            "plugins": plugin or (),
        }
        engine = engine_options(jobs, again, scheduler, oversubscribe)
        _compare_set(over, output, method or [], options, engine, by, json, files, html)
        return
    if problem is None:
        raise InputError("", field="TARGET", problem="missing: a problem, or --over")
    of_sets = {"--output": output, "--memory-limit": memory_limit, "--by": by != _BY}
    refuse_without("--over", of_sets | engine_given(jobs, again, scheduler, oversubscribe))
    _compare_one(problem, method, formulation, time_limit, heuristic_limit, gap, threads, seed, json, files, html)


def _compare_one(
    problem: Problem,
    methods: list[str] | None,
    formulations: list[str] | None,
    time_limit: float,
    heuristic_limit: float,
    gap: float,
    threads: int | None,
    seed: int,
    json: Path | None,
    files: dict[str, Path | None],
    html: Path | None,
) -> None:
    from dnnopt.cli.progress import progress_line
    from dnnopt.studies.comparison import compare

    with progress_line(problem) as watch:
        comparison = compare(
            problem,
            methods=methods,
            formulations=formulations or (),
            time_limit=time_limit,
            heuristic_limit=heuristic_limit,
            gap=gap,
            threads=threads,
            seed=seed,
            watch=watch,
        )
    if html is not None:
        from dnnopt.plot.report.one import write_comparison_page

        write_comparison_page(comparison, html)
    present(comparison, json, files)
    if comparison.best is None and comparison.results:
        exit_for(problem, comparison.results[-1], time_limit)


def _compare_set(
    sets: list[str],
    output: Path,
    methods: list[str],
    options: dict[str, Any],
    engine: dict[str, Any],
    by: str,
    json: Path | None,
    files: dict[str, Path | None],
    html: Path | None,
) -> None:
    from dnnopt.cli.progress import counter
    from dnnopt.studies.bench import outcome, run_all
    from dnnopt.studies.bench_progress import BenchProgress
    from dnnopt.studies.set_comparison import first_failures, set_tasks, summarise

    summarise([], by)  # a mistake is told before anything is run
    work = set_tasks(sets, output, methods, **options)
    results, reached = [], BenchProgress()
    with counter() as count:
        for task, data in run_all(work, progress=reached, log=remark, **engine):
            results.append((task.label, data))
            count(f"of {reached.tasks} ({reached}): {task.problem} by {task.label}: {outcome(data)}")
    for method, why in first_failures(results).items():
        say(visible(f"{method} failed first at {why}"))
    found = summarise(results, by)
    if html is not None:
        from dnnopt.plot.report.data import report_data
        from dnnopt.plot.report.page import write_report
        from dnnopt.studies.run_folders import BenchRun

        write_report(report_data((BenchRun(*run) for run in results), title=", ".join(sets)), html)
    present(found, json, files)
