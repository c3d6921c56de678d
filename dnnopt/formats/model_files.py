"""Model files: which ending is written how, and names that every reader takes."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dnnopt.errors import InputError
from dnnopt.formats.files import write_text

if TYPE_CHECKING:
    from dnnopt.constraint_model import ConstraintModel
    from dnnopt.linear_model import LinearArrays, LinearModel

# kind of model -> the endings of its files
ENDINGS = {"milp": (".lp", ".mps", ".mps.gz"), "cp": (".pb.txt", ".mzn")}

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.,()]")
# Readers take these for a number, a section or a bound.
_MISREAD = re.compile(
    r"$|[^A-Za-z_]|[eE]\d|(?:free|inf|infinity|st|s\.t\.|min|max|minimi[sz]e|maximi[sz]e|subject|such|bounds?|bin|binary"
    r"|binaries|gen|generals?|int|integers?|semi.*|sos[12]?|end|obj)$",
    re.IGNORECASE,
)
# With a longer one, CBC calls all columns of an .lp file x0, x1, ...; from 160 on it reads .mps files as other models.
_LONGEST = 100
_TAIL = 36
_NUMBER = 8  # characters that are left for a number
# Name of the column for a constant in the objective.
CONSTANT = "constant_1"


def safe_names(names: list[str]) -> list[str]:
    """Return names that survive in every kind of file: letters, digits and ``_ . , ( )``; each one its own."""
    safe: list[str] = []
    taken: set[str] = set()
    for name in names:
        short = _FORBIDDEN.sub("_", name)
        if _MISREAD.match(short):
            short = f"n_{short}"
        if len(short) > _LONGEST:
            short = _cut(short)
        if short in taken:
            short = _another(short, taken)
        taken.add(short)
        safe.append(short)
    return safe


def column_names(model: LinearModel | ConstraintModel) -> list[str]:
    """Return the name of every column, with its labels as they are."""
    return [name for block in model.variables for name in block.names()]


def header(model: LinearModel | ConstraintModel) -> str:
    """Return the line at the top of a file: problem, formulation and units."""
    return " ".join(f"{model.name}. {model.describe()}".split())


def _cut(name: str) -> str:
    """Return the name without its middle, so that there is room for a number."""
    head = _LONGEST - _NUMBER - _TAIL - 2
    return f"{name[:head]}..{name[-_TAIL:]}"


def _another(name: str, taken: set[str]) -> str:
    if len(name) > _LONGEST - _NUMBER:
        name = _cut(name)
    number = 2
    while f"{name}..{number}" in taken:
        number += 1
    return f"{name}..{number}"


def portable_arrays(model: LinearModel) -> tuple[LinearArrays, list[str]]:
    """Return a model's arrays and the names of its columns.

    Readers disagree about constants in the objective (GLPK refuses them in .lp files, and negates them in .mps files),
    so a constant becomes the cost of a further column that is fixed to 1.
    """
    arrays = model.arrays()
    names = column_names(model)
    if arrays.offset:
        names.append(CONSTANT)
        one = np.ones(1)
        arrays = replace(
            arrays,
            cost=np.append(arrays.cost, arrays.offset),
            offset=0.0,
            lower=np.append(arrays.lower, one),
            upper=np.append(arrays.upper, one),
            integer=np.append(arrays.integer, np.zeros(1, dtype=np.int32)),
        )
    return arrays, safe_names(names)


def ending_of(path: str | Path) -> str:
    """Return the ending that says what kind of model file it is.

    Raises
    ------
    InputError
        If it is none that is known.
    """
    endings = [ending for some in ENDINGS.values() for ending in some]
    found = [ending for ending in endings if str(path).endswith(ending)]
    if not found:
        raise InputError(f"a file name that ends in {', '.join(endings[:-1])} or {endings[-1]}", file=str(path))
    return found[0]


def kind_of(path: str | Path) -> str:
    """Return the kind of model, ``milp`` or ``cp``, that a file of this name holds."""
    ending = ending_of(path)
    return next(kind for kind, endings in ENDINGS.items() if ending in endings)


def write_model(model: LinearModel | ConstraintModel, path: str | Path) -> None:
    """Write a model, whole or not at all, in the format that the ending says.

    A LinearModel becomes ``.lp``, ``.mps`` or ``.mps.gz``, a ConstraintModel ``.pb.txt`` (CP-SAT) or ``.mzn``
    (MiniZinc, with its numbers in a ``.dzn`` beside it). What its units are is said at the top.

    Raises
    ------
    InputError
        For another ending, or a file that cannot be written.
    """
    from dnnopt.linear_model import LinearModel

    ending = ending_of(path)
    kind = "milp" if isinstance(model, LinearModel) else "cp"
    if ending not in ENDINGS[kind]:
        noun = "linear" if kind == "milp" else "constraint"
        raise InputError(f"one of {', '.join(ENDINGS[kind])}, for this is a {noun} model", file=str(path), value=ending)
    if isinstance(model, LinearModel):
        if ending == ".lp":
            from dnnopt.formats.lp_file import lp_text

            write_text(path, lp_text(model))
            return
        from dnnopt.formats.mps_file import mps_text

        text = mps_text(model)
        # A fixed time stamp: the same model makes the same file.
        write_text(path, gzip.compress(text.encode(), mtime=0) if ending == ".mps.gz" else text)
    elif ending == ".pb.txt":
        from dnnopt.formats.cp_sat_file import cp_sat_text

        write_text(path, cp_sat_text(model))
    else:
        from dnnopt.formats.minizinc_files import minizinc_texts

        text, data = minizinc_texts(model)
        write_text(Path(path).with_suffix(".dzn"), data)
        write_text(path, text)
