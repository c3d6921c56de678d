"""How far a bench is: what is done, what runs, what failed, and about how long the rest takes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from dnnopt.studies.bench_task import BenchTask

_LONG = 100  # seconds or minutes beyond which the next unit is said


class BenchProgress:
    """What `run_all` tells while it runs.

    Attributes
    ----------
    tasks, done, failed : int
        `done` has those that failed, and those that were there already.
    slots : int
        Tasks that can run at a time.
    """

    def __init__(self) -> None:
        self.tasks = self.done = self.failed = 0
        self.slots = 1
        self._left = self._taken = self._allowed = 0.0  # seconds: that the rest may take; that others took, and might
        self._started: dict[BenchTask, float] = {}

    @property
    def running(self) -> int:
        """How many tasks run now."""
        return len(self._started)

    def expects(self, tasks: Iterable[BenchTask]) -> None:
        """Take note of tasks that are to be done."""
        limits = [task.time_limit for task in tasks]
        self.tasks, self._left = self.tasks + len(limits), self._left + sum(limits)

    def starts(self, task: BenchTask) -> None:
        """Take note that a task is being run."""
        self._started[task] = time.monotonic()

    def stops(self, task: BenchTask) -> None:
        """Take note that it is not, and has no result."""
        self._started.pop(task, None)

    def ends(self, task: BenchTask, data: Mapping[str, Any]) -> None:
        """Take note of the result of a task: it has been run, or was there."""
        began = self._started.pop(task, None)
        if began is not None:
            self._taken, self._allowed = self._taken + time.monotonic() - began, self._allowed + task.time_limit
        self._left -= task.time_limit
        self.done += 1
        self.failed += data["status"] == "error"

    def seconds_left(self) -> float | None:
        """Return about how long the rest takes, by the share of their limits that tasks took; None: not known yet."""
        left = self.tasks - self.done
        if not left:
            return 0.0
        if not self._allowed or not self.slots:
            return None
        return self._taken / self._allowed * self._left / min(self.slots, left)

    def __str__(self) -> str:
        parts = [f"{count:,} {words}" for count, words in ((self.running, "running"), (self.failed, "failed")) if count]
        seconds = self.seconds_left()
        if seconds:
            parts.append(f"about {_rounded(seconds)} left")
        return ", ".join(parts)


def _rounded(seconds: float) -> str:
    """Return a time that is a guess: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < _LONG:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < _LONG else f"{minutes / 60:.1f} h"
