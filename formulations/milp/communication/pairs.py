"""The variables `y_ep` that every pairwise linearisation shares."""

from __future__ import annotations

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.formulations.edges import edge_labels, edge_uses_pair, pair_labels
from dnnopt.models.arrays import Columns
from dnnopt.models.linear import LinearModel


def add_pair_variables(model: LinearModel, c: CompiledProblem) -> Columns:
    """Add `y_ep` (E, P), fixed to zero for pairs without a route and for moves that are forbidden."""
    return model.add_variables(
        "y",
        (len(c.edges), len(c.pair_origin)),
        axes=lambda: (edge_labels(c), pair_labels(c)),
        upper=c.edge_moves,
        evaluate=lambda placement: edge_uses_pair(c, placement),
    )
