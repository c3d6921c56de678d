"""Packages that only some installations have."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dnnopt.base.errors import InputError


def optional(module: str, name: str, extra: str) -> Any:
    """Return a module of a package that comes with an extra.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise InputError("", problem=f'{name} is not installed: pip install "dnnopt[{extra}]"') from None
