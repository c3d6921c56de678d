"""Edges and pairs of devices: labels, values in a plan, and columns. Shared by all formulations."""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index
from dnnopt.models.arrays import Columns, Joined, Values
from dnnopt.models.constraint import ConstraintModel
from dnnopt.models.linear import LinearModel


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


def edge_stays(c: CompiledProblem, placement: Index) -> Values:
    """Return 1 where an edge, of what its producer makes, has both ends on the device, in a plan (E, D)."""
    device = c.executor_device[placement]
    origin, destination = device[c.edge_producer], device[c.edge_consumer]
    made = c.makes[np.arange(len(c.edges)), placement[c.edge_producer]]
    here = (origin == destination) & made
    return (here[:, None] & (origin[:, None] == np.arange(len(c.device_names)))).astype(float)


def at_device(c: CompiledProblem, x: Columns, model: LinearModel | ConstraintModel) -> Columns:
    """Return, for rows of executors (R, k) and devices, the columns whose sum says that one is there (R, D, most)."""
    return _grouped(x, c.executor_device, len(c.device_names), model)


def at_host(c: CompiledProblem, x: Columns, model: LinearModel | ConstraintModel) -> Columns:
    """Return, for rows of executors (R, k) and hosts, the columns whose sum says that one is there (R, H, most)."""
    return _grouped(x, c.executor_host, len(c.host_names), model)


def at_origin(c: CompiledProblem, x: Columns, model: LinearModel | ConstraintModel) -> Columns:
    """Return the columns whose sum says that an edge's tensor is made on the device (E, D, most)."""
    columns = x[c.edge_producer]
    if c.made is not None:
        columns = np.where(c.makes, columns, model.zero)
    return at_device(c, columns, model)


def _grouped(x: Columns, group: Index, count: int, model: LinearModel | ConstraintModel) -> Columns:
    """Return columns (R, k) by the group of each executor (R, groups, most), filled up with what is always zero."""
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group, minlength=count)
    if (sizes == sizes[0]).all():
        return x[:, order].reshape(len(x), count, sizes[0])
    found = np.full((len(x), count, sizes.max()), model.zero, dtype=x.dtype)
    place = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    found[:, group[order], place] = x[:, order]
    return found
