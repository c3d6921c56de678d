"""The best schedule of a placement: what is left of `cp-schedule` when every node has its place, solved by CP-SAT."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import CustomLimit
from dnnopt.compiled.metrics import Index
from dnnopt.formulations.cp.schedule import ScheduleFormulation
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.plan import Plan

SOURCE = "sequencing (cpsat)"


def placed(compiled: CompiledProblem, placement: Index) -> CompiledProblem:
    """Return the problem in which every node must be where the placement (N,) has it."""
    allowed = np.zeros_like(compiled.allowed)
    allowed[np.arange(len(placement)), placement] = True
    moves = compiled.edge_pairs(placement)[:, None] == np.arange(len(compiled.pair_origin))
    return replace(compiled, allowed=allowed & compiled.allowed, forbidden_moves=~moves)


def sequence(pool: Pool, plan: Plan, limits: Limits, control: Control) -> bool:
    """Offer the pool a better schedule of a plan's placement.

    Parameters
    ----------
    pool : Pool
    plan : Plan
        Where the search starts; feasible.
    limits : Limits
    control : Control

    Returns
    -------
    bool
        Whether the placement has no schedule better than what the pool has now.
    """
    from dnnopt.models.solvers import cpsat

    formulation = ScheduleFormulation()
    compiled = placed(pool.compiled, pool.compiled.placement(plan))
    # Constraints of the user's own are about placements, and this one keeps to them.
    kept = tuple(one for one in compiled.constraints if not isinstance(one, CustomLimit))
    compiled = replace(compiled, constraints=kept, cap=objective_of(pool, plan))
    if formulation.supports(compiled):
        return False
    model = formulation.build(compiled)
    start = formulation.encode(compiled, model, plan)
    outcome = cpsat.solve(model, limits, start, Control(stop=control.stop, log=control.log))
    if outcome.values is not None:
        pool.offer(formulation.read(compiled, model, outcome.values), SOURCE)
    return outcome.status in ("optimal", "infeasible")


def objective_of(pool: Pool, plan: Plan) -> float:
    """Return a plan's objective at the pool's stage."""
    from dnnopt.referee import evaluate

    return evaluate(pool.problem, plan).objectives[pool.stage]
