"""Exact method `groups`: group decomposition and label search, where memory is tight and the objective is one sum.

Multipliers are sought for a while; the tables of the decomposition then bound what the rest of a plan costs in a label
search (see `labels.py`), in beams that grow. What costs more than the best plan, by the same tables, is forbidden, and
all starts again on what is left, from the multipliers found.

Sequential latency, energy, cost, traffic and sums of these, with memory, limits on sums, colocation, separation, tiers,
numbers of devices and of cuts; networks with few tensors alive at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import MemoryLimit
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.presolve import presolve
from dnnopt.methods.groups.decomposition import UNITS, Decomposition
from dnnopt.methods.groups.families import DeviceGroups, family
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.alike import alike_devices, levelled
from dnnopt.methods.programs.frontier import SCOPE as FOLLOWED
from dnnopt.methods.programs.label_search import LabelSearch
from dnnopt.methods.programs.lagrangian import Lagrangian
from dnnopt.methods.programs.rows import rows_of
from dnnopt.methods.result import OPTIMAL_GAP
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome

SCOPE = FOLLOWED
SOURCE = "group decomposition"
# Steps of the first ascent and of later ones, the length of the first step in means of what a layer costs, and how much
# shorter the last one is. Each later ascent has shorter steps than the one before.
_FIRST, _LATER = (300, 6.0, 0.005), (1000, 1.0, 0.02)
_SLOWER = 0.3  # pace of weights in the second ascent
_LONGER_FIRST = 1500  # steps, where weights are sought, too
_FINEST = 2  # how often the grid of memory is refined, to twice as many units
_STALLED, _SHORTER, _SHORTEST = 3e-4, 0.3, 0.1
_SHARE = 0.4  # of the time that is left, for one ascent at most
_WIDTHS = (30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000)
_WIDTHS_BACK, _GROWTH = 30, 5.0  # where beams begin again, and how much longer the next wider one takes
_NEAR, _LONGER = 0.01, 3.0  # within this gap, beams may take so many times longer
_EASY = 0.5  # seconds, for the first beams
_PRICES = 0.1, 2.0  # a share of the time, and seconds
_BEAMS = 4.0
_LEAST_SIZE = 0.05
_OFFERED = 20  # plans of a beam
_BETTER = 0.5 * OPTIMAL_GAP
_ROOM = 1e-9


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why the problem is not of this kind, or None."""
    reason = LabelSearch.refuses(compiled)
    if reason is None and len(rows_of(compiled).objective) > 1:
        return "an objective that is the largest of several sums"
    return reason


def suits(compiled: CompiledProblem) -> bool:
    """Return whether the method knows the problem, and there are limits on memory, for which it is made."""
    limited = any(isinstance(one, MemoryLimit) and one.limit > 0 for one in compiled.constraints)
    return limited and refuses(compiled) is None


def run(pool: Pool, limits: Limits, control: Control) -> Outcome:
    """Solve the pool's problem, or raise its bound until the time is up."""
    return GroupSearch(pool, pool.compiled, control).run(limits)


class PlansAndBounds(Protocol):
    """What a search asks of a pool: see `Pool`."""

    @property
    def compiled(self) -> CompiledProblem:
        """Return the problem."""

    @property
    def objective(self) -> float | None:
        """Return that of the best plan."""

    @property
    def cap(self) -> float:
        """Return what no plan need be above."""

    def is_closed(self, gap: float) -> bool:
        """Return whether the bound meets the cap, within a relative gap."""

    def offer_placement(self, placement: Index, source: str) -> Any:
        """Offer a plan; return what is to be said of it."""

    def accepts(self, evaluation: Any) -> bool:
        """Return whether a plan is one, by what was said of it."""

    def add_bound(self, bound: float, source: str) -> None:
        """Keep a bound."""


