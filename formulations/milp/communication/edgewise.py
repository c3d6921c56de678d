"""Communication `edgewise`: the pairs of an edge have the placements of its ends as marginals.

    y_eii + Σ_{j != i} y_eij = x_ui        for each edge e = (u, v) and device i
    y_ejj + Σ_{i != j} y_eij = x_vj        for each edge e and device j

The transport polytope of each edge; with binary x it makes y integral. The relaxation is exact on trees without
coupling constraints and far stronger than `product` elsewhere (local marginal polytope: Wainwright, Jordan, Graphical
models, exponential families, and variational inference, 2008, section 4.1). Where tensors have several entries, the
marginals of an edge are those of the executors that make its entry, and the consumer's are those of all entries.
Size: E k² variables, 2 E k rows.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index, Mask
from dnnopt.formulations.edges import at_device, at_origin, edge_labels, edge_stays
from dnnopt.formulations.milp.communication.copies import add_copies
from dnnopt.formulations.milp.communication.pairs import add_pair_variables
from dnnopt.formulations.moves import PairMoves
from dnnopt.models.arrays import Columns, Values
from dnnopt.models.linear import LinearModel


def add_pairs(model: LinearModel, c: CompiledProblem, x: Columns, inside: Mask | None = None) -> PairMoves:
    """Add the variables and rows; return the moves.

    `inside` (2, E, k): executors of the producer and of the consumer of an edge in which it is in no row, as both ends
    are then together.
    """
    y = add_pair_variables(model, c)
    devices = np.arange(len(c.device_names))

    stay = model.add_variables(
        "stay",
        (len(c.edges), len(devices)),
        axes=lambda: (edge_labels(c), c.device_names),
        upper=1.0,
        evaluate=lambda placement: _stays(c, placement, inside),
    )
    by_origin = np.argsort(c.pair_origin, kind="stable").reshape(len(devices), -1)
    by_destination = np.argsort(c.pair_destination, kind="stable").reshape(len(devices), -1)
    if inside is None:
        before, after = at_origin(c, x, model), at_device(c, x, model).take(c.edge_consumer, axis=0)
    else:
        apart = c.makes & ~inside[0]
        before = at_device(c, np.where(apart, x[c.edge_producer], model.zero), model)
        after = at_device(c, np.where(inside[1], model.zero, x[c.edge_consumer]), model)
    for name, pairs, at in (("leave", by_origin, before), ("enter", by_destination, after)):
        columns = np.concatenate([stay[:, :, None], y.take(pairs, axis=1), at], axis=2)
        if name == "enter" and c.made is not None:
            _add_any_entry(model, c, columns, len(devices))
            continue
        values = np.array([1.0] * len(devices) + [-1.0] * at.shape[2])
        model.add_rows(name, columns, values, lower=0.0, upper=0.0, axes=lambda: (edge_labels(c), c.device_names))
    return PairMoves(c, y, add_copies(model, c, y))


def _stays(c: CompiledProblem, placement: Index, inside: Mask | None) -> Values:
    """Return the values of `stay` (E, D)."""
    stays = edge_stays(c, placement)
    if inside is None:
        return stays
    together = inside[0][np.arange(len(c.edges)), placement[c.edge_producer]]
    return stays * ~together[:, None]


def _add_any_entry(model: LinearModel, c: CompiledProblem, columns: Columns, devices: int) -> None:
    """Add the marginals of consumers where tensors have several entries, of which one is made: in one row for each use.

    `columns` (E, D, D + most) are those of the edges' own rows.
    """
    tensor = c.edge_tensor
    level = c.fan_out[tensor]  # entries for consumers of another reach have others
    use = np.stack([c.tensor_number[tensor], level, c.edge_consumer], axis=1)
    _, first, row = np.unique(use, axis=0, return_index=True, return_inverse=True)
    moves, at = columns[:, :, :devices], columns[first][:, :, devices:]

    def rows(use: Index, shape: tuple[int, ...]) -> Index:
        """Return the row of each entry (., D, w) of some uses."""
        return np.broadcast_to((use[:, None] * devices + np.arange(devices))[:, :, None], shape).ravel()

    def labels() -> tuple[list[str], tuple[str, ...]]:
        every = edge_labels(c)
        return [every[edge] for edge in first], c.device_names

    model.add_sparse_rows(
        "enter",
        (len(first), devices),
        np.concatenate([rows(row.ravel(), moves.shape), rows(np.arange(len(first)), at.shape)]),
        np.concatenate([moves.ravel(), at.ravel()]),
        np.concatenate([np.ones(moves.size), -np.ones(at.size)]),
        lower=0.0,
        upper=0.0,
        axes=labels,
    )
