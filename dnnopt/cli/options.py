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
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
