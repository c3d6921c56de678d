"""Commands that write model files and read solutions back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnnopt.base.errors import InputError
from dnnopt.base.text import visible
from dnnopt.cli.app import say, tell
from dnnopt.cli.options import (
    AllowLargeOption,
    FormulationOption,
    JsonOption,
    TimeOption,
    VerboseOption,
    checked_file,
    refuse_beside,
)
from dnnopt.cli.solving import check_plan
from dnnopt.cli.target import TargetOption, TargetOrSet, command
from dnnopt.cli.typed import named

if TYPE_CHECKING:
    from dnnopt.problem.problem import Problem


def _checked_place(context: typer.Context, option: typer.CallbackParam, path: Path | None) -> Path | None:
    """Return a file to write, or a folder: which it must be, the target says."""
    return path if path is not None and path.is_dir() else checked_file(context, option, path)


@command("export", TargetOrSet)
def export_command(
    problem: Problem | str,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File: .lp, .mps, .mps.gz, .pb.txt or .mzn; of a set, a folder.",
            callback=_checked_place,
        ),
    ],
    formulation: FormulationOption = None,
    reached: Annotated[
        list[str] | None,
        typer.Option(
            help="Where the objectives have priorities: what an earlier one has reached, a number (SI, or with a unit) "
            "or a plan file; once for each."
        ),
    ] = None,
    solve: Annotated[bool, typer.Option("--solve", help="Solve the earlier priorities here, and write all.")] = False,
    time_limit: TimeOption = None,
    si: Annotated[bool, typer.Option("--si", help="In plain SI units, which solvers like less.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a formulation of the problem as a model file: for MILP solvers, for CP-SAT or for MiniZinc.

    Of a problem with priorities each is a model of its own, FILE.1, FILE.2, ..., which holds what the earlier ones have
    reached as limits. Of a set, the folder has a .mps.gz file of each problem, its best known solution, and what is
    known of the values.
    """
    from dnnopt.models.files import ENDINGS, ending_of, file_kind

    if isinstance(problem, str):
        others = {"--reached": reached, "--solve": solve, "--time-limit": time_limit}
        refuse_beside("a set", others)
        _export_set(problem, formulation, si, output)
        return
    if output.is_dir():
        raise InputError("a file; a folder is of a set", field="--output", value=str(output))

    ending, kind = ending_of(output), file_kind(output)
    if si and kind == "cp":
        raise InputError(
            "", field="--si", problem=f"goes with {', '.join(ENDINGS['milp'])}; {ending} has whole numbers"
        )
    if time_limit is not None and not solve:
        raise InputError("", field="--time-limit", problem="goes with --solve")
    count = len({term.priority for term in problem.minimize})
    if count == 1:
        refuse_beside("a problem with one priority", {"--reached": reached, "--solve": solve})
        _export(problem, formulation, None, si, output)
        return
    if solve:
        refuse_beside("--solve", {"--reached": reached})
        values = _solved(problem, time_limit)
        stages = [values[:stage] for stage in range(count)]
    else:
        if len(reached or ()) >= count:
            raise InputError(f"at most {count - 1}, as there are {count} priorities", field="--reached", value=reached)
        values = [_value(problem, stage, text) for stage, text in enumerate(reached or ())]
        stages = [values]
    for before in stages:
        place = output.with_name(f"{output.name.removesuffix(ending)}.{len(before) + 1}{ending}")
        _export(problem, formulation, before, si, place)
    if len(stages[-1]) + 1 < count:
        say(f"This is priority {len(values) + 1} of {count}: the model of the next needs what it reaches (--reached).")


