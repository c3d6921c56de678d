"""Commands that make files: problems of other tools' workloads and of seeded generators, platforms of a catalogue."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnopt.base.errors import InputError
from dnnopt.base.text import visible
from dnnopt.cli import typed
from dnnopt.cli.app import app, guarded, say, tell
from dnnopt.cli.options import AllowLargeOption, SeedOption, VerboseOption, checked_file, refuse_beside, whole
from dnnopt.cli.target import command
from dnnopt.cli.typed import assignments, named

if TYPE_CHECKING:
    from dnnopt.problem.platforms import Device
    from dnnopt.problem.problem import Problem
    from dnnopt.problem.variants import Variants

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The other tool's file.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Problem file to write.", callback=checked_file)]

importing = typer.Typer(
    help="Read another tool's workload, and write it as a problem file.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(importing, name="import")

platforms = typer.Typer(help="Make a platform of one's own.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(platforms, name="platform")


def _imports(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def register(command: Callable[..., None]) -> Callable[..., None]:
        importing.command(name)(guarded(command))
        return command

    return register


@_imports("msr")
def import_msr_command(
    file: FileArgument,
    output: OutputOption,
    objective: Annotated[str, typer.Option(help="throughput or latency.")] = "throughput",
    contiguous: Annotated[
        bool, typer.Option("--contiguous", help="Throughput: what a device runs of the forward nodes is contiguous.")
    ] = False,
    split: Annotated[
        Path | None, typer.Option("--split", help="Write the plan that this file has for the workload instead.")
    ] = None,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Device placement on accelerators and processors that share the host's memory (NeurIPS 2020)."""
    from dnnopt.inputs.msr import read_msr, read_msr_split
    from dnnopt.problem.plan import write_plan

    kind: Any = objective
    if split is not None:
        refuse_beside("--split", {"--objective": kind != "throughput", "--contiguous": contiguous})
        write_plan(read_msr_split(split, file), output)
        return
    _write(read_msr(file, objective=kind, contiguous=contiguous, allow_large=allow_large), output)


