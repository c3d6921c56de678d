"""The dynamic program over ideals: from the empty one to all items, a stage of one device at a time.

Which device may come next is told by a *walk*: states, and steps from one to another, each with a class of devices. A
step may cost something itself: what crosses to the device, which the ideal before it tells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.programs.items import Items, sums_over
from dnnopt.methods.programs.stages import Stages
from dnnopt.methods.programs.walks import NextStage, StageWalk
from dnnopt.models.solvers.interface import Clock, Control

_BLOCK, _LEAST_BLOCK = 1_000_000, 20_000  # pairs of ideals at once, of all classes and of one
_ROOM = 1e-12
_WORK = 1e10  # all of it, in whole numbers


@dataclass(frozen=True)
class Stage:
    """A stage: its step, and the ideals before and after it."""

    step: NextStage
    before: int
    after: int


class IdealOrder:
    """Ideals sorted by work: after each one come those that hold it, and those that a device reaches are a range.

    Work is in whole numbers, so that no rounding brings an ideal before one that it holds.

    Attributes
    ----------
    held : array (ideals, I)
        Whether an ideal holds an item.
    worked : array (ideals,)
        The work of each.
    unit : float
        One of it, in the unit of `work`.
    margin : float
        What rounding may come to.
    """

    def __init__(self, items: Items, most: int, work: Array) -> None:
        self.unit = float(work.sum()) / _WORK or 1.0
        held = items.ideals(most)
        assert held is not None  # asked before
        worked = sums_over(held, np.floor(work / self.unit))
        order = np.argsort(worked, kind="stable")
        self.worked = worked[order]
        self.held = held[order]
        self.margin = len(items.before) + 1.0


class IdealProgram:
    """A dynamic program over ideals.

    Parameters
    ----------
    order : IdealOrder
    stages : sequence of (Stages, int)
        For each class of devices: stages, and the number of a device of the class there.
    walk : StageWalk
    prices : array (classes,)
        What work a device does in a second, at most.
    crossings : sequence of arrays
        What crosses after each ideal, by the numbers in the walk's steps.
    """

    def __init__(
        self,
        order: IdealOrder,
        stages: Sequence[tuple[Stages, int]],
        walk: StageWalk,
        prices: Array,
        crossings: Sequence[Array] = (),
    ) -> None:
        self._order, self._stages, self._walk, self._prices = order, stages, walk, prices
        self._crossings = crossings

    def search(self, threshold: float, clock: Clock, control: Control) -> tuple[float, list[Stage]] | None:
        """Return a value and the stages that have it, the first one first.

        Ideals come in blocks, and in each one the states of the walk: the same stages are asked for in many states.

        None: none is at most `threshold`, or stopped.
        """
        most, size = threshold * (1.0 + _ROOM), len(self._order.held)
        best = _Best(self._walk, size)
        worked, walk = self._order.worked, self._walk
        left = {step.after: self._work(most, walk.left(step.after, self._prices)) for step in best.steps()}
        least = {state: int(np.searchsorted(worked, worked[-1] - work)) for state, work in left.items()}
        reach = [self._work(most, float(price)) for price in self._prices]
        reached = np.array([np.searchsorted(worked, worked + work, side="right") for work in reach])
        for block in _blocks(reached.max(axis=0), max(_BLOCK // len(reach), _LEAST_BLOCK)):
            waiting = best.waiting(block, most)
            loads: dict[int, _Loads] = {}
            for state, steps in best.ways:
                value = best.value[best.number[state], block]
                rows = np.flatnonzero((value <= most) & (value < np.inf))
                if not len(rows):
                    continue
                for step in steps:
                    number = step.number
                    columns = slice(
                        max(least[step.after], block.start + int(rows[0])), int(reached[number, block][rows[-1]])
                    )
                    if columns.start >= columns.stop:
                        continue
                    if number not in loads:
                        wanted, after = waiting.get(number, (np.zeros(len(value), dtype=bool), [step.after]))
                        first = max(block.start, min(least[one] for one in after))
                        whole = slice(first, int(reached[number, block.stop - 1]))
                        loads[number] = _Loads(self._stages[number], block, whole, wanted)
                    known = value[rows]
                    if step.crossing >= 0:
                        known = np.maximum(known, self._crossings[step.crossing][block][rows])
                    load, total = loads[number].of(rows, columns)
                    through = np.maximum(known[:, None], load)
                    if total is not None:
                        through = np.where(load <= most, known[:, None] + total, np.inf)
                    best.keep(through, state, step, block.start + rows, columns, most)
                if clock.expired() or control.stop.is_set():
                    return None
        return best.way()

    def load(self, stage: Stage) -> float:
        """Return the largest load of a stage, of resources that no devices share."""
        stages, number = self._stages[stage.step.number]
        columns = slice(stage.after, stage.after + 1)
        return float(stages.load(number, np.array([stage.before]), columns)[0, 0])

    def items(self, stage: Stage) -> list[int]:
        """Return the items of a stage."""
        held = self._order.held
        return np.flatnonzero(held[stage.after] & ~held[stage.before]).tolist()

    def _work(self, seconds: float, price: float) -> float:
        """Return the most work in a time, in whole numbers: with a margin for rounding."""
        return math.inf if math.isinf(seconds) else seconds * price / self._order.unit + self._order.margin


class _Best:
    """The best values of ideals in each state of a walk, and how they came about.

    Attributes
    ----------
    ways : list of (state, list of NextStage)
        Steps from each state.
    number : dict
        Of each state.
    value : array (states, ideals)
    """

    def __init__(self, walk: StageWalk, size: int) -> None:
        self.ways = list(walk.steps())
        self.number = {state: number for number, (state, _) in enumerate(self.ways)}
        self._start, self._end = self.number[walk.start], self.number[walk.end]
        self.value = np.full((len(self.ways), size), np.inf)
        self.value[self._start, 0] = 0.0
        self._last, self._before = (np.full(self.value.shape, -1, dtype=np.int32) for _ in range(2))
        self._marks: list[list[tuple[int, NextStage]]] = [[] for _ in self.ways]
        self._mark: dict[tuple[int, NextStage], int] = {}
        for number, (_, steps) in enumerate(self.ways):
            for step in steps:
                marks = self._marks[self.number[step.after]]
                self._mark[number, step] = len(marks)
                marks.append((number, step))

    def steps(self) -> Iterator[NextStage]:
        """Yield all steps."""
        for _, steps in self.ways:
            yield from steps

    def waiting(self, block: slice, most: float) -> dict[int, tuple[Mask, list[Any]]]:
        """Return for each class which ideals of a block have a value, and states after steps from there."""
        value = self.value[:, block]
        waiting = (value <= most) & (value < np.inf)
        found: dict[int, tuple[Mask, list[Any]]] = {}
        for (_, steps), rows in zip(self.ways, waiting, strict=True):
            for step in steps if rows.any() else ():
                known, after = found.setdefault(step.number, (np.zeros(len(rows), dtype=bool), []))
                known |= rows
                after.append(step.after)
        return found

    def keep(self, through: Array, state: Any, step: NextStage, rows: Index, columns: slice, most: float) -> None:
        """Keep what is better of the values of stages between some ideals and a range of ideals, after a step."""
        after = self.number[step.after]
        row = through.argmin(axis=0)
        least = through[row, np.arange(len(row))]
        better = np.flatnonzero((least < self.value[after, columns]) & (least <= most))
        here = columns.start + better
        self.value[after, here] = least[better]
        self._last[after, here] = self._mark[self.number[state], step]
        self._before[after, here] = rows[row[better]]

    def way(self) -> tuple[float, list[Stage]] | None:
        """Return the best value of all items and its stages; None: there is none."""
        found: list[Stage] = []
        number, ideal = self._end, self.value.shape[1] - 1
        best = float(self.value[number, ideal])
        while not math.isinf(best) and number != self._start:
            mark, before = int(self._last[number, ideal]), int(self._before[number, ideal])
            number, step = self._marks[number][mark]
            found.append(Stage(step, before, ideal))
            ideal = before
        return None if math.isinf(best) else (best, found[::-1])


class _Loads:
    """Loads of a device's stages between ideals of a block and a range of ideals, each computed once.

    Parameters
    ----------
    stages : (Stages, int)
        Stages, and the device's number there.
    block, columns : slice
    rows : array
        Which ideals of the block will be asked for; others are computed where they are.
    """

    def __init__(self, stages: tuple[Stages, int], block: slice, columns: slice, rows: Mask) -> None:
        (self._stages, self._device), self._start = stages, block.start
        self._columns, self._waiting = columns, rows.copy()
        shape = len(rows), columns.stop - columns.start
        self._known = np.zeros(len(rows), dtype=bool)
        self._load = np.empty(shape)
        self._total = np.empty(shape) if self._stages.is_summed else None

    def of(self, rows: Index, columns: slice) -> tuple[Array, Array | None]:
        """Return loads and what is summed over stages, if anything is; infinite where no stage is allowed."""
        first = columns.start - self._columns.start
        if first < 0:
            return self._computed(rows, columns)
        self._waiting[rows] = True
        new = np.flatnonzero(self._waiting & ~self._known)
        if len(new):
            load, total = self._computed(new, self._columns)
            self._load[new] = load
            if self._total is not None:
                self._total[new] = total
            self._known[new] = True
        near = slice(first, columns.stop - self._columns.start)
        some = slice(rows[0], rows[-1] + 1) if len(rows) == rows[-1] + 1 - rows[0] else rows
        return self._load[some, near], None if self._total is None else self._total[some, near]

    def _computed(self, rows: Index, columns: slice) -> tuple[Array, Array | None]:
        args = self._device, self._start + rows, columns
        load, total = self._stages.load(*args), self._stages.total(*args)
        barred = ~self._stages.allowed(*args)
        load[barred] = np.inf
        if total is not None:
            total[barred] = np.inf
        return load, total


def _blocks(reached: Index, most: int) -> Iterator[slice]:
    """Yield ranges of ideals with so many pairs with those that they reach, or one ideal each."""
    start = 0
    while start < len(reached):
        pairs = np.arange(1, len(reached) - start + 1)[:most] * (reached[start : start + most] - start)
        stop = start + max(1, int(np.searchsorted(pairs, most, side="right")))
        yield slice(start, stop)
        start = stop
