"""Contiguity: what a device runs of a network is convex in its graph, and the quotient graph is acyclic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from dnnopt.problem.networks import INPUT, OUTPUT, Network


def why_not_contiguous(network: Network, device_of: dict[str, str], members: Collection[str]) -> str:
    """Return why a placement is not contiguous, or an empty text.

    Parameters
    ----------
    network : Network
    device_of : dict of str to str
        Device of each layer.
    members : collection of str
        The layers that the constraint is about. Paths run through all layers, but only members can break convexity, and
        the quotient graph has an edge for every path between members.
    """
    edges = [
        (tensor.producer, consumer)
        for tensor in network.tensors
        if tensor.producer != INPUT
        for consumer in tensor.consumers
        if consumer != OUTPUT
    ]
    order = [network.layers[position].name for position in network.order]
    before = _members_before(order, edges, device_of, members)
    after = _members_before(order[::-1], [(v, u) for u, v in edges], device_of, members)
    for layer in order:
        if layer in members:
            for device in before[layer].keys() & after[layer].keys() - {device_of[layer]}:
                u, v = before[layer][device], after[layer][device]
                return f"a path from {u} to {v}, both on {device}, passes through {layer} on {device_of[layer]}"
    quotient: dict[str, set[str]] = defaultdict(set)
    for v in members:
        for device in before[v].keys() - {device_of[v]}:
            quotient[device].add(device_of[v])
    cycle = _cycle(quotient)
    return f"paths go round {' -> '.join(cycle)}" if cycle else ""


def _members_before(
    order: Iterable[str], edges: list[tuple[str, str]], device_of: dict[str, str], members: Collection[str]
) -> dict[str, dict[str, str]]:
    """Return for each layer the devices of the members with a path to it, each with one such member."""
    predecessors = defaultdict(list)
    for u, v in edges:
        predecessors[v].append(u)
    before: dict[str, dict[str, str]] = {}
    for v in order:
        before[v] = {}
        for u in predecessors[v]:
            before[v] |= before[u]
            if u in members:
                before[v][device_of[u]] = u
    return before


def _cycle(successors: dict[str, set[str]]) -> list[str]:
    """Return a cycle of a graph, its first node again at the end, or an empty list."""
    finished: set[str] = set()

    def walk(path: list[str]) -> list[str]:
        for node in sorted(successors.get(path[-1], ())):
            if node in path:
                return [*path[path.index(node) :], node]
            if node not in finished:
                cycle = walk([*path, node])
                if cycle:
                    return cycle
        finished.add(path[-1])
        return []

    return next((cycle for node in sorted(successors) if node not in finished and (cycle := walk([node]))), [])
