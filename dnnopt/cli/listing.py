"""Commands that say what there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dnnopt.base.errors import InputError
from dnnopt.cli.app import emit, say, tell
from dnnopt.cli.options import VerboseOption
from dnnopt.cli.target import command

if TYPE_CHECKING:
    from dnnopt.problem.catalogue import Entry


@command("list")
def list_command(
    kind: Annotated[
        str,
        typer.Argument(
            help="networks, platforms, devices, links, problems, formulations, solvers, methods or heuristics."
        ),
    ],
    verbose: VerboseOption = False,
) -> None:
    """List what there is."""
    from dnnopt.problem import library

    def formulations() -> list[str]:
        from dnnopt.formulations import registry

        return registry.names()

    def solvers() -> list[str]:
        from dnnopt.models.solvers import missing, names

        found = {name: missing(name) for name in names()}
        return [*(f"{name}  unavailable: {how}" if how else name for name, how in found.items()), "pyomo:NAME"]

    def methods() -> list[str]:
        from dnnopt.methods.solving import methods as of_all_kinds

        return of_all_kinds()

    kinds: dict[str, Callable[[], list[str]]] = {
        "platforms": lambda: library.names("platforms"),
        "problems": lambda: library.names("problems"),
        "formulations": formulations,
        "solvers": solvers,
        "methods": methods,
    }
    tables: dict[str, Callable[[bool], None]] = {
        "networks": _list_networks,
        "devices": _list_devices,
        "links": _list_links,
        "heuristics": _list_heuristics,
    }
    known = [*tables, *kinds]
    if kind not in known:
        raise InputError(f"one of {', '.join(known)}", field="KIND", value=kind)
    if kind == "formulations" and verbose:
        from dnnopt.studies.capabilities import markdown

        emit(markdown())
        return
    if kind in tables:
        tables[kind](verbose)
        return
    for name in kinds[kind]():
        tell(_described(kind, name) if verbose else name)
    if kind == "methods" and verbose:
        from dnnopt.studies.capabilities import parts_markdown

        emit("\n" + parts_markdown())


def _list_networks(verbose: bool) -> None:
    """Print a table: one network a line, its name first."""
    from dnnopt.problem import library

    rows = [("name", "layers", "GFLOP", "parameters", "family", "source")]
    for network in map(library.network, library.names("networks")):
        flops = sum(layer.flops or 0.0 for layer in network.layers)
        parameters = "" if network.parameters is None else f"{network.parameters / 1e6:,.2f} M"
        source = network.provenance.partition(";")[0]
        rows.append((network.name, f"{len(network.layers)}", f"{flops / 1e9:,.2f}", parameters, network.family, source))
    _print_columns(rows, numbers=(1, 2, 3))
    say("\nNAME@layer and NAME@block are the same networks in fewer, larger layers.")


def _list_heuristics(verbose: bool) -> None:
    """Print a table: one heuristic a line, its name first."""
    from dnnopt.methods.heuristics import BASELINES

    rows = [("name", "ends", "what it does", "source")]
    for baseline in BASELINES.values():
        rows.append((baseline.name, "at its limit" if baseline.searches else "soon", baseline.summary, baseline.source))
    _print_columns(rows)


def _list_devices(verbose: bool) -> None:
    """Print a table: one device of the catalogue a line, its name first."""
    from dnnopt.problem import catalogue

    entries = catalogue.devices().values()
    if not verbose:
        _print_columns([("name", "tier", "what it is"), *((e.name, e.tier, e.title) for e in entries)])
        return
    units = {"memory": "B", "flops_per_s": "FLOP/s", "bytes_per_s": "B/s"}
    rows: list[Sequence[str]] = [("name", "memory", "FLOP/s", "bytes/s", "share", "power W", "idle W", "USD/h")]
    for entry in entries:
        made = entry.device()
        rates = [_figure(entry, field).removesuffix(unit) for field, unit in units.items()]
        rates[1] += "" if entry.precision == "FP32" else f" {entry.precision}"
        plain = {"efficiency": made.efficiency, "power": made.power, "idle_power": made.idle_power}
        others = [_figure(entry, field, f"{value:g}") for field, value in plain.items()]
        rows.append([entry.name, *rates, *others, _figure(entry, "price", f"{made.price * 3600:.3g}")])
    _print_columns(rows, numbers=range(1, 8))
    say(f"\nshare: of both rates that is achieved; FP32 where nothing else stands.\n{_MARKS}")


def _list_links(verbose: bool) -> None:
    """Print a table: one link of the catalogue a line, its name first."""
    from dnnopt.problem import catalogue

    entries = catalogue.links().values()
    if not verbose:
        _print_columns([("name", "kind", "what it is"), *((e.name, e.kind, e.title) for e in entries)])
        return
    rows: list[Sequence[str]] = [("name", "up", "down", "latency", "send", "receive")]
    for entry in entries:
        rates = [_figure(entry, f"bandwidth_{way}") or _figure(entry, "bandwidth") for way in ("up", "down")]
        others = [_figure(entry, field) for field in ("latency", "send_energy_per_byte", "receive_energy_per_byte")]
        rows.append((entry.name, *rates, *others))
    _print_columns(rows, numbers=range(1, 6))
    say(f"\n{_MARKS}")


_MARKS = "~ estimate, * from memory; 'platform new' writes all sources."


def _figure(entry: Entry, field: str, shown: str | None = None) -> str:
    """Return a number of the catalogue as it stands there, or as `shown`, and how well it is known."""
    figure = entry.figures.get(field)
    if figure is None:
        return ""
    mark = {"estimate": "~", "recalled": "*"}.get(figure.evidence, "")
    return mark + (str(figure.value) if shown is None else shown)


def _print_columns(rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> None:
    """Print rows of cells below each other; columns of numbers are aligned on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [c.rjust(w) if k in numbers else c.ljust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True))]
        tell("  ".join(cells).rstrip())


def _described(kind: str, name: str) -> str:
    from dnnopt.base.numbers import counted
    from dnnopt.problem import library
    from dnnopt.problem.problem import load

    if kind == "platforms":
        platform = library.platform(name)
        devices = ", ".join(f"{device.name} ({device.tier})" for device in platform.devices)
        return f"{name}: {devices}; {counted(len(platform.links), 'link')}"
    if kind == "problems":
        problem = load(name)
        names = ", ".join(network.name for network in problem.networks)
        return f"{name}: {names} on {counted(len(problem.platform.devices), 'device')}, {problem.execution}"
    if kind == "methods":
        from dnnopt.methods.exact import EXACT

        first_line = (EXACT[name].__doc__ or "").partition("\n")[0] if name in EXACT else ""
        return f"{name}: {first_line.partition(': ')[2]}" if first_line else name
    return name


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
