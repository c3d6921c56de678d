"""LinearModel: named blocks of variables and rows over numpy arrays; what MILP formulations emit.

Nothing here loops over rows. Names of single columns and rows are made only when somebody asks for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnnopt.base.numbers import counted
from dnnopt.base.tables import Described
from dnnopt.base.text import visible
from dnnopt.compiled.scaling import SI, Units
from dnnopt.models.arrays import (
    Block,
    Columns,
    Evaluate,
    EvaluateTimes,
    Follow,
    LinearArrays,
    Values,
    encoded,
    nth_name,
)

if TYPE_CHECKING:
    from dnnopt.compiled.scheduling import Tasks, Times

_ROUNDING = 1e-14  # of what is summed
_Parts = list[tuple[tuple[int, ...], ArrayLike]]
_CLOSE = 1e-9


class LazyRows(Protocol):
    """Rows of a model that are too many to be there from the start.

    Attributes
    ----------
    largest : float
        The largest of their coefficients.
    """

    @property
    def largest(self) -> float: ...

    def separate(self, values: Values) -> int:
        """Add rows that the values violate to the model; return how many."""

    def complete(self) -> None:
        """Add all of them to the model, or raise UnsupportedError if they are too many."""


class LinearModel(Described):
    """A mixed-integer linear model, built block by block.

    Arrays that are given to it are read when `arrays` is called, not copied before: do not change them.

    Parameters
    ----------
    name : str
    units : Units
        What one unit of the model is in SI.

    Attributes
    ----------
    note : str
        What exported files say at the top beside that.
    lazy : LazyRows, optional
        Rows that are added only as solutions violate them, where the formulation has such.
    placement : columns (N, k)
        Of `x`, set by the formulation; what no node can be has the column `zero`.
    shares_columns : bool
        Whether several places of it may be one column, so that rows may have a column more than once.
    task_starts : callable, optional
        Starts of a placement's tasks in a solution, set where the model has an order of tasks.
    """

    def __init__(self, name: str, units: Units = SI) -> None:
        self.name = name
        self.units = units
        self.note = ""
        self.lazy: LazyRows | None = None
        self.task_starts: Callable[[Values, Tasks], list[float]] | None = None
        self.placement: Columns = np.zeros((0, 0), dtype=np.int64)
        self.shares_columns = False
        self._zero: int | None = None
        self.variables: list[Block] = []
        self.rows: list[Block] = []
        self.offset = 0.0
        self._columns = 0
        self._row_count = 0
        self._lower: _Parts = []
        self._upper: _Parts = []
        self._integer: _Parts = []
        self._cost: list[tuple[Columns, ArrayLike]] = []
        self._row_lower: _Parts = []
        self._row_upper: _Parts = []
        self._counts: _Parts = []
        self._index: _Parts = []
        self._value: _Parts = []
        self._arrays: LinearArrays | None = None

    def add_variables(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        axes: Callable[[], Sequence[Sequence[str]]] = lambda: (),
        lower: ArrayLike = 0.0,
        upper: ArrayLike = np.inf,
        integer: bool = False,
        evaluate: Evaluate | None = None,
        evaluate_times: EvaluateTimes | None = None,
        follow: Follow | None = None,
    ) -> Columns:
        """Add a block of variables and return its columns, in `shape`."""
        if integer:  # HiGHS was seen to miss optima, and GLPK refuses models, where bounds of these are not whole
            lower, upper = np.ceil(lower), np.floor(upper)
        block = Block(name, self._columns, shape, axes, evaluate, evaluate_times, follow)
        self.variables.append(block)
        self._lower.append((shape, lower))
        self._upper.append((shape, upper))
        self._integer.append((shape, integer))
        self._columns += block.size
        self._arrays = None
        return np.arange(block.first, self._columns, dtype=np.int32).reshape(shape)

    @property
    def zero(self) -> int:
        """Column of a variable that is always zero, for what cannot be; a row may have it more than once."""
        if self._zero is None:
            self._zero = int(self.add_variables("never", (), upper=0.0, evaluate=lambda placement: np.zeros(())))
        return self._zero

    def add_rows(
        self,
        name: str,
        columns: NDArray[np.integer],
        values: ArrayLike,
        *,
        lower: ArrayLike = -np.inf,
        upper: ArrayLike = np.inf,
        axes: Callable[[], Sequence[Sequence[str]]] = lambda: (),
        drop_zeros: bool = False,
    ) -> None:
        """Add rows that all have the same number of entries.

        Parameters
        ----------
        columns : array (..., w)
            The columns of each row's entries; the leading axes are the block's.
        values : array, broadcast to the same shape
        lower, upper : arrays, broadcast to the leading axes
        drop_zeros : bool
            Whether entries with the value zero are left out.
        """
        block = Block(name, self._row_count, columns.shape[:-1], axes)
        if drop_zeros:
            entries = np.asarray(values, dtype=float)
            if entries.shape != columns.shape:
                entries = np.broadcast_to(entries, columns.shape)
            keep = entries != 0
            self._add_block(block, np.count_nonzero(keep, axis=-1), columns[keep], entries[keep], lower, upper)
        else:
            self._add_block(block, columns.shape[-1], columns, values, lower, upper)

    def add_sparse_rows(
        self,
        name: str,
        shape: tuple[int, ...],
        rows: NDArray[np.integer],
        columns: NDArray[np.integer],
        values: Values,
        *,
        lower: ArrayLike = -np.inf,
        upper: ArrayLike = np.inf,
        axes: Callable[[], Sequence[Sequence[str]]] = lambda: (),
    ) -> None:
        """Add rows given by entries (row within the block, column, value); entries of one place are summed."""
        block = Block(name, self._row_count, shape, axes)
        width = max(self._columns, 1)
        keys = rows.astype(np.int64) * width + columns
        if not (keys[1:] > keys[:-1]).all():
            keys, inverse = np.unique(keys, return_inverse=True)
            values = np.bincount(inverse, weights=values, minlength=len(keys)).astype(float)
            rows, columns = np.divmod(keys, width)
        keep = values != 0
        counts = np.bincount(rows[keep], minlength=block.size).reshape(shape)
        self._add_block(block, counts, columns[keep], values[keep], lower, upper)

    def _add_block(
        self,
        block: Block,
        counts: ArrayLike,
        index: NDArray[np.integer],
        value: ArrayLike,
        lower: ArrayLike,
        upper: ArrayLike,
    ) -> None:
        self.rows.append(block)
        self._counts.append((block.shape, counts))
        self._index.append((index.shape, index))
        self._value.append((index.shape, value))
        self._row_lower.append((block.shape, lower))
        self._row_upper.append((block.shape, upper))
        self._row_count += block.size
        self._arrays = None

    def minimize(self, columns: NDArray[np.integer], values: ArrayLike) -> None:
        """Add `values · columns` to the objective."""
        self._cost.append((columns, values))
        self._arrays = None

    @property
    def objective_unit(self) -> float:
        """SI value of one unit of the objective."""
        return self.units.objective

    @property
    def column_count(self) -> int:
        return self._columns

    @property
    def row_count(self) -> int:
        return self._row_count

    def arrays(self) -> LinearArrays:
        """Return the whole model as arrays. What is fixed to zero has no entries: its numbers are of no account."""
        if self._arrays is None:
            cost = np.zeros(self._columns)
            for columns, values in self._cost:
                np.add.at(cost, columns, values)
            lower, upper = _joined(self._lower, float), _joined(self._upper, float)
            counts, index = _joined(self._counts, np.int32), _joined(self._index, np.int32)
            value = _joined(self._value, float)
            fixed = (lower == 0) & (upper == 0)
            if fixed.any():
                cost[fixed] = 0.0
                keep = ~fixed[index]
                row = np.repeat(np.arange(self._row_count), counts)
                counts = np.bincount(row[keep], minlength=self._row_count).astype(np.int32)
                index, value = index[keep], value[keep]
            start = np.zeros(self._row_count + 1, dtype=np.int32)
            np.cumsum(counts, out=start[1:])
            self._arrays = LinearArrays(
                cost=cost,
                offset=self.offset,
                lower=lower,
                upper=upper,
                integer=_joined(self._integer, np.int32),
                row_lower=_joined(self._row_lower, float),
                row_upper=_joined(self._row_upper, float),
                start=start,
                index=index,
                value=value,
            )
            if self.shares_columns:
                self._arrays = self._arrays.tidied()
        return self._arrays

    @property
    def largest(self) -> float:
        """The largest of all coefficients, those of lazy rows included."""
        return max(self.arrays().largest, 0.0 if self.lazy is None else self.lazy.largest)

    def describe(self) -> str:
        """Return a sentence for the top of exported files."""
        return f"{self.units.describe()} {self.note}".rstrip()

    def encode(self, placement: NDArray[np.int64], times: Times | None = None) -> Values:
        """Return the value of every variable in the plan of a placement (N,), with its times where it has some."""
        return encoded(self.variables, placement, times)

    def complete(self) -> None:
        """Add the rows that are otherwise added only as solutions violate them.

        Raises
        ------
        UnsupportedError
            If they are too many.
        """
        if self.lazy is not None:
            self.lazy.complete()

    def column_names(self) -> list[str]:
        """Return the name of every column."""
        return [name for block in self.variables for name in block.names()]

    def row_names(self) -> list[str]:
        """Return the name of every row."""
        return [name for block in self.rows for name in block.names()]

    def overview(self) -> dict[str, str]:
        """Return what to know of it."""
        return {
            "model": self.name,
            "variables": counted(self._columns, "variable"),
            "rows": counted(self._row_count, "row"),
        }

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: all rows, but not how a plan becomes values, so that a copy has no `encode`."""
        self.complete()
        return vars(self) | {"lazy": None, "task_starts": None}

    def size(self) -> tuple[int, int, int]:
        """Return the numbers of variables, rows and nonzeros."""
        return self._columns, self._row_count, len(self.arrays().tidied().value)

    def summary(self) -> str:
        """Return the sizes, block by block."""
        arrays = self.arrays()
        blocks = ", ".join(f"{b.name}{list(b.shape)}" for b in self.variables)
        rows = ", ".join(f"{b.name}{list(b.shape)}" for b in self.rows)
        lines = [
            f"{self.name}: {self._columns} variables ({int(arrays.integer.sum())} integer), {self._row_count} rows, "
            f"{len(arrays.tidied().value)} nonzeros",
            f"  variables: {blocks}",
            f"  rows: {rows}",
            f"  {self.describe()}",
        ]
        return "\n".join(map(visible, lines))

    def broken_by(self, values: Values) -> str:
        """Return the name of a row or a variable whose bounds these values break, or an empty text.

        Values count as breaking a row where they do so by more than 1e-9 of its entries, summed without rounding.
        """
        arrays = self.arrays()
        row = np.repeat(np.arange(self._row_count), np.diff(arrays.start))
        terms = arrays.value * values[arrays.index]
        size = np.bincount(row, weights=np.abs(terms), minlength=self._row_count)
        activity = arrays.row_activity(values)
        over = np.maximum(activity - arrays.row_upper, arrays.row_lower - activity)
        for number in np.flatnonzero(over > 0.5 * _CLOSE * size).tolist():
            entries = math.fsum(terms[arrays.start[number] : arrays.start[number + 1]].tolist())
            by = max(entries - arrays.row_upper[number], arrays.row_lower[number] - entries)
            if by > _CLOSE * size[number]:
                return f"row {nth_name(self.rows, number)} (by {by:.3g} of {size[number]:.3g})"
        outside = np.maximum(values - arrays.upper, arrays.lower - values) > _CLOSE * np.maximum(np.abs(values), 1.0)
        for number in np.flatnonzero(outside).tolist():
            return f"bounds of {nth_name(self.variables, number)} (at {values[number]:.9g})"
        return ""

    def write(self, path: str | Path) -> None:
        """Write the model as ``.lp``, ``.mps`` or ``.mps.gz`` (by the ending of `path`).

        Raises
        ------
        InputError
            For another ending, or a file that cannot be written.
        """
        from dnnopt.models.files import write_model

        write_model(self, path)

    def to_pyomo(self) -> Any:
        """Return a Pyomo ConcreteModel: a Var for each block, such as ``m.x["conv1", "pi"]``, a Constraint likewise.

        Raises
        ------
        InputError
            If Pyomo is not installed.
        """
        from dnnopt.models.pyomo import pyomo_model

        return pyomo_model(self)

    def to_pulp(self) -> Any:
        """Return a PuLP LpProblem; its attribute ``blocks`` has the variables, ``blocks["x"]["conv1", "pi"]``.

        Raises
        ------
        InputError
            If PuLP is not installed.
        """
        from dnnopt.models.pulp import pulp_model

        return pulp_model(self)


def summed(entries: Sequence[tuple[Columns, Values]]) -> tuple[Columns, Values]:
    """Return columns and coefficients with those of one column summed; what cancels leaves nothing."""
    if not entries:
        return np.zeros(0, dtype=np.int32), np.zeros(0)
    columns, position = np.unique(np.concatenate([part for part, _ in entries]), return_inverse=True)
    values = np.concatenate([part for _, part in entries])
    total, size = (np.bincount(position, weights=part) for part in (values, np.abs(values)))
    return columns, np.where(np.abs(total) > _ROUNDING * size, total, 0.0)


def _joined(parts: _Parts, dtype: type) -> NDArray[Any]:
    """Return one flat array of all parts, each broadcast to its shape. It takes their place, which frees them."""
    sizes = [math.prod(shape) for shape, _ in parts]
    joined: NDArray[Any] = np.empty(sum(sizes), dtype)
    first = 0
    for (shape, values), size in zip(parts, sizes, strict=True):
        place = joined[first : first + size]
        if not isinstance(values, int | float):
            place = place.reshape(shape)
        place[...] = values
        first += size
    parts[:] = [(joined.shape, joined)]
    return joined
