"""Which problem a command is about: a file or a name, and the options that make a problem of a network."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from dnnopt.base.errors import InputError
from dnnopt.base.text import unquoted, visible
from dnnopt.cli import typed
from dnnopt.cli.app import announce, app, guarded
from dnnopt.cli.options import AllowLargeOption, is_given

if TYPE_CHECKING:
    from dnnopt.problem.networks import Network
    from dnnopt.problem.platforms import Platform
    from dnnopt.problem.problem import Problem
    from dnnopt.problem.profiles import Profile
    from dnnopt.problem.variants import Variants

_Network = "for a network"
_TARGET = "A problem file, an ONNX or network file, or a name in the library."
Target = Annotated[str, typer.Argument(help=_TARGET)]
TargetOrVariants = Annotated[
    str, typer.Argument(help="A file of a problem or of variants, an ONNX or network file, or a name in the library.")
]
TargetOrSet = Annotated[
    str, typer.Argument(help="A problem file, an ONNX or network file, or a name in the library: a set's, too.")
]
OptionalTarget = Annotated[str | None, typer.Argument(help=_TARGET)]
TargetOption = Annotated[str, typer.Option("--problem", metavar="TARGET", help=_TARGET)]
PlatformOption = Annotated[
    str | None, typer.Option("--platform", "-p", help="Platform file or name.", rich_help_panel=_Network)
]
MinimizeOption = Annotated[
    str | None,
    typer.Option(help="Such as '0.5*latency + 2*energy(pi)'; default: latency, or the period if pipelined."),
]
MaximizeOption = Annotated[str | None, typer.Option(help="'throughput': the same as --minimize period.")]
ExecutionOption = Annotated[
    str | None, typer.Option(help="sequential (the default), parallel, scheduled, pipelined or call.")
]
TransportOption = Annotated[str | None, typer.Option(help="unicast (the default), multicast or per_edge.")]
LimitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--subject-to",
        "-s",
        help="A constraint, such as 'latency <= 30 ms' or 'placement(conv1, pi)'; may be repeated.",
    ),
]
SourceOption = Annotated[
    str | None, typer.Option(help="Where the input starts: a device (default: the first), or 'none'.")
]
SinkOption = Annotated[str | None, typer.Option(help="Where the answer must arrive (default: the source), or 'none'.")]
RateOption = Annotated[
    str | None, typer.Option(help="Requests, such as '10 /s': what 'utilisation' and 'bandwidth' constraints read.")
]
MemoryOption = Annotated[
    list[str] | None, typer.Option("--memory", "-m", help="Memory it may use, such as 'pi=64 MiB'; may be repeated.")
]
NoMemoryOption = Annotated[bool, typer.Option("--no-memory", help="Do not limit memory.")]
DimensionOption = Annotated[
    list[str] | None,
    typer.Option("--dim", help="Size of a dimension of an ONNX file: 'batch=1' or, by input and axis, 'x[2]=48'."),
]
CostOption = Annotated[
    list[str] | None,
    typer.Option("--cost", help="FLOP of an ONNX operator, such as 'com.acme:MyOp=2*out'; may be repeated."),
]
SensitivityOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sensitivity",
        metavar="NAME=VALUE|FILE",
        help="From 0 to 1: of raw input ('input=1', with --decay), of a tensor, or a JSON file; may be repeated.",
    ),
]
DecayOption = Annotated[
    str | None,
    typer.Option(
        "--decay", help="What each layer leaves of the sensitivity, which is 1 for raw input unless said otherwise."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="What if: another value, such as 'bandwidth(wifi-up)=5 Mbit/s', of whatever 'sweep --vary' varies; may be "
        "repeated.",
    ),
]
GranularityOption = Annotated[
    str | None,
    typer.Option(
        help="Of layers: operator, layer, block; parts of them: rows:4, grid:2x2, channels:4, paired:4, batch:4; fused "
        "tiles: fused:2x2; or 'best', of all that apply.",
    ),
]
ProfileOption = Annotated[
    list[Path] | None, typer.Option("--profile", help="Measured times (see 'profile'); may be repeated.")
]


def read_target(
    target: Target,
    platform: PlatformOption = None,
    minimize: MinimizeOption = None,
    maximize: MaximizeOption = None,
    execution: ExecutionOption = None,
    transport: TransportOption = None,
    subject_to: LimitOption = None,
    source: SourceOption = None,
    sink: SinkOption = None,
    rate: RateOption = None,
    memory: MemoryOption = None,
    no_memory: NoMemoryOption = False,
    dim: DimensionOption = None,
    cost: CostOption = None,
    sensitivity: SensitivityOption = None,
    decay: DecayOption = None,
    profile: ProfileOption = None,
    set_: SetOption = None,
    granularity: GranularityOption = None,
    allow_large: AllowLargeOption = False,
) -> Problem | Variants:
    """Return the problem that a target and its options describe, or the variants that a file or a granularity has."""
    from dnnopt.problem import library
    from dnnopt.problem.networks import Network
    from dnnopt.problem.remarks import remarks
    from dnnopt.problem.variants import Variants

    typed.remember(())
    found = read_named(target, dim, cost, allow_large)
    if not isinstance(found, Network):
        given = {
            "--platform": platform,
            "--minimize": minimize,
            "--maximize": maximize,
            "--execution": execution,
            "--transport": transport,
            "--subject-to": subject_to,
            "--source": source,
            "--sink": sink,
            "--rate": rate,
            "--memory": memory,
            "--no-memory": no_memory,
            "--sensitivity": sensitivity,
            "--decay": decay,
            "--profile": profile,
        }
        for option, value in given.items():
            if is_given(value):
                instead = "; --set changes its limits" if option in ("--subject-to", "--memory", "--rate") else ""
                told = f"goes with a network; a problem means exactly what it lists{instead}"
                raise InputError("", field=option, problem=told)
        if isinstance(found, Variants):
            if granularity is not None:
                raise InputError("", field="--granularity", problem="does not go with variants")
            return found.replace(problems={name: typed.changed(one, set_) for name, one in found.problems.items()})
        for remark in remarks(found):
            announce(visible(remark))
        return _at(typed.changed(found, set_), granularity)
    if platform is None:
        names = ", ".join(library.names("platforms"))
        raise InputError("", field="--platform", problem=f"missing; a file (see 'platform new'), or one of: {names}")
    found = typed.sensitive(found, sensitivity, decay)
    problem = _network_problem(
        found,
        _read_platform(platform, found, allow_large),
        platform,
        minimize,
        maximize,
        execution,
        transport,
        subject_to,
        source,
        sink,
        rate,
        memory,
        no_memory,
        _read_profiles(profile or [], allow_large),
    )
    return _at(typed.changed(problem, set_), granularity)


def read_named(
    target: str, dim: list[str] | None, cost: list[str] | None, allow_large: bool
) -> Problem | Network | Variants:
    """Return what a file is about, or what the library has of that name."""
    from dnnopt.problem import library
    from dnnopt.problem.problem import load
    from dnnopt.problem.variants import read_any

    path = Path(target)
    if dim and path.suffix != ".onnx":
        raise InputError("", field="--dim", problem="goes with an ONNX file, whose dimensions may be symbolic")
    if cost and path.suffix != ".onnx":
        raise InputError("", field="--cost", problem="goes with an ONNX file, whose operators may be unknown")
    if path.suffix == ".onnx":
        from dnnopt.inputs.onnx.reader import read_onnx

        return read_onnx(path, dimensions=typed.dimensions(dim), costs=typed.costs(cost), allow_large=allow_large)
    if _is_file(path):
        return read_any(path, allow_large=allow_large)
    if library.has_network(target):
        return library.network(target)
    if target in library.names("problems"):
        return load(target)
    raise library.unknown("problem or network", target, library.names("problems") + library.names("networks"))


def _at(problem: Problem, granularity: str | None) -> Problem | Variants:
    """Return a problem at a granularity, or the variants that granularities are, and say what they mean."""
    if granularity is None:
        return problem
    from dnnopt.problem.transforms.problems import BEST, at_granularity, granularities

    try:
        if granularity == BEST:
            return granularities(problem)
        at = at_granularity(problem, granularity)
    except InputError as error:
        raise error.within(field="--granularity") if not error.field else _option(error) from None
    for remark in at.remarks():
        announce(visible(remark))
    return at.problem


def _option(error: InputError) -> InputError:
    return InputError("", field=error.field.replace("granularity", "--granularity", 1), problem=error.problem)


def _is_file(path: Path) -> bool:
    """Return whether a path is meant to be a file's: pipes and devices count, folders do not."""
    return path.suffix in (".json", ".gz") or (path.exists() and not path.is_dir())


