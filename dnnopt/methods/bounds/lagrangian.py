"""Lagrangian bounds: limits become prices, and the tree program solves what is left.

    max_{μ >= 0} min_x  objective(x) + Σ_m μ_m (metric_m(x) / limit_m - 1)

Without tensors that have several uses this is the bound of the `edgewise` relaxation (Geoffrion: Lagrangean relaxation
for integer programming, 1974: the oracle has the integrality property), for much less time. Prices are found by cutting
planes with in-out separation (Ben-Ameur, Neto: Acceleration of cutting-plane and column generation algorithms, 2007).
With them, the tree program's max-marginals say what each placement and each move costs at least, which presolve and
searches below a cap use.

Limits whose metric counts exposure, largest activations or buffers are priced without these: the bound still holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dnnopt.compiled import CompiledProblem, Index, LinearLimit, LinearTerm, MemoryLimit
from dnnopt.evaluator import Evaluator
from dnnopt.linear_model import LinearModel
from dnnopt.methods.bounds.tree_program import Marginals, TreeProgram
from dnnopt.metrics import Array, Metric
from dnnopt.solvers.interface import Clock, Control, Limits
from dnnopt.symmetry import identical_devices

_MOST_CUTS = 80
_CLOSE = 1e-5  # relative: where bound and cutting planes are this close, prices are found
_HIGHEST_PRICE = 50.0  # of a whole limit, in multiples of the objective without limits
_ROOM = 1e-9


@dataclass(frozen=True, eq=False)
class _Row:
    """`Σ alpha x + Σ beta w <= 1`: a limit, divided by its right-hand side."""

    alpha: Array
    beta: Array
    device: int  # of a memory limit; -1: another one


class Lagrangian:
    """The bound of a problem whose objective is linear, and what its choices cost.

    Parameters
    ----------
    compiled : CompiledProblem
        Linear objective; `TreeProgram` must not refuse it.

    Attributes
    ----------
    bound : float
        SI; -inf before `maximize`.
    """

    def __init__(self, compiled: CompiledProblem) -> None:
        self.c = compiled
        self.program = TreeProgram(compiled)
        self.alpha, self.beta = linear_costs(compiled)
        self.rows = self._limits()
        self.bound = -np.inf
        self.prices = np.zeros(len(self.rows))
        self._evaluator = Evaluator(compiled)
        self._classes = identical_devices(compiled)

    @staticmethod
    def refuses(compiled: CompiledProblem) -> str | None:
        """Return why there is no such bound for a problem, or None."""
        if not all(isinstance(term, LinearTerm) for term in compiled.objective[0]):
            return "an objective that is not linear"
        return TreeProgram.refuses(compiled)

    def _limits(self) -> list[_Row]:
        c, rows = self.c, []
        for constraint in c.constraints:
            match constraint:
                case LinearLimit() if constraint.limit > 0:
                    alpha, beta = _parts(c, constraint.metric)
                    rows.append(_Row(alpha / constraint.limit, beta / constraint.limit, -1))
                case MemoryLimit() if constraint.limit > 0:
                    here = c.executor_device == constraint.device
                    alpha = constraint.resident[:, None] * here / constraint.limit
                    rows.append(_Row(alpha, np.zeros_like(self.beta), constraint.device))
        return rows

    def _priced(self, prices: Array) -> tuple[Array, Array]:
        alpha, beta = self.alpha.copy(), self.beta.copy()
        for price, row in zip(prices, self.rows, strict=True):
            if price > 0:
                alpha += price * row.alpha
                beta += price * row.beta
        return alpha, beta

    def _used(self, placement: Index) -> Array:
        """Return what a placement takes of each limit, less 1."""
        copies = self._evaluator.copies_by_link(self._evaluator.edge_pairs(placement[None]))[0]
        nodes = np.arange(len(placement))
        return np.array([row.alpha[nodes, placement].sum() + (row.beta * copies).sum() - 1.0 for row in self.rows])

    def maximize(self, limits: Limits, control: Control) -> None:
        """Find prices that give the best bound."""
        clock = Clock(limits.time_limit)
        value, placement = self.program.solve(self.alpha, self.beta)
        self.bound = value
        if not self.rows or np.isinf(value):
            return
        size = abs(value) or 1.0
        used = self._used(placement)
        cuts = [(value, used)]
        breaks = bool((used > 0).any())  # else this plan is optimal
        while breaks and len(cuts) < _MOST_CUTS and not clock.expired() and not control.stop.is_set():
            master, outer = _master(cuts, _HIGHEST_PRICE * size)
            if master - self.bound <= _CLOSE * abs(master):
                break
            prices = self._alike(0.5 * (outer + self.prices))
            value, placement = self.program.solve(*self._priced(prices))
            value -= float(prices.sum())
            used = self._used(placement)
            cuts.append((value - float(prices @ used), used))
            if value > self.bound:
                self.bound, self.prices = value, prices

    def _alike(self, prices: Array) -> Array:
        """Return the prices with those of identical devices levelled, which costs nothing and keeps them identical."""
        level = prices.copy()
        for members in self._classes:
            rows = [number for number, row in enumerate(self.rows) if row.device in members]
            if rows:
                level[rows] = prices[rows].mean()
        return level

    def marginals(self, limits: Limits, control: Control, tries: int = 24, seed: int = 0) -> Marginals:
        """Return the best bound known of all plans with each choice: with the best prices, and others around them."""
        clock, draw = Clock(limits.time_limit), np.random.default_rng(seed)
        nodes = np.full(self.c.time.shape, -np.inf)
        edges = np.full((len(self.c.edges), len(self.c.pair_origin)), -np.inf)
        for number in range(tries):
            if number and (clock.expired() or control.stop.is_set() or not self.prices.any()):
                break
            factor = np.ones(len(self.rows)) if number == 0 else draw.uniform(0.0, 2.0, len(self.rows))
            prices = self._alike(self.prices * factor)
            found = self.program.marginals(*self._priced(prices))
            np.maximum(nodes, found.nodes - prices.sum(), out=nodes)
            np.maximum(edges, found.edges - prices.sum(), out=edges)
        return Marginals(nodes, edges)


def linear_costs(compiled: CompiledProblem) -> tuple[Array, Array]:
    """Return what a linear objective charges for each placement (N, k), and for each copy over each link (T, L)."""
    alpha = np.zeros(compiled.time.shape)
    beta = np.zeros((len(compiled.tensor_names), len(compiled.link_names)))
    for term in compiled.objective[0]:
        assert isinstance(term, LinearTerm)  # see `refuses`
        more = _parts(compiled, term.metric)
        alpha, beta = alpha + term.weight * more[0], beta + term.weight * more[1]
    return alpha, beta


def _parts(compiled: CompiledProblem, metric: Metric) -> tuple[Array, Array]:
    return metric.alpha, metric.link_charges(compiled.tensor_bytes)


def below(compiled: CompiledProblem, marginals: Marginals, cap: float) -> CompiledProblem:
    """Return the problem without the choices that no plan of at most `cap` (SI) makes."""
    room = cap + _ROOM * abs(cap)
    blocked = marginals.edges > room
    moves = blocked if compiled.forbidden_moves is None else compiled.forbidden_moves | blocked
    return replace(compiled, allowed=compiled.allowed & (marginals.nodes <= room), forbidden_moves=moves)


def _master(cuts: list[tuple[float, Array]], most: float) -> tuple[float, Array]:
    """Return the most that the cuts allow, and the prices there."""
    from dnnopt.solvers.highs import relaxation

    values = np.array([value for value, _ in cuts])
    used = np.array([row for _, row in cuts])
    unit = most or 1.0
    model = LinearModel("master")
    prices = model.add_variables("price", (used.shape[1],), upper=1.0)
    bound = model.add_variables("bound", (1,), lower=-np.inf)
    columns = np.broadcast_to(np.append(bound, prices), (len(cuts), 1 + len(prices)))
    rows = np.concatenate([np.ones((len(cuts), 1)), -used], axis=1)
    model.add_rows("cut", columns, rows, upper=values / unit)
    model.minimize(bound, -1.0)
    outcome = relaxation(model, Limits(threads=1))
    if outcome.values is None:
        raise RuntimeError("the cutting planes have no best prices")
    return float(outcome.values[-1]) * unit, outcome.values[:-1] * unit
