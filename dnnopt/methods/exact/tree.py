"""Exact method `tree`: dynamic programming over a tree decomposition of the network (see `bounds/tree_program.py`).

For linear objectives (sequential latency, energy, cost, traffic, and sums of these) where nothing couples layers but
the tensors: placements, pins and routes are its only constraints. Any graph of small treewidth. Modes of devices are
further places for a layer, and so are the blocks that it may run in; the form of a tensor is chosen in the cost of
sending it.
"""

from __future__ import annotations

import math
from dataclasses import replace

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs import linear
from dnnopt.methods.programs.rows import event_costs, linear_costs
from dnnopt.methods.programs.tree_program import TreeProgram
from dnnopt.models.solvers.interface import Control, Limits, Outcome

SCOPE = replace(linear.SCOPE, choices=True, blocks=True)


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why the problem is not of this kind, or None."""
    return SCOPE.refuses(compiled) or TreeProgram.refuses(compiled)


def run(pool: Pool, limits: Limits, control: Control) -> Outcome:
    """Solve the pool's problem."""
    c = pool.compiled
    value, placement = TreeProgram(c).solve(*linear_costs(c), event_costs(c))
    if math.isinf(value):
        return Outcome("infeasible")
    pool.offer_placement(placement, "tree")
    pool.add_bound(value, "tree")
    return Outcome("optimal")
