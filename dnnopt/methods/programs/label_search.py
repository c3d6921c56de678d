"""Label search: partial plans along a topological order, kept apart by state, cut down by bounds and dominance.

A label is a plan of the first layers: its state (see `frontier.py`), what it adds to every row, the largest activations
on each device, and which shared weights it holds (their bytes, the largest over the layers that read them). Tables of
Lagrangian sums to the end bound what any plan that begins like this comes to:

    objective >= max_w  w·label + h_w[state] - Σ_m μ_wm          w = (λ, μ), h_w from `Frontier.tables`

Labels go whose bound is above the cap, that break a limit, or that another one in the same state is nowhere worse than
(Irnich, Desaulniers: Shortest path problems with resource constraints, 2005). Of the rest the `width` with the least
bounds go on: a beam. If none was left out, what is found is optimal, or nothing is below the cap; otherwise the least
bound of those left out is a bound. Where devices are alike, labels are kept in one order of these (see `LabelOrder`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import MemoryLimit
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.groups.loops import loops_for
from dnnopt.methods.programs import rows as sums
from dnnopt.methods.programs.alike import orbit_means
from dnnopt.methods.programs.arrivals import Arrivals, LabelTimes
from dnnopt.methods.programs.frontier import Frontier
from dnnopt.methods.programs.label_order import LabelOrder
from dnnopt.methods.programs.rows import PlanSums, rows_of
from dnnopt.methods.programs.slots import FrontierStep
from dnnopt.models.solvers.interface import Clock, Control

_ROOM = 1e-9
_LEADERS = 30
# Candidates for each label that may go on; those beyond it are left out before dominance is looked at.
_SPARE = 4
_MOST_PEAKS = 100  # numbers that each label keeps beside its sums
_SAMPLES = 4  # labels of each step on which prices are chosen
_MOST_ENTRIES = 30_000_000
_MOST_PLANS = 200


class Completions(Protocol):
    """What bounds the rest of a plan, by more than prices."""

    @property
    def frontier(self) -> Frontier:
        """Return the frontier, which has the states of the tables."""

    @property
    def weights(self) -> Array:
        """Return those of what a label adds to the rows (1, rows)."""

    @property
    def charged(self) -> Array:
        """Return what is taken away (1,)."""

    @property
    def tables(self) -> list[Array]:
        """Return what the rest costs at least but for `beside` (states, 1), for each step."""

    @property
    def arrivals(self) -> Arrivals | None:
        """Return what follows times, where the objective has latencies that the rows only have means of."""

    def beside(self, after: int, state: Index, values: Array, device: Index) -> Array:
        """Return what is added to the tables (B,), after so many steps, for labels whose last node is on `device`."""


@dataclass(frozen=True, eq=False)
class LabelResult:
    """What a label search found.

    Attributes
    ----------
    placements : array (B, N)
        The best first.
    bound : float
        No plan is below it, but those found and those above the cap.
    least : float
        The objective of the best; infinite: there is none.
    """

    placements: Index
    bound: float
    least: float = np.inf


@dataclass(frozen=True, eq=False)
class _Labels:
    """Labels after a step.

    Attributes
    ----------
    parent : array (B,)
        Numbers of the labels before the step.
    executor : array (B,)
        Where the step's node was placed.
    state : array (B,)
    weighed : array (B, M)
        Weighted sums of rows.
    lower : array (B,)
        Bounds of the objective.
    values : array (B, R)
    peaks : array (B, K)
    becomes : array (B, D)
        Which device each one has become in the step; without columns where none are alike.
    times : LabelTimes, optional
    """

    parent: Index
    executor: Index
    state: Index
    weighed: Array
    lower: Array
    values: Array
    peaks: Array
    becomes: Index
    times: LabelTimes | None = None

    def take(self, chosen: Index | Mask) -> _Labels:
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        times = None if self.times is None else self.times.take(chosen)
        return _Labels(**{name: array[chosen] for name, array in arrays.items() if name != "times"}, times=times)


class LabelSearch:
    """Label searches on a problem.

    Parameters
    ----------
    compiled : CompiledProblem
        `refuses` must not refuse it.
    prices : array (M, rows), or Completions
        Weights of the rows of the objective (each sums to 1), then prices of the limits, of `rows_of(compiled)`; or
        what bounds the rest of a plan instead, for an objective of one row.

    Raises
    ------
    TooManyStatesError
    """

    def __init__(self, compiled: CompiledProblem, prices: Array | Completions) -> None:
        self.c = compiled
        if isinstance(prices, np.ndarray):
            rows = rows_of(compiled)
        else:
            rows = PlanSums(prices.frontier.rows[:1], prices.frontier.rows[1:])
        self.weighed = len(rows.objective)
        self.limits = np.array([row.limit for row in rows.limits])
        self._samples: list[tuple[int, Index, Array]] = []
        self.completions = None if isinstance(prices, np.ndarray) else prices
        self.arrivals = None if self.completions is None else self.completions.arrivals
        if isinstance(prices, np.ndarray):
            self.frontier = Frontier(compiled, (*rows.objective, *rows.limits))
            self._set_prices(prices)
        else:
            self.frontier = prices.frontier
            self.weights, self.charged, self.tables = prices.weights, prices.charged, prices.tables
        peaks = [
            (number, row.device, peak)
            for number, row in enumerate(rows.limits)
            for peak in (() if row.peaks is None else row.peaks)
        ]
        self._peaked = np.array([number for number, _, _ in peaks], dtype=np.int64)
        self._peak_at = np.array([device for _, device, _ in peaks], dtype=np.int64)
        self._peak = np.array([peak for _, _, peak in peaks])
        # What is left of the limits beside the largest peaks.
        self._beside_peaks = self.limits.copy()
        np.subtract.at(self._beside_peaks, self._peaked, self._peak.max(axis=-1, initial=0.0))
        self._order = LabelOrder.of(self.frontier, self.weighed + self._peaked) if self.frontier.alike.classes else None

    def _set_prices(self, prices: Array) -> None:
        most = max(1, _MOST_ENTRIES // self.frontier.states)
        self.weights = orbit_means(prices[:most], self.frontier.alike.orbits)
        self.charged = self.weights[:, self.weighed :] @ self.limits
        self.tables = self.frontier.tables(self.weights)

    def choose_prices(self, candidates: Array, cap: float, most: int) -> None:
        """Take those prices that together bound the labels of the last run best (greedily), at most so many.

        What the rest of a plan costs at least depends on what its beginning has used up: prices that are best for the
        whole are poor for a plan whose first device is full.
        """
        if not self._samples:
            return
        candidates = np.concatenate([self.weights, candidates])[: max(1, _MOST_ENTRIES // self.frontier.states)]
        candidates = orbit_means(candidates, self.frontier.alike.orbits)
        tables = self.frontier.tables(candidates)
        charged = candidates[:, self.weighed :] @ self.limits
        bounds = np.concatenate(
            [values @ candidates.T + tables[step + 1][state] - charged for step, state, values in self._samples]
        )
        bounds = np.minimum(bounds, cap)
        bounds = bounds[np.isfinite(bounds).all(axis=1)]  # whatever the prices, others lead nowhere
        best = np.full(len(bounds), -np.inf)
        chosen: list[int] = []
        while len(chosen) < most:
            total = np.maximum(best[:, None], bounds).sum(axis=0)
            number = int(total.argmax())
            if chosen and total[number] <= best.sum() + _ROOM * abs(best.sum()):
                break
            chosen.append(number)
            best = np.maximum(best, bounds[:, number])
        self.weights, self.charged = candidates[chosen], charged[chosen]
        self.tables = [table[:, chosen] for table in tables]

    @staticmethod
    def refuses(compiled: CompiledProblem) -> str | None:
        """Return why a problem cannot be searched like this, or None."""
        reason = Frontier.refuses(compiled) or sums.refuses(compiled)
        peaks = sum(len(one.peaks) for one in compiled.constraints if isinstance(one, MemoryLimit))
        if reason is None and peaks > _MOST_PEAKS:
            return f"more than {_MOST_PEAKS} shared weights and largest activations in limits ({peaks})"
        return reason or Frontier.too_wide(compiled)

    @property
    def bound(self) -> float:
        """The bound of all plans."""
        bounds = self.tables[0][:1] - self.charged
        if self.completions is not None:
            nothing = np.zeros(1, dtype=np.int64)
            bounds = bounds + self.completions.beside(0, nothing, np.zeros((1, len(self.frontier.rows))), nothing)
        return float(bounds.max())

    def run(self, width: int, cap: float, clock: Clock, control: Control, floor: float = -np.inf) -> LabelResult:
        """Search for plans of at most `cap`.

        Parameters
        ----------
        width : int
            Labels that go on at each step.
        cap : float
            SI.
        clock : Clock
        control : Control
        floor : float
            What is known of the optimum. Where the objective is the largest of several rows, it does not matter which
            are below it.
        """
        nowhere = np.zeros((0, len(self.c.node_names)), dtype=np.int64)
        most = np.concatenate([np.full(self.weighed, cap), self.limits])
        most = most + _ROOM * np.abs(most)
        enough = np.concatenate([np.full(self.weighed, floor if self.weighed > 1 else -np.inf), self._beside_peaks])
        first, rows, peaked, count = np.zeros(1, dtype=np.int64), len(most), len(self._peaked), len(self.weights)
        root = np.zeros((1, count)), np.array([self.bound]), np.zeros((1, rows)), np.zeros((1, peaked)), first[:, None]
        labels = _Labels(first, first, first, *root, None if self.arrivals is None else self.arrivals.start())
        least_left, most_left = self.frontier.left
        left_out = np.inf
        trail: list[tuple[Index, Index, Index]] = []
        self._samples = []
        for number, step in enumerate(self.frontier.steps):
            if clock.expired() or control.stop.is_set():
                return LabelResult(nowhere, min(left_out, float(labels.lower.min()), cap))
            labels, out = self._children(number, step, labels, most[0], _SPARE * width)
            left_out = min(left_out, out)
            labels = labels.take(self._fits(labels, most - least_left[number]))
            labels = labels.take(_undominated(labels, enough - most_left[number], self.arrivals))
            left_out = min(left_out, float(labels.lower[width:].min(initial=np.inf)))
            labels = labels.take(np.arange(min(width, len(labels.lower))))
            trail.append((labels.parent, labels.executor, labels.becomes))
            self._samples.append((number, labels.state[:_SAMPLES], labels.values[:_SAMPLES]))
            if not len(labels.lower):
                return LabelResult(nowhere, min(left_out, cap))
        objectives = labels.values[:, : self.weighed].max(axis=1) if labels.times is None else labels.times.objectives
        best = np.argsort(objectives, kind="stable")[:_MOST_PLANS]
        return LabelResult(self._placements(trail, best), min(left_out, cap), float(objectives.min()))

    def _children(
        self, number: int, step: FrontierStep, labels: _Labels, cap: float, most: int
    ) -> tuple[_Labels, float]:
        """Return the labels after a step in the order of their bounds, and the least bound of those left out."""
        c, frontier = self.c, self.frontier
        executors = np.flatnonzero(c.allowed[step.node])
        devices = c.executor_device[executors]
        weighed = labels.weighed[:, None, :] + (frontier.alpha[step.node, executors] @ self.weights.T)
        digits = step.digits[:, labels.state]
        state = step.to[labels.state][:, devices]
        if self._order is not None:
            state[self._order.repeats(step, labels.state, labels.values, labels.peaks)[:, devices]] = -1
        for use in step.uses:
            weighed = weighed + frontier.weighed(use, self.weights)[digits[use.axis]][:, devices]
        parent, chosen = np.nonzero(state >= 0)
        state, weighed = state[parent, chosen], weighed[parent, chosen]
        turns = None if step.turns is None else step.turns[labels.state[parent], devices[chosen]]
        lower = weighed + self.tables[number + 1][state] - self.charged
        values: Array | None = None
        if self.completions is not None:
            values = self._values(step, labels, digits, parent, executors[chosen], turns)
            device = devices[chosen] if turns is None else frontier.exchanges[turns, devices[chosen]]
            lower = lower + self.completions.beside(number + 1, state, values, device)[:, None]
        lower = lower.max(axis=1)
        starts = slack = np.zeros(0)
        if self.arrivals is not None and labels.times is not None:
            at, late = self.arrivals.of_children(step, labels.times, digits, executors)
            starts, slack = at[parent, chosen], late[parent, chosen]
            lower = lower + labels.times.slack[parent] + slack
            lower[starts > self.arrivals.latest[step.node, executors][chosen]] = np.inf
        below = np.flatnonzero((lower <= cap) & np.isfinite(lower))
        order = below[np.argsort(lower[below], kind="stable")]
        out = float(lower[order[most]]) if len(order) > most else np.inf
        order = order[:most]
        parent, chosen, state = parent[order], chosen[order], state[order]
        executor, turns = executors[chosen], None if turns is None else turns[order]
        values = self._values(step, labels, digits, parent, executor, turns) if values is None else values[order]
        peaks = labels.peaks[parent]
        if len(self._peaked):
            here = devices[chosen][:, None] == self._peak_at
            peaks = np.maximum(peaks, here * self._peak[:, step.node])
        becomes = np.zeros((len(order), 0), dtype=np.int64)
        if self._order is not None:
            steps = frontier.steps[number + 1 : number + 2]
            absent = steps[0].absent[state] if steps else np.ones((len(state), len(c.device_names)), dtype=bool)
            peaks, becomes = self._order.put(absent, values, peaks, turns)
        times = None
        if self.arrivals is not None and labels.times is not None:
            times = self.arrivals.after(step, labels.times, digits, parent, executor, starts[order], slack[order])
        return _Labels(parent, executor, state, weighed[order], lower[order], values, peaks, becomes, times), out

    def _values(
        self,
        step: FrontierStep,
        labels: _Labels,
        digits: Index,
        parent: Index,
        executor: Index,
        turns: Index | None,
    ) -> Array:
        """Return the sums of rows (B, R) of children of labels, after exchanges of devices (B,)."""
        values: Array = labels.values[parent] + self.frontier.alpha[step.node, executor]
        for use in step.uses:
            values += self.frontier.sent(use, digits[use.axis][parent], self.c.executor_device[executor])
        return values if turns is None else np.take_along_axis(values, self.frontier.sources[turns], axis=1)

    def _fits(self, labels: _Labels, most: Array) -> Mask:
        """Return which labels have at most so much in each row (R,)."""
        used = labels.values.copy()
        for number, peaks in zip(self._peaked.tolist(), labels.peaks.T, strict=True):
            used[:, self.weighed + number] += peaks
        return np.all(used <= most, axis=1)

    def _placements(self, trail: list[tuple[Index, Index, Index]], labels: Index) -> Index:
        """Return the placements (B, N) of labels after the last step."""
        placements = np.zeros((len(labels), len(self.c.node_names)), dtype=np.int64)
        taken = []
        for step, (parent, executor, becomes) in zip(reversed(self.frontier.steps), reversed(trail), strict=True):
            placements[:, step.node] = executor[labels]
            taken.append(becomes[labels])
            labels = parent[labels]
        if self._order is None:
            return placements
        rows = np.arange(len(labels))[:, None]
        really = np.tile(np.arange(len(self.c.device_names)), (len(labels), 1))  # which device each one stands for
        for step, becomes in zip(self.frontier.steps, reversed(taken), strict=True):
            placements[:, step.node] = really[rows[:, 0], placements[:, step.node]]
            before = really.copy()
            really[rows, becomes] = before
        return placements


def _undominated(labels: _Labels, enough: Array, arrivals: Arrivals | None) -> Index:
    """Return the labels that none of the first ones in the same state is at least as good as.

    `enough` (R,): what does not matter, because no limit can be broken from there.
    """
    order = np.argsort(labels.state, kind="stable")  # within a state by bounds, as they are
    state = labels.state[order]
    columns = [np.maximum(labels.values, enough), labels.peaks]
    if labels.times is not None and arrivals is not None:  # they say more than rows of means of paths
        columns = [np.delete(columns[0], arrivals.means, axis=1), labels.peaks, labels.times.columns]
    values = np.concatenate(columns, axis=1)[order]
    return np.sort(order[loops_for(len(state)).undominated(state, values, _LEADERS)])
