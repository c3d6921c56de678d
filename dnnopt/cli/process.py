"""What stands around a command: streams that take every text, signals, and the end of the process."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable

from dnnopt.base.interrupts import ENDING, leave
from dnnopt.cli.app import BAD_INPUT, BROKEN_PIPE, INTERRUPTED, say


def run_program(command: Callable[[], None]) -> None:
    """Run a command line to its end, which is that of the process."""
    _open_streams()
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, leave)
    code = 0
    try:
        command()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    code = _flush() or code
    if code == INTERRUPTED:
        os._exit(code)  # a solver may still run in a thread of its own
    sys.exit(code)


def _open_streams() -> None:
    """Open what is closed, so that no file takes its number; have every stream take every text."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> int:
    """Write what is left to write; return an exit code where that is not possible."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try again when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return BROKEN_PIPE
        say(f"dnnopt: {error.strerror or error}")
        return BAD_INPUT
    return 0