def _is_set(target: str) -> bool:
    """Return whether a target is the name of a set, such as core or core@1, and of no file."""
    from dnnopt.problem.library import SETS

    return target.removesuffix("@1") in SETS and not _is_file(Path(target))


def _read_platform(name: str, network: Network, allow_large: bool) -> Platform:
    """Return the platform of that file or name, which must not be too large together with the network."""
    from dnnopt.base.sizes import check_places
    from dnnopt.problem import library
    from dnnopt.problem.platforms import read_platform

    found = read_platform(name, allow_large=allow_large) if _is_file(Path(name)) else library.platform(name)
    check_places(len(network.layers), len(found.devices), allow_large=allow_large)
    return found


def _network_problem(
    network: Network,
    platform: Platform,
    platform_name: str,
    minimize: str | None,
    maximize: str | None,
    execution: str | None,
    transport: str | None,
    subject_to: list[str] | None,
    source: str | None,
    sink: str | None,
    rate: str | None,
    memory: list[str] | None,
    no_memory: bool,
    profiles: dict[Path, Profile],
) -> Problem:
    from dnnopt.problem import constraints
    from dnnopt.problem.problem import Problem

    source = platform.devices[0].name if source is None else source
    sink = source if sink is None else sink
    own: dict[str, Any] = {
        "source": None if source == "none" else unquoted(source),
        "sink": None if sink == "none" else unquoted(sink),
    }
    if rate is not None:
        own["rate"] = typed.rate(rate)
    limits: list[tuple[str, Any]] = [*typed.constraints(subject_to, [network])]
    typed.remember(limits)
    memory_limits = typed.memory_limits(memory)
    if no_memory and memory:
        raise InputError("", field="--no-memory", problem="contradicts --memory")
    own_rules = [text for text, limit in limits if isinstance(limit, constraints.Memory)]
    if own_rules and (memory or no_memory):
        option = "--memory" if memory else "--no-memory"
        raise InputError("", field=option, problem=f"does not go with {own_rules[0]!r}, which says all about memory")
    rule = f"memory: {' and '.join(own_rules)}" if own_rules else "memory is not limited"
    if not own_rules and not no_memory:
        limits.insert(0, ("", constraints.memory("weights+largest_activation", limits=memory_limits)))
        rule = "memory: weights + largest activation"
    start = "is everywhere" if own["source"] is None else f"starts on {own['source']}"
    end = "stays where it is made" if own["sink"] is None else f"goes to {own['sink']}"
    profile = _merged(profiles, network, platform)
    objective = typed.objective(minimize, maximize, execution)
    announce(visible(f"The input {start}, the answer {end}; {rule}."))
    try:
        return Problem(
            network.model_copy(update=own),
            platform,
            execution=execution or "sequential",  # type: ignore[arg-type]
            minimize=objective,
            subject_to=[limit for _, limit in limits],
            transport=transport or "unicast",  # type: ignore[arg-type]
            profile=profile,
            name=f"{network.name} on {platform.name or platform_name}",
        )
    except InputError as error:
        raise typed.told(error, [text for text, _ in limits]) from None


