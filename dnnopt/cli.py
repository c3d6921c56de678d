"""The command line. Everything heavy is imported inside the commands, so that ``dnnopt --help`` is quick."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from dnnopt.errors import InputError

if TYPE_CHECKING:
    from dnnopt.plan import Plan
    from dnnopt.problem import Problem
    from dnnopt.result import Result

OK, NO_PLAN, BAD_INPUT, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    name="dnnopt",
    help="Where to run each layer of a deep neural network: proved optimal, checked, compared.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line."""
    app()


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Turn exceptions into one clear message and an exit code."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        try:
            command(**arguments)
        except InputError as error:
            _say(f"dnnopt: {error}")
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            _say("dnnopt: interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, BrokenPipeError):
            raise
        except MemoryError:
            _say("dnnopt: out of memory")
            raise typer.Exit(INTERNAL) from None
        except Exception as error:
            if arguments.get("verbose"):
                raise
            _say(f"dnnopt: internal error: {type(error).__name__}: {error} (-v shows where; please report it)")
            raise typer.Exit(INTERNAL) from None

    return run


def _takes_problem(command: Callable[..., None], target: Any) -> Callable[..., None]:
    """Replace the parameter `problem` of a command by those that say which problem; `target` declares the main one."""
    options = signature(_read_target).parameters
    own = [parameter for name, parameter in signature(command).parameters.items() if name != "problem"]
    names = globals() | {"Problem": Any}  # a name for type checkers alone
    hints = get_type_hints(command, names, include_extras=True) | get_type_hints(
        _read_target, names, include_extras=True
    )
    hints["target"] = target

    def run(**arguments: Any) -> None:
        problem = _read_target(**{name: arguments.pop(name) for name in options})
        command(problem=problem, **arguments)

    parameters: list[Parameter] = [
        parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in [*options.values(), *own]
    ]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _command(name: str, target: Any = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def register(command: Callable[..., None]) -> Callable[..., None]:
        if "problem" in signature(command).parameters:
            command = _takes_problem(command, target or Target)
        app.command(name)(_guarded(command))
        return command

    return register


# Which problem

_Network = "for a network"
_TARGET = "A problem file, an ONNX or network file, or a name in the library."
Target = Annotated[str, typer.Argument(help=_TARGET)]
TargetOption = Annotated[str, typer.Option("--problem", metavar="TARGET", help=_TARGET)]
PlatformOption = Annotated[
    str | None, typer.Option("--platform", "-p", help="Platform file or name.", rich_help_panel=_Network)
]
MinimizeOption = Annotated[
    str | None, typer.Option(help="Such as 'latency' (the default) or '0.5*latency + 2*energy(pi)'.")
]
ExecutionOption = Annotated[
    str | None, typer.Option(help="sequential (the default), parallel, scheduled or pipelined.")
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
    list[str] | None, typer.Option("--dim", help="Symbolic dimension of an ONNX file, such as 'batch=1'.")
]


def _read_target(
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
) -> Problem:
    """Return the problem that a target and its options describe."""
    from dnnopt import library
    from dnnopt.formats.files import read_data, read_network, read_problem

    network = None
    path = Path(target)
    if path.suffix == ".onnx":
        from dnnopt.formats.onnx_reader import read_onnx

        network = read_onnx(path, dimensions=_assignments(dim, "--dim", _whole))
    elif path.suffix == ".json" or path.is_file():
        kind = read_data(path, None).get("format")
        if kind == "dnnopt-network":
            network = read_network(path)
    elif target in library.names("networks"):
        network = library.network(target)
    elif target not in library.names("problems"):
        raise library.unknown("problem or network", target, library.names("problems") + library.names("networks"))
    if network is None:
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
            "--dim": dim,
        }
        for option, value in given.items():
            if value:
                raise InputError("", field=option, problem="goes with a network; a problem means exactly what it lists")
        return read_problem(path) if path.suffix == ".json" or path.is_file() else library.load(target)
    if platform is None:
        names = ", ".join(library.names("platforms"))
        raise InputError("", field="--platform", problem=f"missing; a file, or one of: {names}")
    return _network_problem(
        network, platform, minimize, execution, transport, subject_to, source, sink, memory, no_memory
    )


def _network_problem(
    network: Any,
    platform_name: str,
    minimize: str | None,
    execution: str | None,
    transport: str | None,
    subject_to: list[str] | None,
    source: str | None,
    sink: str | None,
    memory: list[str] | None,
    no_memory: bool,
) -> Problem:
    from dnnopt import constraints, library
    from dnnopt.expressions import parse_constraint, parse_objective
    from dnnopt.formats.files import read_platform
    from dnnopt.problem import Problem
    from dnnopt.units import parse_quantity

    is_file = Path(platform_name).suffix == ".json" or Path(platform_name).is_file()
    platform = read_platform(platform_name) if is_file else library.platform(platform_name)
    source = platform.devices[0].name if source is None else source
    sink = source if sink is None else sink
    ends = {"source": None if source == "none" else source, "sink": None if sink == "none" else sink}
    limits: list[Any] = [_named(parse_constraint, text, "--subject-to") for text in subject_to or ()]
    memory_limits = _assignments(memory, "--memory", lambda text: parse_quantity(text, "bytes"))
    if no_memory and memory:
        raise InputError("", field="--no-memory", problem="contradicts --memory")
    if not no_memory:
        limits.insert(0, constraints.memory("weights+largest_activation", limits=memory_limits))
    start = "is everywhere" if ends["source"] is None else f"starts on {source}"
    end = "stays where it is made" if ends["sink"] is None else f"goes to {sink}"
    rule = "memory is not limited" if no_memory else "memory: weights + largest activation"
    _say(f"The input {start}, the answer {end}; {rule}.")
    return Problem(
        network.model_copy(update=ends),
        platform,
        execution=execution or "sequential",  # type: ignore[arg-type]
        minimize=_named(parse_objective, minimize or "latency", "--minimize"),
        subject_to=limits,
        transport=transport or "unicast",  # type: ignore[arg-type]
        name=f"{network.name} on {platform.name or platform_name}",
    )


def _named(parse: Callable[[str], Any], text: str, option: str) -> Any:
    try:
        return parse(text)
    except InputError as error:
        raise error.within(field=option) from None


def _whole(text: str) -> int:
    if not text.strip().isdigit() or int(text) < 1:
        raise InputError("a whole number >= 1", value=text)
    return int(text)


def _assignments(texts: list[str] | None, option: str, read: Callable[[str], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError("NAME=VALUE", field=option, value=text)
        found[name.strip()] = _named(read, value, option)
    return found


# How to solve

FormulationOption = Annotated[str | None, typer.Option("--formulation", "-f", help="Run just this one (see 'list').")]
SolverOption = Annotated[str | None, typer.Option(help="highs, cbc, scip, cpsat or pyomo:NAME.")]
MethodOption = Annotated[str, typer.Option(help="auto, or a baseline (see 'list heuristics').")]
TimeOption = Annotated[float | None, typer.Option("--time-limit", "-t", help="Seconds.")]
GapOption = Annotated[float, typer.Option(help="Relative gap at which to stop.")]
ThreadsOption = Annotated[int | None, typer.Option(help="Default: one for each processor.")]
SeedOption = Annotated[int, typer.Option(help="Of everything random.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the result there, as JSON; '-' prints it.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]


def _write_json(data: Any, path: Path) -> None:
    from dnnopt.formats.files import dump_json, write_text

    if str(path) == "-":
        typer.echo(dump_json(data), nl=False)
    else:
        write_text(path, dump_json(data))


def _console() -> Any:
    from rich.console import Console

    # In a pipe there is no width to keep to, and a table is easier to read unfolded.
    return Console(width=None if sys.stdout.isatty() else 160)


@_command("solve")
def solve_command(
    problem: Problem,
    formulation: FormulationOption = None,
    solver: SolverOption = None,
    method: MethodOption = "auto",
    time_limit: TimeOption = None,
    gap: GapOption = 1e-6,
    threads: ThreadsOption = None,
    seed: SeedOption = 0,
    start: Annotated[Path | None, typer.Option(help="Plan or result file to start from.")] = None,
    log: Annotated[Path | None, typer.Option(help="Write the solver's own log there.")] = None,
    json: JsonOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Find a plan, prove how good it is, and say what runs where."""
    from dnnopt.formats.files import read_plan
    from dnnopt.progress import progress_line
    from dnnopt.report import print_result
    from dnnopt.solving import solve

    plan = None if start is None else read_plan(start, problem)
    with progress_line(problem) as watch:
        result = solve(
            problem,
            method=method,
            formulation=formulation,
            solver=solver,
            time_limit=time_limit,
            gap=gap,
            threads=threads,
            seed=seed,
            start=plan,
            watch=watch,
            log=None if log is None else str(log),
        )
    if json is not None:
        _write_json(result.to_data(), json)
    if json is None or str(json) != "-":
        print_result(_console(), result, verbose=verbose)
    _exit_for(problem, result)


def _exit_for(problem: Problem, result: Result) -> None:
    """Exit with the code that the result's status has; explain an infeasible problem first."""
    if result.status == "error":
        raise typer.Exit(INTERNAL)
    if result.plan is not None:
        return
    if result.status == "infeasible":
        from dnnopt.explain import explain_infeasibility

        _say(str(explain_infeasibility(problem)))
    raise typer.Exit(INTERRUPTED if result.status == "interrupted" else NO_PLAN)


@_command("compare")
def compare_command(
    problem: Problem,
    formulation: Annotated[
        list[str] | None, typer.Option("--formulation", "-f", help="Run this one too; may be repeated.")
    ] = None,
    time_limit: TimeOption = 60.0,
    gap: GapOption = 1e-6,
    threads: ThreadsOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Put baselines and exact methods side by side, with gaps to the best bound."""
    from dnnopt.comparison import compare
    from dnnopt.progress import progress_line
    from dnnopt.report import print_comparison

    with progress_line(problem) as watch:
        comparison = compare(
            problem,
            formulations=formulation or (),
            time_limit=time_limit,
            gap=gap,
            threads=threads,
            seed=seed,
            watch=watch,
        )
    if json is not None:
        _write_json(comparison.to_data(), json)
    if json is None or str(json) != "-":
        print_comparison(_console(), comparison)
    if comparison.best is None:
        _exit_for(problem, comparison.results[0])


@_command("check")
def check_command(
    problem: Problem,
    plan: Annotated[Path, typer.Argument(help="Plan or result file.")],
    json: JsonOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Recompute every metric and every violation of a plan from the definitions."""
    from dnnopt.formats.files import read_plan

    _check(problem, read_plan(plan, problem), json)


def _check(problem: Problem, plan: Plan, json: Path | None) -> None:
    """Print what the referee says of a plan; exit with 1 where it breaks a constraint."""
    from dnnopt.referee import evaluate
    from dnnopt.report import print_check
    from dnnopt.result import evaluation_data

    evaluation = evaluate(problem, plan)
    if json is not None:
        _write_json(evaluation_data(evaluation), json)
    if json is None or str(json) != "-":
        print_check(_console(), problem, evaluation)
    if not evaluation.feasible:
        raise typer.Exit(NO_PLAN)


@_command("export")
def export_command(
    problem: Problem,
    output: Annotated[Path, typer.Option("--output", "-o", help="File: .lp, .mps, .mps.gz, .pb.txt or .mzn.")],
    formulation: FormulationOption = None,
    si: Annotated[bool, typer.Option("--si", help="In plain SI units, which solvers like less.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a formulation of the problem as a model file: for MILP solvers, for CP-SAT or for MiniZinc."""
    from dnnopt.formats.model_files import ENDINGS, ending_of, kind_of, write_model
    from dnnopt.linear_model import LinearModel
    from dnnopt.scaling import SI
    from dnnopt.solving import formulate

    ending, kind = ending_of(output), kind_of(output)
    if si and kind == "cp":
        raise InputError(
            "", field="--si", problem=f"goes with {', '.join(ENDINGS['milp'])}; {ending} has whole numbers"
        )
    # Most solvers behind MiniZinc count with 32 bits.
    small = 2.0**28 if ending == ".mzn" else None
    model = formulate(problem, formulation, kind=kind, units=SI if si else None, largest_sum=small)
    if isinstance(model, LinearModel) != (kind == "milp"):
        raise InputError(f"a {kind.upper()} formulation for {ending} files", field="--formulation", value=formulation)
    write_model(model, output)
    typer.echo(f"{output}: {model.summary()}")


@_command("import-solution", target=TargetOption)
def import_solution_command(
    problem: Problem,
    model: Annotated[Path, typer.Argument(metavar="MODEL_FILE", help="The exported file that was solved.")],
    solution: Annotated[
        Path,
        typer.Argument(
            metavar="SOLUTION_FILE", help="Of HiGHS, CBC, GLPK, SCIP, MiniZinc, or a list of 'name value' lines."
        ),
    ],
    formulation: Annotated[
        str | None, typer.Option("--formulation", "-f", help="Of the model file, where its first line does not say.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the plan there.")] = None,
    json: JsonOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Read another solver's solution of an exported model, and check it as 'check' does."""
    from dnnopt.formats.files import write_plan
    from dnnopt.formats.solutions import plan_from_file

    plan = plan_from_file(model, solution, problem, formulation)
    if output is not None:
        write_plan(plan, output)
    _check(problem, plan, json)


@_command("list")
def list_command(
    kind: Annotated[str, typer.Argument(help="networks, platforms, problems, formulations, solvers or heuristics.")],
    verbose: VerboseOption = False,
) -> None:
    """List what there is."""
    from dnnopt import library

    def formulations() -> list[str]:
        from dnnopt.formulations import registry

        return registry.names()

    def solvers() -> list[str]:
        from dnnopt.solvers import names

        return names()

    def heuristics() -> list[str]:
        from dnnopt.methods.heuristics import BASELINES

        return list(BASELINES)

    kinds: dict[str, Callable[[], list[str]]] = {
        "networks": lambda: library.names("networks"),
        "platforms": lambda: library.names("platforms"),
        "problems": lambda: library.names("problems"),
        "formulations": formulations,
        "solvers": solvers,
        "heuristics": heuristics,
    }
    if kind not in kinds:
        raise InputError(f"one of {', '.join(kinds)}", field="KIND", value=kind)
    for name in kinds[kind]():
        typer.echo(_described(kind, name) if verbose else name)


def _described(kind: str, name: str) -> str:
    from dnnopt import library

    if kind == "networks":
        return library.network(name).summary()
    if kind == "platforms":
        platform = library.platform(name)
        devices = ", ".join(f"{device.name} ({device.tier})" for device in platform.devices)
        return f"{name}: {devices}; {len(platform.links)} links"
    if kind == "problems":
        problem = library.load(name)
        names = ", ".join(network.name for network in problem.networks)
        return f"{name}: {names} on {len(problem.platform.devices)} devices, {problem.execution}"
    return name


@_command("versions")
def versions_command(verbose: VerboseOption = False) -> None:
    """Show the versions of everything, for bug reports."""
    from dnnopt.versions import show_versions

    show_versions()
