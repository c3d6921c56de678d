"""A live line on a terminal: incumbent, bound, gap, time. Nothing in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dnnopt.base.text import visible

if TYPE_CHECKING:
    from rich.text import Text

    from dnnopt.methods.result import Event
    from dnnopt.problem.problem import Problem


class _Line:
    """What the live line shows."""

    def __init__(self, problem: Problem) -> None:
        from dnnopt.problem.words import objective_name

        self._name, self._unit = objective_name(problem)
        self._started = time.perf_counter()
        self._event: Event | None = None

    def watch(self, event: Event) -> None:
        self._event = event

    def __rich__(self) -> Text:
        from rich.text import Text

        from dnnopt.base.numbers import format_gap, format_quantity
        from dnnopt.methods.result import relative_gap

        objective = self._event.objective if self._event else None
        bound = self._event.bound if self._event else None
        shown = [
            f"{time.perf_counter() - self._started:5.1f} s",
            f"{self._name} {'-' if objective is None else format_quantity(objective, self._unit, 5)}",
            f"bound {'-' if bound is None else format_quantity(bound, self._unit, 5)}",
            f"gap {format_gap(relative_gap(objective, bound))}",
            self._event.source if self._event else "",
        ]
        return Text(visible("  ".join(shown)), no_wrap=True, overflow="ellipsis")


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def progress_line(problem: Problem) -> Iterator[Callable[[Event], None] | None]:
    """Show the line on the terminal's error stream while the block runs; yield what is to be told of events."""
    if not _is_terminal():
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    line = _Line(problem)
    with Live(line, console=Console(stderr=True), transient=True, refresh_per_second=5):
        yield line.watch


@contextmanager
def counter() -> Iterator[Callable[[str], None]]:
    """Show on the terminal's error stream how many things are done, and the last of them; yield what is to be told."""
    if not _is_terminal():
        yield lambda text: None
        return
    from rich.console import Console

    from dnnopt.base.console import words

    console = Console(stderr=True)
    done = 0
    with console.status("", spinner="line") as status:

        def tell(text: str) -> None:
            nonlocal done
            done += 1
            status.update(words(f"{done}: {text}"))

        yield tell
