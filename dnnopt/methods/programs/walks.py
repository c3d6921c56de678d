"""Walks: which class of devices may have the next stage, and what may come after that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple, Protocol

import numpy as np

from dnnopt.compiled.metrics import Array, Index
from dnnopt.models.arrays import Columns
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers.interface import Limits


class NextStage(NamedTuple):
    """One more stage.

    Attributes
    ----------
    number : int
        Class of its device.
    crossing : int
        Number of what crosses before it; -1: nothing, or stages bear it.
    after : hashable
        State after it.
    """

    number: int
    crossing: int
    after: Any


class StageWalk(Protocol):
    """States, and steps from one to another.

    Attributes
    ----------
    start, end : hashable
        The first state, and the last one.
    """

    start: Any
    end: Any

    def steps(self) -> Iterator[tuple[Any, list[NextStage]]]:
        """Yield states with their steps, each after all that lead to it."""
        ...

    def left(self, state: Any, prices: Array) -> float:
        """Return the largest sum of prices (classes,) on a way from a state to the end."""
        ...

    def prices(self, time: Array) -> Array:
        """Return prices of classes for which `Σ_v min_d λ_d t_vd` is largest; on no way is their sum above 1.

        Parameters
        ----------
        time : array (I, classes)
            Infinite: not there.
        """
        ...


class Counts:
    """A walk to all devices of all classes, in any order: states count those of each class.

    Parameters
    ----------
    sizes : array (classes,)
    """

    def __init__(self, sizes: Index) -> None:
        self._sizes = sizes
        self.end: Any = tuple(sizes.tolist())
        self.start: Any = (0,) * len(sizes)

    def steps(self) -> Iterator[tuple[Any, list[NextStage]]]:
        """Yield states with their steps."""
        for used in sorted(product(*(range(size + 1) for size in self.end)), key=sum):
            numbers = (number for number, size in enumerate(self.end) if used[number] < size)
            yield used, [NextStage(one, -1, (*used[:one], used[one] + 1, *used[one + 1 :])) for one in numbers]

    def left(self, state: Any, prices: Array) -> float:
        """Return the price of all devices that are left."""
        return float(prices @ (self._sizes - state))

    def prices(self, time: Array) -> Array:
        """Return prices of classes."""
        model, price = _work_of_prices(time)
        model.add_rows("one", price[None, :], self._sizes[None, :].astype(float), lower=1.0, upper=1.0)
        found = _solved(model, len(price))
        return np.asarray(found / (found @ self._sizes))


class Sequences:
    """A walk along any of some sequences of classes: states tell what may come after a beginning of one.

    Beginnings after which the same may come share a state, so there are few of them where sequences are alike.

    Parameters
    ----------
    sequences : sequence of sequences of (int, int)
        Classes, each with the number of what crosses before it. None is the beginning of another one.
    """

    def __init__(self, sequences: Sequence[Sequence[tuple[int, int]]]) -> None:
        start, end = frozenset(map(tuple, sequences)), frozenset([()])
        after: dict[Any, dict[tuple[int, int], Any]] = {end: {}}
        waiting = [start]
        while waiting:
            state = waiting.pop()
            if state not in after:
                rests: dict[tuple[int, int], set[Any]] = {}
                for first, *rest in state:
                    rests.setdefault(first, set()).add(tuple(rest))
                after[state] = {step: frozenset(found) for step, found in rests.items()}
                waiting += after[state].values()
        states = sorted(after, key=lambda state: -max(map(len, state)))  # each step makes the longest rest shorter
        number = {state: index for index, state in enumerate(states)}
        self.start: Any = 0
        self.end: Any = number[end]
        self._steps = [
            [NextStage(one, crossing, number[rest]) for (one, crossing), rest in after[state].items()]
            for state in states
        ]
        self._known: tuple[bytes, Array] | None = None

    def steps(self) -> Iterator[tuple[Any, list[NextStage]]]:
        """Yield states with their steps."""
        yield from enumerate(self._steps)

    def left(self, state: Any, prices: Array) -> float:
        """Return the price of the dearest way to the end."""
        key = prices.tobytes()
        if self._known is None or self._known[0] != key:
            self._known = key, self._lefts(prices)
        return float(self._known[1][state])

    def _lefts(self, prices: Array) -> Array:
        left = np.zeros(len(self._steps))
        for state in range(len(left) - 1, -1, -1):
            left[state] = max((prices[step.number] + left[step.after] for step in self._steps[state]), default=0.0)
        return left

    def prices(self, time: Array) -> Array:
        """Return prices of classes."""
        model, price = _work_of_prices(time)
        reach = model.add_variables("reach", (len(self._steps),))
        ways = [(state, step) for state, steps in enumerate(self._steps) for step in steps]
        columns = [[reach[step.after], reach[state], price[step.number]] for state, step in ways]
        model.add_rows("way", np.array(columns), np.tile([1.0, -1.0, -1.0], (len(ways), 1)), lower=0.0)
        model.add_rows("one", reach[None, [self.end]], np.ones((1, 1)), upper=1.0)
        found = _solved(model, len(price))
        if not found.any():  # no work
            found = np.ones(len(price))
        return np.asarray(found / self._lefts(found)[0])


def _work_of_prices(time: Array) -> tuple[LinearModel, Columns]:
    """Return a model that maximises work by prices, without limits on them, and the columns of the prices."""
    unit = float(time[np.isfinite(time)].max()) or 1.0
    model = LinearModel("prices")
    price = model.add_variables("price", (time.shape[1],))
    work = model.add_variables("work", (len(time),), upper=1.0)
    item, number = np.nonzero(np.isfinite(time))
    columns = np.stack([work[item], price[number]], axis=1)
    model.add_rows("least", columns, np.stack([np.ones(len(item)), -time[item, number] / unit], axis=1), upper=0.0)
    model.minimize(work, -1.0)
    return model, price


def _solved(model: LinearModel, count: int) -> Array:
    """Return the prices, the first variables of a model."""
    from dnnopt.models.solvers.highs import relaxation

    outcome = relaxation(model, Limits(threads=1))
    if outcome.values is None:
        raise RuntimeError("no best prices of devices")
    return np.maximum(outcome.values[:count], 0.0)
