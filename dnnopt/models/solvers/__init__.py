"""Solvers behind one interface, one file each."""

from __future__ import annotations

from functools import partial
from importlib import import_module

from dnnopt.base.errors import InputError
from dnnopt.models.solvers.interface import Solver

# name -> (module, kind of model that it solves); modules are imported when first used, as that is slow
_SOLVERS = {
    "highs": ("dnnopt.models.solvers.highs", "milp"),
    "cbc": ("dnnopt.models.solvers.cbc", "milp"),
    "scip": ("dnnopt.models.solvers.scip", "milp"),
    "cpsat": ("dnnopt.models.solvers.cpsat", "cp"),
}
# The same without their presolve, which is where wrong optima have come from.
_UNPRESOLVED = "-unpresolved"
_HAVE_UNPRESOLVED = ("highs", "cpsat")
_PYOMO = "pyomo:"


def names(kind: str | None = None) -> list[str]:
    """Return the names of all solvers, or of those for ``milp`` or ``cp`` models; ``pyomo:NAME`` are further ones."""
    return [name for name, (_, solves) in _SOLVERS.items() if kind in (None, solves)]


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
        unpresolved = ", ".join(other + _UNPRESOLVED for other in _HAVE_UNPRESOLVED)
        raise InputError(f"one of {', '.join(names())}, {unpresolved}, or pyomo:NAME", field="solver", value=name)
    return _SOLVERS[plain][1]


def _plain(name: str) -> str:
    """Return the name of the solver with its presolve."""
    plain = name.removesuffix(_UNPRESOLVED)
    return plain if plain in _HAVE_UNPRESOLVED else name


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
    try:
        module = import_module(_SOLVERS[_plain(name)][0])
        return module.solve if name in _SOLVERS else module.solve_unpresolved
    except ModuleNotFoundError as error:
        if error.name != "pyscipopt":
            raise
        raise InputError("", field="solver", problem='SCIP is not installed: pip install "dnnopt[scip]"') from None
