"""ConstraintModel: whole-number variables, clauses, linear rows, optional intervals and no-overlap.

What constraint-programming formulations emit.

Real coefficients become whole numbers by one rule: multiplied by a scale and rounded down. So a row `a·x <= b` never
cuts off a plan that satisfies it, and a bound on the rounded objective is a bound on the real one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnnopt.base.numbers import counted
from dnnopt.base.tables import Described
from dnnopt.base.text import visible
from dnnopt.models.arrays import Block, Columns, Evaluate, EvaluateTimes, Follow, Values, encoded

if TYPE_CHECKING:
    from dnnopt.compiled.scheduling import Tasks, Times

Whole = NDArray[np.int64]

# Sums in a solver must stay below 2^63; this leaves room.
_LARGEST_SUM = ContextVar("largest_sum", default=2.0**60)
# A value of interest becomes about this large, so that rounding n terms down loses at most n / 2^36 of it.
_RESOLUTION = 2.0**36
TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Clauses:
    """Clauses of one length: at least one literal is true; where `positive` is False the variable is negated."""

    name: str
    columns: Columns
    positive: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LinearRow:
    """`lower <= coefficients · columns <= upper`; None: no bound on that side."""

    name: str
    columns: Columns
    coefficients: Whole
    lower: int | None
    upper: int | None


@dataclass(frozen=True, eq=False)
class RowBlock:
    """Rows of one length: `lower <= coefficients · columns <= upper` wherever all of its literals are true.

    Attributes
    ----------
    columns, coefficients : array (R, w)
    lower, upper : array (R,), or None
        None: no bound on that side.
    literals : array (R, m)
        Columns of 0-1 variables; m may be 0.
    """

    name: str
    columns: Columns
    coefficients: Whole
    lower: Whole | None
    upper: Whole | None
    literals: Columns


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals `[start, start + size)`, each there where its literal is true.

    Attributes
    ----------
    first : int
        Index of the first one among all intervals of the model.
    start : array (R,)
        Columns.
    size : array (R,)
    presence : array (R,), or None
        Columns; None: they are all there.
    """

    name: str
    first: int
    start: Columns
    size: Whole
    presence: Columns | None


@dataclass(frozen=True, eq=False)
class NoOverlap:
    """No two of the intervals (by their indices in the model) that are there overlap."""

    name: str
    intervals: Whole


@contextmanager
def sums_below(largest: float) -> Iterator[None]:
    """Within it, models are built whose sums stay below `largest`: many solvers count with 32 bits."""
    token = _LARGEST_SUM.set(largest)
    try:
        yield
    finally:
        _LARGEST_SUM.reset(token)


def scale_for(size: float, total: float, resolution: float = _RESOLUTION) -> float:
    """Return a power of two that brings `size` near 2^36 while `total` (the sum of all terms) stays below 2^60.

    Within `sums_below` it stays below that.
    """
    if not size > 0:
        size = total
    if not total > 0:
        return 1.0
    return float(2.0 ** np.floor(np.log2(min(resolution / size, _LARGEST_SUM.get() / total))))


