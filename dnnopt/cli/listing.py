"""Commands that say what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dnnopt.base.errors import InputError
from dnnopt.cli.app import console, emit, remark, tell
from dnnopt.cli.approaches import (
    AlgorithmOption,
    ConstraintOption,
    LocationOption,
    ObjectiveOption,
    PiecesOption,
    list_approaches,
)
from dnnopt.cli.options import FigureOption, VerboseOption
from dnnopt.cli.target import command

if TYPE_CHECKING:
    from dnnopt.problem.catalogue import Entry

_WHOLE = 10_000  # characters of a line in a pipe: one entry a line


@command("list")
def list_command(
    kind: Annotated[
        str,
        typer.Argument(
            help="networks, platforms, devices, links, problems, formulations, solvers, methods, heuristics, "
            "approaches or words."
        ),
    ],
    location: LocationOption = None,
    granularity: PiecesOption = None,
    constraint: ConstraintOption = None,
    objective: ObjectiveOption = None,
    algorithm: AlgorithmOption = None,
    figure: FigureOption = None,
    verbose: VerboseOption = False,
) -> None:
    """List what there is, or explain the words of reports."""
    values = {
        "locations": location,
        "granularities": granularity,
        "constraints": constraint,
        "objectives": objective,
        "algorithms": algorithm,
    }
    if kind == "approaches":
        list_approaches(verbose, values, figure)
        return
    if kind not in _LISTS:
        raise InputError(f"one of {', '.join((*_LISTS, 'approaches'))}", field="KIND", value=kind)
    if any(values.values()):
        given = next(name for name, some in values.items() if some)
        raise InputError("approaches, whose dimensions have values", field="KIND", value=f"{kind}, with {given}")
    if figure is not None:
        raise InputError("approaches, which have a picture", field="KIND", value=f"{kind}, with --figure")
    _LISTS[kind](verbose)


def _print_table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], *expendable: str) -> None:
    """Print a table with an entry in each row, its name first."""
    from dnnopt.base.console import table

    console(_WHOLE).print(table("", columns, rows, expendable))


def _texts(*names: str) -> list[tuple[str, str]]:
    return [(name, "left") for name in names]


def _numbers(*names: str) -> list[tuple[str, str]]:
    return [(name, "right") for name in names]


def _list_networks(verbose: bool) -> None:
    from dnnopt.problem import library

    rows = []
    for network in map(library.network, library.names("networks")):
        flops = sum(layer.flops or 0.0 for layer in network.layers)
        parameters = "" if network.parameters is None else f"{network.parameters / 1e6:,.2f} M"
        source = network.provenance.partition(";")[0]
        rows.append(
            (network.name, f"{len(network.layers):,}", f"{flops / 1e9:,.2f}", parameters, network.family, source)
        )
    columns = [*_texts("name"), *_numbers("layers", "GFLOP", "parameters"), *_texts("family", "source")]
    _print_table(columns, rows, *([] if verbose else ["source"]))
    remark("\nNAME@layer and NAME@block are the same networks in fewer, larger layers.")


def _list_platforms(verbose: bool) -> None:
    from dnnopt.problem import library

    if not verbose:
        _tell_names(library.names("platforms"))
        return
    rows = []
    for platform in map(library.platform, library.names("platforms")):
        devices = ", ".join(f"{device.name} ({device.tier})" for device in platform.devices)
        rows.append((platform.name, f"{len(platform.links):,}", devices))
    _print_table([*_texts("name"), *_numbers("links"), *_texts("devices")], rows)


def _list_problems(verbose: bool) -> None:
    from dnnopt.problem import library
    from dnnopt.problem.problem import load

    if not verbose:
        _tell_names(library.names("problems"))
        return
    rows = []
    for name in library.names("problems"):
        problem = load(name)
        networks = ", ".join(network.name for network in problem.networks)
        rows.append((name, networks, f"{len(problem.platform.devices):,}", problem.execution))
    _print_table([*_texts("name", "networks"), *_numbers("devices"), *_texts("execution")], rows)


def _list_formulations(verbose: bool) -> None:
    if not verbose:
        from dnnopt.formulations import registry

        _tell_names(registry.names())
        return
    from dnnopt.studies.capabilities import overview

    _print_table(_texts("timing", "sending", "latency under", "but not"), overview())
    remark("\nA formulation is called SENDING+TIMING; the whole table is in docs/formulations.md.")


def _list_solvers(verbose: bool) -> None:
    from dnnopt.models.solvers import missing, names

    found = [(name, missing(name)) for name in names()]
    rows = [(name, f"unavailable: {how}" if how else "") for name, how in found]
    _print_table(_texts("", ""), [*rows, ("pyomo:NAME", "")])


def _list_methods(verbose: bool) -> None:
    from dnnopt.methods.exact import EXACT
    from dnnopt.methods.heuristics import BASELINES
    from dnnopt.methods.solving import methods
    from dnnopt.problem.glossary import WORDS

    if not verbose:
        _tell_names(methods())
        return
    rows = [("auto", "", WORDS["auto"])]
    for name, method in EXACT.items():
        rows.append((name, "exact", (method.__doc__ or "").partition("\n")[0].partition(": ")[2].removesuffix(".")))
    rows += [(name, "heuristic", baseline.summary) for name, baseline in BASELINES.items()]
    _print_table(_texts("name", "kind", "what it does"), rows)


def _list_heuristics(verbose: bool) -> None:
    from dnnopt.methods.heuristics import BASELINES

    columns = ("name", "ends", "what it does", *(("source",) if verbose else ()))
    rows = [
        (name, "at its limit" if one.searches else "soon", one.summary, one.source)[: len(columns)]
        for name, one in BASELINES.items()
    ]
    _print_table(_texts(*columns), rows)
    if not verbose:
        remark("\n-v names their sources.")


def _list_devices(verbose: bool) -> None:
    from dnnopt.problem import catalogue

    entries = catalogue.devices().values()
    if not verbose:
        _print_table(_texts("name", "tier", "what it is"), [(e.name, e.tier, e.title) for e in entries])
        return
    units = {"memory": "B", "flops_per_s": "FLOP/s", "bytes_per_s": "B/s"}
    rows = []
    for entry in entries:
        made = entry.device()
        rates = [_figure(entry, field).removesuffix(unit) for field, unit in units.items()]
        rates[1] += "" if entry.precision == "FP32" else f" {entry.precision}"
        plain = {"efficiency": made.efficiency, "power": made.power, "idle_power": made.idle_power}
        others = [_figure(entry, field, f"{value:g}") for field, value in plain.items()]
        rows.append([entry.name, *rates, *others, _figure(entry, "price", f"{made.price * 3600:.3g}")])
    numbers = _numbers("memory", "FLOP/s", "bytes/s", "share", "power W", "idle W", "USD/h")
    _print_table([*_texts("name"), *numbers], rows)
    remark(f"\nshare: of both rates that is achieved; FP32 where nothing else stands.\n{_MARKS}")


def _list_links(verbose: bool) -> None:
    from dnnopt.problem import catalogue

    entries = catalogue.links().values()
    if not verbose:
        _print_table(_texts("name", "kind", "what it is"), [(e.name, e.kind, e.title) for e in entries])
        return
    rows = []
    for entry in entries:
        rates = [_figure(entry, f"bandwidth_{way}") or _figure(entry, "bandwidth") for way in ("up", "down")]
        others = [_figure(entry, field) for field in ("latency", "send_energy_per_byte", "receive_energy_per_byte")]
        rows.append((entry.name, *rates, *others))
    _print_table([*_texts("name"), *_numbers("up", "down", "latency", "send", "receive")], rows)
    remark(f"\n{_MARKS}")


def _list_words(verbose: bool) -> None:
    from dnnopt.problem.glossary import WORDS

    _print_table(_texts("word", "what it means"), WORDS.items())


_MARKS = "~ estimate, * from memory; 'platform new' writes all sources."
_LISTS: dict[str, Callable[[bool], None]] = {
    "networks": _list_networks,
    "platforms": _list_platforms,
    "devices": _list_devices,
    "links": _list_links,
    "problems": _list_problems,
    "formulations": _list_formulations,
    "solvers": _list_solvers,
    "methods": _list_methods,
    "heuristics": _list_heuristics,
    "words": _list_words,
}


def _tell_names(names: Iterable[str]) -> None:
    for name in names:
        tell(name)


def _figure(entry: Entry, field: str, shown: str | None = None) -> str:
    """Return a number of the catalogue as it stands there, or as `shown`, and how well it is known."""
    figure = entry.figures.get(field)
    if figure is None:
        return ""
    mark = {"estimate": "~", "recalled": "*"}.get(figure.evidence, "")
    return mark + (str(figure.value) if shown is None else shown)


@command("versions")
def versions_command(verbose: VerboseOption = False) -> None:
    """Show the versions of everything, for bug reports."""
    from dnnopt.base.versions import show_versions

    show_versions()


@command("schema")
def schema_command(
    kind: Annotated[str, typer.Argument(help="problem, platform, network, profile, plan or result.")],
    keys: Annotated[bool, typer.Option("--keys", help="Its keys, as Markdown tables.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Print the JSON Schema of a kind of file."""
    from dnnopt.base.files import dump_json
    from dnnopt.methods import schemas

    try:
        emit(schemas.keys(kind) if keys else dump_json(schemas.schema(kind)))
    except InputError as error:
        raise error.within(field="KIND") from None
