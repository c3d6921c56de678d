"""Communication `segments`: one variable for each block, or layer by itself, and host; copies at their boundaries.

    Σ_{s ∋ v} Σ_h z_sh = 1                              each layer v is in one segment s: a block, or the layer alone
    y_eii + Σ_{j != i} y_eij = Σ_{s ∋ u, s ∌ v} z_si    for each edge e = (u, v) and device i
    y_ejj + Σ_{i != j} y_eij = Σ_{s ∋ v, s ∌ u} z_sj    for each edge e and device j

The executors of all layers of a block are one variable, and the marginals of `edgewise` are those of boundaries: what
is inside a segment goes nowhere. On a chain without coupling constraints these are the flows of the shortest path over
blocks and hosts, so the relaxation is exact there; elsewhere it is as good as `edgewise` between the blocks. A layer
that makes tensors with forms keeps variables for each, tied to its block's. Without blocks it is `edgewise`.
Size: a variable for each block and host, in place of one for each of its layers.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index, Mask
from dnnopt.formulations.executors import add_some_executors
from dnnopt.formulations.milp.communication import edgewise
from dnnopt.formulations.milp.placement import add_placement
from dnnopt.formulations.moves import PairMoves
from dnnopt.models.arrays import Columns, Joined, Values
from dnnopt.models.linear import LinearModel


def add_segments(model: LinearModel, c: CompiledProblem) -> Columns:
    """Add the segments and that each node is in one; return the columns of x (N, k)."""
    if c.block is None:
        return add_placement(model, c)
    model.shares_columns = True
    formed = np.isin(np.arange(len(c.node_names)), list(c.choices))
    shared = (c.block >= 0) & ~formed[:, None]
    x = add_some_executors(model, c, c.allowed & ~shared, integer=True)
    listed = [(number, host) for number in range(len(c.blocks)) for host in range(len(c.host_names))]
    places = []
    for number, host in listed:
        nodes, executors = np.nonzero(shared & (c.block == number) & (c.executor_host == host))
        if len(nodes) and c.allowed[nodes, executors].all():
            places.append((number, host, nodes, executors))
    first = np.array([(nodes[0], executors[0]) for _, _, nodes, executors in places], dtype=np.int64).reshape(-1, 2)

    def chosen(placement: Index) -> Values:
        return (placement[first[:, 0]] == first[:, 1]).astype(float)

    labels = [Joined(c.blocks[number].named.name, c.host_names[host]) for number, host, _, _ in places]
    columns = model.add_variables(
        "segment", (len(places),), axes=lambda: (labels,), upper=1.0, integer=True, evaluate=chosen
    )
    for column, (_, _, nodes, executors) in zip(columns, places, strict=True):
        x[nodes, executors] = column
    model.placement = x
    model.add_rows("cover", x, 1.0, lower=1.0, upper=1.0, axes=lambda: (c.node_names,))
    return x


def add_pairs(model: LinearModel, c: CompiledProblem, x: Columns) -> PairMoves:
    """Add the variables and rows of boundaries; return the moves."""
    return edgewise.add_pairs(model, c, x, None if c.block is None else _inside(c, c.block))


def _inside(c: CompiledProblem, block: Index) -> Mask:
    """Return in which executors of its producer and of its consumer an edge is inside a block (2, E, k)."""
    member = np.zeros((len(c.node_names), len(c.blocks) + 1), dtype=bool)  # no node is in block -1, the last column
    for number, one in enumerate(c.blocks):
        member[list(one.nodes), number] = True
    u, v = c.edge_producer, c.edge_consumer
    return np.stack([member[v[:, None], block[u]], member[u[:, None], block[v]]])
