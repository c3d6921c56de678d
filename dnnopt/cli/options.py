"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FormulationOption = Annotated[str | None, typer.Option("--formulation", "-f", help="Run just this one (see 'list').")]
SolverOption = Annotated[str | None, typer.Option(help="highs, cbc, scip, cpsat or pyomo:NAME.")]
MethodOption = Annotated[str, typer.Option(help="auto, or a baseline (see 'list heuristics').")]
TimeOption = Annotated[float | None, typer.Option("--time-limit", "-t", help="Seconds.")]
GapOption = Annotated[float, typer.Option(help="Relative gap at which to stop.")]
ThreadsOption = Annotated[int | None, typer.Option(help="Default: one for each processor.")]
SeedOption = Annotated[int, typer.Option(help="Of everything random.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the result there, as JSON; '-' prints it.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
