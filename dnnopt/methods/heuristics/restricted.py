"""The MILP by which matheuristics place what they leave open."""

from __future__ import annotations

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index
from dnnopt.formulations import registry
from dnnopt.formulations.formulation import Formulation
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers.interface import Control, Limits

_PREFERRED = ("edgewise", "boundary", "product")
_TIMED = ("edgewise+modules", *_PREFERRED)
_SECONDS = 5.0  # for a MILP, without an iteration limit


def placing(c: CompiledProblem) -> Formulation | None:
    """Return the MILP that places layers, or None where none supports the problem.

    `edgewise`, or another one where it does not support the problem; under `scheduled` execution the relaxation by
    modules.
    """
    able = registry.supporting(c, "milp")
    for name in _TIMED if c.execution == "scheduled" else _PREFERRED:
        if any(full == name or full.partition("+")[0] == name for full in able):
            return registry.formulation(name, c)
    return None


def placed(
    restricted: CompiledProblem, formulation: Formulation, first: Index | None, effort: Effort
) -> tuple[Index | None, bool]:
    """Return the best placement (N,) of a restricted problem, if one is found in the time; and whether it was solved.

    Parameters
    ----------
    restricted : CompiledProblem
    formulation : Formulation
    first : array (N,), optional
        A placement to start from.
    effort : Effort
    """
    from dnnopt.models.solvers import highs

    model = formulation.build(restricted)
    assert isinstance(model, LinearModel)
    model.complete()
    start = None if first is None else formulation.encode(restricted, model, first)
    left = effort.clock.left()
    if effort.iterations is None:
        left = _SECONDS if left is None else min(left, _SECONDS)
    limits = Limits(left, 1e-6, 1, effort.seed)
    # Nothing is proved here, and most variables are fixed, so presolve helps.
    outcome = highs.solve_arrays(model.arrays(), limits, start, Control(stop=effort.stop), presolve=True)
    found = None if outcome.values is None else formulation.read(restricted, model, outcome.values)
    return found, outcome.status in ("optimal", "infeasible")
