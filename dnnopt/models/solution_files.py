"""Solution files of solvers: values of columns by name.

Known are those of HiGHS (raw, sparse and pretty), CBC (``printingOptions`` normal, integer, rows, all and csv), GLPK
(``--write`` and ``--output``), SCIP, CPLEX (XML), Gurobi (``.sol`` and ``.json``), Xpress (``.slx`` and ``.asc``) and
python-mip, what lp_solve and MiniZinc (for the models written here) print, and lists of ``name value`` lines. Which one
it is shows in the text.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from dnnopt.base.errors import InputError
from dnnopt.base.files import read_text
from dnnopt.base.json_text import parse_json

NamedValues = dict[str, float]
_GLPK_ROW = re.compile(r" *\d+ (\S+)(?: +(?:\*|B|N[LUFS]))? +(\S+)")
_CBC_STATUS = re.compile(r"(.*?) - objective\b", re.IGNORECASE)
_XPRESS_ROW = re.compile(r' *\d+,"')
_LP_SOLVE = re.compile(r"^Actual values of the variables:\n", re.MULTILINE)
_LP_SOLVE_NONE = re.compile(r"\s*(This problem is (?:infeasible|unbounded))")
_NO_VALUES = re.compile(
    r"infeasible|unbounded|undefined|unsatisfiable|unknown|no (integer )?solution|no feasible|inf_or_unbd",
    re.IGNORECASE,
)
# HiGHS and GLPK end a line after a name that is too long for its field.
_SPLIT = re.compile(r"^( *\d+ \S+)\n(?= {19})", re.MULTILINE)


def read_solution(path: str | Path, columns: Sequence[str], *, allow_large: bool = False) -> NamedValues:
    """Return the values in a solution file by the names of the columns; what it leaves out is 0.

    Parameters
    ----------
    path : path
    columns : sequence of str
        Names of the model's columns, in the order in which the solver has read them (files of ``glpsol --write`` number
        them).
    allow_large : bool
        Whether its length is not limited.

    Raises
    ------
    InputError
        If the file cannot be read, is of no kind known, or holds no solution; for a name that is none of the columns'.
    """
    text = read_text(path, allow_large=allow_large)
    if "\0" in text or not text.strip():
        raise InputError("", file=str(path), problem="not a solution file: no text in it")
    reader = next(read for fits, read in _READERS if fits(text))
    try:
        values = reader(text, columns)
    except InputError as error:
        raise error.within(file=str(path)) from None
    except (ValueError, IndexError, csv.Error):
        raise InputError("", file=str(path), problem="not a solution file, or one that is cut off") from None
    if not values:
        raise InputError("", file=str(path), problem="the file holds no solution")
    known = set(columns)
    unknown = next((name for name in values if name not in known), None)
    if unknown is not None:
        raise InputError("the name of a column of the model", file=str(path), value=unknown)
    return values


def _read_highs(text: str, columns: Sequence[str]) -> NamedValues:
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


def _read_pretty(text: str, columns: Sequence[str]) -> NamedValues:
    """Read the pretty file of HiGHS: a table of the columns; the name is last, the value ends under its title."""
    found = re.search(r"^Model status: *(.*)$", text, re.MULTILINE)
    _refuse(found[1] if found else "")
    header, *lines = text.partition("Columns\n")[2].partition("\nRows")[0].splitlines()
    end = header.index("Primal") + len("Primal")
    return _named((line.split()[-1], line[:end].split()[-1], line) for line in lines)


def _read_cbc(text: str, columns: Sequence[str]) -> NamedValues:
    """Read the file of CBC, or of python-mip: a status, then `index name value reduced-cost`.

    `**` marks what is off its bounds. With some `printingOptions` the rows come before the columns.
    """
    status, *lines = text.splitlines()
    _refuse(status)
    listed: list[tuple[str, str, str]] = []
    last = -1
    for line in lines:
        words = line.replace("**", " ").split()
        if len(words) < 3:
            raise InputError("index, name and value", value=line)
        if int(words[0]) <= last:  # the columns begin: what was before are rows
            listed.clear()
        last = int(words[0])
        listed.append((words[1], words[2], line))
    return _named(listed)


def _read_cbc_table(text: str, columns: Sequence[str]) -> NamedValues:
    """Read the file of CBC with `printingOptions csv`: `name,value`, where names have commas too."""
    lines = text.splitlines()[1:]
    return _named((*line.rpartition(",")[::2], line) for line in lines)


def _read_cplex(text: str, columns: Sequence[str]) -> NamedValues:
    """Read the XML file of CPLEX; of several solutions the first, which is the best one."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError("", problem="not a solution file of CPLEX: it has a document type")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError("", problem=f"not XML, or cut off: {error}") from None
    solution = next(root.iter("CPLEXSolution"), None)
    if solution is None:
        raise InputError("a solution file of CPLEX", value=root.tag)
    header = solution.find("header")
    _refuse("" if header is None else header.get("solutionStatusString", ""))
    found = [(one.get("name"), one.get("value")) for one in solution.iter("variable")]
    if any(name is None or value is None for name, value in found):
        raise InputError("", problem="a variable without a name or a value")
    return _named((str(name), str(value), f"{name} {value}") for name, value in found)