@_imports("pipeedge")
def import_pipeedge_command(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="One JSON file, or its scheduler's YAML files.")
    ],
    output: OutputOption,
    model: Annotated[str, typer.Option(help="Name of a model in the files.")],
    devices: Annotated[
        str | None,
        typer.Option(metavar="TYPE:COUNT,...", help="How many of each type there are, if no file lists hosts."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Where the profiles have several.")] = None,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Pipeline of a transformer's sub-layers over edge boards (PipeEdge)."""
    from dnnopt.inputs.pipeedge import read_pipeedge

    counts = None if devices is None else _counts(devices)
    found = read_pipeedge(files, model=model, devices=counts, batch_size=batch_size, allow_large=allow_large)
    _write(found, output)


@_imports("pipedream")
def import_pipedream_command(
    file: FileArgument,
    output: OutputOption,
    machines: Annotated[int, typer.Option(help="How many identical machines there are.")],
    bandwidth: Annotated[str, typer.Option(help="Of each machine's connection.")] = "1 GB/s",
    replicated: Annotated[
        bool, typer.Option("--replicated", help="Stages may have several machines: a file of variants.")
    ] = False,
    stages: Annotated[
        int | None, typer.Option(help="With --replicated: at most so many; default: one for each machine.")
    ] = None,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Training by a pipeline of stages on identical machines (PipeDream)."""
    from dnnopt.base.units import parse_value
    from dnnopt.inputs.pipedream import read_pipedream, read_pipedream_replicated

    rate = named(lambda text: parse_value(text, "bandwidth"), bandwidth, "--bandwidth")
    keys: dict[str, Any] = {"machines": machines, "bandwidth": rate, "allow_large": allow_large}
    if stages is not None and not replicated:
        raise InputError("", field="--stages", problem="goes with --replicated")
    made = read_pipedream_replicated(file, stages=stages, **keys) if replicated else read_pipedream(file, **keys)
    _write(made, output)


@_imports("scission")
def import_scission_command(
    file: FileArgument,
    output: OutputOption,
    platform: Annotated[str, typer.Option(help="A platform file, or a platform of the library, with its devices.")],
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Layers of a chain that were timed on each device (Scission): CSV with layer, device, seconds, output_bytes."""
    from dnnopt.inputs.scission import read_scission

    _write(read_scission(file, platform, allow_large=allow_large), output)


def _counts(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for part in text.split(","):
        kind, colon, count = part.strip().rpartition(":")
        if not colon or not kind:
            raise InputError("TYPE:COUNT", field="--devices", value=part.strip())
        if kind in counts:
            raise InputError("every type once", field="--devices", value=kind)
        counts[kind] = named(lambda text: whole(text, 1), count, "--devices")
    return counts


def _write(made: Problem | Variants, output: Path) -> None:
    """Write a problem file, or one of variants, and say what is in it; the checksum is of its text, not packed."""
    from dnnopt.base.files import write_text
    from dnnopt.base.numbers import counted
    from dnnopt.problem.problem import Problem, problem_text
    from dnnopt.problem.variants import variants_text

    if isinstance(made, Problem):
        text, problem = problem_text(made), made
        devices = counted(len(problem.platform.devices), "device")
    else:
        text, problem = variants_text(made), next(iter(made.problems.values()))
        devices = counted(len(made.problems), "variant")
    write_text(output, text)
    layers = sum(len(network.layers) for network in problem.networks)
    speak = tell if output.is_file() else say  # the file itself may be what is printed
    speak(visible(f"{output}: {made.title}; {counted(layers, 'layer')}, {devices}"))
    speak(f"sha256 {sha256(text.encode()).hexdigest()}")


@command("generate")
def generate_command(
    kinds: Annotated[
        list[str],
        typer.Argument(
            metavar="KIND...",
            help="One for each network: chain, series-parallel, inception, dense, encoder-decoder, transformer, "
            "language-model, training or layered.",
        ),
    ],
    output: OutputOption,
    size: Annotated[int, typer.Option(help="Layers of each network, at least.")] = 30,
    devices: Annotated[int, typer.Option(help="Number of devices.")] = 3,
    topology: Annotated[str, typer.Option(help="mesh, star, shared, line or hosts.")] = "mesh",
    hosts: Annotated[int, typer.Option(help="Number of hosts, for that topology.")] = 2,
    heterogeneity: Annotated[float, typer.Option(help="Fastest device through slowest.")] = 8.0,
    link_heterogeneity: Annotated[float, typer.Option(help="Fastest link through slowest.")] = 4.0,
    communication: Annotated[float, typer.Option(help="Time to send everything through time to compute it.")] = 1.0,
    memory: Annotated[float, typer.Option("--memory", "-m", help="Tightness, 0 to 1.")] = 0.0,
    deadline: Annotated[float | None, typer.Option(help="Tightness, 0 to 1; default: no deadline.")] = None,
    decay: Annotated[
        float, typer.Option(help="Share of the input's sensitivity that the deepest layer has lost, 0 to 1.")
    ] = 1.0,
    execution: Annotated[str, typer.Option(help="sequential, parallel, scheduled or pipelined.")] = "sequential",
    transport: Annotated[str, typer.Option(help="unicast, multicast or per_edge.")] = "unicast",
    minimize: Annotated[
        str | None, typer.Option(help="Default: energy with a deadline, else period (pipelined) or latency.")
    ] = None,
    subject_to: Annotated[
        list[str] | None, typer.Option("--subject-to", "-s", help="Such as 'worst_leakage <= 0.5'; may be repeated.")
    ] = None,
    seed: SeedOption = 0,
    witness: Annotated[
        Path | None,
        typer.Option(
            help="Write a plan there that keeps to memory, and to deadlines of a tightness up to 0.5.",
            callback=checked_file,
        ),
    ] = None,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a problem from a seed and a few knobs: the same file on every machine."""
    from dnnopt.inputs.generators import Recipe, generate
    from dnnopt.problem.plan import write_plan

    recipe = Recipe(
        kinds=tuple(kinds),
        size=size,
        devices=devices,
        topology=topology,
        hosts=hosts,
        heterogeneity=heterogeneity,
        link_heterogeneity=link_heterogeneity,
        communication=communication,
        memory=memory,
        deadline=deadline,
        decay=decay,
        execution=execution,
        transport=transport,
        minimize=() if minimize is None else typed.objective(minimize, None),
        seed=seed,
    )
    made = generate(recipe, allow_large=allow_large)
    if subject_to:  # which may be about layers
        limits = [limit for _, limit in typed.constraints(subject_to, made.problem.networks)]
        made = generate(recipe.replace(subject_to=tuple(limits)), allow_large=allow_large)
    _write(made.problem, output)
    if witness is not None:
        write_plan(made.witness, witness)


@command("generate-operators")
def generate_operators_command(
    output: OutputOption,
    size: Annotated[int, typer.Option(help="Operators, at least.")] = 200,
    accelerators: Annotated[int, typer.Option(help="Number of accelerators, beside one processor.")] = 4,
    training: Annotated[bool, typer.Option("--training", help="With gradients and updates; for throughput.")] = False,
    objective: Annotated[str, typer.Option(help="throughput or latency.")] = "latency",
    contiguous: Annotated[
        bool,
        typer.Option("--contiguous", help="Throughput: what a device runs of the forward operators is contiguous."),
    ] = False,
    room: Annotated[
        float, typer.Option(help="Memory of all accelerators through what all operators need: below 1, some stay off.")
    ] = 1.5,
    seed: SeedOption = 0,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a graph of operators in colocation classes, on accelerators and a processor that share the host's memory."""
    from dnnopt.inputs.generators.operators import operator_graph

    made = operator_graph(
        size,
        accelerators,
        training=training,
        objective=objective,
        contiguous=contiguous,
        room=room,
        seed=seed,
        allow_large=allow_large,
    )
    _write(made, output)


_INTERNET = "wan, broadband, lte"
_FLAGS = {"true": True, "false": False}


@platforms.command("new")
@guarded
def new_platform_command(
    devices: Annotated[
        str, typer.Option(metavar="KIND,...", help="Such as 'pi5,orin-nano'; NAME=KIND gives one a name of its own.")
    ],
    links: Annotated[str, typer.Option(metavar="KIND,...", help="Such as 'wifi,ethernet-1g'; the last one repeats.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Platform file to write.", callback=checked_file)],
    topology: Annotated[
        str,
        typer.Option(
            help="star (a link from each device to a router), line (from each to the next) or mesh (for each pair)."
        ),
    ] = "star",
    centre: Annotated[str | None, typer.Option(help="Of a star: the device in place of the router.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another value, such as 'pi5.memory=2 GiB' or 't4.trusted=true'; may be repeated."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Default: that of the file.")] = None,
    verbose: VerboseOption = False,
) -> None:
    """Join devices and links of the catalogue ('list devices', 'list links') to a platform, and write it as a file."""
    from dnnopt.base.numbers import counted
    from dnnopt.problem import templates
    from dnnopt.problem.platforms import write_platform

    if topology not in templates.TOPOLOGIES:
        raise InputError(f"one of {', '.join(templates.TOPOLOGIES)}", field="--topology", value=topology)
    if centre is not None and topology != "star":
        raise InputError("", field="--centre", problem="goes with --topology star")
    own = {"name": name or output.name.removesuffix(".gz").removesuffix(".json")}
    if centre is not None:
        own["centre"] = centre
    numbers = assignments(set_, "--set", lambda _, text: _FLAGS.get(text.strip(), text.strip()), "pi5.memory=2 GiB")
    try:
        made = getattr(templates, topology)(
            [_device(text) for text in _listed(devices)], _listed(links), override=numbers, **own
        )
    except InputError as error:
        field = error.field.replace("override", "set", 1)
        raise InputError("", field=f"--{field}", problem=error.problem) from None
    write_platform(made, output)
    speak = tell if output.is_file() else say
    speak(visible(f"{output}: {', '.join(made.device_names())}; {counted(len(made.links), 'link')}"))
    for device in templates.rented_next_door(made):
        say(visible(f"{device} is rented in a cloud, but no link to it leads over the Internet ({_INTERNET}, ...)."))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _device(text: str) -> str | Device:
    """Return the name of a kind of device, or the device of that kind that has a name of its own."""
    from dnnopt.problem import catalogue

    name, equals, kind = (part.strip() for part in text.rpartition("="))
    return named(lambda kind: catalogue.device(kind, name=name), kind, "devices") if equals else text
