""".mps files in the free format: names may be long, fields are separated by spaces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dnnopt.models.lp import number
from dnnopt.models.portable import Size, header, portable, section

if TYPE_CHECKING:
    from dnnopt.models.arrays import LinearArrays
    from dnnopt.models.linear import LinearModel

_MARKER = re.compile(r"^ \S+ 'MARKER' .*\n?", re.MULTILINE)


def mps_text(model: LinearModel, *, room: bool = False, name: str = "dnnopt") -> str:
    """Return a linear model as the text of an .mps file; its inequalities may be given room for rounding.

    Its name in the file has no spaces.

    Raises
    ------
    InputError
        For a number that no file can hold.
    """
    written = portable(model, one_sided=False, constant=True)
    arrays, columns, rows = written.arrays, written.columns, written.rows
    arrays = arrays.with_room() if room else arrays
    lines = [f"* {header(model)}", f"NAME {name} FREE", "ROWS", " N obj"]
    lines.extend(_row_kinds(arrays, rows))
    lines.append("COLUMNS")
    lines.extend(_columns(arrays, columns, rows))
    lines.append("RHS")
    lines.extend(_right_sides(arrays, rows))
    lines.append("BOUNDS")
    lines.extend(_bounds(arrays, columns))
    text = "\n".join([*lines, "ENDATA", ""])
    written.check(".mps file", size_of_mps(text))
    return text


def size_of_mps(text: str) -> Size:
    """Return the size of the model in the text of an .mps file of the kind that is written here."""
    rows = section(text, "ROWS", "COLUMNS").split()[2:]
    entries = _MARKER.sub("", section(text, "COLUMNS", "RHS")).split()
    named = entries[1::3]
    return Size(
        columns=len(set(entries[::3])),
        rows=len(set(rows[1::2])),
        nonzeros=len(named) - named.count("obj"),
    )


def _row_kinds(arrays: LinearArrays, rows: Sequence[str]) -> Iterator[str]:
    for name, lower, upper in zip(rows, arrays.row_lower.tolist(), arrays.row_upper.tolist(), strict=True):
        kind = "E" if lower == upper else "L" if upper < np.inf else "G"
        yield f" {kind} {name}"


def _columns(arrays: LinearArrays, columns: Sequence[str], rows: Sequence[str]) -> Iterator[str]:
    """Yield the entries column by column, with the objective first; integer ones between markers."""
    counts = np.diff(arrays.start)
    order = np.argsort(arrays.index, kind="stable")
    row = np.repeat(np.arange(len(counts)), counts)[order].tolist()
    value = arrays.value[order].tolist()
    first = np.searchsorted(arrays.index[order], np.arange(len(columns) + 1)).tolist()
    cost, integer = arrays.cost.tolist(), (arrays.integer != 0).tolist()
    inside = False
    for column, name in enumerate(columns):
        if integer[column] != inside:
            inside = not inside
            yield f" marker{column} 'MARKER' '{'INTORG' if inside else 'INTEND'}'"
        entries = range(first[column], first[column + 1])
        if cost[column] or not entries:
            yield f" {name} obj {number(cost[column])}"
        for entry in entries:
            yield f" {name} {rows[row[entry]]} {number(value[entry])}"
    if inside:
        yield " marker 'MARKER' 'INTEND'"


def _right_sides(arrays: LinearArrays, rows: Sequence[str]) -> Iterator[str]:
    lower, upper = arrays.row_lower, arrays.row_upper
    side = np.where(np.isfinite(upper), upper, np.where(np.isfinite(lower), lower, 0.0))
    for row in np.flatnonzero(side).tolist():
        yield f" rhs {rows[row]} {number(side[row])}"
    ranges = np.flatnonzero(np.isfinite(lower) & np.isfinite(upper) & (lower != upper)).tolist()
    if ranges:
        yield "RANGES"
        for row in ranges:
            yield f" range {rows[row]} {number(upper[row] - lower[row])}"


def _bounds(arrays: LinearArrays, columns: Sequence[str]) -> Iterator[str]:
    """Yield every bound that some reader might take for another one; for integers, the upper one always."""
    bounds = zip(columns, arrays.lower.tolist(), arrays.upper.tolist(), (arrays.integer != 0).tolist(), strict=True)
    for name, lower, upper, integer in bounds:
        if lower == upper:
            yield f" FX bound {name} {number(lower)}"
        elif integer and (lower, upper) == (0, 1):
            yield f" BV bound {name}"
        elif lower == -np.inf and upper == np.inf:
            yield f" FR bound {name}"
        else:
            if lower == -np.inf:
                yield f" MI bound {name}"
            elif lower != 0 or upper < 0:
                yield f" LO bound {name} {number(lower)}"
            if upper < np.inf:
                yield f" UP bound {name} {number(upper)}"
            elif integer:
                yield f" PL bound {name}"
