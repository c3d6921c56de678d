"""Commands about published approaches: what they decide, which are about a problem, how good their plans are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnnopt.base.errors import InputError
from dnnopt.base.text import visible
from dnnopt.cli.app import console, present, remark, save_figure
from dnnopt.cli.options import (
    AgainOption,
    CsvOption,
    FigureOption,
    JobsOption,
    JsonOption,
    LatexOption,
    MarkdownOption,
    MemoryLimitOption,
    OversubscribeOption,
    SchedulerOption,
    SeedOption,
    VerboseOption,
    engine_given,
    engine_options,
    memory_of_each,
    refuse_beside,
    refuse_without,
)
from dnnopt.cli.target import Target, command, read_named

if TYPE_CHECKING:
    from rich.console import Console

    from dnnopt.approaches.approach import Approach
    from dnnopt.problem.networks import Network
    from dnnopt.problem.platforms import Platform
    from dnnopt.problem.problem import Problem

_Panel = "for approaches"
_WHOLE = 10_000  # characters of a line in a pipe: one approach a line
LocationOption = Annotated[
    list[str] | None, typer.Option("--location", help="Such as end-cloud; may be repeated.", rich_help_panel=_Panel)
]
PiecesOption = Annotated[
    list[str] | None, typer.Option("--granularity", help="Such as split; may be repeated.", rich_help_panel=_Panel)
]
ConstraintOption = Annotated[
    list[str] | None, typer.Option("--constraint", help="Such as memory; may be repeated.", rich_help_panel=_Panel)
]
ObjectiveOption = Annotated[
    list[str] | None, typer.Option("--objective", help="Such as latency; may be repeated.", rich_help_panel=_Panel)
]
AlgorithmOption = Annotated[
    list[str] | None, typer.Option("--algorithm", help="Such as min-cut; may be repeated.", rich_help_panel=_Panel)
]


def list_approaches(verbose: bool, values: Mapping[str, Sequence[str] | None], figure: Path | None) -> None:
    """Print, or draw, the approaches that have all of the values; with `verbose`, say what the values mean, too."""
    from dnnopt.approaches.classifying import classification
    from dnnopt.approaches.dimensions import DIMENSIONS
    from dnnopt.base.console import table

    out = console(_WHOLE)
    found = classification(**{name: some or () for name, some in values.items()})
    found.report(out)
    if figure is not None:
        from dnnopt.plot import matrix

        save_figure(matrix(found), figure)
    if not verbose:
        remark("-v says what the values mean; 'dnnopt approach NAME' says all of one.")
        return
    for dimension in DIMENSIONS:
        out.print()
        out.print(table(dimension.title, [("", "left"), ("", "left")], list(dimension.values.items())))


@command("classify", Target)
def classify_command(
    problem: Problem,
    csv: CsvOption = None,
    markdown: MarkdownOption = None,
    latex: LatexOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Say where a problem is in the survey's five dimensions, and which published approaches are about such ones."""
    from dnnopt.approaches.classifying import classify

    present(classify(problem), None, {"csv": csv, "markdown": markdown, "latex": latex})


