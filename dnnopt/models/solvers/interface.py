"""What goes into a solver and what comes out: the same for every one."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from dnnopt.base.errors import InputError
from dnnopt.base.interrupts import stop_on_interrupt as stop_on_interrupt
from dnnopt.base.sizes import check_threads
from dnnopt.models.arrays import Values as Values


def check_seconds(limit: float | None, field: str) -> None:
    """Refuse a limit that is no time.

    Raises
    ------
    InputError
        If it is not above 0, or infinite; None is no limit.
    """
    if limit is not None and not (limit > 0 and math.isfinite(limit)):
        raise InputError("seconds > 0", field=field, value=limit)


@dataclass(frozen=True)
class Limits:
    """When to stop, and how to search.

    Attributes
    ----------
    time_limit : float, optional
        Seconds.
    gap : float
        Relative gap at which the search may stop.
    threads : int, optional
        None: one for each processor.
    seed : int

    Raises
    ------
    InputError
        For values out of range.
    """

    time_limit: float | None = None
    gap: float = 1e-6
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_seconds(self.time_limit, "time_limit")
        if not 0 <= self.gap < math.inf:
            raise InputError("a number >= 0", field="gap", value=self.gap)
        check_threads(self.threads)
        if not 0 <= self.seed < 2**31:
            raise InputError("a whole number from 0 to 2147483647", field="seed", value=self.seed)

    def within(self, seconds: float | None) -> Limits:
        """Return the limits with another time limit; None or infinite: none."""
        return replace(self, time_limit=None if seconds is None or math.isinf(seconds) else seconds)

    @property
    def processors(self) -> int:
        """Threads to use."""
        return (
            self.threads
            if self.threads is not None
            else len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )


class LinkedStop(threading.Event):
    """An event that is set as soon as another one is, too."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        return super().is_set() or self._other.is_set()


@dataclass
class Control:
    """How a running solver tells what it found, and learns that it should stop.

    Attributes
    ----------
    stop : threading.Event
    report : callable
        Takes (objective or None, bound or None), in the model's units.
    found : callable, optional
        Takes the values of all variables in each better solution, where the solver can tell before it ends.
    log : path, optional
        File for the solver's own log.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    report: Callable[[float | None, float | None], None] = lambda objective, bound: None
    found: Callable[[Values], None] | None = None
    log: str | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a solver returns, in the model's units.

    Attributes
    ----------
    status : str
        ``optimal`` (within the gap asked for), ``feasible``, ``infeasible``, ``unbounded``, ``no_solution``,
        ``interrupted``, ``refused`` (its numbers are too far apart for a solver) or ``error``.
    values : array, optional
        Of all variables, where there is a solution.
    objective, bound : float, optional
    nodes : int
    message : str
        The solver's own words where it failed.
    """

    status: str
    values: Values | None = None
    objective: float | None = None
    bound: float | None = None
    nodes: int = 0
    message: str = ""


class Solver(Protocol):
    """A solver: a function of a model, limits, a start (values of all variables, or None) and a control."""

    def __call__(self, model: Any, limits: Limits, start: Values | None, control: Control) -> Outcome: ...


def run_in_thread(work: Callable[[], None], control: Control, cancel: Callable[[], None]) -> None:
    """Run `work` in a thread of its own, so that the main thread can take signals; `cancel` when asked to stop."""
    failure: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    cancelled = False
    while thread.is_alive():
        thread.join(0.05)
        if control.stop.is_set() and not cancelled:
            cancel()
            cancelled = True
    if failure:
        raise failure[0]


class Clock:
    """Seconds since its construction, and what is left of a limit."""

    def __init__(self, limit: float | None = None) -> None:
        self._start = time.perf_counter()
        self._limit = limit

    def elapsed(self) -> float:
        return time.perf_counter() - self._start

    def expired(self) -> bool:
        """Return whether the limit has passed."""
        return self._limit is not None and self.elapsed() >= self._limit

    def left(self) -> float | None:
        """Return the seconds that are left (at least 0.01), or None without a limit."""
        return None if self._limit is None else max(self._limit - self.elapsed(), 0.01)
