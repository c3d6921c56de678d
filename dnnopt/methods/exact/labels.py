"""Exact method `labels`: label search below the best plan known, in beams that grow until nothing is left out.

Objectives that are sums (sequential latency, energy, cost, traffic) or the largest of some (period), with memory,
limits on sums, colocation, separation, tiers, numbers of devices and of cuts; networks with few tensors alive at once.
What is not proved in time has a bound all the same: that of the best label which was left out.

For the largest of some sums, caps go from the bound upwards: a low cap leaves little to search, and one below which
there is no plan is a bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.presolve import presolve
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.alike import alike_devices, levelled
from dnnopt.methods.programs.frontier import SCOPE as FOLLOWED
from dnnopt.methods.programs.label_search import LabelSearch
from dnnopt.methods.programs.lagrangian import Lagrangian, below
from dnnopt.methods.programs.rows import rows_of
from dnnopt.methods.result import OPTIMAL_GAP
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome

SCOPE = FOLLOWED
SOURCE = "label search"
_WIDTHS = (30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
_PRICES = 24
_CANDIDATES = 240
_PRICE_SHARE = 0.05
_PRICE_SECONDS = 2.0
# Caps on the largest of several sums, as multiples of the bound.
_CAPS = (1.0005, 1.003, 1.01, 1.03, 1.1, 1.3, 1.8, 3.0, 6.0)
_FEW_CAPS = (1.0005, 1.01, 1.1)
# Where beams are as wide as this, so much of the first gap should be closed.
_PROMISE = 300, 0.7
# Plans this much better than the best known are looked for.
_BETTER = 0.5 * OPTIMAL_GAP


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why the problem is not of this kind, or None."""
    return LabelSearch.refuses(compiled) or Lagrangian.refuses(compiled)


def run(pool: Pool, limits: Limits, control: Control) -> Outcome:
    """Solve the pool's problem, or raise its bound until the time is up."""
    return _Search(pool, limits, control).run()


def run_while_promising(pool: Pool, limits: Limits, control: Control) -> Outcome:
    """The same, but end where beams of `_PROMISE[0]` labels close less than `_PROMISE[1]` of the first gap."""
    return _Search(pool, limits, control).run(promise=True)


class _Search:
    def __init__(self, pool: Pool, limits: Limits, control: Control) -> None:
        self.pool, self.limits, self.control = pool, limits, control
        self.clock = Clock(limits.time_limit)
        self._infeasible = False
        self._first = math.inf  # bound
        self._known: dict[float, LabelSearch] = {}  # searches below caps that are still looked at
        self._factors: tuple[float, ...] = _CAPS
        rows = rows_of(pool.compiled)
        self._largest = len(rows.objective) > 1
        self._classes = alike_devices(pool.compiled, (*rows.objective, *rows.limits))

    def run(self, promise: bool = False) -> Outcome:
        self._factors = _FEW_CAPS if promise else _CAPS
        for width in _WIDTHS:
            if promise and width > _PROMISE[0] and self._closed() < _PROMISE[1]:
                break
            while not self._done() and any(self._improves(cap, width) for cap in self._caps()):
                pass
        if self._infeasible:
            return Outcome("infeasible")
        return Outcome("no_solution" if self.pool.objective is None else "feasible")

    def _closed(self) -> float:
        """Return the share that is closed of the gap between the best plan and the first bound."""
        best, bound = self.pool.cap, self.pool.bound
        if math.isinf(best) or bound is None or best <= self._first:
            return 0.0
        return (bound - self._first) / (best - self._first)

    def _done(self) -> bool:
        closed = self._infeasible or self.pool.is_closed(self.limits.gap)
        return closed or self.clock.expired() or self.control.stop.is_set()

    def _caps(self) -> Iterator[float]:
        """Yield caps below which to search, the lowest first, as plan and bound are by then."""
        if self._largest:
            for factor in self._factors:
                cap = (self.pool.bound or 0.0) * factor
                if 0 < cap < self._best() and not self._done():
                    yield cap
        if not self._done():
            yield self._best()

    def _best(self) -> float:
        """Return a cap just below the best that is known."""
        cap = self.pool.cap
        return cap if math.isinf(cap) else cap - _BETTER * abs(cap)

    def _improves(self, cap: float, width: int) -> bool:
        """Search below a cap; return whether there is a better plan now."""
        search = self._search(cap)
        if search is None:
            return False
        before = self.pool.objective
        floor = self.pool.own_bound
        found = search.run(width, cap, self.clock, self.control, floor)
        for placement in found.placements:
            if self.pool.accepts(self.pool.offer_placement(placement, SOURCE)):
                break
        self._add_bound(found.bound)
        return self.pool.objective != before

    def _search(self, cap: float) -> LabelSearch | None:
        """Return the search below a cap, with prices chosen for it; None: there is no plan."""
        if cap in self._known:
            return self._known[cap]
        reduced = presolve(self.pool.compiled, cap)
        if reduced.infeasible:
            self._add_bound(cap)
            return None
        lagrangian = Lagrangian(reduced.compiled)
        lagrangian.maximize(self._part(), self.control, cap)
        self._add_bound(min(lagrangian.bound, cap))
        self._first = min(self._first, lagrangian.bound)
        if lagrangian.bound > cap:
            return None
        kept = below(reduced.compiled, lagrangian.marginals(self._part(), self.control), cap)
        kept = levelled(kept, self._classes)
        if not kept.allowed.any(axis=1).all():
            self._add_bound(cap)
            return None
        search = LabelSearch(kept, lagrangian.around(_PRICES, self.limits.seed))
        search.run(_WIDTHS[0], cap, self.clock, self.control)
        search.choose_prices(lagrangian.far(_CANDIDATES, self.limits.seed), cap, _PRICES)
        bound = self.pool.bound or 0.0
        self._known = {other: known for other, known in self._known.items() if other > bound} | {cap: search}
        return search

    def _part(self) -> Limits:
        left = self.clock.left()
        return self.limits.within(_PRICE_SECONDS if left is None else min(_PRICE_SECONDS, _PRICE_SHARE * left))

    def _add_bound(self, bound: float) -> None:
        """Keep what no plan is below, but the best one known; infinite: there is none."""
        if math.isinf(self.pool.cap) and math.isinf(bound):
            self._infeasible = bound > 0
        else:
            self.pool.add_bound(min(bound, self.pool.cap), SOURCE)
