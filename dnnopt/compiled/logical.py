"""Logical constraints: rules that a placement keeps or breaks, by a whole number.

All of a kind but its rows in models stands here: its record, by how much placements break it, and how the problem's own
record becomes it (`COMPILERS`). Evaluator and searches keep to every kind in `LOGICAL`; whatever else does not know one
refuses it by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import CompiledConstraint, Logical
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.structure import paths_between
from dnnopt.problem import constraints as specs


@dataclass(frozen=True)
class Colocation(Logical):
    """The nodes share one device."""

    label: str
    nodes: tuple[int, ...]
    names_devices: ClassVar[bool] = False

    def excess(self, c: CompiledProblem, devices: Index, pairs: Index) -> Array:
        here = devices[:, list(self.nodes)]
        return (here != here[:, :1]).sum(axis=1).astype(float)


@dataclass(frozen=True)
class Separation(Logical):
    """At most so many of the nodes share a device."""

    label: str
    nodes: tuple[int, ...]
    at_most: int
    names_devices: ClassVar[bool] = False

    def excess(self, c: CompiledProblem, devices: Index, pairs: Index) -> Array:
        here = np.sort(devices[:, list(self.nodes)], axis=1)
        return (here[:, self.at_most :] == here[:, : -self.at_most]).sum(axis=1).astype(float)


@dataclass(frozen=True)
class Contiguity(Logical):
    """The devices can be put in an order in which every path between these nodes (of one network) goes forwards.

    That is: what a device runs of the nodes is convex, and the quotient graph is acyclic.

    Attributes
    ----------
    label : str
    nodes : tuple of int
    edges : tuple of (int, int)
        Pairs of nodes with a path between them on which no other of the nodes lies; every path is made of these.
    """

    label: str
    nodes: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    names_devices: ClassVar[bool] = False

    def excess(self, c: CompiledProblem, devices: Index, pairs: Index) -> Array:
        """Return how many devices lie on a cycle of the quotient graph (B,)."""
        if not self.edges:
            return np.zeros(len(devices))
        size = len(c.device_names)
        reach = np.zeros((len(devices), size, size), dtype=bool)
        u, v = np.array(self.edges).T
        batch = np.repeat(np.arange(len(devices)), len(u))
        origin, destination = devices[:, u].ravel(), devices[:, v].ravel()
        moved = origin != destination
        reach[batch[moved], origin[moved], destination[moved]] = True
        for _ in range(max(size - 1, 1).bit_length()):
            reach |= reach @ reach
        return np.diagonal(reach, axis1=1, axis2=2).sum(axis=1).astype(float)


@dataclass(frozen=True)
class TierOrder(Logical):
    """No edge between layers goes to a lower tier."""

    label: str
    names_devices: ClassVar[bool] = False

    def excess(self, c: CompiledProblem, devices: Index, pairs: Index) -> Array:
        u, v = c.edge_producer, c.edge_consumer
        between = c.is_layer[u] & c.is_layer[v]
        tiers = c.device_tier[devices]
        return (tiers[:, u[between]] > tiers[:, v[between]]).sum(axis=1).astype(float)


@dataclass(frozen=True)
class DeviceCount(Logical):
    """At most `limit` devices run layers."""

    label: str
    limit: int
    names_devices: ClassVar[bool] = False

    def excess(self, c: CompiledProblem, devices: Index, pairs: Index) -> Array:
        used = (devices[:, c.is_layer][:, :, None] == np.arange(len(c.device_names))).any(axis=1).sum(axis=1)
        return np.maximum(used - self.limit, 0).astype(float)


@dataclass(frozen=True)
class CutCount(Logical):
    """At most `limit` (tensor, destination device) pairs."""

    label: str
    limit: int
    names_devices: ClassVar[bool] = False

    def excess(self, c: CompiledProblem, devices: Index, pairs: Index) -> Array:
        reached = np.zeros((len(pairs), len(c.tensor_names), len(c.device_names)), dtype=bool)
        batch, edge = np.divmod(np.flatnonzero((pairs >= 0) & c.tensor_whole[c.edge_tensor]), max(pairs.shape[1], 1))
        reached[batch, c.edge_tensor[edge], c.pair_destination[pairs[batch, edge]]] = True
        return np.maximum(reached.sum(axis=(1, 2)) - self.limit, 0).astype(float)


LOGICAL: tuple[type[Logical], ...] = (Colocation, Separation, Contiguity, TierOrder, DeviceCount, CutCount)
KINDS: tuple[type, ...] = tuple(
    kind for listed in get_args(CompiledConstraint) for kind in (LOGICAL if listed is Logical else (listed,))
)


@dataclass(frozen=True)
class Nodes:
    """What logical constraints are compiled with.

    Attributes
    ----------
    networks : tuple of str
    of : callable
        Takes a network and some of its layers, or None for all; returns their nodes.
    edges : tuple of (int, int)
    count : int
    """

    networks: tuple[str, ...]
    of: Callable[[str, Sequence[str] | None], tuple[int, ...]]
    edges: tuple[tuple[int, int], ...]
    count: int

    def among(self, members: Sequence[tuple[str, str]]) -> tuple[int, ...]:
        """Return the nodes of layers that are named with their networks."""
        return tuple(sorted(node for network, layer in members for node in self.of(network, (layer,))))


def _contiguity(spec: specs.Contiguous, nodes: Nodes) -> list[Logical]:
    found: list[Logical] = []
    for network in nodes.networks if spec.network is None else (spec.network,):
        members = nodes.of(network, spec.layers)
        found.append(Contiguity(f"contiguous({network})", members, paths_between(members, nodes.edges, nodes.count)))
    return found


COMPILERS: Mapping[type, Callable[[Any, Nodes], list[Logical]]] = {
    specs.Colocate: lambda spec, nodes: [Colocation(spec.label, nodes.among(spec.members))],
    specs.Separate: lambda spec, nodes: [Separation(spec.label, nodes.among(spec.members), spec.at_most)],
    specs.Contiguous: _contiguity,
    specs.MonotoneTiers: lambda spec, nodes: [TierOrder(spec.label)],
    specs.MaxDevices: lambda spec, nodes: [DeviceCount(spec.label, spec.limit)],
    specs.MaxCuts: lambda spec, nodes: [CutCount(spec.label, spec.limit)],
}
