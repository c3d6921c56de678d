""".lp files (CPLEX format), in the part of it that HiGHS, CBC, GLPK and SCIP read alike.

Where they differ: sections are called `Binaries` and `Generals` (CBC takes the short forms for variables, and then
reads a pure linear program without a word); a row has one side; every variable comes in the objective or in a row, be
it with the coefficient 0. Numbers are written with as many digits as it takes to read the same ones back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dnnopt.models.portable import Portable, Size, header, portable, section

if TYPE_CHECKING:
    from dnnopt.models.arrays import LinearArrays
    from dnnopt.models.linear import LinearModel

_ZERO = re.compile(r"[+-] 0 ")
_LINE = 250  # characters, about: some readers have an end to a line


def number(value: float) -> str:
    """Return the shortest text that reads back as the same number."""
    return repr(float(value)).removesuffix(".0")


def lp_text(model: LinearModel) -> str:
    """Return a linear model as the text of an .lp file.

    Raises
    ------
    InputError
        For a number that no file can hold.
    """
    written = portable(model, one_sided=True, constant=True)
    arrays, names = written.arrays, written.columns
    width = max(1, _LINE // (max(map(len, names), default=0) + 24))
    lines = [f"\\ {header(model)}", "Minimize"]
    lines.extend(_wrapped("obj:", _objective(arrays, names), "", width))
    lines.append("Subject To")
    lines.extend(_rows(written, width))
    lines.append("Bounds")
    lines.extend(_bounds(arrays, names))
    binary = (arrays.integer != 0) & (arrays.lower == 0) & (arrays.upper == 1)
    for title, chosen in (("Binaries", binary), ("Generals", (arrays.integer != 0) & ~binary)):
        if chosen.any():
            lines += [title, *(f" {names[column]}" for column in np.flatnonzero(chosen).tolist())]
    text = "\n".join([*lines, "End", ""])
    written.check(".lp file", size_of_lp(text))
    return text


def size_of_lp(text: str) -> Size:
    """Return the size of the model in the text of an .lp file of the kind that is written here."""
    body = section(text, "Subject To", "Bounds")
    words = body.split()
    objective = section(text, "Minimize", "Subject To").split()[1:]
    names = {word for word in {*objective, *words} if word[0].isalpha() or word[0] == "_"}
    rows = {word for word in names if word.endswith(":")}
    signs = words.count("+") + words.count("-")
    return Size(columns=len(names) - len(rows), rows=len(rows), nonzeros=signs - len(_ZERO.findall(body)))


def _terms(values: NDArray[np.float64], columns: NDArray[np.integer[Any]], names: Sequence[str]) -> list[str]:
    """Return ``+ 2.5 x`` for each value and column."""
    distinct, which = np.unique(values, return_inverse=True)
    words = []
    for value in distinct.tolist():
        size = "" if abs(value) == 1 else f"{number(abs(value))} "
        words.append(f"{'-' if value < 0 else '+'} {size}")
    return [words[i] + names[j] for i, j in zip(which.tolist(), columns.tolist(), strict=True)]


def _wrapped(head: str, terms: Sequence[str], tail: str, width: int) -> Iterator[str]:
    """Yield a row in lines of at most `width` terms."""
    if len(terms) <= width:
        yield f" {head} {' '.join(terms)}{tail}"
        return
    parts = [" ".join(terms[first : first + width]) for first in range(0, len(terms), width)]
    yield f" {head} {parts[0]}"
    yield from (f"  {part}" for part in parts[1:-1])
    yield f"  {parts[-1]}{tail}"


def _objective(arrays: LinearArrays, names: Sequence[str]) -> list[str]:
    shown = np.flatnonzero((arrays.cost != 0) | ~arrays.used)
    if not len(shown):
        shown = np.arange(min(1, len(arrays.cost)))
    return _terms(arrays.cost[shown], shown, names)


def _rows(written: Portable, width: int) -> Iterator[str]:
    arrays, names = written.arrays, written.columns
    terms = _terms(arrays.value, arrays.index, names)
    lower, upper, start = arrays.row_lower.tolist(), arrays.row_upper.tolist(), arrays.start.tolist()
    for row, name in enumerate(written.rows):
        if lower[row] == upper[row]:
            side = f" = {number(lower[row])}"
        elif lower[row] == -np.inf:
            side = f" <= {number(upper[row])}"
        else:
            side = f" >= {number(lower[row])}"
        yield from _wrapped(f"{name}:", terms[start[row] : start[row + 1]] or [f"+ 0 {names[0]}"], side, width)


def _bounds(arrays: LinearArrays, names: Sequence[str]) -> Iterator[str]:
    """Yield what differs from the default: 0 to infinity, or 0 to 1 for what is listed as binary."""
    binary = (arrays.integer != 0) & (arrays.lower == 0) & (arrays.upper == 1)
    plain = (arrays.lower == 0) & (arrays.upper == np.inf)
    for column in np.flatnonzero(~binary & ~plain).tolist():
        name, lower, upper = names[column], float(arrays.lower[column]), float(arrays.upper[column])
        if lower == upper:
            yield f" {name} = {number(lower)}"
        elif lower == -np.inf and upper == np.inf:
            yield f" {name} free"
        elif upper == np.inf:
            yield f" {name} >= {number(lower)}"
        elif lower == 0 and upper > 0:
            yield f" {name} <= {number(upper)}"
        else:
            yield f" {'-inf' if lower == -np.inf else number(lower)} <= {name} <= {number(upper)}"
