"""The command line. Everything heavy is imported inside the commands, so that ``dnnopt --help`` is quick."""

from __future__ import annotations

from dnnopt.cli import exchange, instances, listing, making, solving, studies
from dnnopt.cli.app import app

COMMANDS = (solving, studies, exchange, making, listing, instances)  # importing them registers the commands


def main() -> None:
    """Run the command line."""
    app()
