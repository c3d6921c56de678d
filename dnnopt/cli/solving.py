"""Commands that solve, compare and check."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnopt.base.errors import InputError
from dnnopt.cli import typed
from dnnopt.cli.app import INTERNAL, INTERRUPTED, NO_PLAN, console, present, remark, save_figure, write_json
from dnnopt.cli.options import (
    AllowLargeOption,
    CsvOption,
    FigureOption,
    FormulationOption,
    GapOption,
    HtmlOption,
    IterationsOption,
    JsonOption,
    LatexOption,
    MarkdownOption,
    MethodOption,
    SeedOption,
    SolverOption,
    ThreadsOption,
    TimeOption,
    VerboseOption,
    checked_file,
    refuse_beside,
)
from dnnopt.cli.target import TargetOrVariants, command

if TYPE_CHECKING:
    from dnnopt.methods.result import Result
    from dnnopt.problem.plan import Plan
    from dnnopt.problem.problem import Problem
    from dnnopt.problem.variants import Variants


@command("solve", TargetOrVariants)
def solve_command(
    problem: Problem | Variants,
    formulation: FormulationOption = None,
    solver: SolverOption = None,
    method: MethodOption = "auto",
    time_limit: TimeOption = None,
    gap: GapOption = 1e-6,
    threads: ThreadsOption = None,
    iterations: IterationsOption = None,
    seed: SeedOption = 0,
    start: Annotated[Path | None, typer.Option(help="Plan or result file to start from.")] = None,
    log: Annotated[Path | None, typer.Option(help="Write the solver's own log there.", callback=checked_file)] = None,
    confirm: Annotated[bool, typer.Option(help="Ask a second engine about a solver's proof.")] = True,
    best: Annotated[int | None, typer.Option(min=1, help="The best K plans, each proved, instead of one.")] = None,
    relaxation: Annotated[
        bool, typer.Option("--relaxation", help="Just the linear relaxation of --formulation: a bound, and no plan.")
    ] = False,
    json: JsonOption = None,
    csv: CsvOption = None,
    markdown: MarkdownOption = None,
    latex: LatexOption = None,
    figure: FigureOption = None,
    html: HtmlOption = None,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Find a plan, prove how good it is, and say what runs where; of variants of a problem, the best plan of all."""
    from dnnopt.cli.progress import progress_line
    from dnnopt.methods.solving import solve
    from dnnopt.problem.plan import read_plan
    from dnnopt.problem.variants import Variants

    files = {"csv": csv, "markdown": markdown, "latex": latex}
    if relaxation:
        if isinstance(problem, Variants):
            raise InputError("", field="--relaxation", problem="goes with a problem; these are variants of one")
        changed = {"--method": method != "auto", "--gap": gap != 1e-6, "--no-confirm": not confirm}
        refuse_beside("--relaxation", {"--solver": solver, "--iterations": iterations, "--best": best, **changed})
        written = {"--start": start, "--log": log, "--figure": figure, "--html": html}
        refuse_beside("--relaxation", written | {f"--{kind}": path for kind, path in files.items()})
        _relax(problem, formulation, time_limit, threads, seed, json)
        return
    if isinstance(problem, Variants):
        refuse_beside("variants", {"--start": start, "--log": log, "--iterations": iterations, "--best": best})
        _solve_variants(
            problem,
            json,
            files,
            figure,
            html,
            verbose,
            method=method,
            formulation=formulation,
            solver=solver,
            time_limit=time_limit,
            gap=gap,
            threads=threads,
            seed=seed,
            confirm=confirm,
        )
        return
    if best is not None:
        others = {"--start": start, "--log": log, "--iterations": iterations, "--figure": figure}
        others |= {"--method": method != "auto", "--gap": gap != 1e-6, "--no-confirm": not confirm}
        refuse_beside("--best", others)
        _solve_best(problem, best, formulation, solver, time_limit, threads, seed, json, files, html)
        return
    plan = None if start is None else read_plan(start, problem, allow_large=allow_large)
    with progress_line(problem) as watch:
        result = solve(
            problem,
            method=method,
            formulation=formulation,
            solver=solver,
            time_limit=time_limit,
            gap=gap,
            threads=threads,
            iterations=iterations,
            seed=seed,
            start=plan,
            confirm=confirm,
            watch=watch,
            log=None if log is None else str(log),
        )
    if html is not None:
        from dnnopt.plot.report.one import write_result_page

        write_result_page(result, html)
    present(result, json, files, verbose=verbose)
    _draw(result, figure)
    exit_for(problem, result, time_limit)