class GroupSearch:
    """A search that can be interrupted and go on.

    Parameters
    ----------
    pool : PlansAndBounds
    compiled : CompiledProblem
        Of the pool, perhaps without choices that are too expensive for its cap.
    control : Control
    decomposition : callable
        Makes the decomposition of what is left, for groups and units of memory.
    like : CompiledProblem, optional
        A problem with the same limits and about the same objective, for the first prices.
    classes : list of lists of int, optional
        Devices that are alike; by default found in the problem.
    multipliers : array, optional
        Those of a similar problem, to begin with, if there are as many.

    Attributes
    ----------
    kept : CompiledProblem
        What is left of the problem.
    multipliers : array, optional
        Those found so far.
    """

    def __init__(
        self,
        pool: PlansAndBounds,
        compiled: CompiledProblem,
        control: Control,
        decomposition: Callable[[CompiledProblem, DeviceGroups, int], Decomposition] = Decomposition,
        like: CompiledProblem | None = None,
        classes: list[list[int]] | None = None,
        multipliers: Array | None = None,
    ) -> None:
        rows = rows_of(compiled)
        self._classes = alike_devices(pool.compiled, (*rows.objective, *rows.limits)) if classes is None else classes
        self.pool, self.kept, self.control = pool, levelled(compiled, self._classes), control
        self._decomposition, self._like = decomposition, like
        self._infeasible = self._ended = False
        self._prices: Array | None = None
        self.multipliers = multipliers
        self._turn, self._width, self._finer, self._length = int(multipliers is not None), 0, 0, 1.0
        self._settled = False  # whether ascents do not help any more
        self._changed = True  # multipliers, or what is left, since the last beam
        self._took = self._building = 0.0  # seconds, of the last beam, and of the tables before it
        self._reached, self._gain = -math.inf, math.inf  # its bound, and by how much that is better than the one before

    @property
    def promising(self) -> bool:
        """Whether a few more beams may close the gap, if each raises the bound as much as the last one."""
        return not self._ended and self._cap() - self._reached <= _BEAMS * self._gain

    def run(self, limits: Limits, gap: float = math.inf) -> Outcome:
        """Search until the time is up, nothing is left, or the gap is larger than `gap` after an ascent."""
        self.limits, self.clock = limits, Clock(limits.time_limit)
        reduced = presolve(self.kept, self._cap())
        if reduced.infeasible:
            self._add_bound(math.inf)
        else:
            self.kept = levelled(reduced.compiled, self._classes)
            self._search(gap)
        if self._infeasible:
            return Outcome("infeasible")
        return Outcome("no_solution" if self.pool.objective is None else "feasible")

    def _search(self, gap: float) -> None:
        if self.multipliers is None and self._prices is None:
            self._prices = self._first_prices()
        listed = family(self.pool.compiled, self._classes)
        while not self._done() and not self._is_short():
            begin = time.perf_counter()
            groups = DeviceGroups.of(self.kept, listed, self._classes)
            decomposition = self._decomposition(self.kept, groups, UNITS << self._finer)
            start = time.perf_counter()
            self._building = start - begin
            if self.multipliers is None or len(self.multipliers) != decomposition.size:  # easy problems end here
                self._turn = 0
                self._prices = self._first_prices() if self._prices is None else self._prices
                self.multipliers = decomposition.start(self._prices)
                self._beams(decomposition, _EASY)
                if self._done():
                    break
            if self._changed or not self._settled:
                self._ascend(decomposition)
            seconds = time.perf_counter() - start
            self._beams(decomposition, seconds)
            if self._done() or self._is_short():
                break
            self._forbid(decomposition.marginals(self.multipliers))
            self._ended = not self._changed and self._settled and self._width == _WIDTHS[-1]
            if self._ended:
                break
            if gap < math.inf and not self.pool.is_closed(gap):
                break

    def _first_prices(self) -> Array:
        """Return prices of limits without groups; 0 where there are too many devices for them."""
        like = self.kept if self._like is None else self._like
        if Lagrangian.refuses(like) is not None:
            rows = rows_of(like)
            return np.zeros(len(rows.objective) + len(rows.limits))
        lagrangian = Lagrangian(like)
        lagrangian.maximize(self._part(*_PRICES), self.control, self._cap())
        if self._like is None:
            self._add_bound(lagrangian.bound)
            if not self._done():
                self._forbid(lagrangian.marginals(self._part(*_PRICES), self.control).nodes)
        return lagrangian.prices

    def _ascend(self, decomposition: Decomposition) -> None:
        """Improve the multipliers, for a while."""
        assert self.multipliers is not None
        decomposition.ascend(self.multipliers, 1, 0.0, 1.0, lambda bound: False)  # which compiles the loops
        start = time.perf_counter()
        value, _ = decomposition.value(self.multipliers)
        each = max(time.perf_counter() - start, 1e-4)
        left = self.clock.left()
        wanted, step, fall = _LATER if self._turn else _FIRST
        follows = decomposition.size > decomposition.prices_end
        if not self._turn and follows:
            wanted = _LONGER_FIRST
        steps = wanted if left is None else min(wanted, 1 + int(_SHARE * left / each))
        cap = self._cap()
        size = max(abs(value), 0.0 if math.isinf(cap) else _LEAST_SIZE * abs(cap))
        bound, self.multipliers = decomposition.ascend(
            self.multipliers,
            steps,
            self._length * step * size / len(self.kept.node_names),
            fall,
            lambda bound: bound > cap or self.clock.expired() or self.control.stop.is_set(),
            _SLOWER * self._length if self._turn else 1.0,
        )
        self._add_bound(bound)
        self._turn += 1
        stalled = bound - value < _STALLED * abs(bound)
        self._finer = min(self._finer + int(stalled or steps == wanted), _FINEST)
        self._changed |= not stalled
        if stalled or self._turn > 1:
            self._length *= _SHORTER
        self._settled = (stalled and self._length < _SHORTEST) or follows

    def _beams(self, decomposition: Decomposition, seconds: float) -> None:
        """Search in beams, the last of which takes about as long as the ascent did; longer where little is missing.

        Where nothing has changed since, they are wider than the last ones.
        """
        assert self.multipliers is not None
        search = LabelSearch(self.kept, decomposition.completions(self.multipliers))
        begin = self._width / _WIDTHS_BACK if self._changed else self._width + 1
        for width in (width for width in _WIDTHS if width >= begin):
            near = self.pool.is_closed(_NEAR)
            enough = seconds * (_LONGER if near else 1.0)
            if not self._changed and not self._settled and _GROWTH * self._took > enough:
                break
            start = time.perf_counter()
            found = search.run(width, self._cap(), self.clock, self.control)
            self._width, self._took, self._changed = width, time.perf_counter() - start, False
            least = min(found.bound, found.least)
            self._gain, self._reached = least - self._reached, least
            for placement in found.placements[:_OFFERED]:
                if self.pool.accepts(self.pool.offer_placement(placement, SOURCE)):
                    break
            self._add_bound(least)
            if self._done() or self._settled:
                break

    def _forbid(self, costs: Array) -> None:
        """Forbid what costs too much."""
        cap = self._cap()
        if math.isinf(cap):
            return
        allowed = self.kept.allowed & (costs <= cap + _ROOM * abs(cap))
        before, self.kept = self.kept, levelled(replace(self.kept, allowed=allowed), self._classes)
        self._changed |= bool((before.allowed != self.kept.allowed).any())
        if not self.kept.allowed.any(axis=1).all():
            self._add_bound(math.inf)

    def _cap(self) -> float:
        """Return a cap just below the best that is known."""
        cap = self.pool.cap
        return cap if math.isinf(cap) else cap - _BETTER * abs(cap)

    def _add_bound(self, bound: float) -> None:
        """Keep what no plan is below, but the best one known; infinite: there is none."""
        if math.isinf(self.pool.cap) and math.isinf(bound):
            self._infeasible = bound > 0
        else:
            self.pool.add_bound(min(bound, self.pool.cap), SOURCE)

    def _done(self) -> bool:
        closed = self._infeasible or self.pool.is_closed(self.limits.gap)
        return closed or self.clock.expired() or self.control.stop.is_set()

    def _is_short(self) -> bool:
        """Return whether there is less time left than the last tables took to build."""
        left = self.clock.left()
        return left is not None and left < self._building

    def _part(self, share: float, most: float) -> Limits:
        left = self.clock.left()
        return self.limits.within(most if left is None else min(most, share * left))
