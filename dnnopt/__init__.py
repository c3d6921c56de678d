"""dnnopt: where to run each layer of a deep neural network, proved optimal.

The public names stand in ``__init__.pyi``; each is imported when it is first used, so that ``import dnnopt`` is quick.
"""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.resources import files
from typing import Any

_stub = ast.parse((files(__name__) / "__init__.pyi").read_text(encoding="utf-8"))
_home = {name.name: node.module for node in _stub.body if isinstance(node, ast.ImportFrom) for name in node.names}
__all__ = sorted(_home)


def __getattr__(name: str) -> Any:
    module = _home.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{module}.{name}") if module == __name__ else getattr(import_module(module), name)


def __dir__() -> list[str]:
    return [*__all__]
