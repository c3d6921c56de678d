"""Solution files of solvers: values of columns by name.

Known are those of HiGHS (raw, sparse and pretty), CBC, GLPK (``--write`` and ``--output``), SCIP, and lists of
``name value`` lines, as Gurobi and MiniZinc (for the models written here) make them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dnnopt.errors import InputError
from dnnopt.formats.files import read_text

Values = dict[str, float]
_GLPK_ROW = re.compile(r" *\d+ (\S+)(?: +(?:\*|B|N[LUFS]))? +(\S+)")
_CBC_STATUS = re.compile(r"(.*?) - objective value", re.IGNORECASE)
_NO_VALUES = re.compile(
    r"infeasible|unbounded|undefined|unsatisfiable|unknown|no (integer )?solution|no feasible|inf_or_unbd",
    re.IGNORECASE,
)
# HiGHS and GLPK end a line after a name that is too long for its field.
_SPLIT = re.compile(r"^( *\d+ \S+)\n(?= {19})", re.MULTILINE)


def read_solution(path: str | Path, columns: Sequence[str]) -> Values:
    """Return the values in a solution file by the names of the columns; what it leaves out is 0.

    Parameters
    ----------
    path : path
    columns : sequence of str
        Names of the model's columns, in the order in which the solver has read them (files of ``glpsol --write`` number
        them).

    Raises
    ------
    InputError
        If the file cannot be read, is of no kind known, or holds no solution.
    """
    text = read_text(path)
    if "\0" in text or not text.strip():
        raise InputError("", file=str(path), problem="not a solution file: no text in it")
    reader = next(read for fits, read in _READERS if fits(text))
    try:
        values = reader(text, columns)
    except InputError as error:
        raise error.within(file=str(path)) from None
    except (ValueError, IndexError):
        raise InputError("", file=str(path), problem="not a solution file, or one that is cut off") from None
    if not values:
        raise InputError("", file=str(path), problem="the file holds no solution")
    return values


def _read_highs(text: str, columns: Sequence[str]) -> Values:
    """Read the file of `HiGHS --solution_file`: after `# Columns`, `name value` (and in sparse ones the index)."""
    primal = text.partition("# Primal solution values")[2]
    lines = iter(primal.splitlines())
    kind = next((line.strip() for line in lines if line.strip()), "None")
    if kind != "Feasible":
        status = text.split("\n")[1:2]
        raise InputError("", problem=f"the file holds no feasible solution ({', '.join(status)})")
    for line in lines:
        if line.startswith("# Columns"):
            break
    return _listed(_until(lines, "#"))


def _read_pretty(text: str, columns: Sequence[str]) -> Values:
    """Read the pretty file of HiGHS: a table of the columns; the name is last, the value ends under its title."""
    found = re.search(r"^Model status: *(.*)$", text, re.MULTILINE)
    _refuse(found[1] if found else "")
    header, *lines = text.partition("Columns\n")[2].partition("\nRows")[0].splitlines()
    end = header.index("Primal") + len("Primal")
    values = {}
    for line in lines:
        words = line[:end].split()
        values[line.split()[-1]] = _number(words[-1], line)
    return values


def _read_cbc(text: str, columns: Sequence[str]) -> Values:
    """Read the file of CBC: a status, then `index name value reduced-cost`; `**` marks what is off its bounds."""
    status, *lines = text.splitlines()
    _refuse(status)
    values = {}
    for line in lines:
        words = line.replace("**", " ").split()
        if len(words) < 3:
            raise InputError("index, name and value", value=line)
        values[words[1]] = _number(words[2], line)
    return values


def _read_glpk_numbers(text: str, columns: Sequence[str]) -> Values:
    """Read the file of `glpsol --write`: `j column value`, or `j column status value dual` for a linear program."""
    values = {}
    for line in text.splitlines():
        words = line.split()
        if line.startswith("s "):
            _check_glpk_status(words, columns)
        elif line.startswith("j "):
            if not 1 <= int(words[1]) <= len(columns):
                raise InputError(f"a column from 1 to {len(columns)}", value=line)
            value = words[3] if words[2].isalpha() else words[2]
            values[columns[int(words[1]) - 1]] = _number(value, line)
    return values


def _check_glpk_status(words: Sequence[str], columns: Sequence[str]) -> None:
    if int(words[3]) != len(columns):
        raise InputError(f"{len(columns)} columns, as the model file has", value=f"{words[3]} columns")
    if words[4] not in ("o", "f"):
        raise InputError("", problem=f"the file holds no feasible solution (status {words[4]})")


def _read_glpk_table(text: str, columns: Sequence[str]) -> Values:
    """Read the file of `glpsol --output`: a table of the columns, with a mark or status before the value."""
    found = re.search(r"^Status: *(.*)$", text, re.MULTILINE)
    _refuse(found[1] if found else "")
    table = _SPLIT.sub(r"\1", text.partition("Column name")[2])
    values = {}
    for line in _until(iter(table.splitlines()[2:]), ""):
        match = _GLPK_ROW.match(line)
        if match is None:
            raise InputError("number, name and value", value=line)
        values[match[1]] = _number(match[2], line)
    return values


def _read_list(text: str, columns: Sequence[str]) -> Values:
    """Read lines of `name value` or `name = value`; comments, states and separators are left out."""
    lines = text.splitlines()
    for line in lines:
        if line.startswith(("solution status:", "=====", "no solution")):
            _refuse(line)
    return _listed(
        line for line in lines if not line.startswith(("#", "---", "===", "solution status:", "objective value:", "%"))
    )


def _listed(lines: Iterator[str]) -> Values:
    values = {}
    for line in lines:
        words = line.replace(" = ", " ").split()
        if not words:
            continue
        if len(words) < 2:
            raise InputError("a solution file; here, a name and a value", value=line)
        values[words[0]] = _number(words[1], line)
    return values


def _until(lines: Iterator[str], mark: str) -> Iterator[str]:
    """Yield the lines before one that starts with `mark`, or before an empty one."""
    for line in lines:
        if not line.strip() or (mark and line.startswith(mark)):
            return
        yield line


def _refuse(status: str) -> None:
    if _NO_VALUES.search(status):
        raise InputError("", problem=f"the file holds no feasible solution ({status.strip()})")


def _number(word: str, line: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise InputError("a solution file; here, a number after the name", value=line) from None


# The last one takes what no other does.
_READERS: list[tuple[Callable[[str], object], Callable[[str, Sequence[str]], Values]]] = [
    (lambda text: "# Primal solution values" in text, _read_highs),
    (lambda text: re.match(r"Columns\n +Index Status", text), _read_pretty),
    (lambda text: re.search(r"^s (mip|bas|ipt) ", text, re.MULTILINE), _read_glpk_numbers),
    (lambda text: "Column name" in text and text.startswith("Problem:"), _read_glpk_table),
    (lambda text: _CBC_STATUS.match(text.partition("\n")[0]), _read_cbc),
    (lambda text: True, _read_list),
]