class ConstraintModel(Described):
    """A model over whole-number variables.

    Parameters
    ----------
    name : str

    Attributes
    ----------
    objective_unit : float
        SI value of one unit of the objective.
    largest_sum : float
        Below this the sums of its coefficients stay.
    note : str
        What exported files say at the top beside the size of the numbers.
    placement : columns (N, k)
        Of `x`, set by the formulation; what no node can be has the column `zero`.
    task_starts : callable, optional
        Starts of a placement's tasks in a solution, set where the model has them.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.largest_sum = _LARGEST_SUM.get()
        self.objective_unit = 1.0
        self.note = ""
        self.task_starts: Callable[[Values, Tasks], list[float]] | None = None
        self.placement: Columns = np.zeros((0, 0), dtype=np.int64)
        self._zero: int | None = None
        self.variables: list[Block] = []
        self.exactly_one: list[Columns] = []
        self.clauses: list[Clauses] = []
        self.linear: list[LinearRow] = []
        self.rows: list[RowBlock] = []
        self.intervals: list[Intervals] = []
        self.no_overlaps: list[NoOverlap] = []
        self.objective_columns: list[Columns] = []
        self.objective_coefficients: list[Whole] = []
        self.lower: list[int] = []
        self.upper: list[int] = []

    def add_variables(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        axes: Callable[[], Sequence[Sequence[str]]] = lambda: (),
        lower: ArrayLike = 0,
        upper: ArrayLike = 1,
        evaluate: Evaluate | None = None,
        evaluate_times: EvaluateTimes | None = None,
        follow: Follow | None = None,
    ) -> Columns:
        """Add a block of variables (0-1 by default) and return its columns, in `shape`."""
        block = Block(name, len(self.lower), shape, axes, evaluate, evaluate_times, follow)
        self.variables.append(block)
        self.lower.extend(np.broadcast_to(np.asarray(lower, dtype=np.int64), shape).ravel().tolist())
        self.upper.extend(np.broadcast_to(np.asarray(upper, dtype=np.int64), shape).ravel().tolist())
        return np.arange(block.first, len(self.lower), dtype=np.int64).reshape(shape)

    @property
    def zero(self) -> int:
        """Column of a variable that is always zero, for what cannot be; a row may have it more than once."""
        if self._zero is None:
            never = self.add_variables("never", (1,), axes=lambda: (("0",),), upper=0, evaluate=lambda _: np.zeros(1))
            self._zero = int(never[0])
        return self._zero

    def add_exactly_one(self, columns: Columns) -> None:
        """In each row (R, w), exactly one variable is true."""
        self.exactly_one.append(columns)

    def add_clauses(self, name: str, columns: Columns, positive: Sequence[bool]) -> None:
        """In each row (R, w), at least one literal is true."""
        rows = columns.reshape(math.prod(columns.shape[:-1]), columns.shape[-1])
        self.clauses.append(Clauses(name, rows, np.array(positive, dtype=bool)))

    def add_whole_row(
        self,
        name: str,
        columns: Columns,
        coefficients: ArrayLike,
        *,
        lower: int | None = None,
        upper: int | None = None,
    ) -> None:
        """Add a row that is in whole numbers already."""
        whole = np.broadcast_to(np.asarray(coefficients, dtype=np.int64), columns.shape)
        self.linear.append(LinearRow(name, columns, whole, lower, upper))

    def add_rows(
        self,
        name: str,
        columns: Columns,
        coefficients: ArrayLike,
        *,
        lower: ArrayLike | None = None,
        upper: ArrayLike | None = None,
        literals: Columns | None = None,
    ) -> None:
        """Add rows (R, w) that are in whole numbers already, each to hold where its literals (R, m) are all true."""
        count = len(columns)
        if not count:
            return
        self.rows.append(
            RowBlock(
                name,
                columns,
                np.broadcast_to(np.asarray(coefficients, dtype=np.int64), columns.shape),
                None if lower is None else np.broadcast_to(np.asarray(lower, dtype=np.int64), (count,)),
                None if upper is None else np.broadcast_to(np.asarray(upper, dtype=np.int64), (count,)),
                np.zeros((count, 0), dtype=np.int64) if literals is None else literals.reshape(count, -1),
            )
        )

    def add_intervals(self, name: str, start: Columns, size: Whole, presence: Columns | None = None) -> Whole:
        """Add intervals (R,) and return their indices."""
        first = sum(len(block.start) for block in self.intervals)
        self.intervals.append(Intervals(name, first, start, size, presence))
        return np.arange(first, first + len(start))

    def add_no_overlap(self, name: str, intervals: Whole) -> None:
        """No two of the intervals, given by their indices, overlap."""
        self.no_overlaps.append(NoOverlap(name, intervals))

    def add_limit(self, name: str, columns: Columns, values: Values, limit: float, most_room: float = math.inf) -> None:
        """Add `values · columns <= limit` for values >= 0 of 0-1 variables.

        It is rounded so that no plan within 1e-9 of the limit (or within `most_room`, if that is less) is cut off.
        """
        keep = values != 0
        columns, values = columns[keep], values[keep]
        # What breaks the limit alone also does so with twice the limit as its value; that keeps the numbers small.
        values = np.minimum(values, 2 * limit if limit < 1 else math.ceil(2 * limit)) if limit > 0 else np.sign(values)
        if (values == np.round(values)).all() and values.sum() < min(2.0**53, self.largest_sum):
            scale = 1.0
        else:
            scale = scale_for(limit, float(values.sum()))
        upper = np.floor((limit + min(TOLERANCE * limit, most_room)) * scale)
        whole = np.floor(values * scale).astype(np.int64)
        if whole.sum() > upper:
            self.linear.append(LinearRow(name, columns, whole, None, int(upper)))

    def add_limit_if(self, name: str, literal: int, columns: Columns, values: Values, limit: float) -> None:
        """Add `values · columns <= limit` for values >= 0 of 0-1 variables, to hold if the literal is true."""
        values = np.minimum(values, 2 * limit) if limit > 0 else np.sign(values)
        scale = scale_for(limit, float(values.sum()))
        whole = np.floor(values * scale).astype(np.int64)
        upper = np.array([int(np.floor(limit * (1 + TOLERANCE) * scale))])
        self.add_rows(name, columns[None], whole[None], upper=upper, literals=np.array([[literal]]))

    def minimize(self, columns: Columns, coefficients: Whole) -> None:
        """Add whole coefficients to the objective."""
        self.objective_columns.append(columns)
        self.objective_coefficients.append(coefficients)

    def encode(self, placement: NDArray[np.int64], times: Times | None = None) -> Values:
        """Return the value of every variable in the plan of a placement (N,), with its times where it has some."""
        return encoded(self.variables, placement, times)

    def broken_by(self, values: Values) -> str:
        """Return the name of what these values break, or an empty text; all of it in whole numbers."""
        whole = np.round(values).astype(np.int64)
        outside = np.flatnonzero((whole != values) | (whole < self.lower) | (whole > self.upper))
        if len(outside):
            block = next(block for block in self.variables if outside[0] < block.first + block.size)
            return f"bounds of {block.name} (at {values[outside[0]]:.17g})"
        for choices in self.exactly_one:
            if (whole[choices].sum(axis=1) != 1).any():
                return "exactly one"
        for clauses in self.clauses:
            if not ((whole[clauses.columns] == 1) == clauses.positive).any(axis=1).all():
                return f"clause {clauses.name}"
        for linear in self.linear:
            total = int(linear.coefficients @ whole[linear.columns])
            low, high = linear.lower, linear.upper
            if (low is not None and total < low) or (high is not None and total > high):
                return f"row {linear.name}"
        for rows in self.rows:
            totals = (rows.coefficients * whole[rows.columns]).sum(axis=1)
            broken = np.zeros(len(totals), dtype=bool)
            if rows.lower is not None:
                broken |= totals < rows.lower
            if rows.upper is not None:
                broken |= totals > rows.upper
            if (broken & (whole[rows.literals] == 1).all(axis=1)).any():
                return f"row {rows.name}"
        return self._overlap(whole)

    def _overlap(self, whole: Whole) -> str:
        """Return the name of a no-overlap whose intervals overlap, or an empty text."""
        if not self.no_overlaps:
            return ""
        start = np.concatenate([whole[block.start] for block in self.intervals])
        size = np.concatenate([block.size for block in self.intervals])
        present = np.concatenate(
            [
                np.ones(len(block.start), dtype=bool) if block.presence is None else whole[block.presence] == 1
                for block in self.intervals
            ]
        )
        for no_overlap in self.no_overlaps:
            here = no_overlap.intervals[present[no_overlap.intervals] & (size[no_overlap.intervals] > 0)]
            order = here[np.argsort(start[here], kind="stable")]
            if (start[order][1:] < (start[order] + size[order])[:-1]).any():
                return f"no-overlap {no_overlap.name}"
        return ""

    def describe(self) -> str:
        """Return a sentence for the top of exported files."""
        return (
            f"Whole numbers: sums below 2^{np.log2(self.largest_sum):g}, "
            f"1 of the objective = {self.objective_unit:.6g} (SI). {self.note}"
        ).rstrip()

    def write(self, path: str | Path) -> None:
        """Write the model as ``.pb.txt`` (CP-SAT) or ``.mzn`` (MiniZinc, with a ``.dzn`` beside it).

        Most solvers behind MiniZinc count with 32 bits: build the model with `largest_sum` 2**28 for them.

        Raises
        ------
        InputError
            For another ending, or a file that cannot be written.
        """
        from dnnopt.models.files import write_model

        write_model(self, path)

    def overview(self) -> dict[str, str]:
        """Return what to know of it."""
        variables, constraints, _ = self.size()
        return {
            "model": self.name,
            "variables": counted(variables, "variable"),
            "constraints": counted(constraints, "constraint"),
        }

    def __getstate__(self) -> dict[str, object]:
        """Return what is pickled: all but how a plan becomes values, so that a copy has no `encode`."""
        return vars(self) | {"task_starts": None}

    def size(self) -> tuple[int, int, int]:
        """Return the numbers of variables, of constraints of all kinds, and of literals and coefficients in them."""
        blocks = [
            *self.exactly_one,
            *(clauses.columns for clauses in self.clauses),
            *(rows.columns for rows in self.rows),
        ]
        constraints = sum(len(block) for block in blocks) + len(self.linear) + len(self.no_overlaps)
        entries = sum(block.size for block in blocks) + sum(len(row.columns) for row in self.linear)
        return len(self.lower), constraints, entries + sum(len(one.intervals) for one in self.no_overlaps)

    def summary(self) -> str:
        """Return the sizes, block by block."""
        blocks = ", ".join(f"{b.name}{list(b.shape)}" for b in self.variables)
        clauses = sum(len(block.columns) for block in self.clauses)
        rows = len(self.linear) + sum(len(block.columns) for block in self.rows)
        intervals = sum(len(block.start) for block in self.intervals)
        timed = f", {intervals} intervals in {len(self.no_overlaps)} no-overlaps" if intervals else ""
        return (
            f"{visible(self.name)}: {len(self.lower)} variables, {sum(len(c) for c in self.exactly_one)} exactly-one, "
            f"{clauses} clauses, {rows} linear rows{timed}\n  variables: {visible(blocks)}"
        )
