"""The command line. Everything heavy is imported inside the commands, so that ``dnnopt --help`` is quick."""

from __future__ import annotations

import sys

from typer.exceptions import TyperException

from dnnopt.cli import (
    approaches,
    comparing,
    exchange,
    instances,
    listing,
    making,
    profiling,
    results,
    running,
    solving,
    studies,
    transforming,
)
from dnnopt.cli.app import BAD_INPUT, app, say
from dnnopt.cli.process import run_program

COMMANDS = (
    solving,
    comparing,
    studies,
    exchange,
    profiling,
    running,
    making,
    transforming,
    listing,
    approaches,
    instances,
    results,
)  # importing them registers the commands


def main() -> None:
    """Run the command line."""
    run_program(_run)


def _run() -> None:
    """Run the command that was typed; a mistake in how it was typed is one line."""
    try:
        sys.exit(app(prog_name="dnnopt", standalone_mode=False) or 0)
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
            say(error.format_message())
        else:
            place = getattr(error, "ctx", None)
            asked = "dnnopt --help" if place is None else f"{place.command_path} --help"
            say(f"dnnopt: {' '.join(error.format_message().split())} ('{asked}' says what there is)")
        sys.exit(BAD_INPUT)
