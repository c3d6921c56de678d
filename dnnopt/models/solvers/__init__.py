"""Solvers behind one interface, one file and one row of `_SOLVERS` each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from dnnopt.base.errors import InputError
from dnnopt.base.programs import NO_CBC, find_cbc
from dnnopt.models.solvers.interface import Solver


@dataclass(frozen=True)
class _Listed:
    """A solver: what its module, of the same name, solves with `solve`; modules are imported when first used."""

    kind: str  # of models, "milp" or "cp"
    unpresolved: bool = False  # whether it has `solve_unpresolved`: presolve is where wrong optima have come from
    missing: Callable[[], str] = lambda: ""  # what to do where it is not installed; empty where it is


_NO_SCIP = 'SCIP is not installed: pip install "dnnopt[scip]"'
_SOLVERS = {
    "highs": _Listed("milp", unpresolved=True),
    "cbc": _Listed("milp", missing=lambda: "" if find_cbc() else NO_CBC),
    "scip": _Listed("milp", missing=lambda: "" if find_spec("pyscipopt") else _NO_SCIP),
    "cpsat": _Listed("cp", unpresolved=True),
}
_UNPRESOLVED = "-unpresolved"
_PYOMO = "pyomo:"


def names(kind: str | None = None) -> list[str]:
    """Return the names of all solvers, or of those for ``milp`` or ``cp`` models; ``pyomo:NAME`` are further ones."""
    return [name for name, one in _SOLVERS.items() if kind in (None, one.kind)]


def solver_kind(name: str) -> str:
    """Return the kind of models that a solver solves, ``milp`` or ``cp``.

    Raises
    ------
    InputError
        If there is no such solver.
    """
    if name.startswith(_PYOMO) and len(name) > len(_PYOMO):
        return "milp"
    plain = _plain(name)
    if plain not in _SOLVERS:
        unpresolved = ", ".join(other + _UNPRESOLVED for other, one in _SOLVERS.items() if one.unpresolved)
        raise InputError(f"one of {', '.join(names())}, {unpresolved}, or pyomo:NAME", field="solver", value=name)
    return _SOLVERS[plain].kind


def _plain(name: str) -> str:
    """Return the name of the solver with its presolve."""
    plain = name.removesuffix(_UNPRESOLVED)
    return plain if plain in _SOLVERS and _SOLVERS[plain].unpresolved else name


def missing(name: str) -> str:
    """Return how to get a solver of `names` that is not installed; empty where it is."""
    return _SOLVERS[_plain(name)].missing()


def solver(name: str, kind: str) -> Solver:
    """Return the solver of that name.

    Raises
    ------
    InputError
        If there is none, it is not installed, or it does not solve models of this kind.
    """
    if solver_kind(name) != kind:
        raise InputError(f"a solver for {kind} models: {', '.join(names(kind))}", field="solver", value=name)
    if name.startswith(_PYOMO):
        through_pyomo, own = import_module("dnnopt.models.solvers.pyomo_solver"), name.removeprefix(_PYOMO)
        through_pyomo.interface(own)  # refuses what is not there
        return partial(through_pyomo.solve, own)
    if problem := missing(name):
        raise InputError("", field="solver", problem=problem)
    plain = _plain(name)
    module = import_module(f"{__name__}.{plain}")
    return module.solve if name == plain else module.solve_unpresolved
