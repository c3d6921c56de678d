"""Copies: what is charged, `w`, for each transport. Shared by all formulations.

    unicast     one copy of a tensor for each destination device: ways are the pairs' routes
    multicast   one copy for each link: ways are single links
    per_edge    one copy for each use: ways are the pairs' routes

A tensor with one use needs no variables of its own: there the pair of its edge is the copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index, LinearMetric
from dnnopt.formulations.edges import edge_labels, edge_uses_pair, pair_labels
from dnnopt.models.arrays import Columns, Values
from dnnopt.models.constraint import ConstraintModel
from dnnopt.models.linear import LinearModel


@dataclass(frozen=True, eq=False)
class Copies:
    """Copy variables of some tensors: each column stands for one copy over the links of its way.

    Attributes
    ----------
    columns : array (m, ways)
    tensor : array (m,)
    ways : array (ways, L)
        Which links each way uses: the routes of the pairs, or single links.
    """

    columns: Columns
    tensor: Index
    ways: Array

    def charge(self, metric: LinearMetric, tensor_bytes: Array) -> Array:
        """Return the coefficients (m, ways) of a metric's link cost `scale_τ (per_copy_ℓ + b_τ per_byte_ℓ)`."""
        by_bytes = tensor_bytes[self.tensor][:, None] * (self.ways @ metric.per_byte)
        return metric.scale[self.tensor][:, None] * (self.ways @ metric.per_copy + by_bytes)


@dataclass(frozen=True, eq=False)
class SharedTensors:
    """The tensors with several uses.

    Attributes
    ----------
    edges : array (S,)
        Edges whose tensor has another edge too.
    tensors : array (m,)
    position : array (S,)
        Index into `tensors` for each of the edges.
    ways : array (ways, L)
    """

    edges: Index
    tensors: Index
    position: Index
    ways: Array

    def add(self, model: LinearModel | ConstraintModel, c: CompiledProblem) -> Columns:
        """Add the variables `w` (m, ways); rows or clauses on them are the caller's."""
        return model.add_variables(
            "w",
            (len(self.tensors), len(self.ways)),
            axes=lambda: ([c.tensor_names[tensor] for tensor in self.tensors], self.way_labels(c)),
            upper=self.usable(c),
            evaluate=lambda placement: self.values(c, placement),
        )

    def charged(self, c: CompiledProblem, y: Columns, w: Columns) -> list[Copies]:
        """Return what is charged: `y` of the edges whose tensor has no other, and `w`."""
        alone = np.flatnonzero(c.fan_out[c.edge_tensor] == 1)
        pairs = c.pair_uses_link.astype(float)
        return [Copies(y[alone], c.edge_tensor[alone], pairs), Copies(w, self.tensors, self.ways)]

    def way_labels(self, c: CompiledProblem) -> Sequence[str]:
        """Return the names of the ways."""
        return c.link_names if c.transport == "multicast" else pair_labels(c)

    def labels(self, c: CompiledProblem) -> list[str]:
        """Return ``tensor,consumer`` for each of the edges."""
        labels = edge_labels(c)
        return [labels[edge] for edge in self.edges.tolist()]

    def values(self, c: CompiledProblem, placement: Index) -> Values:
        """Return the copies (m, ways) in a plan."""
        return self._of_tensors(c, edge_uses_pair(c, placement)[self.edges])

    def usable(self, c: CompiledProblem) -> Values:
        """Return 1 where a copy may be sent (m, ways), else 0."""
        return np.minimum(self._of_tensors(c, c.edge_moves[self.edges].astype(float)), 1.0)

    def _of_tensors(self, c: CompiledProblem, over: Values) -> Values:
        """Return the largest of the values of each tensor's edges over pairs (S, P), by ways (m, ways)."""
        if c.transport == "multicast":
            over = over @ c.pair_uses_link
        largest = np.zeros((len(self.tensors), over.shape[1]))
        np.maximum.at(largest, self.position, over)
        return largest


def shared_tensors(c: CompiledProblem) -> SharedTensors | None:
    """Return the tensors that need copy variables of their own, or None."""
    tensors = np.flatnonzero(c.fan_out > 1)
    if c.transport == "per_edge" or not len(tensors):
        return None
    edges = np.flatnonzero(c.fan_out[c.edge_tensor] > 1)
    position = np.searchsorted(tensors, c.edge_tensor[edges])
    ways = np.eye(len(c.link_names)) if c.transport == "multicast" else c.pair_uses_link.astype(float)
    return SharedTensors(edges, tensors, position, ways)
