"""Which of a network's layers the nodes of a runtime's own graph stand for.

A runtime fuses, reorders and adds nodes. What stays are the names of values and of nodes, so these say what belongs
together: a node is linked with the layer that makes a value which it makes, and with the layer whose name it has. Where
a value is in one of the two graphs alone, nothing tells its producer from its consumers, and they are linked as well.
What is linked is one group. If its layers read other values than its nodes do (two transposes that cancel let an early
node make a late value), the group grows until they read the same: then they do the same work between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Operation:
    """A layer or a node of the runtime: its name, and the values that it reads and makes, constants left out."""

    name: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]


@dataclass(frozen=True)
class SameWork:
    """Layers and nodes that do the same work, in the order in which they were given; either may be empty."""

    layers: tuple[str, ...]
    nodes: tuple[str, ...]


def same_work(layers: Sequence[Operation], nodes: Sequence[Operation]) -> list[SameWork]:
    """Return the finest groups of layers and nodes that are known to do the same work.

    Parameters
    ----------
    layers : sequence of Operation
    nodes : sequence of Operation
        A name with ``/`` in it is that of the layer before the ``/``, and what the runtime made of it.
    """
    steps = [*layers, *nodes]
    layer_makes = {value: index for index, layer in enumerate(layers) for value in layer.makes}
    node_makes = {value: index for index, node in enumerate(nodes, len(layers)) for value in node.makes}
    named = {layer.name: index for index, layer in enumerate(layers)}
    links = [(layer_makes[value], node_makes[value]) for value in layer_makes.keys() & node_makes.keys()]
    for index, step in enumerate(steps):
        is_layer = index < len(layers)
        own, others = (layer_makes, node_makes) if is_layer else (node_makes, layer_makes)
        links += [(index, own[value]) for value in step.reads if value in own and value not in others]
        if not is_layer and (layer := step.name.partition("/")[0]) in named:
            links.append((index, named[layer]))
    makers = node_makes | layer_makes
    while more := _inconsistent(components := _connected(len(steps), links), steps, len(layers), makers):
        links += more
    found = []
    for members in components:
        names = [steps[index].name for index in members]
        split = sum(index < len(layers) for index in members)
        found.append(SameWork(tuple(names[:split]), tuple(names[split:])))
    return found


def _inconsistent(
    components: Sequence[Sequence[int]], steps: Sequence[Operation], layers: int, makers: Mapping[str, int]
) -> list[tuple[int, int]]:
    """Return links to the makers of what the layers of a component read and its nodes do not, or else the reverse.

    They are those of the last such component alone, for what it lacks may be what others have too much.
    """
    for members in reversed(components):
        own = set(members)
        read: tuple[set[str], set[str]] = (set(), set())
        for index in members:
            outside = (value for value in steps[index].reads if value in makers and makers[value] not in own)
            read[index >= layers].update(outside)
        differing = sorted(read[0] - read[1] or read[1] - read[0])
        if differing and members[0] < layers <= members[-1]:  # it has both layers and nodes
            return [(members[0], makers[value]) for value in differing]
    return []


def _connected(count: int, links: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the connected components of a graph on ``range(count)``, each sorted, by their first members."""
    near: list[set[int]] = [set() for _ in range(count)]
    for a, b in links:
        near[a].add(b)
        near[b].add(a)
    seen: set[int] = set()
    components = []
    for start in range(count):
        if start in seen:
            continue
        seen.add(start)
        members, waiting = [], [start]
        while waiting:
            members.append(waiting.pop())
            new = near[members[-1]] - seen
            seen |= new
            waiting += new
        components.append(sorted(members))
    return components
