"""Lagrangian bounds: limits become prices, and the tree program solves what is left.

    max_{λ, μ >= 0, Σ λ = 1} min_x  Σ_o λ_o objective_o(x) + Σ_m μ_m (metric_m(x) / limit_m - 1)

The objective is one sum, or the largest of several (a period: λ weighs the resources). Without tensors that have
several uses this is the bound of the `edgewise` relaxation (Geoffrion: Lagrangean relaxation for integer programming,
1974: the oracle has the integrality property), for much less time. Prices are found by cutting planes with in-out
separation (Ben-Ameur, Neto: Acceleration of cutting-plane and column generation algorithms, 2007). With them, the tree
program's max-marginals say what each placement and each move costs at least, which presolve and searches below a cap
use.

Limits whose metric counts exposure or buffers are priced without these, limits of 0 and on cuts not at all; where the
largest of some amounts counts (activations, shared weights), their mean does: the bound holds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import LinearTerm, MaxTerm, PeriodTerm
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.scope import Scope
from dnnopt.compiled.symmetry import identical_devices
from dnnopt.methods.programs import rows as sums
from dnnopt.methods.programs.alike import RowExchanges, orbit_means
from dnnopt.methods.programs.rows import PlanSum, rows_of
from dnnopt.methods.programs.tree_program import Marginals, TreeProgram
from dnnopt.models.solvers.interface import Clock, Control, Limits

SCOPE = Scope(relaxes=True, terms=frozenset({LinearTerm, PeriodTerm, MaxTerm}), blocks=True)
_MOST_CUTS = 200
_CLOSE = 1e-5  # relative: where bound and cutting planes are this close, prices are found
_HIGHEST_PRICE = 50.0  # of a whole limit, in multiples of the objective without limits
_ROOM = 1e-9
_FARTHEST = 1e6
_FAR = 2.3  # random factors are up to exp of this
_SPARSE = 0.15  # share of random factors that are 0


class Lagrangian:
    """The bound of a problem whose objective is a sum or the largest of some, and what its choices cost.

    Parameters
    ----------
    compiled : CompiledProblem
        `refuses` must not refuse it.

    Attributes
    ----------
    objective, limits : tuple of PlanSum
    bound : float
        SI; -inf before `maximize`, inf where no placement is allowed.
    prices : array
        Of the rows of the objective (they sum to 1), then of the limits.
    """

    def __init__(self, compiled: CompiledProblem) -> None:
        self.c = compiled
        self.program = TreeProgram(compiled)
        rows = rows_of(compiled)
        self.objective = rows.objective
        self.limits = tuple(_with_means(compiled, row) for row in rows.limits)
        self.bound = -np.inf
        self._weighed = len(self.objective)
        self.prices = np.zeros(self._weighed + len(self.limits))
        self.prices[: self._weighed] = 1.0 / self._weighed
        self._rows = (*self.objective, *self.limits)
        self._limit = np.array([0.0] * self._weighed + [row.limit for row in self.limits])
        self._free = np.array([row.limit == 0 or row.copy > 0 for row in self._rows])  # they have no price
        self._evaluator = evaluator_of(compiled)
        self._orbits = RowExchanges.of(compiled, self._rows, identical_devices(compiled)).orbits

    @staticmethod
    def refuses(compiled: CompiledProblem) -> str | None:
        """Return why there is no such bound for a problem, or None."""
        return SCOPE.refuses(compiled) or sums.refuses(compiled) or TreeProgram.refuses(compiled)

    def _values(self, placement: Index) -> Array:
        """Return what a placement comes to in each row, less its limit."""
        copies = self._evaluator.copies_by_link(self._evaluator.edge_pairs(placement[None]))[0]
        nodes = np.arange(len(placement))
        found = [row.alpha[nodes, placement].sum() + (row.beta * copies).sum() for row in self._rows]
        return np.where(self._free, -1.0, np.array(found) - self._limit)

    def _priced(self, prices: Array) -> tuple[Array, Array]:
        alpha, beta = np.zeros_like(self._rows[0].alpha), np.zeros_like(self._rows[0].beta)
        for price, row in zip(prices.tolist(), self._rows, strict=True):
            if price > 0:
                alpha += price * row.alpha
                beta += price * row.beta
        return alpha, beta

    def maximize(self, limits: Limits, control: Control, cap: float = np.inf) -> None:
        """Find prices that give the best bound, or one above the cap."""
        clock = Clock(limits.time_limit)
        value, placement = self.program.solve(*self._priced(self.prices))
        self.bound = value
        if np.isinf(value):
            return
        values = self._values(placement)
        size = abs(value) or float(np.abs(values[: self._weighed]).max()) or 1.0
        breaks = bool((values[self._weighed :] > 0).any()) or self._weighed > 1  # else this plan is optimal
        if not breaks:
            return
        cuts = _Cuts(self._weighed, len(self.limits), _HIGHEST_PRICE * size)
        cuts.add(orbit_means(values, self._orbits))
        while cuts.count < _MOST_CUTS and not clock.expired() and not control.stop.is_set():
            found = cuts.best()
            if found is None:
                break
            master, outer = found
            if master - self.bound <= _CLOSE * abs(master) or self.bound > cap:
                break
            prices = orbit_means(0.5 * (outer + self.prices), self._orbits)
            value, placement = self.program.solve(*self._priced(prices))
            value -= float(prices @ self._limit)
            cuts.add(orbit_means(self._values(placement), self._orbits))
            if value > self.bound:
                self.bound, self.prices = value, prices

    def around(self, tries: int, seed: int) -> Array:
        """Return prices (tries, rows): the best, then random ones around them."""
        draw = np.random.default_rng(seed)
        factors = draw.uniform(0.0, 2.0, (tries, len(self.prices)))
        factors[0] = 1.0
        return self._normal(self.prices * factors)

    def far(self, tries: int, seed: int) -> Array:
        """Return prices (tries, rows) further away: the best, each row of the objective alone, then random ones."""
        draw = np.random.default_rng(seed)
        factors = np.exp(draw.uniform(-_FAR, _FAR, (tries, len(self.prices))))
        factors[draw.random(factors.shape) < _SPARSE] = 0.0
        factors[0] = 1.0
        prices = self.prices * factors
        if self._weighed > 1:
            few = draw.random((tries, self._weighed)) < 2.0 / self._weighed
            spread = draw.random((tries, 1)) * few * draw.random((tries, self._weighed))
            prices[1:, : self._weighed] += spread[1:]
            alone = np.eye(self._weighed, len(self.prices))
            prices = np.concatenate([prices, alone])
        return self._normal(prices)

    def _normal(self, many: Array) -> Array:
        """Return prices (B, rows) with the weights of the objective's rows summing to 1."""
        many = orbit_means(many, self._orbits)
        total = many[:, : self._weighed].sum(axis=1, keepdims=True)
        weights = np.where(total > 0, many[:, : self._weighed], self.prices[: self._weighed])
        many[:, : self._weighed] = weights / weights.sum(axis=1, keepdims=True)
        return many

    def marginals(self, limits: Limits, control: Control, tries: int = 24, seed: int = 0) -> Marginals:
        """Return the best bound known of all plans with each choice: with the best prices, and others around them."""
        clock = Clock(limits.time_limit)
        nodes = np.full(self.c.time.shape, -np.inf)
        edges = np.full((len(self.c.edges), len(self.c.pair_origin)), -np.inf)
        for number, prices in enumerate(self.around(tries, seed)):
            if number and (clock.expired() or control.stop.is_set() or not self.limits):
                break
            found = self.program.marginals(*self._priced(prices))
            charged = float(prices @ self._limit)
            np.maximum(nodes, found.nodes - charged, out=nodes)
            np.maximum(edges, found.edges - charged, out=edges)
        return Marginals(nodes, edges)