def _read_gurobi(text: str, columns: Sequence[str]) -> NamedValues:
    """Read the JSON file of Gurobi: a list `Vars`, without what is 0."""
    data = parse_json(text, allow_large=True)  # the text is not too long
    if not isinstance(data, dict) or not isinstance(data.get("SolutionInfo"), dict):
        raise InputError("", problem="not a solution file of Gurobi: no SolutionInfo in it")
    listed = data.get("Vars", [])
    if data["SolutionInfo"].get("SolCount") == 0 or not listed:
        raise InputError("", problem="the file holds no solution")
    found = []
    for one in listed if isinstance(listed, list) else [listed]:
        if not isinstance(one, dict) or not isinstance(one.get("VarName"), str) or "X" not in one:
            raise InputError("VarName and X", field="Vars", value=one)
        found.append((one["VarName"], str(one["X"]), str(one)))
    return _named(found)


def _read_slx(text: str, columns: Sequence[str]) -> NamedValues:
    """Read the .slx file of Xpress: a name, `C column value` lines, and the end; of several solutions the first."""
    body, end, _ = text.partition("\nENDATA")
    if not end:
        raise InputError("", problem="not a solution file, or one that is cut off: it has no ENDATA")
    found = []
    for line in _until(iter(body.splitlines()[1:]), "NAME"):
        words = line.split()
        if len(words) != 3:
            raise InputError("C, name and value", value=line)
        if words[0] == "C":
            found.append((words[1], words[2], line))
    return _named(found)


def _read_asc(text: str, columns: Sequence[str]) -> NamedValues:
    """Read the .asc file of Xpress: `number,"name","type","status",value,...`; columns have the type C."""
    lines = text.splitlines()
    rows = list(csv.reader(lines, strict=True))
    return _named(
        (row[1].strip(), row[4], line) for row, line in zip(rows, lines, strict=True) if row[2].strip() == "C"
    )


def _read_lp_solve(text: str, columns: Sequence[str]) -> NamedValues:
    """Read what lp_solve prints: a table of the variables; of several, the last."""
    found = _LP_SOLVE_NONE.match(text)
    _refuse(found[1] if found else "")
    return _listed(_until(iter(_LP_SOLVE.split(text)[-1].splitlines())))


def _read_glpk_numbers(text: str, columns: Sequence[str]) -> NamedValues:
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


def _read_glpk_table(text: str, columns: Sequence[str]) -> NamedValues:
    """Read the file of `glpsol --output`: a table of the columns, with a mark or status before the value."""
    found = re.search(r"^Status: *(.*)$", text, re.MULTILINE)
    _refuse(found[1] if found else "")
    table = _SPLIT.sub(r"\1", text.partition("Column name")[2])
    listed = []
    for line in _until(iter(table.splitlines()[2:])):
        match = _GLPK_ROW.match(line)
        if match is None:
            raise InputError("number, name and value", value=line)
        listed.append((match[1], match[2], line))
    return _named(listed)


def _read_list(text: str, columns: Sequence[str]) -> NamedValues:
    """Read lines of `name value` or `name = value`; comments and states are left out.

    MiniZinc may print several solutions, with a line of dashes after each; the last one is the best.
    """
    solutions: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith(("solution status:", "=====", "no solution")):
            _refuse(line)
        elif line.startswith("---"):
            solutions.append([])
        elif not line.startswith(("#", "objective value:", "=obj=", "%")):
            solutions[-1].append(line)
    return _listed(next((lines for lines in reversed(solutions) if any(line.strip() for line in lines)), []))


def _listed(lines: Iterable[str]) -> NamedValues:
    found = []
    for line in lines:
        words = line.replace(" = ", " ").split()
        if not words:
            continue
        if len(words) < 2:
            raise InputError("a solution file; here, a name and a value", value=line)
        found.append((words[0], words[1], line))
    return _named(found)


def _named(found: Iterable[tuple[str, str, str]]) -> NamedValues:
    """Return the values by name; given are names, values and the lines they come from."""
    values: NamedValues = {}
    for name, word, line in found:
        value = _number(word, line)
        if values.setdefault(name, value) != value:
            raise InputError("", problem=f"two values for {name!r}: {values[name]:g} and {value:g}")
    return values


def _until(lines: Iterator[str], *marks: str) -> Iterator[str]:
    """Yield the lines before one that starts with a mark, or before an empty one."""
    for line in lines:
        if not line.strip() or line.startswith(marks):
            return
        yield line


def _refuse(status: str) -> None:
    if _NO_VALUES.search(status):
        raise InputError("", problem=f"the file holds no feasible solution ({status.strip()})")


def _number(word: str, line: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise InputError("a solution file; here, a number after the name", value=line) from None
    if not math.isfinite(value):
        raise InputError("a finite number after the name", value=line)
    return value


# The last one takes what no other does.
_READERS: list[tuple[Callable[[str], object], Callable[[str, Sequence[str]], NamedValues]]] = [
    (lambda text: "# Primal solution values" in text, _read_highs),
    (lambda text: re.match(r"Columns\n +Index Status", text), _read_pretty),
    (lambda text: re.search(r"^s (mip|bas|ipt) ", text, re.MULTILINE), _read_glpk_numbers),
    (lambda text: "Column name" in text and text.startswith("Problem:"), _read_glpk_table),
    (lambda text: _CBC_STATUS.match(text.partition("\n")[0]), _read_cbc),
    (lambda text: text.startswith("name,solution\n"), _read_cbc_table),
    (lambda text: text.lstrip().startswith("<"), _read_cplex),
    (lambda text: text.lstrip().startswith("{"), _read_gurobi),
    (lambda text: re.match(r"NAME\b.*\n *[A-Z] ", text), _read_slx),
    (lambda text: _XPRESS_ROW.match(text), _read_asc),
    (lambda text: _LP_SOLVE.search(text) or _LP_SOLVE_NONE.match(text), _read_lp_solve),
    (lambda text: True, _read_list),
]
