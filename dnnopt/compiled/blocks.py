"""Blocks with costs of their own, as nodes that have one host and the block together, or none of them has it.

A block is connected, so a rule on some of the edges inside it says so: of an edge (u, v), u is on host h in block b if
and only if v is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dnnopt.problem.blocks import NamedBlock
from dnnopt.problem.networks import INPUT, OUTPUT
from dnnopt.problem.problem import Problem


@dataclass(frozen=True)
class TiedBlock:
    """A block.

    Attributes
    ----------
    named : NamedBlock
    nodes : tuple of int
        Ascending: the first one has what the block costs.
    ties : tuple of (int, int)
        Edges inside the block that connect it, in the order of their second ends: a spanning tree.
    """

    named: NamedBlock
    nodes: tuple[int, ...]
    ties: tuple[tuple[int, int], ...]


def tied_blocks(problem: Problem, nodes: Mapping[tuple[str, str], int]) -> tuple[TiedBlock, ...]:
    """Return the blocks of a problem, given the nodes of its layers."""
    edges: dict[str, list[tuple[int, int]]] = {}
    found = []
    for named in problem.blocks:
        if named.network not in edges:
            edges[named.network] = sorted(
                (nodes[named.network, tensor.producer], nodes[named.network, consumer])
                for tensor in problem.network(named.network).tensors
                for consumer in tensor.consumers
                if tensor.producer != INPUT and consumer != OUTPUT
            )
        members = tuple(sorted(nodes[named.network, layer.name] for layer in named.layers))
        found.append(TiedBlock(named, members, _spanning_tree(members, edges[named.network])))
    return tuple(found)


def _spanning_tree(members: tuple[int, ...], edges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return edges between members that connect them and have no cycle."""
    root = {node: node for node in members}

    def top(node: int) -> int:
        while root[node] != node:
            node = root[node]
        return node

    found = []
    for u, v in edges:
        if u in root and v in root and top(u) != top(v):
            root[top(v)] = top(u)
            found.append((u, v))
    return tuple(sorted(found, key=lambda edge: (edge[1], edge[0])))
