"""Edges and pairs of devices: labels, values in a plan, and columns. Shared by all formulations."""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index
from dnnopt.models.arrays import Columns, Joined, Values


def edge_labels(c: CompiledProblem) -> list[str]:
    """Return ``tensor,consumer`` for each edge."""
    return [Joined(c.tensor_names[t], c.node_names[v]) for t, v in zip(c.edge_tensor, c.edge_consumer, strict=True)]


def pair_labels(c: CompiledProblem) -> list[str]:
    """Return ``origin,destination`` for each ordered pair of devices."""
    ends = zip(c.pair_origin, c.pair_destination, strict=True)
    return [Joined(c.device_names[i], c.device_names[j]) for i, j in ends]


def edge_uses_pair(c: CompiledProblem, placement: Index) -> Values:
    """Return the value of every `y_ep` in a plan (E, P)."""
    return (c.edge_pairs(placement)[:, None] == np.arange(len(c.pair_origin))).astype(float)


def device_order(c: CompiledProblem, placement: Index, edges: tuple[tuple[int, int], ...]) -> Values:
    """Return whether the origin of each pair (P,) comes before its destination in an order of the devices.

    The order is one in which the edges (u, v) go forwards, where there is one.
    """
    device = c.executor_device[placement]
    size = len(c.device_names)
    follows: list[set[int]] = [set() for _ in range(size)]
    for u, v in edges:
        if device[u] != device[v]:
            follows[device[v]].add(int(device[u]))
    rank = np.zeros(size)
    left = list(range(size))
    for position in range(size):
        ready = next((d for d in left if not follows[d] & set(left)), left[0])
        rank[ready] = position
        left.remove(ready)
    return (rank[c.pair_origin] < rank[c.pair_destination]).astype(float)


def at_device(c: CompiledProblem, x: Columns) -> Columns:
    """Return, for each node and device, the columns whose sum says that the node is there (N, D, modes)."""
    order = np.argsort(c.executor_device, kind="stable")
    return x[:, order].reshape(len(x), len(c.device_names), -1)
