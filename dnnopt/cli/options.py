"""Options that several commands have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def checked_folder(path: Path | None) -> Path | None:
    """Return a file to write; a long run should not end with the news that there is no such folder."""
    if path is not None and str(path) != "-" and not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise typer.BadParameter(f"no files can be written to the folder {str(path.parent)!r}")
    return path


def bytes_of(text: str) -> float:
    """Return an amount of memory."""
    from dnnopt.errors import InputError
    from dnnopt.units import parse_quantity

    value = parse_quantity(text, "bytes")
    if not value > 0:
        raise InputError("bytes > 0", value=text)
    return value


def checked_figure(path: Path | None) -> Path | None:
    """Return a file for a figure, where matplotlib is there and knows the ending."""
    if path is not None:
        from dnnopt.errors import InputError
        from dnnopt.plot.style import new_figure

        try:
            endings = new_figure(1, 1).canvas.get_supported_filetypes()
        except InputError as error:
            raise typer.BadParameter(str(error)) from None
        if path.suffix.removeprefix(".").lower() not in endings:
            raise typer.BadParameter(f"got {path.name!r}, expected a file that ends in one of {', '.join(endings)}")
    return checked_folder(path)


FormulationOption = Annotated[str | None, typer.Option("--formulation", "-f", help="Run just this one (see 'list').")]
SolverOption = Annotated[str | None, typer.Option(help="highs, cbc, scip, cpsat or pyomo:NAME.")]
MethodOption = Annotated[str, typer.Option(help="auto, or a heuristic (see 'list heuristics').")]
TimeOption = Annotated[float | None, typer.Option("--time-limit", "-t", help="Seconds.")]
GapOption = Annotated[float, typer.Option(help="Relative gap at which to stop.")]
ThreadsOption = Annotated[int | None, typer.Option(help="Default: one for each processor.")]
IterationsOption = Annotated[
    int | None, typer.Option(help="Limit for heuristics that search: same seed and limit, same plan.")
]
SeedOption = Annotated[int, typer.Option(help="Of everything random.")]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the result there, as JSON; '-' prints it.", callback=checked_folder)
]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", help="Write the table there, as CSV; '-' prints it.", callback=checked_folder)
]
MarkdownOption = Annotated[
    Path | None, typer.Option("--markdown", help="The same, as Markdown.", callback=checked_folder)
]
LatexOption = Annotated[Path | None, typer.Option("--latex", help="The same, as LaTeX.", callback=checked_folder)]
FigureOption = Annotated[
    Path | None,
    typer.Option("--figure", help="Draw the result there: .pdf, .svg, .png, ...", callback=checked_figure),
]
MemoryLimitOption = Annotated[
    str | None,
    typer.Option(help="Memory of each process, such as '2 GiB'; default: the machine's, shared by the jobs."),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
