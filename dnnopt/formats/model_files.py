"""Model files: .lp and .mps, written by HiGHS, with names that every reader takes."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dnnopt.errors import InputError
from dnnopt.formats.files import read_text, write_text

if TYPE_CHECKING:
    from dnnopt.linear_model import LinearModel

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.,()]")
_LONGEST = 200
# HiGHS heads the integer sections of .lp files `bin` and `gen`; CBC takes these for names of variables, and reads the
# file as a pure LP without a word. All readers know the long forms.
_SECTIONS = {"bin": "binaries", "gen": "generals", "semi": "semi-continuous"}


def safe_names(names: list[str]) -> list[str]:
    """Return names that survive in .lp and .mps files: letters, digits and ``_ . , ( )``; each one its own."""
    safe: list[str] = []
    taken: dict[str, int] = {}
    for name in names:
        short = _FORBIDDEN.sub("_", name)
        if len(short) > _LONGEST:
            short = f"{short[: _LONGEST - 10]}..{short[-8:]}"
        if short in taken:
            taken[short] += 1
            short = f"{short}..{taken[short]}"
        taken[short] = 1
        safe.append(short)
    return safe


def write_model(model: LinearModel, path: str | Path) -> None:
    """Write a linear model as ``.lp`` or ``.mps``, whole or not at all; its units are said at the top.

    Raises
    ------
    InputError
        For another ending, or a file that cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".lp", ".mps"):
        raise InputError("a file name that ends in .lp or .mps", file=str(path), value=path.suffix)
    text = _highs_text(model, path.suffix)
    comment = f"{model.name}. {model.units.describe()}"
    if path.suffix == ".lp":
        text = "\n".join(_SECTIONS.get(line, line) for line in text.split("\n"))
        text = f"\\ {comment}\n{text}"
    else:
        text = f"* {comment}\n{text}"
    write_text(path, text)


def _highs_text(model: LinearModel, suffix: str) -> str:
    import highspy

    from dnnopt.solvers.highs import pass_model

    highs = pass_model(model.arrays())
    lp = highs.getLp()
    lp.col_names_ = safe_names(model.column_names())
    lp.row_names_ = safe_names(model.row_names())
    lp.model_name_ = re.sub(r"\W+", "_", model.name)
    if highs.passModel(lp) == highspy.HighsStatus.kError:
        raise RuntimeError("HiGHS refused the model")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"model{suffix}"
        # A warning means that the writer replaced all names by its own.
        if highs.writeModel(str(file)) != highspy.HighsStatus.kOk:
            raise RuntimeError(f"HiGHS could not write {suffix} with these names")
        return read_text(file)
