"""Programs that only some installations have, from wherever they come."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from typing import Any

NO_CBC = (
    'CBC is not installed: pip install "dnnopt[cbc]" (macOS before 15 has no such wheel), or pip install '
    '"dnnopt[modelling]", as PuLP brings one for most systems, or put a program called cbc on the PATH'
)


@dataclass(frozen=True)
class Program:
    """A program that runs here.

    Attributes
    ----------
    path : str
    source : str
        The package that brought it, with its version, or ``PATH``.
    """

    path: str
    source: str


def find_cbc() -> Program | None:
    """Return CBC: of the cbcbox wheel, else PuLP's own, else the one on the PATH; None where none of them runs."""
    return next((program for program in _known_cbc() if _runs(program.path)), None)


def _known_cbc() -> Iterator[Program]:
    if (cbcbox := _package("cbcbox")) is not None:
        yield Program(str(cbcbox.cbc_bin_path()), f"cbcbox {metadata.version('cbcbox')}")
    if (pulp := _package("pulp")) is not None and getattr(pulp, "PULP_CBC_CMD", None) is not None:
        yield Program(os.path.normpath(pulp.PULP_CBC_CMD.pulp_cbc_path), f"PuLP {metadata.version('pulp')}")
    if (path := shutil.which("cbc")) is not None:
        yield Program(path, "PATH")


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


@cache
def _runs(path: str) -> bool:
    """Return whether a program starts here: wheels may hold one for another processor, or that lacks a library."""
    try:
        done = subprocess.run([path, "-quit"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
