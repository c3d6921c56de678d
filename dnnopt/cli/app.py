"""The application, its exit codes, and what turns exceptions into one clear message."""

from __future__ import annotations

import io
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnopt.base.errors import InputError
from dnnopt.base.plugins import load_plugin
from dnnopt.base.text import shortened, visible

if TYPE_CHECKING:
    from dnnopt.base.tables import Framed

OK, NO_PLAN, BAD_INPUT, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 130
BROKEN_PIPE = 141  # as of programs that SIGPIPE ends
_LONGEST = 500  # of what an internal error says

app = typer.Typer(
    name="dnnopt",
    help="Where to run each layer of a deep neural network: proved optimal, checked, compared.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


_announced: list[str] = []


def announce(text: str) -> None:
    """Write lines to the error stream, once, before whatever comes next, unless that is an error."""
    if text not in _announced:
        _announced.append(text)


def _write_announced() -> None:
    while _announced:
        remark(_announced.pop(0))


def say(text: str) -> None:
    """Write lines to the error stream."""
    _write_announced()
    typer.echo(_lines(text), err=True)


def remark(text: str) -> None:
    """Write lines to the error stream, broken between words where a terminal is too narrow for them."""
    from dnnopt.base.console import wrapped

    _write_announced()
    width = shutil.get_terminal_size().columns if _knows_width() else None
    for line in map(visible, text.split("\n")):
        for part in [line] if width is None else wrapped(line, width):
            typer.echo(part, err=True)


def _knows_width() -> bool:
    """Return whether there is a terminal, or something else that says how wide lines may be."""
    return sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()


def tell(text: str) -> None:
    """Write lines to the output."""
    _write_announced()
    typer.echo(_lines(text))


def emit(text: str) -> None:
    """Write to the output what else would be in a file, byte by byte."""
    _write_announced()
    typer.echo(text.encode("utf-8", "backslashreplace"), nl=False)


def _lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


PluginOption = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="A module of your own, or its .py file, to import first; may be repeated."),
]


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Turn exceptions into one clear message and an exit code; import plugins first.

    A command that starts other processes has a parameter `plugin` itself; all others are given one.
    """
    declared = signature(command, eval_str=True)
    hands_on = "plugin" in declared.parameters

    @wraps(command)
    def run(**arguments: Any) -> None:
        _announced.clear()
        try:
            for name in arguments.get("plugin") or ():
                load_plugin(name)
            if not hands_on:
                arguments.pop("plugin", None)
            command(**arguments)
        except InputError as error:
            _announced.clear()
            say(f"dnnopt: {error}")
            if arguments.get("verbose") and error.__cause__ is not None:
                say("".join(traceback.format_exception(error.__cause__)).rstrip())
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            say("dnnopt: interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except typer.Exit:
            raise
        except BrokenPipeError:
            raise typer.Exit(BROKEN_PIPE) from None
        except OSError as error:
            where = "" if error.filename is None else f"{error.filename}: "
            say(f"dnnopt: {where}{error.strerror or error}")
            raise typer.Exit(BAD_INPUT) from None
        except MemoryError:
            say("dnnopt: out of memory")
            raise typer.Exit(INTERNAL) from None
        except Exception as error:
            if arguments.get("verbose"):
                raise
            words = visible(shortened(f"{type(error).__name__}: {error}", _LONGEST))
            say(f"dnnopt: internal error: {words} (-v shows where; please report it)")
            raise typer.Exit(INTERNAL) from None

    if not hands_on:
        option = Parameter("plugin", Parameter.KEYWORD_ONLY, default=None, annotation=PluginOption)
        own = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in declared.parameters.values()]
        run.__signature__ = declared.replace(parameters=[*own, option])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, option]}
    return run


def write_json(data: Any, path: Path) -> None:
    from dnnopt.base.files import dump_json, write_text

    if str(path) == "-":
        emit(dump_json(data))
    else:
        write_text(path, dump_json(data))


def write_tables(found: Framed, **paths: Path | None) -> bool:
    """Write a table to each path in its format (``csv``, ``markdown``, ``latex``); return whether one was printed."""
    from dnnopt.base.files import write_text

    given = {kind: path for kind, path in paths.items() if path is not None}
    for kind, path in given.items():
        text = getattr(found, f"to_{kind}")()
        if str(path) == "-":
            emit(text)
        else:
            write_text(path, text)
    return any(str(path) == "-" for path in given.values())


def present(found: Any, json: Path | None, files: Mapping[str, Path | None] | None = None, **options: Any) -> None:
    """Write what is asked for (data, tables), and show the rest of it on the terminal."""
    if json is not None:
        write_json(found.to_data(), json)
    printed = write_tables(found, **(files or {}))
    if not printed and (json is None or str(json) != "-"):
        found.report(console(), **options)


def save_figure(figure: Any, path: Path, **options: Any) -> None:
    """Write a figure, in the format that its ending says; the options are those of its ``savefig``.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    from dnnopt.base.outputs import write_output

    stream = io.BytesIO()
    figure.savefig(stream, format=path.suffix.removeprefix(".").lower(), **options)
    write_output(path, stream.getvalue())


def console(in_a_pipe: int = 160) -> Any:
    """Return the console of the output, of so many columns where nothing says how many there are."""
    from rich.console import Console

    _write_announced()

    class Piped(Console):
        def on_broken_pipe(self) -> None:  # rich would end the program with a code of its own
            raise BrokenPipeError

    # In a pipe there is no width to keep to unless one is asked for, and a table is easier to read unfolded.
    return Piped(width=None if _knows_width() else in_a_pipe)
