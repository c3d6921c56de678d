"""Cutting plans into blocks: heuristics place layers, and what they place is cut into blocks afterwards.

A layer that moves alone tears its block, so searches look at plans without blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem, kept
from dnnopt.compiled.evaluator import Evaluator, evaluator_of
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.ties import apart
from dnnopt.methods.heuristics.choice import best


@kept
def without_blocks(c: CompiledProblem) -> CompiledProblem:
    """Return the problem in which each layer runs by itself; its placements are placements of the problem."""
    return replace(c, allowed=apart(c, c.allowed), blocks=(), block=None) if c.blocks else c


def uncut(c: CompiledProblem, placement: Index) -> Index:
    """Return a placement (N,) in which the same layers, on the same hosts, with the same forms, run by themselves."""
    return c.placement(c.plan(placement).replace(blocks={})) if c.blocks else placement


def cut(c: CompiledProblem, placement: Index) -> Index:
    """Return a placement (N,) with blocks in it, where that is better.

    Of all blocks that make it better each by itself, the best come first, and of the others those beside them.
    """
    if not c.blocks:
        return placement
    evaluator = evaluator_of(c)
    while True:
        options = [one for one in _possible(c, placement) if c.allowed[one].all()]
        if not options:
            return placement
        candidates = np.tile(placement, (len(options), 1))
        for row, (nodes, executors) in enumerate(options):
            candidates[row, nodes] = executors
        known = _value(evaluator, placement[None])
        values = _value(evaluator, candidates)
        order = [row for row in np.lexsort(values[::-1]) if tuple(values[:, row]) < tuple(known[:, 0])]
        together, taken = placement.copy(), np.zeros(len(placement), dtype=bool)
        for row in order:
            nodes, executors = options[row]
            if not taken[nodes].any():
                together[nodes], taken[nodes] = executors, True
        better = best(evaluator, np.array([placement, *candidates[order[:1]], together]))
        if (better == placement).all():
            return placement
        placement = better


def _value(evaluator: Evaluator, placements: Index) -> Array:
    """Return the excess and the objective of placements (2, B)."""
    return np.stack([evaluator.excess(placements), evaluator.objectives(placements)])


def _possible(c: CompiledProblem, placement: Index) -> Iterator[tuple[Index, Index]]:
    """Yield the nodes of each block that are on one host by themselves, and their executors in the block."""
    assert c.block is not None
    hosts, inside = len(c.host_names), c.block[np.arange(len(placement)), placement]
    for number, block in enumerate(c.blocks):
        nodes = np.array(block.nodes)
        host = c.executor_host[placement[nodes]]
        if (inside[nodes] < 0).all() and (host == host[0]).all():
            choice = (c.block[nodes] == number).argmax(axis=1) // hosts
            yield nodes, placement[nodes] + hosts * choice
