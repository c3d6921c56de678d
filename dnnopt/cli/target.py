"""Which problem a command is about: a file or a name, and the options that make a problem of a network."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from dnnopt.base.errors import InputError
from dnnopt.base.text import visible
from dnnopt.cli.app import app, guarded, say
from dnnopt.cli.options import AllowLargeOption, whole

if TYPE_CHECKING:
    from dnnopt.inputs.onnx.costs import CostFunction
    from dnnopt.problem.networks import Network
    from dnnopt.problem.platforms import Platform
    from dnnopt.problem.problem import Problem
    from dnnopt.problem.profiles import Profile

_Network = "for a network"
_TARGET = "A problem file, an ONNX or network file, or a name in the library."
Target = Annotated[str, typer.Argument(help=_TARGET)]
OptionalTarget = Annotated[str | None, typer.Argument(help=_TARGET)]
TargetOption = Annotated[str, typer.Option("--problem", metavar="TARGET", help=_TARGET)]
PlatformOption = Annotated[
    str | None, typer.Option("--platform", "-p", help="Platform file or name.", rich_help_panel=_Network)
]
MinimizeOption = Annotated[
    str | None, typer.Option(help="Such as 'latency' (the default) or '0.5*latency + 2*energy(pi)'.")
]
ExecutionOption = Annotated[
    str | None, typer.Option(help="sequential (the default), parallel, scheduled, pipelined or call.")
]
TransportOption = Annotated[str | None, typer.Option(help="unicast (the default), multicast or per_edge.")]
LimitOption = Annotated[
    list[str] | None, typer.Option("--subject-to", "-s", help="Such as 'latency <= 30 ms'; may be repeated.")
]
SourceOption = Annotated[
    str | None, typer.Option(help="Where the input starts: a device (default: the first), or 'none'.")
]
SinkOption = Annotated[str | None, typer.Option(help="Where the answer must arrive (default: the source), or 'none'.")]
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
ProfileOption = Annotated[
    list[Path] | None, typer.Option("--profile", help="Measured times (see 'profile'); may be repeated.")
]


def read_target(
    target: Target,
    platform: PlatformOption = None,
    minimize: MinimizeOption = None,
    execution: ExecutionOption = None,
    transport: TransportOption = None,
    subject_to: LimitOption = None,
    source: SourceOption = None,
    sink: SinkOption = None,
    memory: MemoryOption = None,
    no_memory: NoMemoryOption = False,
    dim: DimensionOption = None,
    cost: CostOption = None,
    profile: ProfileOption = None,
    allow_large: AllowLargeOption = False,
) -> Problem:
    """Return the problem that a target and its options describe."""
    from dnnopt.problem import library
    from dnnopt.problem.problem import Problem, load, read_problem_or_network

    found: Problem | Network
    path = Path(target)
    if dim and path.suffix != ".onnx":
        raise InputError("", field="--dim", problem="goes with an ONNX file, whose dimensions may be symbolic")
    if cost and path.suffix != ".onnx":
        raise InputError("", field="--cost", problem="goes with an ONNX file, whose operators may be unknown")
    if path.suffix == ".onnx":
        from dnnopt.inputs.onnx.reader import read_onnx

        found = read_onnx(path, dimensions=read_dimensions(dim), costs=read_costs(cost), allow_large=allow_large)
    elif _is_file(path):
        found = read_problem_or_network(path, allow_large=allow_large)
    elif library.has_network(target):
        found = library.network(target)
    elif target in library.names("problems"):
        found = load(target)
    else:
        raise library.unknown("problem or network", target, library.names("problems") + library.names("networks"))
    if isinstance(found, Problem):
        given = {
            "--platform": platform,
            "--minimize": minimize,
            "--execution": execution,
            "--transport": transport,
            "--subject-to": subject_to,
            "--source": source,
            "--sink": sink,
            "--memory": memory,
            "--no-memory": no_memory,
            "--profile": profile,
        }
        for option, value in given.items():
            if value:
                raise InputError("", field=option, problem="goes with a network; a problem means exactly what it lists")
        return found
    if platform is None:
        names = ", ".join(library.names("platforms"))
        raise InputError("", field="--platform", problem=f"missing; a file (see 'platform new'), or one of: {names}")
    return _network_problem(
        found,
        _read_platform(platform, found, allow_large),
        platform,
        minimize,
        execution,
        transport,
        subject_to,
        source,
        sink,
        memory,
        no_memory,
        _read_profiles(profile or [], allow_large),
    )


def _is_file(path: Path) -> bool:
    """Return whether a path is meant to be a file's: pipes and devices count, folders do not."""
    return path.suffix in (".json", ".gz") or (path.exists() and not path.is_dir())


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
    execution: str | None,
    transport: str | None,
    subject_to: list[str] | None,
    source: str | None,
    sink: str | None,
    memory: list[str] | None,
    no_memory: bool,
    profiles: dict[Path, Profile],
) -> Problem:
    from dnnopt.base.units import parse_quantity
    from dnnopt.problem import constraints
    from dnnopt.problem.expressions import parse_constraint, parse_objective
    from dnnopt.problem.problem import Problem

    source = platform.devices[0].name if source is None else source
    sink = source if sink is None else sink
    ends = {"source": None if source == "none" else source, "sink": None if sink == "none" else sink}
    limits: list[Any] = [named(parse_constraint, text, "--subject-to") for text in subject_to or ()]
    memory_limits = assignments(memory, "--memory", lambda text: parse_quantity(text, "bytes"))
    if no_memory and memory:
        raise InputError("", field="--no-memory", problem="contradicts --memory")
    if not no_memory:
        limits.insert(0, constraints.memory("weights+largest_activation", limits=memory_limits))
    start = "is everywhere" if ends["source"] is None else f"starts on {source}"
    end = "stays where it is made" if ends["sink"] is None else f"goes to {sink}"
    rule = "memory is not limited" if no_memory else "memory: weights + largest activation"
    profile = _merged(profiles, network, platform)
    say(visible(f"The input {start}, the answer {end}; {rule}."))
    return Problem(
        network.model_copy(update=ends),
        platform,
        execution=execution or "sequential",  # type: ignore[arg-type]
        minimize=named(parse_objective, minimize or "latency", "--minimize"),
        subject_to=limits,
        transport=transport or "unicast",  # type: ignore[arg-type]
        profile=profile,
        name=f"{network.name} on {platform.name or platform_name}",
    )


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


