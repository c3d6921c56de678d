"""What the methods for linear objectives share: what they accept, and what moving a tensor costs."""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import LinearTerm
from dnnopt.compiled.metrics import Array
from dnnopt.compiled.scope import Scope

# What a sum over layers and copies of tensors tells: placements, pins and routes are the only limits.
SCOPE = Scope(terms=frozenset({LinearTerm}), exposure=False)


def move_costs(compiled: CompiledProblem, beta: Array) -> Array:
    """Return what each edge costs alone, from its producer's executor to its consumer's (E, k, k); inf: impossible.

    Parameters
    ----------
    compiled : CompiledProblem
    beta : array (T, L)
        What a copy of each tensor costs over each link.
    """
    c, at = compiled, compiled.executor_device
    over = beta[c.edge_tensor] @ c.pair_uses_link.T
    costs = c.by_devices(np.where(c.edge_moves, over, np.inf))
    return costs[:, at[:, None], at[None, :]]
