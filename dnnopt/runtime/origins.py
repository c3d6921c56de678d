"""What each layer of a network is in its ONNX file: the nodes that were merged into it, folded or removed around it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from dnnopt.inputs.onnx.functions import Node
from dnnopt.inputs.onnx.graph import OnnxGraph
from dnnopt.problem.networks import INPUT

_SHAPES = ("Shape", "Size")


@dataclass
class NodeSet:
    """What makes some values out of others.

    Attributes
    ----------
    nodes : dict of Node
        In any order.
    reads : dict of str
        Tensors that they read: what layers make, and inputs of the graph.
    stored : dict of str
        Initialisers that they read.
    shapes : dict of Node
        Nodes that return the shape of something, which may be elsewhere; they are not among `nodes`.
    """

    nodes: dict[Node, None] = field(default_factory=dict)
    reads: dict[str, None] = field(default_factory=dict)
    stored: dict[str, None] = field(default_factory=dict)
    shapes: dict[Node, None] = field(default_factory=dict)

    def add(self, other: NodeSet) -> None:
        self.nodes |= other.nodes
        self.reads |= other.reads
        self.stored |= other.stored
        self.shapes |= other.shapes


class Origins:
    """The nodes behind the layers of a graph.

    The reader folds what is constant, removes what hands its input on, and lets layers read and make small numbers
    in place of what their nodes do. Here each layer gets, from what it makes back to what it reads, all nodes between.

    Parameters
    ----------
    graph : OnnxGraph
    """

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.position = {node: index for index, node in enumerate(graph.nodes)}
        self.layer = {node: index for index, node in enumerate(graph.layers)}
        self._maker = {value: node for node in graph.nodes for value in node.proto.output if value}
        self._reads = {node: Node(node.proto, node.opsets).reads for node in graph.nodes}
        self.made_by = {value: index for node, index in self.layer.items() for value in node.proto.output if value}
        self.made_by |= {value: index for node, index in self.layer.items() for value in node.outputs if value}

    def layer_part(self, index: int) -> NodeSet:
        """Return what the layer of that number is."""
        node = self.graph.layers[index]
        made = [value for value in node.outputs if value in self.graph.used]
        return self.part(made, self.graph.variable_inputs(node), node)

    def part(self, wanted: Iterable[str], given: Collection[str] = (), layer: Node | None = None) -> NodeSet:
        """Return what makes the `wanted` values, of nodes of `layer` and of no layer, from those `given`."""
        found, seen = NodeSet(), set()
        stack = list(wanted)
        while stack:
            value = stack.pop()
            if value in seen:
                continue
            seen.add(value)
            node = self._maker.get(value)
            if value in given:
                found.reads[value] = None
            elif node is None:
                (found.stored if value in self.graph.constants else found.reads)[value] = None
            elif node.key in _SHAPES and not self._is_constant(node.inputs[0]):
                found.shapes[node] = None
            elif node in self.layer and node is not layer:
                found.reads[value] = None
            elif node not in found.nodes:
                found.nodes[node] = None
                stack += self._reads[node]
        return found

    def shaped(self, node: Node) -> str:
        """Return the value whose shape a node returns."""
        return node.inputs[0]

    def owner(self, node: Node) -> int | str:
        """Return who has the value whose shape a node returns: the number of a layer, or an input of the graph."""
        value = self.graph.real(self.shaped(node))
        while value not in self.made_by:
            maker = self._maker.get(value)
            if maker is None:
                return value
            value = next((self.graph.real(read) for read in self._reads[maker] if not self._is_constant(read)), INPUT)
        return self.made_by[value]

    def _is_constant(self, value: str) -> bool:
        return self.graph.real(value) in self.graph.constants
