"""Commands that take a plan to pieces that run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnopt.base.errors import InputError
from dnnopt.base.text import visible
from dnnopt.cli import typed
from dnnopt.cli.app import NO_PLAN, console, present, remark, save_figure, say, tell
from dnnopt.cli.options import (
    AllowLargeOption,
    FigureOption,
    JsonOption,
    SeedOption,
    VerboseOption,
    checked_file,
    refuse_beside,
    whole,
)
from dnnopt.cli.target import (
    CostOption,
    DimensionOption,
    ExecutionOption,
    MinimizeOption,
    PlatformOption,
    ProfileOption,
    SinkOption,
    SourceOption,
    TransportOption,
    command,
    read_named,
    read_target,
)

if TYPE_CHECKING:
    from dnnopt.runtime.measured import PiecesRun

_DIFFERENT = 1e-3  # of the largest magnitude: more than rounding

LevelOption = Annotated[str, typer.Option(help="How far the runtime may rewrite pieces: none, basic or all.")]
PiecesArgument = Annotated[Path, typer.Argument(metavar="PIECES", help="A folder that 'split' has written.")]


@command("split")
def split_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file.")],
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan or result file, as of 'solve --json'.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the pieces: new, empty, or of pieces.")],
    planned_for: Annotated[
        str | None,
        typer.Option("--problem", help="Problem file or name that the plan is for: 'run' then predicts by it."),
    ] = None,
    platform: PlatformOption = None,
    execution: ExecutionOption = None,
    minimize: MinimizeOption = None,
    transport: TransportOption = None,
    source: SourceOption = None,
    sink: SinkOption = None,
    profile: ProfileOption = None,
    network: Annotated[str | None, typer.Option(help="Which of the plan's networks it is, if it has several.")] = None,
    granularity: Annotated[
        str | None,
        typer.Option(help="Of the plan, as of 'solve': layer, block, rows:4, fused:2x2, ..."),
    ] = None,
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--form", help="Send a tensor in fewer bits: 'TENSOR=float16' or '=int8'; '*' is all. May be repeated."
        ),
    ] = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not compare the pieces, put together, with the whole.")
    ] = False,
    dim: DimensionOption = None,
    cost: CostOption = None,
    seed: SeedOption = 0,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Split an ONNX file by a plan: one file for each device and stage, and a manifest of who sends what to whom.

    With --problem, or --platform and what 'solve' was given with it, 'run' predicts what it will measure.
    """
    from dnnopt.problem.plan import read_plan
    from dnnopt.problem.problem import Problem
    from dnnopt.runtime.split import split_onnx

    problem = None
    if planned_for is not None:
        found = read_named(planned_for, None, None, allow_large)
        if not isinstance(found, Problem):
            raise InputError("a problem", field="--problem", value=planned_for)
        problem = found
    about = {
        "--execution": execution,
        "--minimize": minimize,
        "--transport": transport,
        "--source": source,
        "--sink": sink,
        "--profile": profile,
    }
    if platform is None:
        refuse_beside("a plan alone; it goes with --platform", about)
    elif problem is not None:
        raise InputError("", field="--platform", problem="does not go with --problem, which has one")
    else:
        target = read_target(
            str(model),
            platform=platform,
            execution=execution,
            minimize=minimize,
            transport=transport,
            source=source,
            sink=sink,
            profile=profile,
            dim=dim,
            cost=cost,
            allow_large=allow_large,
        )
        assert isinstance(target, Problem), "an ONNX file is a network"
        problem = target
    manifest = split_onnx(
        model,
        read_plan(plan, problem if granularity is None else None, allow_large=allow_large),
        output,
        problem=problem,
        dimensions=typed.dimensions(dim),
        network=network,
        granularity=granularity,
        forms=_pairs(form, "--form", "TENSOR=FORM"),
        verify=not no_verify,
        seed=seed,
        allow_large=allow_large,
    )
    for text in manifest.remarks:
        remark(text)
    manifest.report(console())
    checked = manifest.verification
    if checked is not None and checked.max_relative > _DIFFERENT and not manifest.forms:
        remark(visible(f"{output}: the pieces differ from the whole by more than rounding; is anything in it random?"))
    remark(visible(f"{output}: written; 'dnnopt run {output} --local' runs it on this machine"))


def _pairs(given: list[str] | None, option: str, expected: str) -> dict[str, str]:
    """Return what is typed as ``NAME=VALUE``, each name once."""
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.rpartition("=")
        if not equals or not name or name in found:
            raise InputError(f"{expected}, each once", field=option, value=text)
        found[name] = value
    return found


