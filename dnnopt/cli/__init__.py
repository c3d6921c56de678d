"""The command line. Everything heavy is imported inside the commands, so that ``dnnopt --help`` is quick."""

from __future__ import annotations

from dnnopt.cli import comparing, exchange, instances, listing, making, profiling, solving, studies
from dnnopt.cli.app import app
from dnnopt.cli.process import run_program

COMMANDS = (
    solving,
    comparing,
    studies,
    exchange,
    profiling,
    making,
    listing,
    instances,
)  # importing them registers the commands


def main() -> None:
    """Run the command line."""
    run_program(app)
