"""The dynamic program over ideals: from the empty one to all items, a stage of one device at a time.

Which device may come next is told by a *walk*: states, and steps from one to another, each with a class of devices. A
step may cost something itself: what crosses to the device, which the ideal before it tells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnnopt.compiled.metrics import Array, Index
from dnnopt.methods.programs.items import Items, bits
from dnnopt.methods.programs.stages import Stages
from dnnopt.methods.programs.walks import NextStage, StageWalk
from dnnopt.models.solvers.interface import Clock, Control

_BLOCK = 1_000_000  # pairs of ideals at once
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
    ideals : list of int
        As bits.
    worked : array (ideals,)
        The work of each.
    unit : float
        One of it, in the unit of `work`.
    margin : float
        What rounding may come to.
    """

    def __init__(self, items: Items, most: int, work: Array) -> None:
        self.unit = float(work.sum()) / _WORK or 1.0
        whole = np.floor(work / self.unit)
        found = items.ideals(most) or []
        worked = np.array([whole[list(bits(ideal))].sum() for ideal in found])
        order = np.argsort(worked, kind="stable")
        self.worked = worked[order]
        self.ideals = [found[index] for index in order]
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

        None: none is at most `threshold`, or stopped.
        """
        most, walk, size = threshold * (1.0 + _ROOM), self._walk, len(self._order.ideals)
        values = {walk.start: np.where(np.arange(size) == 0, 0.0, np.inf)}
        came: dict[object, tuple[list[tuple[object, NextStage]], Index, Index]] = {}
        for state, steps in walk.steps():
            value = values.pop(state) if state != walk.end and state in values else None
            if value is None:
                continue
            for step in steps:
                if step.after not in values:
                    values[step.after] = np.full(size, np.inf)
                    came[step.after] = [], np.full(size, -1), np.full(size, -1)
                marks, last, before = came[step.after]
                marks.append((state, step))
                known = value if step.crossing < 0 else np.maximum(value, self._crossings[step.crossing])
                left = self._work(most, walk.left(step.after, self._prices))
                self._extend(step.number, known, left, most, values[step.after], last, before, len(marks) - 1)
                if clock.expired() or control.stop.is_set():
                    return None
        best = float(values[walk.end][-1])
        return None if math.isinf(best) else (best, self._way(came))

    def load(self, stage: Stage) -> float:
        """Return the largest load of a stage, of resources that no devices share."""
        stages, number = self._stages[stage.step.number]
        columns = slice(stage.after, stage.after + 1)
        return float(stages.load(number, np.array([stage.before]), columns)[0, 0])

    def items(self, stage: Stage) -> list[int]:
        """Return the items of a stage."""
        return list(bits(self._order.ideals[stage.after] ^ self._order.ideals[stage.before]))

    def _work(self, seconds: float, price: float) -> float:
        """Return the most work in a time, in whole numbers: with a margin for rounding."""
        return math.inf if math.isinf(seconds) else seconds * price / self._order.unit + self._order.margin

    def _extend(
        self,
        number: int,
        value: Array,
        left: float,
        most: float,
        best: Array,
        last: Index,
        before: Index,
        mark: int,
    ) -> None:
        """Put one more device of a class behind all ideals, and keep what is better.

        Parameters
        ----------
        number : int
            Of the class.
        value : array
            Of each ideal, before, with what crosses to the device.
        left : float
            The work that the devices left can do.
        most : float
        best, last, before : arrays
            Of each ideal: value, last step and ideal before it. Changed in place.
        mark : int
            Of this step.
        """
        least = int(np.searchsorted(self._order.worked, self._order.worked[-1] - left))
        rows = np.flatnonzero((value <= most) & (value < np.inf))
        reach = self._work(most, float(self._prices[number]))
        start = 0
        while start < len(rows):
            ends = np.searchsorted(self._order.worked, self._order.worked[rows[start:]] + reach, side="right")
            count = max(1, int(np.searchsorted(np.arange(1, len(ends) + 1) * ends, _BLOCK, side="right")))
            block, columns = rows[start : start + count], slice(max(least, int(rows[start])), int(ends[count - 1]))
            start += count
            if columns.start >= columns.stop:
                continue
            stages, at = self._stages[number]
            load, total = stages.load(at, block, columns), stages.total(at, block, columns)
            known = value[block][:, None]
            through = np.maximum(known, load) if total is None else np.where(load <= most, known + total, np.inf)
            through[~stages.allowed(at, block, columns)] = np.inf
            row = through.argmin(axis=0)
            through = through[row, np.arange(len(row))]
            better = np.flatnonzero((through < best[columns]) & (through <= most))
            here = columns.start + better
            best[here], last[here], before[here] = through[better], mark, block[row[better]]

    def _way(self, came: dict[object, tuple[list[tuple[object, NextStage]], Index, Index]]) -> list[Stage]:
        """Return the stages of the best value."""
        found: list[Stage] = []
        state, ideal = self._walk.end, len(self._order.ideals) - 1
        while state != self._walk.start:
            marks, last, before = came[state]
            state, step = marks[int(last[ideal])]
            found.append(Stage(step, int(before[ideal]), ideal))
            ideal = int(before[ideal])
        return found[::-1]