def _read_profiles(paths: list[Path], allow_large: bool) -> dict[Path, Profile]:
    from dnnopt.problem.profiles import read_profile

    return {path: read_profile(path, allow_large=allow_large) for path in paths}


def _merged(profiles: dict[Path, Profile], network: Network, platform: Platform) -> Profile:
    """Return the entries of all profile files, which must fit the network and the platform and agree."""
    from dnnopt.problem.profiles import Profile

    merged = Profile()
    for path, profile in profiles.items():
        try:
            profile.check((network,), platform)
            merged = merged.merged(profile)
        except InputError as error:
            raise error.within(file=str(path)) from None
    return merged


def takes_problem(command: Callable[..., None], target: Any) -> Callable[..., None]:
    """Replace the parameter `problem` of a command by those that say which problem; `target` declares the main one.

    Where the command can do without a problem (its default is None), the target may be left out. With
    `TargetOrVariants` it may be given variants as well, with `TargetOrSet` the name of a set.
    """
    options = dict(signature(read_target).parameters)
    declared = signature(command).parameters
    optional = declared["problem"].default is None
    if optional:
        options["target"] = options["target"].replace(default=None)
    own = [parameter for name, parameter in declared.items() if name != "problem" and name not in options]
    hints = _hints(command) | _hints(read_target)
    hints["target"] = target

    def run(**arguments: Any) -> None:
        about = {name: arguments.pop(name) for name in options}
        arguments |= {name: about[name] for name in options if name in declared}  # it reads other files, too
        if optional and about["target"] is None:
            if any(map(is_given, about.values())):
                over = ", and a set of them is --over" if "over" in declared else ""
                raise InputError("", field="TARGET", problem=f"missing: the options about a problem need one{over}")
            command(**arguments)
            return
        from dnnopt.problem.variants import Variants

        if target is TargetOrSet and _is_set(about["target"]):
            for name, value in about.items():
                if name != "target" and is_given(value):
                    option = f"--{name.rstrip('_').replace('_', '-')}"
                    raise InputError(
                        "", field=option, problem="goes with a network, or a problem; this is a set of them"
                    )
            command(problem=about["target"], **arguments)
            return
        problem = read_target(**about)
        if isinstance(problem, Variants) and target is not TargetOrVariants:
            raise InputError(
                "", file=about["target"], problem="these are variants, which 'solve' takes; here: a problem"
            )
        command(problem=problem, **arguments)

    parameters: list[Parameter] = [
        parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in [*options.values(), *own]
    ]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function; `Problem` and `Variants` are names for type checkers alone."""
    return get_type_hints(function, function.__globals__ | {"Problem": Any, "Variants": Any}, include_extras=True)


def command(name: str, target: Any = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def register(command: Callable[..., None]) -> Callable[..., None]:
        if "problem" in signature(command).parameters:
            command = takes_problem(command, target or Target)
        app.command(name)(guarded(command))
        return command

    return register
