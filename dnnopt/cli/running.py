"""Commands that take a plan to pieces that run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dnnopt.base.errors import InputError
from dnnopt.base.text import visible
from dnnopt.cli import typed
from dnnopt.cli.app import console, remark
from dnnopt.cli.options import AllowLargeOption, SeedOption, VerboseOption
from dnnopt.cli.target import DimensionOption, command, read_named

_DIFFERENT = 1e-3  # of the largest magnitude: more than rounding

PiecesArgument = Annotated[Path, typer.Argument(metavar="PIECES", help="A folder that 'split' has written.")]


@command("split")
def split_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file.")],
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan or result file, as of 'solve --json'.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the pieces: new, empty, or of pieces.")],
    planned_for: Annotated[
        str | None,
        typer.Option("--problem", help="Problem file or name that the plan is for: 'run' then predicts by it."),
    ] = None,
    network: Annotated[str | None, typer.Option(help="Which of the plan's networks it is, if it has several.")] = None,
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--form", help="Send a tensor in fewer bits: 'TENSOR=float16' or '=int8'; '*' is all. May be repeated."
        ),
    ] = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not compare the pieces, put together, with the whole.")
    ] = False,
    dim: DimensionOption = None,
    seed: SeedOption = 0,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Split an ONNX file by a plan: one file for each device and stage, and a manifest of who sends what to whom."""
    from dnnopt.problem.plan import read_plan
    from dnnopt.problem.problem import Problem
    from dnnopt.runtime.split import split_onnx

    problem = None
    if planned_for is not None:
        found = read_named(planned_for, None, None, allow_large)
        if not isinstance(found, Problem):
            raise InputError("a problem", field="--problem", value=planned_for)
        problem = found
    manifest = split_onnx(
        model,
        read_plan(plan, problem, allow_large=allow_large),
        output,
        problem=problem,
        dimensions=typed.dimensions(dim),
        network=network,
        forms=_forms(form),
        verify=not no_verify,
        seed=seed,
        allow_large=allow_large,
    )
    for text in manifest.remarks:
        remark(text)
    manifest.report(console())
    checked = manifest.verification
    if checked is not None and checked.max_relative > _DIFFERENT and not manifest.forms:
        remark(visible(f"{output}: the pieces differ from the whole by more than rounding; is anything in it random?"))
    remark(visible(f"{output}: written; 'dnnopt run {output} --local' runs it on this machine"))


def _forms(given: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, form = text.rpartition("=")
        if not equals or not name:
            raise InputError("TENSOR=FORM", field="--form", value=text)
        found[name] = form
    return found
