"""Modules of a user's own, imported by name or from a file, so that what they register is there."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from dnnopt.base.errors import InputError

_FIELD = "--plugin"
# Code that a plugin's mistake passes through: this package, and what imports modules.
_NOT_OWN = ("<frozen", str(Path(__file__).parent.parent) + os.sep, str(Path(importlib.__file__).parent) + os.sep)


def is_file(name: str) -> bool:
    """Return whether a plugin is meant to be a file, not the name of a module."""
    return name.endswith(".py") or os.sep in name


def located(names: Iterable[str]) -> tuple[str, ...]:
    """Return plugins such that a process in another folder finds the same files."""
    return tuple(os.path.abspath(name) if is_file(name) else name for name in names)


def load_plugin(name: str) -> None:
    """Import a module: ``NAME`` of the current folder or of what is installed, or a path to a ``.py`` file.

    What is imported already is not imported again.

    Raises
    ------
    InputError
        If there is no such module, or if it fails: with its own message, and the file and the line.
    """
    if is_file(name) and not Path(name).is_file():
        raise InputError("a .py file", field=_FIELD, value=name)
    try:
        if is_file(name):
            _import_file(Path(name))
        else:
            _find_in(Path.cwd())
            importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            expected = "a module in this folder or installed, or a path to a .py file"
            raise InputError(expected, field=_FIELD, value=name) from None
        raise InputError("", field=_FIELD, problem=f"{name} failed: {_told(error)}") from error


def _import_file(path: Path) -> None:
    path = path.resolve()
    name = f"dnnopt_plugin_{path}"  # no import statement can name it
    if name in sys.modules:
        return
    _find_in(path.parent)  # its own imports
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _find_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _told(error: BaseException) -> str:
    """Return where an error was raised, and what it says."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SystemExit):
        what = "it ends the program"
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    own = [place for place in places if not place[0].startswith(_NOT_OWN)]
    return f"{own[-1][0]}, line {own[-1][1]}: {what}" if own else what
