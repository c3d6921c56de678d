"""Commands that write model files and read solutions back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnnopt.cli.app import tell
from dnnopt.cli.options import FormulationOption, JsonOption, VerboseOption, checked_file
from dnnopt.cli.solving import check_plan
from dnnopt.cli.target import TargetOption, command
from dnnopt.errors import InputError
from dnnopt.text import visible

if TYPE_CHECKING:
    from dnnopt.problem import Problem


@command("export")
def export_command(
    problem: Problem,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File: .lp, .mps, .mps.gz, .pb.txt or .mzn.", callback=checked_file),
    ],
    formulation: FormulationOption = None,
    si: Annotated[bool, typer.Option("--si", help="In plain SI units, which solvers like less.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a formulation of the problem as a model file: for MILP solvers, for CP-SAT or for MiniZinc."""
    from dnnopt.formats.model_files import ENDINGS, ending_of, kind_of, write_model
    from dnnopt.linear_model import LinearModel
    from dnnopt.scaling import SI
    from dnnopt.solving import formulate

    ending, kind = ending_of(output), kind_of(output)
    if si and kind == "cp":
        raise InputError(
            "", field="--si", problem=f"goes with {', '.join(ENDINGS['milp'])}; {ending} has whole numbers"
        )
    # Most solvers behind MiniZinc count with 32 bits.
    small = 2.0**28 if ending == ".mzn" else None
    model = formulate(problem, formulation, kind=kind, units=SI if si else None, largest_sum=small)
    if isinstance(model, LinearModel) != (kind == "milp"):
        raise InputError(f"a {kind.upper()} formulation for {ending} files", field="--formulation", value=formulation)
    write_model(model, output)
    tell(f"{visible(str(output))}: {model.summary()}")


@command("import-solution", target=TargetOption)
def import_solution_command(
    problem: Problem,
    model: Annotated[Path, typer.Argument(metavar="MODEL_FILE", help="The exported file that was solved.")],
    solution: Annotated[
        Path,
        typer.Argument(
            metavar="SOLUTION_FILE", help="Of HiGHS, CBC, GLPK, SCIP, MiniZinc, or a list of 'name value' lines."
        ),
    ],
    formulation: Annotated[
        str | None, typer.Option("--formulation", "-f", help="Of the model file, where its first line does not say.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the plan there.", callback=checked_file)
    ] = None,
    json: JsonOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Read another solver's solution of an exported model, and check it as 'check' does."""
    from dnnopt.formats.files import write_plan
    from dnnopt.formats.solutions import plan_from_file

    plan = plan_from_file(model, solution, problem, formulation)
    if output is not None:
        write_plan(plan, output)
    check_plan(problem, plan, json)
