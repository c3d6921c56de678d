"""What the methods for linear objectives share: what they accept, and what moving a tensor costs."""

from __future__ import annotations

import numpy as np

from dnnopt.compiled import CompiledProblem, LinearTerm
from dnnopt.methods.rows import exposes
from dnnopt.metrics import Array


def refuses(compiled: CompiledProblem) -> str | None:
    """Return what a sum over layers and copies of tensors does not tell, or None.

    Placements, pins and routes are the only limits.
    """
    for constraint in compiled.constraints:
        return f"the constraint {constraint.label}"
    if not all(isinstance(term, LinearTerm) for term in compiled.objective[0]):
        return "an objective that is not linear"
    if exposes(compiled):
        return "exposure in the objective"
    return None


def move_costs(compiled: CompiledProblem, beta: Array) -> Array:
    """Return what each edge costs alone, from its producer's executor to its consumer's (E, k, k); inf: impossible.

    Parameters
    ----------
    compiled : CompiledProblem
    beta : array (T, L)
        What a copy of each tensor costs over each link.
    """
    c, at = compiled, compiled.executor_device
    costs = np.zeros((len(c.edges), len(c.device_names), len(c.device_names)))
    over = beta[c.edge_tensor] @ c.pair_uses_link.T
    costs[:, c.pair_origin, c.pair_destination] = np.where(c.edge_moves, over, np.inf)
    return costs[:, at[:, None], at[None, :]]
