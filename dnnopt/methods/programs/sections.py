"""Sections of a network between cut layers, which no tensor passes by, and what tensors cost there.

A layer is a cut where no tensor (no edge, where copies are charged by edge) has an end before it and another one after
it. Between two cuts lies a bundle of other layers, or none; before the first and after the last one, ends without a
layer. All that a tensor costs depends on one bundle and the cuts at its ends: its section.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index

_Ends = tuple[int, list[int]]  # a tensor, and those of its edges that are charged together


@dataclass(frozen=True, eq=False)
class Section:
    """A bundle and the cuts at its ends.

    Attributes
    ----------
    left, right : int
        Nodes; -1: an end of the network.
    bundle : tuple of int
    tensors : tuple of (int, list of int)
        What is charged here: a tensor and its edges.
    """

    left: int
    right: int
    bundle: tuple[int, ...]
    tensors: tuple[_Ends, ...]


def sections_of(c: CompiledProblem, network: int) -> list[Section]:
    """Return the sections of a network, from its begin to its end."""
    layers = np.flatnonzero(c.is_layer & (c.node_network == network))
    position = np.full(len(c.node_names), -1)
    position[layers] = np.arange(len(layers))
    passed = np.zeros(len(layers) + 1, dtype=np.int64)
    found: list[tuple[int, _Ends]] = []
    for tensor, edges in _charged_together(c):
        ends = {int(c.producer[tensor]), *c.edge_consumer[edges].tolist()}
        places = sorted(int(position[node]) for node in ends if position[node] >= 0)
        if places:
            found.append((places[-1], (tensor, edges)))
            if places[-1] > places[0] + 1:
                passed[places[0] + 1] += 1
                passed[places[-1]] -= 1
    cuts = np.flatnonzero(np.cumsum(passed)[:-1] == 0)
    of_section: list[list[_Ends]] = [[] for _ in range(len(cuts) + 1)]
    for last, ends_of in found:
        of_section[int(np.searchsorted(cuts, last))].append(ends_of)
    borders = [-1, *cuts.tolist(), len(layers)]
    return [
        Section(
            left=int(layers[before]) if before >= 0 else -1,
            right=int(layers[after]) if after < len(layers) else -1,
            bundle=tuple(layers[before + 1 : after].tolist()),
            tensors=tuple(tensors),
        )
        for before, after, tensors in zip(borders, borders[1:], of_section, strict=False)
    ]


def _charged_together(c: CompiledProblem) -> Iterator[_Ends]:
    """Yield tensors with their edges; each edge alone, where copies are charged by edge."""
    if c.transport == "per_edge":
        yield from ((tensor, [edge]) for edge, tensor in enumerate(c.edge_tensor.tolist()))
        return
    edges: dict[int, list[int]] = {}
    for edge, tensor in enumerate(c.edge_tensor.tolist()):
        edges.setdefault(tensor, []).append(edge)
    yield from edges.items()


class Sending:
    """What tensors cost, given hosts.

    Parameters
    ----------
    c : CompiledProblem
        Without forms of tensors.
    beta : array (T, L)
        What a copy of each tensor costs over each link.
    """

    def __init__(self, c: CompiledProblem, beta: Array) -> None:
        self.c, self.beta = c, beta
        self._pinned = c.allowed.argmax(axis=1)
        self._moves = c.by_devices(c.edge_moves, same=True)
        self._links = c.by_devices(c.pair_uses_link.T.astype(float)).transpose(1, 2, 0)  # (D, D, L)

    def fixed(self) -> float:
        """Return what is sent in every plan, from inputs to outputs directly; infinite: it cannot be."""
        c, nowhere = self.c, np.zeros((1, 0), dtype=np.int64)
        fixed = [
            (tensor, edges)
            for tensor, edges in _charged_together(c)
            if not c.is_layer[c.producer[tensor]] and not c.is_layer[c.edge_consumer[edges]].any()
        ]
        return float(self.costs(tuple(fixed), (), nowhere)[0])

    def costs(self, tensors: tuple[_Ends, ...], nodes: tuple[int, ...], hosts: Index) -> Array:
        """Return what tensors cost (B,) for hosts (B, n) of some layers, which have all their ends that are layers."""
        c, total = self.c, np.zeros(len(hosts))
        column = {node: place for place, node in enumerate(nodes)}

        def executor(node: int) -> Index:
            pinned = np.full(len(hosts), self._pinned[node])
            return hosts[:, column[node]] if node in column else pinned

        for tensor, edges in tensors:
            producer = executor(int(c.producer[tensor]))
            origin = c.executor_device[producer]
            ends = [c.executor_device[executor(int(c.edge_consumer[edge]))] for edge in edges]
            cost = np.zeros(len(hosts))
            for edge, there in zip(edges, ends, strict=True):
                cost[~self._moves[edge][origin, there]] = np.inf
            if c.transport == "multicast":
                links = np.max([self._links[origin, there] for there in ends], axis=0)
                cost += links @ self.beta[tensor]
            else:
                over = self._links @ self.beta[tensor]
                for device in range(len(c.device_names)):
                    goes = np.any([there == device for there in ends], axis=0)
                    cost += np.where(goes, over[origin, device], 0.0)
            total += cost if c.made is None else np.where(c.made[tensor, producer], cost, 0.0)
        return total