@command("annotate")
def annotate_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file.")],
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan or result file, as of 'solve --json'.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="ONNX file to write.", callback=checked_file)],
    processor: Annotated[
        list[str] | None,
        typer.Option(
            "--processor",
            metavar="DEVICE=NAME",
            help="What ONNX Runtime calls a device: cpu, gpu, gpu:1, npu, ...; default: cpu for the first, gpu for "
            "others. May be repeated.",
        ),
    ] = None,
    network: Annotated[str | None, typer.Option(help="Which of the plan's networks it is, if it has several.")] = None,
    dim: DimensionOption = None,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write an ONNX file whose nodes say where they run, for one ONNX Runtime with several kinds of processors."""
    from dnnopt.problem.plan import read_plan
    from dnnopt.runtime.annotation import SETTING, annotate_onnx

    setting = annotate_onnx(
        model,
        read_plan(plan, allow_large=allow_large),
        output,
        processors=_pairs(processor, "--processor", "DEVICE=NAME"),
        dimensions=typed.dimensions(dim),
        network=network,
        allow_large=allow_large,
    )
    tell(f"{SETTING}: {setting}")


@command("new-key")
def new_key_command(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, which its owner alone may read.")],
    verbose: VerboseOption = False,
) -> None:
    """Write a key for runs over a network: each process that takes part needs a copy of the file, and nobody else."""
    from dnnopt.runtime.keys import write_key

    write_key(path)
    remark(visible(f"{path}: written; whoever has it may take part in runs that use it"))


@command("serve-piece")
def serve_piece_command(
    pieces: PiecesArgument,
    device: Annotated[str, typer.Option(help="Which device of the plan this process is.")],
    key: Annotated[Path, typer.Option(help="Key of the run (see 'new-key').")],
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Port 0: any that is free.")] = "127.0.0.1:0",
    threads: Annotated[int, typer.Option(help="Threads for each layer.")] = 1,
    level: LevelOption = "basic",
    cores: Annotated[str | None, typer.Option(help="Run on these cores alone, such as '0,1'.")] = None,
    largest: Annotated[str | None, typer.Option(help="Refuse tensors that are larger, such as '64 MiB'.")] = None,
    clocks: Annotated[Path | None, typer.Option(hidden=True)] = None,
    verbose: VerboseOption = False,
) -> None:
    """Be one device of a run: wait for 'dnnopt run', run this device's pieces, and end when the run does."""
    from dnnopt.base.sizes import check_threads
    from dnnopt.base.units import parse_quantity
    from dnnopt.runtime.keys import read_key
    from dnnopt.runtime.local import READY
    from dnnopt.runtime.serving import DeviceServer
    from dnnopt.runtime.sockets import parse_address

    check_threads(threads)
    if cores is not None:
        _keep_to(cores)
    try:
        host, port = parse_address(listen)
    except InputError as error:
        raise error.within(field="--listen") from None
    server = DeviceServer(
        pieces,
        device,
        read_key(key),
        host=host,
        port=port,
        threads=threads,
        level=level,
        clocks=clocks,
        largest=None if largest is None else int(parse_quantity(largest, "bytes")),
        log=lambda text: say(f"dnnopt: {text}"),
    )
    shown = f"[{host}]" if ":" in host else host
    tell(f"{READY}{shown}:{server.port}")
    sys.stdout.flush()
    reason = server.serve()
    if reason:
        raise typer.Exit(NO_PLAN)


