"""Ties: the layers of a block have it together, on one host. Shared by all formulations.

Σ_i x_ui = Σ_i x_vi     over the executors i of host h in block b, for the edges (u, v) of a spanning tree of b
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.ties import all_ties
from dnnopt.models.arrays import Columns, Joined


@dataclass(frozen=True, eq=False)
class TieRows:
    """Rows `signs · columns = 0`, given by their entries.

    Attributes
    ----------
    labels : tuple of str
        Of each row.
    row, columns, signs : arrays
        Of each entry.
    """

    labels: tuple[str, ...]
    row: Index
    columns: Columns
    signs: Index


def tie_rows(c: CompiledProblem, x: Columns) -> TieRows:
    """Return the rows that tie the executors of nodes, given the columns of x (N, k)."""
    assert c.block is not None
    ties, hosts = all_ties(c), len(c.host_names)
    places, columns, signs = [], [], []
    for end, sign in ((0, 1), (1, -1)):
        node = ties[:, end]
        tie, executor = np.nonzero((c.block[node] == ties[:, 2:]) & c.allowed[node])
        places.append(tie * hosts + c.executor_host[executor])
        columns.append(x[node[tie], executor])
        signs.append(np.full(len(tie), sign))
    width = int(x.max(initial=0)) + 1
    keys, inverse = np.unique(
        np.concatenate(places) * width + np.concatenate(columns).astype(np.int64), return_inverse=True
    )
    total = np.bincount(inverse, weights=np.concatenate(signs), minlength=len(keys)).astype(np.int64)
    keys, total = keys[total != 0], total[total != 0]  # nodes may share a column, which says all
    used, row = np.unique(keys // width, return_inverse=True)
    labels = tuple(
        Joined(c.blocks[b].named.name, c.node_names[u], c.node_names[v], c.host_names[host])
        for (u, v, b), host in zip(ties[used // hosts].tolist(), (used % hosts).tolist(), strict=True)
    )
    return TieRows(labels, row, (keys % width).astype(x.dtype), total)
