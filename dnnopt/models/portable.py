"""What all writers need: names that every reader takes, what readers disagree about, and a count of what is written."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnnopt.base.errors import InputError
from dnnopt.base.text import shortened, visible

if TYPE_CHECKING:
    from dnnopt.models.arrays import LinearArrays
    from dnnopt.models.constraint import ConstraintModel
    from dnnopt.models.linear import LinearModel

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.,()]")
# Readers take these for a number, a section or a bound; HiGHS whatever begins like a number that is none or infinite.
_MISREAD = re.compile(
    r"$|[^A-Za-z_]|[eE]\d|inf|nan|objsense|(?:free|st|s\.t\.|min|max|minimi[sz]e|maximi[sz]e|subject|such|bounds?|bin|binary"
    r"|binaries|gen|generals?|int|integers?|semi.*|sos[12]?|lazy|user|pwlobj|genconstrs?|end|obj|name|rows|columns|rhs"
    r"|ranges?|endata|marker)$",
    re.IGNORECASE,
)
# With a longer one, CBC calls all columns of an .lp file x0, x1, ...; from 160 on it reads .mps files as other models.
_LONGEST = 100
_TAIL = 36
_NUMBER = 8  # characters that are left for a number
# Name of the column for a constant in the objective.
CONSTANT = "constant_1"


class Size(NamedTuple):
    """How large a linear model is."""

    columns: int
    rows: int
    nonzeros: int


@dataclass(frozen=True, eq=False)
class Portable:
    """A linear model as it is written: the entries of one place are one, no row is without a side.

    Attributes
    ----------
    arrays : LinearArrays
    columns, rows : list of str
        Safe names.
    """

    arrays: LinearArrays
    columns: list[str]
    rows: list[str]

    def check(self, where: str, written: Size) -> None:
        """Raise RuntimeError where what has been written is of another size."""
        right = Size(len(self.columns), len(self.rows), len(self.arrays.value))
        check_counts(where, right._asdict(), written._asdict())


def check_counts(where: str, right: dict[str, int], written: dict[str, int]) -> None:
    """Raise RuntimeError where more or less has been written than a model has."""
    for what, count in right.items():
        if written[what] != count:
            raise RuntimeError(f"{where} would hold {written[what]:,} {what} of a model with {count:,}: it is not made")


def section(text: str, first: str, last: str) -> str:
    """Return the lines between the line `first` and the line `last`."""
    _, _, rest = text.partition(f"\n{first}\n")
    return f"\n{rest}".partition(f"\n{last}\n")[0]


def safe_names(names: list[str]) -> list[str]:
    """Return names that survive in every kind of file: letters, digits and ``_ . , ( )``; each one its own."""
    safe: list[str] = []
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    for name in names:
        short = _FORBIDDEN.sub("_", name)
        if _MISREAD.match(short):
            short = f"n_{short}"
        if len(short) > _LONGEST:
            short = _cut(short)
        if short in taken:
            short = _another(short, taken, numbers)
        taken.add(short)
        safe.append(short)
    return safe


def _cut(name: str) -> str:
    """Return the name without its middle, so that there is room for a number."""
    head = _LONGEST - _NUMBER - _TAIL - 2
    return f"{name[:head]}..{name[-_TAIL:]}"


def _another(name: str, taken: set[str], numbers: dict[str, int]) -> str:
    """Return the name with the next number that is free; `numbers` are those each name has come to."""
    if len(name) > _LONGEST - _NUMBER:
        name = _cut(name)
    number = numbers.get(name, 2)
    while f"{name}..{number}" in taken:
        number += 1
    numbers[name] = number + 1
    return f"{name}..{number}"


def column_names(model: LinearModel | ConstraintModel) -> list[str]:
    """Return the name of every column, with its labels as they are."""
    return [name for block in model.variables for name in block.names()]


def header(model: LinearModel | ConstraintModel) -> str:
    """Return the line at the top of a file: problem, formulation and units."""
    problem, separator, formulation = visible(" ".join(model.name.split())).rpartition(": ")
    return f"{shortened(problem, _LONGEST)}{separator}{formulation}. {model.describe()}"


def portable(model: LinearModel, *, one_sided: bool, constant: bool) -> Portable:
    """Return a linear model as it is to be written.

    Parameters
    ----------
    model : LinearModel
    one_sided : bool
        Whether a row with two sides that differ becomes two rows, ``.low`` and ``.high``.
    constant : bool
        Whether a constant in the objective becomes the cost of a further column that is fixed to 1. Readers disagree
        about constants: GLPK refuses them in .lp files, and negates them in .mps files.

    Raises
    ------
    InputError
        For a number that no file can hold.
    """
    arrays = model.arrays().tidied()
    columns, rows = column_names(model), model.row_names()
    check_numbers(arrays, columns, rows)
    lower, upper = arrays.row_lower, arrays.row_upper
    low, high = np.isfinite(lower), np.isfinite(upper)
    split = low & high & (lower != upper) & one_sided
    order = np.repeat(np.arange(len(rows)), np.where(split, 2, low | high))
    second = np.append(False, order[1:] == order[:-1]) if len(order) else np.zeros(0, dtype=bool)
    parts = split[order]
    names = [
        rows[row] + ("" if not part else ".high" if last else ".low")
        for row, part, last in zip(order.tolist(), parts.tolist(), second.tolist(), strict=True)
    ]
    arrays = replace(
        _rows_of(arrays, order),
        row_lower=np.where(parts & second, -np.inf, lower[order]),
        row_upper=np.where(parts & ~second, np.inf, upper[order]),
    )
    if constant and (arrays.offset or not columns):
        columns.append(CONSTANT)
        one = np.ones(1)
        arrays = replace(
            arrays,
            cost=np.append(arrays.cost, arrays.offset),
            offset=0.0,
            lower=np.append(arrays.lower, one),
            upper=np.append(arrays.upper, one),
            integer=np.append(arrays.integer, np.zeros(1, dtype=np.int32)),
        )
    return Portable(arrays, safe_names(columns), safe_names(names))


def _rows_of(arrays: LinearArrays, order: NDArray[np.int64]) -> LinearArrays:
    """Return the arrays with these rows alone, in this order."""
    if len(order) == len(arrays.row_lower) and (order == np.arange(len(order))).all():
        return arrays
    counts = np.diff(arrays.start)[order]
    start = np.zeros(len(order) + 1, dtype=arrays.start.dtype)
    np.cumsum(counts, out=start[1:])
    entries = np.arange(start[-1]) + np.repeat(arrays.start[order] - start[:-1], counts)
    return replace(arrays, start=start, index=arrays.index[entries], value=arrays.value[entries])


def check_numbers(arrays: LinearArrays, columns: list[str], rows: list[str]) -> None:
    """Raise InputError for coefficients that are not finite and for bounds that no value can meet."""
    row = np.repeat(np.arange(len(rows)), np.diff(arrays.start))
    for entry in np.flatnonzero(~np.isfinite(arrays.value))[:1].tolist():
        place = f"row {rows[row[entry]]}, column {columns[arrays.index[entry]]}"
        raise InputError("a finite number", field=place, value=float(arrays.value[entry]))
    for column in np.flatnonzero(~np.isfinite(arrays.cost))[:1].tolist():
        raise InputError("a finite number", field=f"cost of {columns[column]}", value=float(arrays.cost[column]))
    if not np.isfinite(arrays.offset):
        raise InputError("a finite number", field="constant of the objective", value=arrays.offset)
    for names, lower, upper in ((rows, arrays.row_lower, arrays.row_upper), (columns, arrays.lower, arrays.upper)):
        wrong = ~(lower <= upper) | (lower == np.inf) | (upper == -np.inf)
        for place in np.flatnonzero(wrong)[:1].tolist():
            bounds = f"{lower[place]} to {upper[place]}"
            raise InputError("bounds between which there are numbers", field=names[place], value=bounds)
