"""Folders of results, as bench and compare --over write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.methods.result import read_result


@dataclass(frozen=True)
class BenchRun:
    """A run of a method on a problem.

    Attributes
    ----------
    method : str
        What the way is called.
    data : mapping
        Of its result file.
    file : str
        Where it was read, for messages.
    """

    method: str
    data: Mapping[str, Any]
    file: str = ""


def read_runs(folder: str | Path) -> list[BenchRun]:
    """Return the runs of a folder of ``bench`` or ``compare --over``: ``FOLDER/METHOD/PROBLEM.json``.

    Raises
    ------
    InputError
        If there are none, or a file is no result.
    """
    folder = Path(folder)
    files = sorted(path for path in folder.glob("*/**/*.json") if not path.name.startswith("."))
    if not files:
        raise InputError("", file=str(folder), problem="has no results METHOD/PROBLEM.json of bench or compare --over")
    return [BenchRun(path.relative_to(folder).parts[0], read_result(path), str(path)) for path in files]
