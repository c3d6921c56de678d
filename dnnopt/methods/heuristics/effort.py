"""Effort: how long a heuristic may search, and from which seed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from dnnopt.base.errors import InputError
from dnnopt.compiled.metrics import Index
from dnnopt.models.solvers.interface import Clock


@dataclass(frozen=True, eq=False)
class Effort:
    """What a heuristic may spend.

    Constructive heuristics use the clock alone. Those that search count iterations too: with an iteration limit that is
    reached within the time, the same seed gives the same plan.

    Attributes
    ----------
    clock : Clock
        Runs since the heuristic was started.
    iterations : int, optional
        Limit; what one is, each search says in its docstring.
    seed : int
    start : array (N,), optional
        A placement that a search may start from.
    stop : threading.Event
        Set: end as soon as possible.

    Raises
    ------
    InputError
        For an iteration limit below 1.
    """

    clock: Clock = field(default_factory=Clock)
    iterations: int | None = None
    seed: int = 0
    start: Index | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        if self.iterations is not None and (isinstance(self.iterations, bool) or self.iterations < 1):
            raise InputError("a whole number >= 1", field="iterations", value=self.iterations)

    def spent(self, iteration: int = 0) -> bool:
        """Return whether a search must end before the iteration with this number, counted from 0."""
        done = self.iterations is not None and iteration >= self.iterations
        return done or self.clock.expired() or self.stop.is_set()

    def progress(self, iteration: int) -> float:
        """Return which share of the search is over (0 to 1): of its iterations, without a limit on them of its time."""
        if self.iterations is not None:
            return min(iteration / self.iterations, 1.0)
        left = self.clock.left()
        return 0.0 if left is None else min(self.clock.elapsed() / (self.clock.elapsed() + left), 1.0)
