"""Solvers behind one interface, one file each."""

from __future__ import annotations

from importlib import import_module

from dnnopt.errors import InputError
from dnnopt.solvers.interface import Solver

# name -> (module, kind of model that it solves); modules are imported when first used, as that is slow
_SOLVERS = {
    "highs": ("dnnopt.solvers.highs", "milp"),
    "cbc": ("dnnopt.solvers.cbc", "milp"),
    "cpsat": ("dnnopt.solvers.cpsat", "cp"),
}


def names(kind: str | None = None) -> list[str]:
    """Return the names of all solvers, or of those for ``milp`` or ``cp`` models."""
    return [name for name, (_, solves) in _SOLVERS.items() if kind in (None, solves)]


def solver(name: str, kind: str) -> Solver:
    """Return the solver of that name.

    Raises
    ------
    InputError
        If there is none, or it does not solve models of this kind.
    """
    if name not in _SOLVERS:
        raise InputError(f"one of {', '.join(names())}", field="solver", value=name)
    module, solves = _SOLVERS[name]
    if solves != kind:
        raise InputError(f"a solver for {kind} models: {', '.join(names(kind))}", field="solver", value=name)
    return import_module(module).solve