def _relax(
    problem: Problem,
    formulation: str | None,
    time_limit: float | None,
    threads: int | None,
    seed: int,
    json: Path | None,
) -> None:
    """Solve the linear relaxation of a formulation, and say what no plan is better than."""
    from dnnopt.methods.relaxing import relax

    if formulation is None:
        raise InputError("", field="--formulation", problem="missing: of which the linear relaxation is solved")
    found = relax(problem, formulation, time_limit=time_limit, threads=threads, seed=seed)
    present(found, json)
    if found.bound is None:
        raise typer.Exit(INTERRUPTED if found.status == "interrupted" else NO_PLAN)


def _solve_best(
    problem: Problem,
    best: int,
    formulation: str | None,
    solver: str | None,
    time_limit: float | None,
    threads: int | None,
    seed: int,
    json: Path | None,
    files: Mapping[str, Path | None],
    html: Path | None,
) -> None:
    """Find the best plans, and say what is proved of each."""
    from dnnopt.base.numbers import format_quantity
    from dnnopt.cli.progress import counter
    from dnnopt.problem.words import objective_name
    from dnnopt.studies.ranking import best_plans

    name, unit = objective_name(problem)
    with counter() as count:
        found = best_plans(
            problem,
            best,
            formulation=formulation,
            solver=solver,
            time_limit=time_limit,
            threads=threads,
            seed=seed,
            watch=lambda ranked: count(f"{name} {format_quantity(ranked.objective, unit, 6)}"),
        )
    if html is not None:
        from dnnopt.plot.report.one import write_ranking_page

        write_ranking_page(found, html)
    present(found, json, files)
    if not found.plans:
        raise typer.Exit(NO_PLAN)


def _solve_variants(
    variants: Variants,
    json: Path | None,
    files: Mapping[str, Path | None],
    figure: Path | None,
    html: Path | None,
    verbose: bool,
    **options: Any,
) -> None:
    """Find the best plan over variants of a problem."""
    from dnnopt.cli.progress import progress_line
    from dnnopt.studies.variants import best_of

    with progress_line(next(iter(variants.problems.values()))) as watch:
        found = best_of(variants, watch=watch, **options)
    if html is not None:
        from dnnopt.plot.report.one import write_variants_page

        write_variants_page(found, html)
    present(found, json, files, verbose=verbose)
    if found.result is None:
        raise typer.Exit(INTERRUPTED if found.status == "interrupted" else NO_PLAN)
    _draw(found.result, figure)


def _draw(result: Result, figure: Path | None) -> None:
    if figure is not None and result.plan is not None:
        from dnnopt.plot import placement

        save_figure(placement(result), figure)


def exit_for(problem: Problem, result: Result, time_limit: float | None = None) -> None:
    """Exit with the code that the result's status has; explain an infeasible problem first, in at most 30 seconds."""
    if result.status == "error":
        raise typer.Exit(INTERNAL)
    if result.plan is not None:
        return
    if result.status == "infeasible":
        from dnnopt.models.solvers.interface import Control, stop_on_interrupt
        from dnnopt.studies.explain import explain_infeasibility

        with stop_on_interrupt(Control()):  # of all the problems that it solves
            found = typed.as_typed(explain_infeasibility(problem, min(30.0, time_limit or 30.0)))
        remark(str(found))
        if found.plan is not None:  # the solver was wrong
            raise typer.Exit(INTERNAL)
    raise typer.Exit(INTERRUPTED if result.status == "interrupted" else NO_PLAN)


@command("explain")
def explain_command(
    problem: Problem,
    time_limit: Annotated[float, typer.Option("--time-limit", "-t", help="Seconds for everything.")] = 30.0,
    json: JsonOption = None,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Say which constraints cannot hold together, where no plan is feasible; where one is, show it."""
    from dnnopt.models.solvers.interface import Control, stop_on_interrupt
    from dnnopt.studies.explain import explain_infeasibility

    with stop_on_interrupt(Control()):
        found = typed.as_typed(explain_infeasibility(problem, time_limit))
    present(found, json)
    if found.plan is None:
        raise typer.Exit(NO_PLAN)


@command("check")
def check_command(
    problem: Problem,
    plan: Annotated[Path, typer.Argument(help="Plan or result file.")],
    json: JsonOption = None,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Recompute every metric and every violation of a plan from the definitions."""
    from dnnopt.problem.plan import read_plan

    check_plan(problem, read_plan(plan, problem, allow_large=allow_large), json)


def check_plan(problem: Problem, plan: Plan, json: Path | None) -> None:
    """Print what the referee says of a plan; exit with 1 where it breaks a constraint."""
    from dnnopt.methods.result import evaluation_data, print_check
    from dnnopt.referee import evaluate

    evaluation = evaluate(problem, plan)
    if json is not None:
        write_json(evaluation_data(evaluation), json)
    if json is None or str(json) != "-":
        print_check(console(), problem, evaluation)
    if not evaluation.feasible:
        raise typer.Exit(NO_PLAN)
