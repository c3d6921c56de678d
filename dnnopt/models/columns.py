"""What a model file says of itself: its columns in their order, and its header."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from dnnopt.base.errors import InputError
from dnnopt.base.files import read_text
from dnnopt.models.files import ending_of

_NAME_IN_PROTO = re.compile(r"^variables \{\s*name: \"([^\"]*)\"", re.MULTILINE)
_NAMES_IN_DATA = re.compile(r"^name = \[(.*?)\];", re.MULTILINE | re.DOTALL)


def read_columns(path: str | Path, *, allow_large: bool = False) -> tuple[list[str], str]:
    """Return the names of a model file's columns as solvers number them, and its first line.

    Raises
    ------
    InputError
        If the file cannot be read as a model, or is too large and that is not allowed.
    """
    path = Path(path)
    ending = ending_of(path)
    text = read_text(path, allow_large=allow_large)
    if ending == ".pb.txt":
        columns = _NAME_IN_PROTO.findall(text)
    elif ending == ".mzn":
        listed = _NAMES_IN_DATA.search(read_text(path.with_suffix(".dzn"), allow_large=allow_large))
        columns = re.findall(r'"([^"]*)"', listed[1]) if listed else []
    else:
        columns = _linear_columns(path, text, ".lp" if ending == ".lp" else ".mps")
    if not columns:
        raise InputError("", file=str(path), problem="not a model file: no variables in it")
    return columns, text.partition("\n")[0]


def _linear_columns(path: Path, text: str, ending: str) -> list[str]:
    import highspy

    highs = highspy.Highs()
    highs.silent()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"model{ending}"
        file.write_text(text, encoding="utf-8")
        if highs.readModel(str(file)) == highspy.HighsStatus.kError:
            raise InputError("", file=str(path), problem=f"not a {ending} file that HiGHS can read")
    return list(highs.getLp().col_names_)