@command("run")
def run_command(
    pieces: PiecesArgument,
    local: Annotated[
        bool, typer.Option("--local", help="Start all devices on this machine, and imitate the platform's links.")
    ] = False,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="DEVICE=HOST:PORT", help="Where a device's 'serve-piece' listens; for each."),
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Key of the run, with --at.")] = None,
    inputs: Annotated[
        Path | None, typer.Option(help="File of numpy (.npz) with an array for each input; default: random numbers.")
    ] = None,
    outputs: Annotated[
        Path | None, typer.Option(help="Write the last outputs there (.npz).", callback=checked_file)
    ] = None,
    repeat: Annotated[int, typer.Option(help="Inputs one at a time, for the latency.")] = 50,
    warmup: Annotated[int, typer.Option(help="Inputs before them, which do not count.")] = 5,
    stream: Annotated[
        int | None,
        typer.Option(help="Inputs of which several are under way, for the period; default: --repeat, or more."),
    ] = None,
    in_flight: Annotated[int | None, typer.Option(help="How many of these; default: what keeps all busy.")] = None,
    rate: Annotated[
        str | None, typer.Option(help="Of the stream, such as '10 /s'; default: as fast as can be.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads for each layer, with --local.")] = 1,
    level: LevelOption = "basic",
    no_links: Annotated[bool, typer.Option("--no-links", help="Do not imitate links.")] = False,
    layers: Annotated[
        bool, typer.Option("--layers", help="Measure the layers of each piece one by one, too; -v lists all.")
    ] = False,
    check: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="The whole ONNX file: how far are the answers from its own?")
    ] = None,
    patience: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 60.0,
    seed: SeedOption = 0,
    update_profile: Annotated[
        Path | None,
        typer.Option(
            help="Write the measured times there, as a profile: with those that are there.", callback=checked_file
        ),
    ] = None,
    replan: Annotated[
        bool, typer.Option("--replan", help="Solve the problem again with the measured times: is another plan better?")
    ] = False,
    json: JsonOption = None,
    figure: FigureOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Run pieces, each device in a process of its own, and compare what is measured with what was predicted."""
    from dnnopt.runtime.keys import read_key
    from dnnopt.runtime.running import run_pieces

    if local == bool(at):
        raise InputError("", field="--local", problem="expected either --local, or --at for each device")
    if at and key is None:
        raise InputError("", field="--key", problem="missing: 'serve-piece' was given one")
    last: dict[str, Any] = {}
    found = run_pieces(
        pieces,
        None if inputs is None else _arrays(inputs),
        addresses=_pairs(at, "--at", "DEVICE=HOST:PORT") or None,
        key=None if key is None else read_key(key),
        repeat=repeat,
        warmup=warmup,
        stream=stream,
        in_flight=in_flight,
        rate=None if rate is None else typed.rate(rate),
        threads=threads,
        level=level,
        links=not no_links,
        layers=layers,
        check=check,
        patience=patience,
        seed=seed,
        answers=None if outputs is None else (lambda number, answer: last.update(answer)),
        log=say,
    )
    if outputs is not None:
        _write_arrays(outputs, last)
    if update_profile is not None:
        _update(update_profile, found, pieces)
    if figure is not None:
        from dnnopt.plot.pieces_run import pieces_run

        save_figure(pieces_run(found), figure)
    present(found, json, verbose=verbose)
    if replan:
        from dnnopt.runtime.replanning import replanned

        say_it = remark if str(json) == "-" else tell
        for line in replanned(pieces, found):
            say_it(line)


def _keep_to(cores: str) -> None:
    """Let this process run on some cores alone."""
    chosen = {whole(part.strip(), 0) for part in cores.split(",")}
    try:
        os.sched_setaffinity(0, chosen)
    except (OSError, AttributeError, ValueError):
        raise InputError("cores of this machine", field="--cores", value=cores) from None


def _arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of a file of numpy; nothing in it is run."""
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as data:
            if not hasattr(data, "files"):
                raise ValueError("one array, not several with names")
            return {name: data[name] for name in data.files}
    except OSError as error:
        raise InputError("", file=str(path), problem=error.strerror or str(error)) from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError("", file=str(path), problem=f"not arrays of numpy with names (.npz): {error}") from None


def _write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    import io

    import numpy as np

    from dnnopt.base.outputs import write_output

    stream = io.BytesIO()
    np.savez(stream, **arrays)
    write_output(path, stream.getvalue())


def _update(path: Path, found: PiecesRun, pieces: Path) -> None:
    """Write the measured times of layers, in place of those that a profile has of them."""
    from dnnopt.problem.manifest import read_manifest
    from dnnopt.problem.profiles import Profile, read_profile, write_profile

    manifest = read_manifest(pieces)
    device_of = {layer: piece.device for piece in manifest.pieces for layer in piece.layers}
    measured = found.profile(device_of)
    old = read_profile(path) if path.is_file() and path.stat().st_size else Profile()
    times = {network: {layer: dict(row) for layer, row in rows.items()} for network, rows in old.time.items()}
    for layer, row in measured.time[found.network].items():
        times.setdefault(found.network, {}).setdefault(layer, {}).update(row)
    write_profile(old.replace(time=times), path)
    remark(visible(f"{path}: has the measured times of {len(device_of)} layers, for --profile"))
