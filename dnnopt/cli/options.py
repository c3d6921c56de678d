"""Options that several commands have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

_NO_PICTURES = ("pgf", "raw", "rgba")  # of matplotlib's files: one needs TeX, the others have no size


def checked_output(context: typer.Context, option: typer.CallbackParam, path: Path | None) -> Path | None:
    """Return a file to write, or '-'; a long run should not end with the news that it cannot be written.

    No two options of a command write to the same place.
    """
    from dnnopt.base.errors import InputError
    from dnnopt.base.outputs import check_output

    if path is None:
        return None
    place = str(path)
    if place != "-":
        try:
            check_output(path)
        except InputError as error:
            raise typer.BadParameter(str(error)) from None
        place = os.path.realpath(path)
    taken = context.meta.setdefault("dnnopt.base.outputs", {})
    other = taken.setdefault(place, option.name)
    if other != option.name and not (os.path.exists(place) and not os.path.isfile(place)):
        raise typer.BadParameter(f"got {str(path)!r}, expected another place than that of '--{other}'")
    return path


def checked_file(context: typer.Context, option: typer.CallbackParam, path: Path | None) -> Path | None:
    """Return a file to write, where nothing can be printed instead."""
    if path is not None and str(path) == "-":
        raise typer.BadParameter("got '-', expected the name of a file")
    return checked_output(context, option, path)


def refuse_beside(other: str, given: Mapping[str, Any]) -> None:
    """Refuse options that would do nothing beside another one.

    Raises
    ------
    InputError
        For the first option that is given.
    """
    _refuse(given, f"does not go with {other}")


def is_given(value: Any) -> bool:
    """Return whether an option that has no value of its own was typed."""
    return value is not None and value is not False and value != []


def refuse_without(needed: str, given: Mapping[str, Any]) -> None:
    """Refuse options that would do nothing without another one, which is not given.

    Raises
    ------
    InputError
        For the first option that is given.
    """
    _refuse(given, f"goes with {needed}")


def _refuse(given: Mapping[str, Any], problem: str) -> None:
    from dnnopt.base.errors import InputError

    for option, value in given.items():
        if is_given(value):
            raise InputError("", field=option, problem=problem)


def whole(text: str, least: int) -> int:
    """Return a whole number that is at least `least`."""
    from dnnopt.base.errors import InputError
    from dnnopt.base.sizes import MOST_DIGITS

    if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS and int(text) >= least):
        raise InputError(f"a whole number >= {least}", value=text)
    return int(text)


def memory_of_each(limit: str | None) -> float | None:
    """Return the bytes that each process may take; None: a share of the machine's."""
    from dnnopt.base.errors import InputError
    from dnnopt.base.units import parse_quantity

    if limit is None:
        return None
    try:
        value = parse_quantity(limit, "bytes")
    except InputError as error:
        raise error.within(field="--memory-limit") from None
    if not value > 0:
        raise InputError("bytes > 0", field="--memory-limit", value=limit)
    return value


def engine_given(jobs: int, again: bool, scheduler: str | None, oversubscribe: bool) -> dict[str, Any]:
    """Return which of the options of `engine_options` are given, by their names."""
    return {"--jobs": jobs != 1, "--again": again, "--scheduler": scheduler, "--oversubscribe": oversubscribe}


def engine_options(jobs: int, again: bool, scheduler: str | None, oversubscribe: bool) -> dict[str, Any]:
    """Return how the processes of a bench are run: what `run_all` takes."""
    if scheduler is not None and scheduler != "local":
        refuse_beside("--scheduler, whose workers say how many run at a time", {"--jobs": jobs != 1})
    return {"jobs": jobs, "again": again, "scheduler": scheduler, "oversubscribe": oversubscribe}


def checked_figure(context: typer.Context, option: typer.CallbackParam, path: Path | None) -> Path | None:
    """Return a file for a figure, where matplotlib is there and knows the ending."""
    if path is not None:
        from dnnopt.base.errors import InputError
        from dnnopt.plot.style import new_figure

        try:
            known = new_figure(1, 1).canvas.get_supported_filetypes()
        except InputError as error:
            raise typer.BadParameter(str(error)) from None
        endings = [ending for ending in known if ending not in _NO_PICTURES]
        if path.suffix.removeprefix(".").lower() not in endings:
            raise typer.BadParameter(f"got {path.name!r}, expected a file that ends in one of {', '.join(endings)}")
    return checked_output(context, option, path)


def checked_page(context: typer.Context, option: typer.CallbackParam, path: Path | None) -> Path | None:
    """Return a file for a page, where plotly is there."""
    if path is not None:
        from dnnopt.base.errors import InputError
        from dnnopt.base.extras import optional

        try:
            optional("plotly.offline", "plotly", "report")
        except InputError as error:
            raise typer.BadParameter(str(error)) from None
    return checked_file(context, option, path)


FormulationOption = Annotated[str | None, typer.Option("--formulation", "-f", help="Run just this one (see 'list').")]
SolverOption = Annotated[str | None, typer.Option(help="highs, cbc, scip, cpsat or pyomo:NAME.")]
MethodOption = Annotated[str, typer.Option(help="auto, an exact method or a heuristic (see 'list methods').")]
TimeOption = Annotated[float | None, typer.Option("--time-limit", "-t", help="Seconds.")]
GapOption = Annotated[float, typer.Option(help="Relative gap at which to stop.")]
ThreadsOption = Annotated[int | None, typer.Option(help="Default: one for each processor.")]
IterationsOption = Annotated[
    int | None, typer.Option(help="Limit for heuristics that search: same seed and limit, same plan.")
]
SeedOption = Annotated[int, typer.Option(help="Of everything random.")]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the result there, as JSON; '-' prints it.", callback=checked_output)
]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", help="Write the table there, as CSV; '-' prints it.", callback=checked_output)
]
MarkdownOption = Annotated[
    Path | None, typer.Option("--markdown", help="The same, as Markdown.", callback=checked_output)
]
LatexOption = Annotated[Path | None, typer.Option("--latex", help="The same, as LaTeX.", callback=checked_output)]
FigureOption = Annotated[
    Path | None,
    typer.Option("--figure", help="Draw the result there: .pdf, .svg, .png, ...", callback=checked_figure),
]
HtmlOption = Annotated[
    Path | None,
    typer.Option(
        "--html",
        help="A page there that shows it: one file, for any browser, without a network.",
        callback=checked_page,
    ),
]
OverThreadsOption = Annotated[
    int | None, typer.Option(help="Default: one for each processor; with --over, one for each run.")
]
OverOutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="With --over: folder for results; what is there is not redone.")
]
MemoryLimitOption = Annotated[
    str | None,
    typer.Option(help="Memory of each process, such as '2 GiB'; default: the machine's, shared by the jobs."),
]
JobsOption = Annotated[
    int, typer.Option(min=1, max=512, help="Processes at a time; times their threads, no more than there are cores.")
]
AgainOption = Annotated[bool, typer.Option("--again", help="Try those that failed before again.")]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT|FILE|local",
        help="Run them on the workers of this Dask scheduler; local: one here, with a worker for each of --jobs.",
    ),
]
OversubscribeOption = Annotated[
    bool, typer.Option("--oversubscribe", help="Allow more threads in all than there are cores: times are worse then.")
]
AllowLargeOption = Annotated[
    bool,
    typer.Option("--allow-large", help="Read what is larger than any real data, whatever time and memory it takes."),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