def _export_set(name: str, formulation: str | None, si: bool, output: Path) -> None:
    """Write a folder of models."""
    from dnnopt.base.numbers import counted
    from dnnopt.cli.progress import counter
    from dnnopt.studies.model_sets import export_set

    with counter() as count:
        rows = export_set(name, output, formulation, si=si, watch=lambda row: count(f"{row.problem}: {row.status}"))
    written = [row for row in rows if row.unit is not None]
    solved = sum(row.objective is not None for row in written)
    tell(f"{visible(str(output))}: {counted(len(written), 'model')}, {counted(solved, 'best known solution')}")
    for row in rows:
        if row.unit is None:
            say(f"left out: {row.problem}: {row.why}")


def _export(problem: Problem, formulation: str | None, reached: list[float] | None, si: bool, output: Path) -> None:
    """Write one model."""
    from dnnopt.compiled.scaling import SI
    from dnnopt.methods.solving import formulate
    from dnnopt.models.files import ending_of, file_kind, write_model
    from dnnopt.models.linear import LinearModel

    ending, kind = ending_of(output), file_kind(output)
    # Most solvers behind MiniZinc count with 32 bits.
    small = 2.0**28 if ending == ".mzn" else None
    units = SI if si else None
    model = formulate(problem, formulation, reached=reached, kind=kind, units=units, largest_sum=small)
    if isinstance(model, LinearModel) != (kind == "milp"):
        raise InputError(f"a {kind.upper()} formulation for {ending} files", field="--formulation", value=formulation)
    write_model(model, output)
    tell(f"{visible(str(output))}: {model.summary()}")


def _value(problem: Problem, stage: int, text: str) -> float:
    """Return what a priority has reached: the number (SI, as results have it, or with a unit), or that of the plan."""
    from dnnopt.base.units import parse_quantity, typed_unit
    from dnnopt.problem.metrics import DIMENSIONS
    from dnnopt.problem.plan import read_plan
    from dnnopt.problem.words import objective_name
    from dnnopt.referee import evaluate

    try:
        return float(text)
    except ValueError:
        pass
    if typed_unit(text) and not Path(text).exists():
        priority = sorted({term.priority for term in problem.minimize})[stage]
        dimension = DIMENSIONS.get(objective_name(problem, priority)[1], "number")
        value: float = named(lambda text: parse_quantity(text, dimension), text, "--reached")
        return value
    evaluation = evaluate(problem, read_plan(text, problem))
    if not evaluation.feasible:
        raise InputError("a plan that satisfies every constraint", file=text)
    return evaluation.objectives[stage]


def _solved(problem: Problem, time_limit: float | None) -> list[float]:
    """Return what all priorities but the last can reach together; unproved values are said to be."""
    from dnnopt.methods.solving import solve

    last = max(term.priority for term in problem.minimize)
    earlier = problem.replace(minimize=[term for term in problem.minimize if term.priority < last])
    result = solve(earlier, time_limit=time_limit)
    if result.evaluation is None:
        raise InputError("", problem=f"the earlier priorities have no plan: {result.status}")
    if result.status != "optimal":
        say("The earlier priorities are not proved: the later models hold what was found as limits.")
    return list(result.evaluation.objectives)


@command("import-solution", target=TargetOption)
def import_solution_command(
    problem: Problem,
    model: Annotated[Path, typer.Argument(metavar="MODEL_FILE", help="The exported file that was solved.")],
    solution: Annotated[
        Path,
        typer.Argument(
            metavar="SOLUTION_FILE",
            help="Of HiGHS, CBC, GLPK, SCIP, Gurobi, CPLEX, Xpress, python-mip, lp_solve, MiniZinc, or a list of "
            "'name value' lines.",
        ),
    ],
    formulation: Annotated[
        str | None, typer.Option("--formulation", "-f", help="Of the model file, where its first line does not say.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the plan there.", callback=checked_file)
    ] = None,
    json: JsonOption = None,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Read another solver's solution of an exported model, and check it as 'check' does."""
    from dnnopt.methods.solutions import plan_from_file
    from dnnopt.problem.plan import write_plan

    plan = plan_from_file(model, solution, problem, formulation, allow_large=allow_large)
    if output is not None:
        write_plan(plan, output)
    check_plan(problem, plan, json)
