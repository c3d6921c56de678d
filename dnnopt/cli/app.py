"""The application, its exit codes, and what turns exceptions into one clear message."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import typer

from dnnopt.errors import InputError

OK, NO_PLAN, BAD_INPUT, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    name="dnnopt",
    help="Where to run each layer of a deep neural network: proved optimal, checked, compared.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def say(text: str) -> None:
    typer.echo(text, err=True)


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Turn exceptions into one clear message and an exit code."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        try:
            command(**arguments)
        except InputError as error:
            say(f"dnnopt: {error}")
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            say("dnnopt: interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, BrokenPipeError):
            raise
        except MemoryError:
            say("dnnopt: out of memory")
            raise typer.Exit(INTERNAL) from None
        except Exception as error:
            if arguments.get("verbose"):
                raise
            say(f"dnnopt: internal error: {type(error).__name__}: {error} (-v shows where; please report it)")
            raise typer.Exit(INTERNAL) from None

    return run


def write_json(data: Any, path: Path) -> None:
    from dnnopt.formats.files import dump_json, write_text

    if str(path) == "-":
        typer.echo(dump_json(data), nl=False)
    else:
        write_text(path, dump_json(data))


def write_tables(rows: Sequence[Mapping[str, Any]], **paths: Path | None) -> bool:
    """Write rows to each path in its format (``csv``, ``markdown``, ``latex``); return whether one was printed."""
    from dnnopt.formats.files import write_text
    from dnnopt.tables import WRITERS

    given = {kind: path for kind, path in paths.items() if path is not None}
    for kind, path in given.items():
        if str(path) == "-":
            typer.echo(WRITERS[kind](rows), nl=False)
        else:
            write_text(path, WRITERS[kind](rows))
    return any(str(path) == "-" for path in given.values())


def save_figure(figure: Any, path: Path, **options: Any) -> None:
    """Write a figure; the options are those of its ``savefig``.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    try:
        figure.savefig(path, **options)
    except OSError as error:
        raise InputError("", file=str(path), problem=f"cannot be written: {error.strerror or error}") from None


def console() -> Any:
    from rich.console import Console

    # In a pipe there is no width to keep to, and a table is easier to read unfolded.
    return Console(width=None if sys.stdout.isatty() else 160)
