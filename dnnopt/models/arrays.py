"""What models are made of: named blocks of variables and rows, and a linear model as arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from dnnopt.compiled.scheduling import Times

Columns = NDArray[np.integer[Any]]
Values = NDArray[np.float64]
Evaluate = Callable[[NDArray[np.int64]], ArrayLike]
EvaluateTimes = Callable[["Times"], ArrayLike]
Follow = Callable[[Values], ArrayLike]


class Joined(str):
    """A label that is made of several, ``a,b``, and remembers them.

    Attributes
    ----------
    parts : tuple of str
    """

    parts: tuple[str, ...]

    def __new__(cls, *parts: str) -> Joined:
        joined = super().__new__(cls, ",".join(parts))
        joined.parts = parts
        return joined

    def __reduce__(self) -> tuple[type[Joined], tuple[str, ...]]:
        return Joined, self.parts


_ROUNDING = 1e-14  # of what is summed


@dataclass(frozen=True)
class _Labels:
    """Labels of a block that was pickled."""

    axes: tuple[Sequence[str], ...]

    def __call__(self) -> tuple[Sequence[str], ...]:
        return self.axes


@dataclass(frozen=True, eq=False)
class Block:
    """A block of variables or rows: an array of them with named axes.

    Attributes
    ----------
    name : str
    first : int
        Index of its first column or row.
    shape : tuple of int
    axes : callable
        Returns one sequence of labels for each axis. An axis without labels, or with more or fewer than it is long, is
        numbered from 0.
    evaluate : callable, optional
        Values of the block's variables in the plan of a placement (N,).
    evaluate_times : callable, optional
        The same in a plan with times.
    follow : callable, optional
        The same, given the values of all columns (those before the block's are there).
    """

    name: str
    first: int
    shape: tuple[int, ...]
    axes: Callable[[], Sequence[Sequence[str]]]
    evaluate: Evaluate | None = None
    evaluate_times: EvaluateTimes | None = None
    follow: Follow | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def names(self) -> list[str]:
        """Return the names ``block(label,label)``, in order."""
        if not self.shape:
            return [self.name]
        return [f"{self.name}({','.join(labels)})" for labels in product(*self._axes())]

    def labels(self) -> list[tuple[str, ...]]:
        """Return the labels of each variable or row, in order; joined ones one by one."""
        axes = [[getattr(label, "parts", (label,)) for label in axis] for axis in self._axes()]
        return [tuple(chain.from_iterable(labels)) for labels in product(*axes)]

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: labels instead of the code that makes them, and no code that reads plans."""
        labels = tuple(tuple(axis) for axis in self.axes())
        return vars(self) | {"axes": _Labels(labels), "evaluate": None, "evaluate_times": None, "follow": None}

    def _axes(self) -> list[list[str]]:
        """Return as many labels for each axis as it is long."""
        given = [[label if isinstance(label, str) else str(label) for label in axis] for axis in self.axes()]
        given += [[]] * (len(self.shape) - len(given))
        return [
            axis if len(axis) == size else [str(number) for number in range(size)]
            for axis, size in zip(given, self.shape, strict=False)
        ]


@dataclass(frozen=True, eq=False)
class LinearArrays:
    """`min cost·x + offset`, `row_lower <= A x <= row_upper`, `lower <= x <= upper`, some x integer; A by rows."""

    cost: Values
    offset: float
    lower: Values
    upper: Values
    integer: NDArray[np.int32]
    row_lower: Values
    row_upper: Values
    start: Columns
    index: Columns
    value: Values

    @property
    def largest(self) -> float:
        """Largest coefficient."""
        return float(max(np.abs(self.value).max(initial=0.0), np.abs(self.cost).max(initial=0.0)))

    @property
    def used(self) -> NDArray[np.bool_]:
        """Which columns have an entry in a row."""
        used = np.zeros(len(self.cost), dtype=bool)
        used[self.index] = True
        return used

    def tidied(self) -> LinearArrays:
        """Return the same model with the entries of one place summed, and without those that are zero."""
        width = max(len(self.cost), 1)
        row = np.repeat(np.arange(len(self.row_lower)), np.diff(self.start))
        places, place = np.unique(row * width + self.index, return_inverse=True)
        index, value = self.index, self.value
        if len(places) < len(value):
            row, index = np.divmod(places, width)
            value = np.bincount(place, weights=value, minlength=len(places)).astype(float)
        kept = value != 0
        start = np.zeros_like(self.start)
        np.cumsum(np.bincount(row[kept], minlength=len(self.row_lower)), out=start[1:])
        return replace(self, start=start, index=index[kept].astype(self.index.dtype), value=value[kept])

    def with_room(self) -> LinearArrays:
        """Return the model with room for the rounding of sums in its inequalities.

        Where a limit is just what some plan needs, the sum of its entries may come out one digit too high. Divided by a
        small coefficient that is more than any tolerance: HiGHS and SCIP were seen to call feasible models infeasible.
        """
        widest = np.maximum(np.abs(self.lower), np.abs(self.upper))
        entries = np.abs(self.value) * np.where(np.isfinite(widest), widest, 0.0)[self.index]
        row = np.repeat(np.arange(len(self.row_lower)), np.diff(self.start))
        room = _ROUNDING * np.bincount(row, weights=entries, minlength=len(self.row_lower))
        room[self.row_lower == self.row_upper] = 0.0
        return replace(self, row_lower=self.row_lower - room, row_upper=self.row_upper + room)

    def row_activity(self, x: Values) -> Values:
        """Return `A x`."""
        row = np.repeat(np.arange(len(self.row_lower)), np.diff(self.start))
        return np.bincount(row, weights=self.value * x[self.index], minlength=len(self.row_lower)).astype(float)

    def worst_violation(self, x: Values) -> float:
        """Return by how much `x` breaks the worst row or bound."""
        activity = self.row_activity(x)
        parts = [self.row_lower - activity, activity - self.row_upper, self.lower - x, x - self.upper]
        return max((float(part.max()) for part in parts if part.size), default=0.0)


def nth_name(blocks: Sequence[Block], number: int) -> str:
    """Return the name of a row or column, by its number."""
    block = next(block for block in blocks if block.first <= number < block.first + block.size)
    names = block.names()
    return names[number - block.first] if len(names) == block.size else block.name


def encoded(blocks: Sequence[Block], placement: NDArray[np.int64], times: Times | None) -> Values:
    """Return the value of every variable of the blocks, which are all of a model's, in a plan.

    Raises
    ------
    TypeError
        If a block does not say what it is in such a plan.
    """
    values = np.zeros(sum(block.size for block in blocks))
    for block in blocks:
        if block.evaluate_times is not None and times is not None:
            found = block.evaluate_times(times)
        elif block.evaluate is not None:
            found = block.evaluate(placement)
        elif block.follow is not None:
            found = block.follow(values)
        else:
            raise TypeError(f"variables {block.name} do not say what they are in a plan")
        values[block.first : block.first + block.size].reshape(block.shape)[...] = found
    return values
