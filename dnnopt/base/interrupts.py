"""Ctrl-C, and what else asks a program to end: searches stop and say what they have found."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

# What ends a program: Ctrl-C; SIGTERM and the end of its terminal, where there are such signals.
ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def leave(number: int, frame: Any) -> None:
    """Handle a signal as Ctrl-C is: raise KeyboardInterrupt. A further signal ends the process at once."""
    for ending in ENDING:
        if signal.getsignal(ending) != signal.SIG_IGN:
            signal.signal(ending, signal.SIG_DFL)
    raise KeyboardInterrupt


class Stoppable(Protocol):
    """What is asked to stop by an event."""

    stop: threading.Event


_stopping: list[Stoppable] = []  # of the searches that run in the main thread, each within the one before it
_asked = threading.Event()  # whether they have been asked to stop


@contextmanager
def stop_on_interrupt(control: Stoppable) -> Iterator[None]:
    """Within it, a first Ctrl-C asks the search and those around it to stop; a second one raises KeyboardInterrupt.

    So do other signals that `leave` handles, as it does SIGTERM on the command line.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if _stopping:
        if _asked.is_set():
            control.stop.set()
        _stopping.append(control)
        try:
            yield
        finally:
            _stopping.pop()
        return
    handlers = {number: signal.getsignal(number) for number in ENDING}
    ours = [
        number
        for number, handler in handlers.items()
        if handler is leave or (number == signal.SIGINT and handler != signal.SIG_IGN)
    ]

    def restore() -> None:
        for number in ours:
            signal.signal(number, handlers[number])

    def stop(number: int, frame: Any) -> None:
        _asked.set()
        for one in _stopping:
            one.stop.set()
        restore()

    _stopping.append(control)
    try:
        for number in ours:
            signal.signal(number, stop)
        yield
    finally:
        restore()
        _stopping.clear()
        _asked.clear()