def _with_means(c: CompiledProblem, row: PlanSum) -> PlanSum:
    """Return the row with the mean of each peak over all nodes that have one: never more than the largest hosted."""
    if row.peaks is None:
        return row
    means = (row.peaks / np.maximum(np.count_nonzero(row.peaks, axis=1, keepdims=True), 1)).sum(axis=0)
    return replace(row, alpha=row.alpha + means[:, None] * (c.executor_device == row.device))


def below(compiled: CompiledProblem, marginals: Marginals, cap: float) -> CompiledProblem:
    """Return the problem without the choices that no plan of at most `cap` (SI) makes."""
    room = cap + _ROOM * abs(cap)
    blocked = marginals.edges > room
    moves = blocked if compiled.forbidden_moves is None else compiled.forbidden_moves | blocked
    return replace(compiled, allowed=compiled.allowed & (marginals.nodes <= room), forbidden_moves=moves)


def priced_out(
    compiled: CompiledProblem, cap: float, limits: Limits, control: Control, seed: int = 0
) -> CompiledProblem:
    """Return the problem without the choices that prices show to be in no plan of at most `cap` (SI).

    It comes back as it is where there are no prices for it. The time limit is for the search for prices, and again for
    what each choice costs.
    """
    if Lagrangian.refuses(compiled) is not None:
        return compiled
    prices = Lagrangian(compiled)
    prices.maximize(limits, control)
    return below(compiled, prices.marginals(limits, control, seed=seed), cap)


class _Cuts:
    """What some plans, as values of all rows, allow of the bound: `bound <= weights · values + prices · values`.

    Values far beyond the highest price `most` are cut down, which makes prices worse and no bound wrong.
    """

    def __init__(self, weighed: int, priced: int, most: float) -> None:
        from dnnopt.models.solvers.highs import GrowingProgram

        self.count = 0
        self._weighed = weighed
        self._unit = most or 1.0
        cost, lower, upper = np.zeros((3, weighed + priced + 1))
        cost[-1], lower[-1], upper[:-1], upper[-1] = -1.0, -np.inf, 1.0, np.inf
        self._program = GrowingProgram(cost, lower, upper)
        self._program.add_row((np.arange(len(cost)) < weighed).astype(float), 1.0, 1.0)

    def add(self, values: Array) -> None:
        """Add what a plan allows."""
        scaled = np.append(values, -1.0)
        scaled[: self._weighed] /= self._unit
        self._program.add_row(-np.clip(scaled, -_FARTHEST, _FARTHEST), -np.inf, 0.0)
        self.count += 1

    def best(self) -> tuple[float, Array] | None:
        """Return the most that the cuts allow, and the prices there; None: they were not found."""
        values = self._program.solve()
        if values is None:
            return None
        found = np.maximum(values[:-1], 0.0)
        found[: self._weighed] /= found[: self._weighed].sum()
        found[self._weighed :] *= self._unit
        return float(values[-1]) * self._unit, found
