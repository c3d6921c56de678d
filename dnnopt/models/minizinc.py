"""MiniZinc: a ConstraintModel as a readable ``.mzn`` and the numbers as a ``.dzn``.

The model has one array of variables for each block, one constraint for each family of rows, and prints a solution as
``name value`` lines. Families are written over `v`, all variables in one array; the data say which of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnnopt.base.errors import UnsupportedError
from dnnopt.models.arrays import Block, Columns
from dnnopt.models.constraint import Clauses, ConstraintModel, Intervals, LinearRow, NoOverlap, RowBlock, Whole
from dnnopt.models.portable import check_counts, column_names, header, safe_names

# Names that MiniZinc, or what is written around the blocks, has another use for.
_WORDS = """
annotation any array bool case constraint default diff div else elseif endif enum false float function if in include int
intersect let list maximize minimize mod not of op opt output par predicate record satisfy set solve string subset
superset symdiff test then true tuple type union var where xor name v total cost cost_of
"""
_TOTAL = """function var int: total(
  array[int] of int: first, array[int] of int: column, array[int] of int: coefficient, int: r
) = sum(k in first[r]..first[r + 1] - 1)(coefficient[k] * v[column[k]]);"""
# What a model is made of, as far as it is known here: classes and the fields of them that are written.
_KNOWN: dict[type, set[str]] = {
    Clauses: {"name", "columns", "positive"},
    LinearRow: {"name", "columns", "coefficients", "lower", "upper"},
    RowBlock: {"name", "columns", "coefficients", "lower", "upper", "literals"},
    Intervals: {"name", "first", "start", "size", "presence"},
    NoOverlap: {"name", "intervals"},
}
_PARTS = {
    "variables", "lower", "upper", "exactly_one", "clauses", "linear", "rows", "intervals", "no_overlaps",
    "objective_columns", "objective_coefficients",
}  # fmt: skip


@dataclass
class _Text:
    """The two files under construction."""

    taken: set[str] = field(default_factory=lambda: set(_WORDS.split()))
    model: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)

    def identifier(self, name: str) -> str:
        """Return a name of its own that MiniZinc takes."""
        base = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "block"
        base = base if base[0].isalpha() else f"n_{base}"
        found, number = base, 2
        while found in self.taken:
            found = f"{base}_{number}"
            number += 1
        self.taken.add(found)
        return found

    def table(self, name: str, values: NDArray[np.int64]) -> None:
        """Add an array of one or two dimensions to the data, and its declaration to the model."""
        name_of_sets = ", ".join(f"1..{size}" for size in values.shape)
        self.model.append(f"array[{name_of_sets}] of int: {name};")
        if values.ndim == 2:
            rows = "\n".join(f"| {', '.join(map(str, row))}" for row in values.tolist())
            self.data.append(f"{name} = [{rows} |];")
        else:
            self.data.append(f"{name} = [{', '.join(map(str, values.tolist()))}];")


def minizinc_texts(model: ConstraintModel) -> tuple[str, str]:
    """Return the texts of the ``.mzn`` and of the ``.dzn``.

    Raises
    ------
    UnsupportedError
        If the model has something that is not known here.
    """
    _refuse_unknown(model)
    text = _Text()
    first = _add_variables(text, model)
    _add_choices(text, model.exactly_one)
    _add_clauses(text, model.clauses)
    _add_rows(text, [*_in_blocks(model.linear), *model.rows])
    _add_no_overlaps(text, model)
    _add_objective(text, model, first)
    top = f"% {header(model)}"
    written, data = "\n".join([top, *text.model, ""]), "\n".join([top, *text.data, ""])
    _check(model, written, data)
    return written, data


def _check(model: ConstraintModel, text: str, data: str) -> None:
    """Raise RuntimeError where the texts hold more or less than the model; a row is one for each of its sides."""
    blocks = [*model.exactly_one, *(clauses.columns for clauses in model.clauses)]
    rows = sum(len(block.columns) * len(_sides(block)) for block in [*_in_blocks(model.linear), *model.rows])
    pairs = sum(len(no_overlap.intervals) > 1 for no_overlap in model.no_overlaps)
    right = {"variables": len(model.lower), "constraints": sum(len(block) for block in blocks) + rows + pairs}
    tables = {
        name: table.count("|") - 1 for name, table in re.findall(r"^(\w+) = \[(\|[^\]]*)\];$", data, re.MULTILINE)
    }
    names = re.findall(r"^name = \[(.*?)\];$", data, re.MULTILINE | re.DOTALL)
    families = re.findall(r"^constraint forall\(r in (?:index_set_1of2\((\w+)\)|1\.\.(\d+))\)", text, re.MULTILINE)
    single = len(re.findall("^constraint disjunctive", text, re.MULTILINE))
    constraints = sum(tables[table] if table else int(count) for table, count in families) + single
    check_counts(".mzn file", right, {"variables": names[0].count('"') // 2, "constraints": constraints})


def _refuse_unknown(model: ConstraintModel) -> None:
    """Raise where the model says more than can be written here."""
    for attribute, value in vars(model).items():
        if isinstance(value, list) and value and attribute not in _PARTS:
            raise UnsupportedError("", problem=f"MiniZinc files cannot hold the model's {attribute}")
    parts: list[Any] = [*model.clauses, *model.linear, *model.rows, *model.intervals, *model.no_overlaps]
    for part in parts:
        further = sorted({f.name for f in fields(part)} - _KNOWN[type(part)])
        if further:
            raise UnsupportedError("", problem=f"MiniZinc files cannot hold {further[0]} of {part.name}")


def _add_variables(text: _Text, model: ConstraintModel) -> str:
    """Add the blocks, `v` and the names of all variables; return the first block as an array."""
    lower, upper = np.array(model.lower, dtype=np.int64), np.array(model.upper, dtype=np.int64)
    arrays = []
    text.model.append("\n% Variables, one array for each block; the names of all are in the data")
    for block in model.variables:
        if not block.size:
            continue
        name = text.identifier(block.name)
        arrays.append(f"array1d({name})" if block.shape else f"[{name}]")
        place = slice(block.first, block.first + block.size)
        _add_block(text, block, name, lower[place], upper[place])
    names = ",\n".join(f'"{name}"' for name in safe_names(column_names(model)))
    text.model.append(f"array[1..{len(lower)}] of var int: v = {' ++ '.join(arrays)};")
    text.model.append(f"array[1..{len(lower)}] of string: name;")
    text.data.append(f"name = [{names}];")
    text.model.append(_TOTAL)
    text.model.append('output [name[k] ++ " \\(v[k])\\n" | k in index_set(v) where fix(v[k]) != 0];')
    return arrays[0]


def _add_block(text: _Text, block: Block, name: str, lower: Whole, upper: Whole) -> None:
    """Declare a block; bounds that differ within it go into the data."""
    sets = ", ".join(f"1..{size}" for size in block.shape)
    domain = f"{lower.min()}..{upper.max()}"
    text.model.append(f"array[{sets}] of var {domain}: {name};" if block.shape else f"var {domain}: {name};")
    for bound, values, sign in (("lower", lower, ">="), ("upper", upper, "<=")):
        if (values != values[0]).any():
            own = text.identifier(f"{name}_{bound}")
            text.table(own, values)
            text.model.append(f"constraint forall(k in index_set({own}))(array1d({name})[k] {sign} {own}[k]);")


def _add_choices(text: _Text, choices: Sequence[NDArray[Any]]) -> None:
    for number, columns in enumerate(choices):
        if not columns.size:
            _add_impossible(text, len(columns))
            continue
        name = text.identifier(f"exactly_one_{number + 1}")
        text.model.append("\n% In each row, exactly one")
        text.table(name, columns + 1)
        entries = " + ".join(f"v[{name}[r, {k}]]" for k in range(1, columns.shape[1] + 1))
        text.model.append(f"constraint forall(r in index_set_1of2({name}))({entries} = 1);")


def _add_clauses(text: _Text, clauses: Iterable[Clauses]) -> None:
    """Add clauses of one name and one form together; a clause is a sum of literals that is at least 1."""
    families: dict[tuple[str, tuple[bool, ...]], list[NDArray[Any]]] = {}
    for block in clauses:
        if block.columns.size:
            families.setdefault((block.name, tuple(block.positive.tolist())), []).append(block.columns)
        else:
            _add_impossible(text, len(block.columns))
    for (family, positive), parts in families.items():
        name = text.identifier(family)
        text.model.append(f"\n% {_comment(family)}: in each row, at least one")
        text.table(name, np.concatenate(parts) + 1)
        literals = [
            f"v[{name}[r, {k}]]" if plain else f"(1 - v[{name}[r, {k}]])" for k, plain in enumerate(positive, 1)
        ]
        text.model.append(f"constraint forall(r in index_set_1of2({name}))({' + '.join(literals)} >= 1);")


def _add_impossible(text: _Text, count: int) -> None:
    """Add rows of which something must be true, and which have nothing in them."""
    if count:
        text.model.append(f"constraint forall(r in 1..{count})(false);")


def _comment(words: str) -> str:
    return " ".join(words.split())


def _in_blocks(rows: Iterable[LinearRow]) -> list[RowBlock]:
    """Return single rows as blocks of one row."""
    return [
        RowBlock(
            row.name,
            row.columns[None],
            row.coefficients[None],
            None if row.lower is None else np.array([row.lower]),
            None if row.upper is None else np.array([row.upper]),
            np.zeros((1, 0), dtype=np.int64),
        )
        for row in rows
    ]


def _add_rows(text: _Text, rows: Iterable[RowBlock]) -> None:
    """Add rows of one name, with the same sides and as many literals, together."""
    families: dict[tuple[Any, ...], list[RowBlock]] = {}
    for block in rows:
        families.setdefault((block.name, _sides(block), block.literals.shape[1]), []).append(block)
    for (family, sides, literal_count), blocks in families.items():
        if sides:
            _add_family(text, family, sides, literal_count, blocks)


def _sides(block: RowBlock) -> tuple[str, ...]:
    if block.lower is not None and block.upper is not None and (block.lower == block.upper).all():
        return ("=",)
    return tuple(sign for sign, side in ((">=", block.lower), ("<=", block.upper)) if side is not None)


def _add_family(text: _Text, family: str, sides: Sequence[str], literal_count: int, blocks: Sequence[RowBlock]) -> None:
    kept = [block.coefficients != 0 for block in blocks]
    counts = np.concatenate([keep.sum(axis=1) for keep in kept])
    name = text.identifier(family)
    first, columns, coefficients = (text.identifier(f"{name}_{part}") for part in ("first", "column", "coefficient"))
    text.model.append(f"\n% {_comment(family)}: linear rows" + (", where all literals hold" if literal_count else ""))
    text.table(first, np.concatenate([[1], 1 + np.cumsum(counts)]))
    text.table(columns, np.concatenate([block.columns[keep] for block, keep in zip(blocks, kept, strict=True)]) + 1)
    text.table(
        coefficients, np.concatenate([block.coefficients[keep] for block, keep in zip(blocks, kept, strict=True)])
    )
    condition = ""
    if literal_count:
        literals = text.identifier(f"{name}_literal")
        text.table(literals, np.concatenate([block.literals for block in blocks]) + 1)
        condition = " /\\ ".join(f"v[{literals}[r, {k}]] = 1" for k in range(1, literal_count + 1)) + " -> "
    total = f"total({first}, {columns}, {coefficients}, r)"
    for sign in sides:
        side = text.identifier(f"{name}_{'lower' if sign == '>=' else 'upper' if sign == '<=' else 'value'}")
        bounds = [block.lower if sign == ">=" else block.upper for block in blocks]
        text.table(side, np.concatenate([bound for bound in bounds if bound is not None]))
        text.model.append(f"constraint forall(r in 1..{len(counts)})({condition}{total} {sign} {side}[r]);")


def _add_no_overlaps(text: _Text, model: ConstraintModel) -> None:
    """Add no-overlaps; an interval that is not there has the duration 0, and may then be anywhere."""
    if not model.no_overlaps:
        return
    text.model.append("\n% Intervals: an absent one has the duration 0")
    text.model.insert(0, 'include "disjunctive.mzn";')
    parts: dict[str, list[Columns]] = {
        "start": [block.start + 1 for block in model.intervals],
        "size": [block.size for block in model.intervals],
        "presence": [  # 0: always there
            np.zeros(len(block.start), dtype=np.int64) if block.presence is None else block.presence + 1
            for block in model.intervals
        ],
    }
    tables = {part: text.identifier(f"interval_{part}") for part in parts}
    for part, values in parts.items():
        text.table(tables[part], np.concatenate(values))
    presence = tables["presence"]
    for no_overlap in model.no_overlaps:
        if len(no_overlap.intervals) < 2:
            continue
        name = text.identifier(f"no_overlap_{no_overlap.name}")
        text.table(name, no_overlap.intervals + 1)
        text.model.append(
            f"constraint disjunctive([v[{tables['start']}[k]] | k in {name}],"
            f" [{tables['size']}[k] * (if {presence}[k] = 0 then 1 else v[{presence}[k]] endif) | k in {name}]);"
        )


def _add_objective(text: _Text, model: ConstraintModel, first: str) -> None:
    # Placements, which come first, are searched first; what follows from them is at its least in the best plan.
    search = (
        f"solve :: seq_search([int_search({first}, first_fail, indomain_max, complete),"
        " int_search(v, input_order, indomain_min, complete)])"
    )
    if not model.objective_columns:
        text.model.append(f"\n{search} satisfy;")
        return
    coefficients = np.zeros(len(model.lower), dtype=np.int64)
    for columns, values in zip(model.objective_columns, model.objective_coefficients, strict=True):
        np.add.at(coefficients, columns, values)
    shown = np.flatnonzero(coefficients)
    text.model.append("\n% Objective")
    text.table("cost_of", shown + 1)
    text.table("cost", coefficients[shown])
    text.model.append(f"{search} minimize sum(k in index_set(cost))(cost[k] * v[cost_of[k]]);")
