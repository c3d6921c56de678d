"""Commands about the results of many runs: one file of them, and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dnnopt.base.errors import InputError
from dnnopt.base.numbers import counted, format_quantity
from dnnopt.base.text import visible
from dnnopt.cli.app import present, say, tell
from dnnopt.cli.options import CsvOption, LatexOption, MarkdownOption, VerboseOption, checked_page
from dnnopt.cli.target import command

RunsArgument = Annotated[
    list[Path], typer.Argument(metavar="RUNS...", help="Folders METHOD/PROBLEM.json of bench, or .parquet files.")
]


@command("runs")
def runs_command(
    runs: RunsArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .parquet file to put them all in, or a folder for a file of each."),
    ] = None,
    csv: CsvOption = None,
    markdown: MarkdownOption = None,
    latex: LatexOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Say what ran when and where; put runs of several folders into one Parquet file, or take them out again."""
    from dnnopt.studies.run_folders import pack_runs, unpack_runs
    from dnnopt.studies.run_frames import run_table
    from dnnopt.studies.run_store import is_store

    if output is None:
        present(run_table(*runs), None, {"csv": csv, "markdown": markdown, "latex": latex})
        return
    for option, path in {"--csv": csv, "--markdown": markdown, "--latex": latex}.items():
        if path is not None:
            raise InputError("", field=option, problem="does not go with --output")
    if is_store(output):
        count = pack_runs(runs, output)
        size = format_quantity(output.stat().st_size, "bytes", 3)
        tell(f"{visible(str(output))}: {counted(count, 'run')}, {size}")
    else:
        tell(f"{visible(str(output))}: {counted(unpack_runs(runs, output), 'new run')}")


@command("report")
def report_command(
    runs: RunsArgument,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The page: one .html file, which needs no network.", callback=checked_page),
    ],
    approaches: Annotated[
        Path | None,
        typer.Option("--approaches", help="Folder of 'dnnopt approaches', or a .parquet file of it: a page on them."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Default: the name of the first folder.")] = None,
    verbose: VerboseOption = False,
) -> None:
    """Write a page that says which method is best where, by how much and how sure, with a page for each problem."""
    from dnnopt.plot.report.data import report_data
    from dnnopt.plot.report.page import write_report
    from dnnopt.studies.run_folders import read_runs
    from dnnopt.studies.run_store import ENDING

    scores = None
    if approaches is not None:
        from dnnopt.approaches.scores import read_scores

        scores = read_scores(approaches)
    name = runs[0].resolve().name.removesuffix(ENDING)
    data = report_data(read_runs(*runs), title=name if title is None else title, approaches=scores)
    write_report(data, output)
    shown = f"{counted(len(data['problems']), 'problem')}, {counted(len(data['methods']), 'method')}"
    tell(f"{visible(str(output))}: {shown}, {format_quantity(output.stat().st_size, 'bytes', 3)}")
    for line in data["left"]:
        say(f"left out: {visible(line)}")
