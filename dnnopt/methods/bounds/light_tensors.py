"""Problems without some light tensors: a relaxation with few tensors alive at once.

Tables over states grow with a power of the number of tensors alive at once. In many networks most of these are light:
positions, masks and scales that all layers read. What a layer reads from far away is left out, the lightest first,
until few producers are open at every step. Nothing is sent then, and nothing waits for it; so every plan costs as much
or less, and breaks no limit that it kept. Plans of the relaxation are plans of the problem, where they may cost more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index, Mask
from dnnopt.methods.programs.steps import StepBuilder

_OPEN = (6, 5, 4, 3)  # producers; one with several readers counts twice, as it matters which devices have its tensors


def lighter(c: CompiledProblem) -> Iterator[Mask]:
    """Yield which edges are kept (E,): all, then fewer and fewer."""
    keep = np.ones(len(c.edges), dtype=bool)
    yield keep
    at = np.argsort(StepBuilder(c, []).order())
    spans = at[c.edge_producer], at[c.edge_consumer]
    for most in _OPEN:
        fewer = _thinned(c, keep, *spans, most)
        if not (fewer == keep).all():
            yield fewer
        keep = fewer


def with_edges(c: CompiledProblem, keep: Mask) -> CompiledProblem:
    """Return the problem with some of its edges (E,)."""
    uses = np.ones(len(c.use_tensor), dtype=bool)
    uses[c.edges[~keep]] = False
    moves = None if c.forbidden_moves is None else c.forbidden_moves[keep]
    return replace(c, use_tensor=c.use_tensor[uses], use_consumer=c.use_consumer[uses], forbidden_moves=moves)


def _thinned(c: CompiledProblem, keep: Mask, begin: Index, end: Index, most: int) -> Mask:
    """Return which edges to keep so that at most so many producers are open after every step."""
    keep = keep.copy()
    bytes_ = c.tensor_bytes[c.edge_tensor]

    def over(step: int) -> tuple[Index, Index, int]:
        """Return the edges over a step, the producers of these, and how many these count."""
        edges = np.flatnonzero(keep & (begin <= step) & (end > step))
        producers = np.unique(c.edge_producer[edges])
        readers = np.bincount(c.edge_producer[keep], minlength=len(c.node_names))
        return edges, producers, len(producers) + int((readers[producers] > 1).sum())

    steps = range(len(c.node_names))
    for step in sorted(steps, key=lambda step: -over(step)[2]):
        edges, producers, count = over(step)
        while count > most:
            weight = np.bincount(c.edge_producer[edges], bytes_[edges], len(c.node_names))
            lightest = producers[weight[producers].argmin()]
            keep[edges[c.edge_producer[edges] == lightest]] = False
            edges, producers, count = over(step)
    return keep
