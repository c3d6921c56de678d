"""What ties the nodes of a block: rules on placements, and what they leave of the places that are allowed."""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem, kept
from dnnopt.compiled.metrics import Array, Index, Mask


@kept
def all_ties(c: CompiledProblem) -> Index:
    """Return the rows (first node, second node, block) of all ties (R, 3)."""
    rows = [(u, v, number) for number, block in enumerate(c.blocks) for u, v in block.ties]
    return np.array(rows, dtype=np.int64).reshape(len(rows), 3)


def torn_blocks(c: CompiledProblem, placements: Index) -> Array:
    """Return how many ties placements (B, N) break (B,)."""
    assert c.block is not None
    u, v, number = all_ties(c).T
    inside, host = c.block[np.arange(placements.shape[1]), placements], c.executor_host[placements]
    before, after = inside[:, u] == number, inside[:, v] == number
    return ((before != after) | (before & (host[:, u] != host[:, v]))).sum(axis=1).astype(float)


def tied(c: CompiledProblem, allowed: Mask) -> Mask:
    """Return what is left of the allowed places (N, k): in a block where all of its nodes may be in it on one host."""
    if c.block is None:
        return allowed
    left = allowed.copy()
    for number, block in enumerate(c.blocks):
        nodes = np.array(block.nodes)
        here = c.block[nodes] == number
        able = np.ones(len(c.host_names), dtype=bool)
        for node, mine in zip(nodes, here, strict=True):
            hosts = np.zeros(len(c.host_names), dtype=bool)
            hosts[c.executor_host[mine & allowed[node]]] = True
            able &= hosts
        left[nodes] &= ~here | able[c.executor_host]
    return left


def apart(c: CompiledProblem, allowed: Mask) -> Mask:
    """Return the allowed places (N, k) that are in no block."""
    return allowed if c.block is None else allowed & (c.block < 0)
