"""Commands that make problem files: of other tools' workloads, and of seeded generators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnnopt.cli.app import app, guarded
from dnnopt.cli.options import VerboseOption
from dnnopt.errors import InputError

if TYPE_CHECKING:
    from dnnopt.problem import Problem

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The other tool's file.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Problem file to write.")]

importing = typer.Typer(
    help="Read another tool's workload, and write it as a problem file.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(importing, name="import")


def _imports(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def register(command: Callable[..., None]) -> Callable[..., None]:
        importing.command(name)(guarded(command))
        return command

    return register


@_imports("msr")
def import_msr_command(
    file: FileArgument,
    output: OutputOption,
    objective: Annotated[str, typer.Option(help="throughput.")] = "throughput",
    contiguous: Annotated[
        bool, typer.Option("--contiguous", help="What each device runs of the forward nodes is contiguous.")
    ] = False,
    verbose: VerboseOption = False,
) -> None:
    """Device placement on accelerators and processors that share the host's memory (NeurIPS 2020)."""
    from dnnopt.formats.msr import read_msr

    _write(read_msr(file, objective=objective, contiguous=contiguous), output)  # type: ignore[arg-type]


@_imports("pipeedge")
def import_pipeedge_command(
    file: FileArgument,
    output: OutputOption,
    model: Annotated[str, typer.Option(help="Name of a model in the file.")],
    devices: Annotated[str, typer.Option(metavar="TYPE:COUNT,...", help="How many of each type of device there are.")],
    batch_size: Annotated[int | None, typer.Option(help="Where the profiles have several.")] = None,
    verbose: VerboseOption = False,
) -> None:
    """Pipeline of a transformer's sub-layers over edge boards (PipeEdge)."""
    from dnnopt.formats.pipeedge import read_pipeedge

    _write(read_pipeedge(file, model=model, devices=_counts(devices), batch_size=batch_size), output)


def _counts(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for part in text.split(","):
        kind, colon, count = part.strip().rpartition(":")
        if not colon or not kind or not count.isdecimal() or int(count) < 1:
            raise InputError("TYPE:COUNT, with a whole number >= 1", field="--devices", value=part.strip())
        if kind in counts:
            raise InputError("every type once", field="--devices", value=kind)
        counts[kind] = int(count)
    return counts


def _write(problem: Problem, output: Path) -> None:
    from dnnopt.formats.files import write_problem

    write_problem(problem, output)
    layers = sum(len(network.layers) for network in problem.networks)
    typer.echo(f"{output}: {problem.name}; {layers} layers, {len(problem.platform.devices)} devices")