def read_dimensions(texts: list[str] | None) -> dict[str, int]:
    """Return the sizes that ``--dim`` gives."""
    return assignments(texts, "--dim", _whole)


def read_costs(texts: list[str] | None) -> dict[str, CostFunction]:
    """Return the costs of operators that ``--cost`` gives."""
    from dnnopt.inputs.onnx.own_costs import parse_cost

    found: dict[str, CostFunction] = {}
    for text in texts or ():
        name, cost = named(parse_cost, text, "--cost")
        if name in found:
            raise InputError("every operator once", field="--cost", value=text)
        found[name] = cost
    return found


def named(parse: Callable[[str], Any], text: str, option: str) -> Any:
    try:
        return parse(text)
    except InputError as error:
        raise error.within(field=option) from None


def _whole(text: str) -> int:
    return whole(text.strip(), 0)


def assignments(texts: list[str] | None, option: str, read: Callable[[str], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError("NAME=VALUE", field=option, value=text)
        found[name.strip()] = named(read, value, option)
    return found


def takes_problem(command: Callable[..., None], target: Any) -> Callable[..., None]:
    """Replace the parameter `problem` of a command by those that say which problem; `target` declares the main one.

    Where the command can do without a problem (its default is None), the target may be left out.
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
            if any(about.values()):
                raise InputError("", field="TARGET", problem="missing: the options about a network need one")
            command(**arguments)
        else:
            command(problem=read_target(**about), **arguments)

    parameters: list[Parameter] = [
        parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in [*options.values(), *own]
    ]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function; `Problem` is a name for type checkers alone."""
    return get_type_hints(function, function.__globals__ | {"Problem": Any}, include_extras=True)


def command(name: str, target: Any = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def register(command: Callable[..., None]) -> Callable[..., None]:
        if "problem" in signature(command).parameters:
            command = takes_problem(command, target or Target)
        app.command(name)(guarded(command))
        return command

    return register
