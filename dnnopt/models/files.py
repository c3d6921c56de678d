"""Model files: which ending is written how."""

from __future__ import annotations

from pathlib import Path

from dnnopt.base.errors import InputError
from dnnopt.base.files import write_text
from dnnopt.models.constraint import ConstraintModel
from dnnopt.models.cp_sat import cp_sat_text
from dnnopt.models.linear import LinearModel
from dnnopt.models.lp import lp_text
from dnnopt.models.minizinc import minizinc_texts
from dnnopt.models.mps import mps_text

# kind of model -> the endings of its files
ENDINGS = {"milp": (".lp", ".mps", ".mps.gz"), "cp": (".pb.txt", ".mzn")}


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


def file_kind(path: str | Path) -> str:
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
        For another ending, a number that no file can hold, or a file that cannot be written.
    """
    ending = ending_of(path)
    kind = "milp" if isinstance(model, LinearModel) else "cp"
    if ending not in ENDINGS[kind]:
        noun = "linear" if kind == "milp" else "constraint"
        raise InputError(f"one of {', '.join(ENDINGS[kind])}, for this is a {noun} model", file=str(path), value=ending)
    if isinstance(model, LinearModel):
        model.complete()
        if ending == ".lp":
            write_text(path, lp_text(model))
            return
        write_text(path, mps_text(model))
    elif ending == ".pb.txt":
        write_text(path, cp_sat_text(model))
    else:
        text, data = minizinc_texts(model)
        write_text(Path(path).with_suffix(".dzn"), data)
        write_text(path, text)
