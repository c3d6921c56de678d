"""Commands that study a problem: its formulations, its Pareto front, along a parameter, in its scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnopt.base.errors import InputError
from dnnopt.cli.app import INTERRUPTED, NO_PLAN, present, remark, save_figure, say
from dnnopt.cli.options import (
    AgainOption,
    CsvOption,
    FigureOption,
    FormulationOption,
    GapOption,
    IterationsOption,
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
    SolverOption,
    ThreadsOption,
    TimeOption,
    VerboseOption,
    engine_given,
    engine_options,
    memory_of_each,
    refuse_beside,
    refuse_without,
)
from dnnopt.cli.target import OptionalTarget, command
from dnnopt.cli.typed import named

if TYPE_CHECKING:
    from dnnopt.problem.problem import Problem

_TOLERANCE = 1e-6


@command("formulations", OptionalTarget)
def formulations_command(
    problem: Problem | None = None,
    formulation: Annotated[
        list[str] | None, typer.Option("--formulation", "-f", help="Just this one; may be repeated.")
    ] = None,
    time_limit: Annotated[float, typer.Option("--time-limit", "-t", help="Seconds for each.")] = 60.0,
    threads: OverThreadsOption = None,
    seed: SeedOption = 0,
    over: Annotated[
        list[str] | None,
        typer.Option(help="Instead of one problem: the LP bounds of this set (or problem); may be repeated."),
    ] = None,
    output: OverOutputOption = None,
    jobs: JobsOption = 1,
    again: AgainOption = False,
    scheduler: SchedulerOption = None,
    oversubscribe: OversubscribeOption = False,
    memory_limit: MemoryLimitOption = None,
    json: JsonOption = None,
    csv: CsvOption = None,
    markdown: MarkdownOption = None,
    latex: LatexOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Put formulations side by side: sizes, build time, LP bound, time to the first plan and to proof.

    With --over, on sets of problems: how far their LP bounds are below the best known values.
    """
    from dnnopt.studies.side_by_side import compare_formulations

    files = {"csv": csv, "markdown": markdown, "latex": latex}
    if over:
        refuse_beside("--over", {"TARGET": problem})
        if output is None:
            raise InputError("", field="--output", problem="missing: a folder for the results of --over")
        memory = memory_of_each(memory_limit)
        one = 1 if threads is None else threads
        limits = {"time_limit": time_limit, "threads": one, "seed": seed, "memory": memory}
        engine = engine_options(jobs, again, scheduler, oversubscribe)
        _relax_sets(over, output, formulation or (), engine, limits, json, files)
        return
    if problem is None:
        raise InputError("", field="TARGET", problem="missing: a problem, or --over")
    of_sets = {"--output": output, "--memory-limit": memory_limit}
    refuse_without("--over", of_sets | engine_given(jobs, again, scheduler, oversubscribe))
    result = compare_formulations(
        problem,
        formulation or (),
        time_limit=time_limit,
        threads=threads,
        seed=seed,
        watch=lambda row: say(f"{row.formulation}: {row.status}") if verbose else None,
    )
    present(result, json, files)


def _relax_sets(
    sets: list[str],
    output: Path,
    formulations: Sequence[str],
    engine: dict[str, Any],
    limits: dict[str, Any],
    json: Path | None,
    files: dict[str, Path | None],
) -> None:
    """Solve the linear relaxations of sets of problems, and say how good they are."""
    from dnnopt.cli.progress import counter
    from dnnopt.studies.bench import outcome, run_all
    from dnnopt.studies.bench_progress import BenchProgress
    from dnnopt.studies.relaxations import bound_quality, relaxation_tasks

    work = relaxation_tasks(sets, output, formulations, **limits)
    results, reached = [], BenchProgress()
    with counter() as count:
        for task, data in run_all(work, progress=reached, log=remark, **engine):
            results.append((task.label, data))
            count(f"of {reached.tasks} ({reached}): {task.problem}, {task.label}: {outcome(data)}")
    present(bound_quality(results), json, files)