@command("approach")
def approach_command(
    name: Annotated[str, typer.Argument(help="Of the approach: see 'dnnopt list approaches'.")],
    network: Annotated[
        str | None, typer.Argument(help="An ONNX or network file, or a network of the library; default: an example.")
    ] = None,
    platform: Annotated[
        str | None, typer.Argument(help="A platform file, or a platform of the library; default: an example.")
    ] = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", "-t", help="Seconds for the proof, and as many for its algorithm.")
    ] = 60.0,
    about: Annotated[bool, typer.Option("--about", help="Only say what it is.")] = False,
    seed: SeedOption = 0,
    csv: CsvOption = None,
    markdown: MarkdownOption = None,
    latex: LatexOption = None,
    figure: FigureOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Say what a published approach is, run its algorithm on its problem, and prove how far it is from the optimum."""
    from dnnopt.approaches.registry import approach_named
    from dnnopt.approaches.trial import try_approach

    one = approach_named(name)
    files = {"csv": csv, "markdown": markdown, "latex": latex}
    out = None if any(str(path) == "-" for path in files.values()) else console()
    if out is not None:
        _tell_about(one, out)
    if about or not one.runs:
        return
    if out is not None:
        out.print()
    trial = try_approach(one, _network(network), _platform(platform), time_limit=time_limit, seed=seed)
    present(trial, None, files)
    if figure is not None and trial.own is not None and trial.best.plan is not None:
        from dnnopt.plot import both_plans

        save_figure(both_plans(trial), figure)


@command("approaches")
def approaches_command(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results; what is there is not redone.")
    ],
    problems: Annotated[
        list[str] | None, typer.Argument(help="Sets (such as core) or problems of the library; none with --own.")
    ] = None,
    own: Annotated[
        bool, typer.Option("--own", help="Each approach's own problem for networks and platforms instead.")
    ] = False,
    network: Annotated[
        list[str] | None, typer.Option("--network", help="With --own: of the library; may be repeated.")
    ] = None,
    platform: Annotated[
        list[str] | None, typer.Option("--platform", help="With --own: of the library; may be repeated.")
    ] = None,
    approach: Annotated[
        list[str] | None, typer.Option("--approach", help="Just this one (see 'list approaches'); may be repeated.")
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option("--time-limit", "-t", help="Seconds for each exact method or formulation, and for each proof."),
    ] = 10.0,
    search_limit: Annotated[
        float | None, typer.Option(help="Seconds for each heuristic that searches; default: 2.")
    ] = None,
    jobs: JobsOption = 1,
    again: AgainOption = False,
    scheduler: SchedulerOption = None,
    oversubscribe: OversubscribeOption = False,
    memory_limit: MemoryLimitOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    csv: CsvOption = None,
    markdown: MarkdownOption = None,
    latex: LatexOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Run the algorithms of published approaches over sets of problems, or on their own, and compare them."""
    files = {"csv": csv, "markdown": markdown, "latex": latex}
    if own:
        others = {"PROBLEMS": problems or None, "--search-limit": search_limit, "--memory-limit": memory_limit}
        refuse_beside("--own", others | engine_given(jobs, again, scheduler, oversubscribe))
        _on_their_own(output, network, platform, approach or (), time_limit, seed, json, files)
        return
    if not problems:
        raise InputError("", field="PROBLEMS", problem="missing: sets or problems of the library, or --own")
    refuse_without("--own", {"--network": network, "--platform": platform})
    from dnnopt.approaches.scores import SEARCH_LIMIT, score
    from dnnopt.cli.progress import counter
    from dnnopt.studies.bench import outcome

    with counter() as count:
        found = score(
            problems,
            output,
            approaches=approach or (),
            time_limit=time_limit,
            search_limit=SEARCH_LIMIT if search_limit is None else search_limit,
            seed=seed,
            memory=memory_of_each(memory_limit),
            watch=lambda reached, what, data: count(f"of {reached.tasks} ({reached}): {what}: {outcome(data)}"),
            log=remark,
            **engine_options(jobs, again, scheduler, oversubscribe),
        )
    present(found, json, files)


def _on_their_own(
    output: Path,
    networks: Sequence[str] | None,
    platforms: Sequence[str] | None,
    approaches: Sequence[str],
    time_limit: float,
    seed: int,
    json: Path | None,
    files: Mapping[str, Path | None],
) -> None:
    from dnnopt.approaches.own_gaps import NETWORKS, PLATFORMS, own_gaps
    from dnnopt.cli.progress import counter

    with counter() as count:
        found = own_gaps(
            output,
            networks=networks or NETWORKS,
            platforms=platforms or PLATFORMS,
            approaches=approaches,
            time_limit=time_limit,
            seed=seed,
            watch=lambda number, what: count(f"of {number}: {what}"),
        )
    present(found, json, files)


def _network(name: str | None) -> Network | None:
    from dnnopt.problem.networks import Network

    if name is None:
        return None
    found = read_named(name, None, None, False)
    if not isinstance(found, Network):
        raise InputError("a network", field="NETWORK", value=name)
    return found


def _platform(name: str | None) -> Platform | None:
    from dnnopt.problem import library
    from dnnopt.problem.platforms import read_platform

    if name is None:
        return None
    return read_platform(name) if Path(name).is_file() else library.platform(name)


def _tell_about(one: Approach, out: Console) -> None:
    """Print what an approach is, and how far its figures are reproduced."""
    from dnnopt.approaches.approach import EVIDENCE
    from dnnopt.approaches.dimensions import DIMENSIONS
    from dnnopt.base.console import table, words

    appeared = ", ".join(str(part) for part in (one.venue, one.year) if part)
    rows = [(dimension.title, ", ".join(one.values(dimension.name))) for dimension in DIMENSIONS]
    rows += [
        ("communication", one.communication),
        ("source", f"{one.source} [{one.evidence}: {EVIDENCE[one.evidence]}]"),
        ("problem here", one.problem_here or "it does not run"),
        ("missing", one.missing),
        ("algorithm here", " - ".join(filter(None, (one.algorithm, one.stands_for)))),
        ("in the library", ", ".join(one.instances)),
    ]
    title = f"{one.title} ({appeared})" if appeared else one.title
    out.print(table(title, [("", "left"), ("", "left")], [row for row in rows if row[1]]))
    tags = dict.fromkeys(claim.evidence for claim in one.claims if claim.evidence != one.evidence)
    for claim in one.claims:
        out.print(words(f"Published: {visible(claim.text)} [{claim.evidence}]; {claim.verdict}"))
    if tags:
        out.print(words("; ".join(f"[{tag}]: {EVIDENCE[tag]}" for tag in tags)))
