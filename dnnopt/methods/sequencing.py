"""The best schedule of a placement: what is left of `cp-schedule` when every node has its place, solved by CP-SAT."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import CustomLimit
from dnnopt.compiled.metrics import Index
from dnnopt.formulations.cp.schedule import ScheduleFormulation
from dnnopt.methods.formulated import offer_values
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers.interface import Control, Limits

SOURCE = "sequencing (cpsat)"


def fixed_to(compiled: CompiledProblem, placement: Index) -> CompiledProblem:
    """Return the problem in which every node must be where the placement (N,) has it."""
    allowed = np.zeros_like(compiled.allowed)
    allowed[np.arange(len(placement)), placement] = True
    moves = compiled.edge_pairs(placement)[:, None] == np.arange(len(compiled.pair_origin))
    return replace(compiled, allowed=allowed & compiled.allowed, forbidden_moves=~moves)


def sequence(pool: Pool, limits: Limits, control: Control) -> bool:
    """Offer the pool a better schedule of its best plan's placement.

    Parameters
    ----------
    pool : Pool
        With a plan, where the search starts.
    limits : Limits
    control : Control

    Returns
    -------
    bool
        Whether the placement has no schedule better than what the pool has now.
    """
    from dnnopt.models.solvers import cpsat

    formulation, best = ScheduleFormulation(), pool.best
    assert best is not None
    compiled = fixed_to(pool.compiled, best.placement)
    # Constraints of the user's own are about placements, and this one keeps to them.
    kept = tuple(one for one in compiled.constraints if not isinstance(one, CustomLimit))
    compiled = replace(compiled, constraints=kept, cap=best.objective)
    if formulation.supports(compiled):
        return False
    model = formulation.build(compiled)
    start = formulation.encode(compiled, model, best.placement, best.times)
    outcome = cpsat.solve(model, limits, start, Control(stop=control.stop, log=control.log))
    if outcome.values is not None:
        offer_values(pool, formulation, compiled, model, outcome.values, SOURCE)
    return outcome.status in ("optimal", "infeasible")
