"""The command that measures layers on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dnnopt.base.text import visible
from dnnopt.cli import typed
from dnnopt.cli.app import console, say
from dnnopt.cli.options import AllowLargeOption, SeedOption, ThreadsOption, VerboseOption, checked_file
from dnnopt.cli.target import CostOption, DimensionOption, command


@command("profile")
def profile_command(
    model: Annotated[str, typer.Argument(help="An ONNX file, or a network of the onnx wheel, such as 'squeezenet'.")],
    device: Annotated[str, typer.Option("--device", help="What platforms call this machine.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the profile there.", callback=checked_file)
    ] = None,
    repetitions: Annotated[int, typer.Option(help="Runs that count.")] = 20,
    warmup: Annotated[int, typer.Option(help="Runs before them.")] = 3,
    threads: ThreadsOption = None,
    optimised: Annotated[
        bool, typer.Option("--optimised", help="Let the runtime fuse layers, and split what they take together.")
    ] = False,
    dim: DimensionOption = None,
    cost: CostOption = None,
    seed: SeedOption = 0,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Measure how long each layer takes on this machine, with onnxruntime; -v lists all layers."""
    from dnnopt.inputs.profiling import profile_onnx
    from dnnopt.problem.profiles import write_profile

    profile = profile_onnx(
        model,
        device,
        dimensions=typed.dimensions(dim),
        costs=typed.costs(cost),
        repetitions=repetitions,
        warmup=warmup,
        threads=threads,
        optimised=optimised,
        seed=seed,
        allow_large=allow_large,
        watch=lambda what: say(f"measuring {what}"),
    )
    profile.report(console(), verbose=verbose)
    if output is None:
        say("Nothing is written: -o FILE keeps these times for --profile.")
    else:
        write_profile(profile, output)
        say(f"{visible(str(output))}: written, for --profile with a platform that has a device {device!r}")
