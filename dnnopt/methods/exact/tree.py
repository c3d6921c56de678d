"""Exact method `tree`: dynamic programming over a tree decomposition of the network (see `bounds/tree_program.py`).

For linear objectives (sequential latency, energy, cost, traffic, and sums of these) where nothing couples layers but
the tensors: placements, pins and routes are its only constraints. Any graph of small treewidth.
"""

from __future__ import annotations

import math

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.linear import SCOPE
from dnnopt.methods.programs.rows import linear_costs
from dnnopt.methods.programs.tree_program import TreeProgram
from dnnopt.models.solvers.interface import Control, Limits, Outcome


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why the problem is not of this kind, or None."""
    return SCOPE.refuses(compiled) or TreeProgram.refuses(compiled)


def run(pool: Pool, limits: Limits, control: Control) -> Outcome:
    """Solve the pool's problem."""
    value, placement = TreeProgram(pool.compiled).solve(*linear_costs(pool.compiled))
    if math.isinf(value):
        return Outcome("infeasible")
    pool.offer_placement(placement, "tree")
    pool.add_bound(value, "tree")
    return Outcome("optimal")