@command("pareto")
def pareto_command(
    problem: Problem,
    objective: Annotated[
        list[str], typer.Option("--objective", "-b", help="Such as 'energy(pi)' or 'throughput'; two or three of them.")
    ],
    tolerance: Annotated[float, typer.Option(help="Points closer together than this share count as one.")] = _TOLERANCE,
    heuristic: Annotated[bool, typer.Option("--heuristic", help="Points by NSGA-II, none proved.")] = False,
    iterations: IterationsOption = None,
    formulation: FormulationOption = None,
    solver: SolverOption = None,
    time_limit: TimeOption = None,
    threads: ThreadsOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    csv: CsvOption = None,
    markdown: MarkdownOption = None,
    latex: LatexOption = None,
    figure: FigureOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Find every plan that no other beats in all objectives, with proof that none is missed (or --heuristic: some)."""
    from dnnopt.base.numbers import format_number
    from dnnopt.problem.expressions import parse_objective
    from dnnopt.studies.pareto import heuristic_front, pareto

    own = [metric.name for metric in problem.metrics]
    objectives = [named(lambda text: parse_objective(text, own), text, "--objective") for text in objective]
    if heuristic:
        others = {"--formulation": formulation, "--solver": solver, "--threads": threads}
        refuse_beside("--heuristic", others | {"--tolerance": tolerance != _TOLERANCE})
        front = heuristic_front(problem, objectives, time_limit=time_limit, iterations=iterations, seed=seed)
    else:
        if iterations is not None:
            raise InputError("", field="--iterations", problem="goes with --heuristic")
        front = pareto(
            problem,
            objectives,
            tolerance=tolerance,
            time_limit=time_limit,
            formulation=formulation,
            solver=solver,
            threads=threads,
            seed=seed,
            watch=lambda point: say(f"found {', '.join(map(format_number, point.objectives))}") if verbose else None,
        )
    present(front, json, {"csv": csv, "markdown": markdown, "latex": latex})
    if figure is not None and front.points:
        from dnnopt.plot import front as draw

        save_figure(draw(front), figure)
    if not front.points:
        raise typer.Exit(INTERRUPTED if front.interrupted else NO_PLAN)


@command("sweep")
def sweep_command(
    problem: Problem,
    vary: Annotated[
        str,
        typer.Option(
            help="NAME=LOW..HIGH, with NAME bandwidth(LINK), memory(DEVICE), deadline, rate or weight(TERM); bandwidth "
            "and memory alone are factors on all."
        ),
    ],
    points: Annotated[int, typer.Option(help="To begin with.")] = 20,
    scale: Annotated[str, typer.Option(help="log or linear.")] = "log",
    tolerance: Annotated[float, typer.Option(help="Of break points, relative.")] = 1e-6,
    most: Annotated[int, typer.Option(help="Points to solve, those at break points included.")] = 200,
    baseline: Annotated[
        list[str] | None, typer.Option(help="To run beside (see 'list heuristics'); may be repeated.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the points; what is there is not redone.")
    ] = None,
    formulation: FormulationOption = None,
    solver: SolverOption = None,
    time_limit: Annotated[float, typer.Option("--time-limit", "-t", help="Seconds for each point.")] = 60.0,
    threads: ThreadsOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    csv: CsvOption = None,
    markdown: MarkdownOption = None,
    latex: LatexOption = None,
    figure: FigureOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Vary one parameter: the optimal plan, its value, and where the plan changes."""
    from dnnopt.base.numbers import format_number
    from dnnopt.cli.progress import counter
    from dnnopt.studies.sweeping import sweep

    with counter() as count:
        found = sweep(
            problem,
            vary,
            points=points,
            scale=scale,
            tolerance=tolerance,
            most=most,
            baselines=baseline or ("all-on-one", "single-cut"),
            time_limit=time_limit,
            formulation=formulation,
            solver=solver,
            threads=threads,
            seed=seed,
            output=output,
            watch=lambda point: count(f"solved at {format_number(point.value, 6)}: {point.status.replace('_', ' ')}"),
        )
    present(found, json, {"csv": csv, "markdown": markdown, "latex": latex})
    if figure is not None and found.points:
        from dnnopt.plot import sweep as draw

        save_figure(draw(found), figure, bbox_inches="tight")
    if not found.plans:
        raise typer.Exit(NO_PLAN if found.complete else INTERRUPTED)


@command("scenarios")
def scenarios_command(
    problem: Problem,
    baseline: Annotated[
        list[str] | None, typer.Option("--baseline", help="Its plan beside (see 'list heuristics'); may be repeated.")
    ] = None,
    formulation: FormulationOption = None,
    solver: SolverOption = None,
    time_limit: Annotated[float, typer.Option("--time-limit", "-t", help="Seconds for each problem solved.")] = 60.0,
    gap: GapOption = 1e-6,
    threads: ThreadsOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    csv: CsvOption = None,
    markdown: MarkdownOption = None,
    latex: LatexOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Put plans side by side in each scenario: regrets, the value of a plan for all, and the value of knowing."""
    from dnnopt.cli.progress import counter
    from dnnopt.studies.scenarios import scenarios

    with counter() as count:
        found = scenarios(
            problem,
            baselines=baseline or (),
            time_limit=time_limit,
            gap=gap,
            formulation=formulation,
            solver=solver,
            threads=threads,
            seed=seed,
            watch=lambda name, result: count(f"plan {name}: {result.status.replace('_', ' ')}"),
        )
    present(found, json, {"csv": csv, "markdown": markdown, "latex": latex})
    if not found.rows:
        raise typer.Exit(NO_PLAN if found.complete else INTERRUPTED)
