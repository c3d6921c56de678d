"""Cutting plans into blocks: heuristics place layers, and what they place is cut into blocks afterwards.

A layer that moves alone tears its block, so searches look at plans without blocks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem, kept
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.metrics import Index
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
    """Return a placement (N,) with blocks in it, where that is better: each time the best of all that may be added."""
    evaluator, hosts = evaluator_of(c), len(c.host_names)
    while True:
        candidates = [placement]
        for number, block in enumerate(c.blocks):
            nodes = np.array(block.nodes)
            assert c.block is not None
            host = c.executor_host[placement[nodes]]
            if (c.block[nodes, placement[nodes]] >= 0).any() or (host != host[0]).any():
                continue
            cut_there = placement.copy()
            for node in block.nodes:
                cut_there[node] += hosts * (int((c.block[node] == number).argmax()) // hosts)
            if c.allowed[nodes, cut_there[nodes]].all():
                candidates.append(cut_there)
        better = best(evaluator, np.array(candidates))
        if (better == placement).all():
            return placement
        placement = better
