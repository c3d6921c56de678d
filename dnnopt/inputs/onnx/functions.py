"""Functions and branches of an ONNX model, written out as nodes of the graph.

A node keeps the operator sets of the function it comes from: it is read by its own definition there, so nothing has to
be converted from one version to another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dnnopt.base.errors import InputError
from dnnopt.base.sizes import check_amount
from dnnopt.inputs.onnx.file import domain_of, subgraphs

if TYPE_CHECKING:
    from onnx import (
        AttributeProto,
        FunctionProto,
        GraphProto,
        ModelProto,
        NodeProto,
        OperatorSetIdProto,
        SparseTensorProto,
        TensorProto,
    )

MOST_NODES = 250_000
MOST_ADDED = 2**30  # bytes of functions written out, constants in them included
_UNCOUNTED = 10**18
_Key = tuple[str, str, str]


@dataclass(eq=False)
class Node:
    """A node, and the versions of the operator sets that say what it means.

    Attributes
    ----------
    proto : onnx.NodeProto
    opsets : mapping of str to int
        Domain (empty for ONNX's own) -> version.
    call : onnx.NodeProto, optional
        The call of a function in the file's graph that it is a part of.
    op, domain : str
        Its operator; the domain is empty for ONNX's own.
    inputs, outputs : tuple of str
        In the order of the operator; empty for one that is left out.
    reads : tuple of str
        The distinct inputs, and what the node's own graphs read of the graph around it.
    """

    proto: NodeProto
    opsets: Mapping[str, int]
    call: NodeProto | None = None
    op: str = field(init=False)
    domain: str = field(init=False)
    inputs: tuple[str, ...] = field(init=False)
    outputs: tuple[str, ...] = field(init=False)
    reads: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.op = self.proto.op_type
        self.domain = domain_of(self.proto)
        self.inputs = tuple(self.proto.input)
        self.outputs = tuple(self.proto.output)
        captured = (value for graph in subgraphs(self.proto) for value in _free(graph))
        self.reads = tuple(dict.fromkeys(filter(None, (*self.inputs, *captured))))

    @property
    def key(self) -> str:
        """The operator with its domain: ``Conv``, ``com.microsoft:Gelu``."""
        return f"{self.domain}:{self.op}" if self.domain else self.op

    @property
    def version(self) -> int:
        """Version of the operator's set; 1 where the file does not say."""
        return self.opsets.get(self.domain, 1)

    @property
    def label(self) -> str:
        """What a message calls the node."""
        return (
            f"{self.op} {self.proto.name!r}" if self.proto.name else f"{self.op} (of {next(iter(self.outputs), '')!r})"
        )

    @property
    def has_graphs(self) -> bool:
        """Whether the node runs graphs of its own."""
        return next(subgraphs(self.proto), None) is not None


def opsets_of(entries: Iterable[OperatorSetIdProto]) -> dict[str, int]:
    opsets = {domain_of(entry): entry.version for entry in entries}
    for domain, version in opsets.items():
        if version < 0:
            raise InputError("a version >= 0", field=f"opset_import of {domain or 'ai.onnx'!r}", value=version)
    return opsets


def _defined(graph: GraphProto) -> Iterator[str]:
    yield from (value.name for value in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)
    for node in graph.node:
        yield from filter(None, node.output)


def _free(graph: GraphProto) -> Iterator[str]:
    """Yield what a graph reads and does not define (a name may come more than once)."""
    own = set(_defined(graph))
    read = [value for node in graph.node for value in node.input if value]
    read += [value.name for value in graph.output]
    read += [value for node in graph.node for inner in subgraphs(node) for value in _free(inner)]
    yield from (value for value in read if value not in own)


class Inliner:
    """Writes calls of a model's functions, and branches, out as nodes with names of their own.

    Parameters
    ----------
    model : onnx.ModelProto
    allow_large : bool
        Whether functions may become any number of nodes.

    Raises
    ------
    InputError
        For functions that call themselves, or that become too many nodes.
    """

    def __init__(self, model: ModelProto, *, allow_large: bool = False):
        self._functions: dict[_Key, FunctionProto] = {
            (domain_of(function), function.name, function.overload): function for function in model.functions
        }
        self._taken = set(_defined(model.graph))
        self._counts: Counter[str] = Counter()
        self._refuse_too_many(model, allow_large)

    def expand(
        self, nodes: Iterable[NodeProto], opsets: Mapping[str, int], call: NodeProto | None = None
    ) -> list[Node]:
        """Return nodes (of a function, where one is called) with the bodies of functions in place of calls."""
        found: list[Node] = []
        outermost = call
        stack: list[Iterator[tuple[NodeProto, Mapping[str, int]]]] = [((node, opsets) for node in nodes)]
        while stack:
            node, versions = next(stack[-1], (None, {}))
            if node is None:
                stack.pop()
            elif (function := self._functions.get(_key(node))) is not None:
                if len(stack) == 1 and call is None:
                    outermost = node
                stack.append(self._body(function, node))
            else:
                found.append(Node(node, versions, outermost if len(stack) > 1 else call))
        return found

    def branch(self, node: Node, name: str) -> list[Node]:
        """Return the nodes of one of an If's graphs, and what gives the If's outputs their names.

        Raises
        ------
        InputError
            If there is no such graph, or it has inputs, or not as many outputs as the If.
        """
        from onnx import helper

        graph = next((attribute.g for attribute in node.proto.attribute if attribute.name == name), None)
        if graph is None or graph.input or len(graph.output) != len(node.outputs):
            expected = f"a graph {name} without inputs and with {len(node.outputs)} outputs"
            raise InputError("", problem=f"{node.label} is malformed, expected {expected}")
        names = {value: self._fresh(value) for value in _defined(graph)}
        nodes = [_constant(tensor, names[tensor.name]) for tensor in graph.initializer]
        nodes += [_constant(sparse, names[sparse.values.name]) for sparse in graph.sparse_initializer]
        nodes += [self._renamed(inner, names, {}, node.proto.name) for inner in graph.node]
        nodes += [
            helper.make_node("Identity", [names.get(inner.name, inner.name)], [outer])
            for inner, outer in zip(graph.output, node.outputs, strict=True)
            if outer
        ]
        return self.expand(nodes, node.opsets, node.call)

    def _body(self, function: FunctionProto, call: NodeProto) -> Iterator[tuple[NodeProto, Mapping[str, int]]]:
        from onnx import helper

        if len(call.input) > len(function.input) or len(call.output) > len(function.output):
            expected = f"at most {len(function.input)} inputs and {len(function.output)} outputs"
            raise InputError("", problem=f"the function {function.name} is called with more, expected {expected}")
        opsets = opsets_of(function.opset_import)
        names = dict.fromkeys(function.input, "")
        names.update(zip(function.input, call.input, strict=False))
        given = {value for node in function.node for value in node.output}
        results = dict(zip(function.output, call.output, strict=False))
        for value in given:
            if value:
                names[value] = results.get(value) or self._fresh(value)
        for value in {value for node in function.node for value in node.input} - names.keys():
            names[value] = self._fresh(value)  # made by nobody; it must not be taken for a value around the call
        attributes = {attribute.name: attribute for attribute in (*function.attribute_proto, *call.attribute)}
        for node in function.node:
            yield self._renamed(node, names, attributes, call.name), opsets
        for inner, outer in zip(function.output, call.output, strict=False):
            if outer and names.get(inner) != outer:  # an input handed on, or an output under two names
                yield helper.make_node("Identity", [names.get(inner, inner)], [outer]), opsets

    def _renamed(
        self, node: NodeProto, names: Mapping[str, str], attributes: Mapping[str, AttributeProto], within: str
    ) -> NodeProto:
        """Return a copy of a node with other values, in its own graphs too, and with the call's attributes."""
        import onnx

        copy = onnx.NodeProto(op_type=node.op_type, domain=node.domain, overload=node.overload)
        copy.name = f"{within}/{node.name}" if within and node.name else node.name
        copy.input[:] = [names.get(value, value) for value in node.input]
        copy.output[:] = [names.get(value, value) for value in node.output]
        for attribute in node.attribute:
            if not attribute.ref_attr_name:
                copy.attribute.append(attribute)
            elif attribute.ref_attr_name in attributes:
                copy.attribute.append(attributes[attribute.ref_attr_name])
                copy.attribute[-1].name = attribute.name
        for graph in subgraphs(copy):
            self._rename_graph(graph, names, attributes, within)
        return copy

    def _rename_graph(
        self, graph: GraphProto, names: Mapping[str, str], attributes: Mapping[str, AttributeProto], within: str
    ) -> None:
        names = {**names, **{value: self._fresh(value) for value in _defined(graph)}}
        nodes = [self._renamed(node, names, attributes, within) for node in graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
        for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            value.name = names.get(value.name, value.name)
        for sparse in graph.sparse_initializer:
            sparse.values.name = names.get(sparse.values.name, sparse.values.name)

    def _fresh(self, name: str) -> str:
        """Return a name that no value has: this one, or one with a number."""
        fresh = name
        while fresh in self._taken:
            self._counts[name] += 1
            fresh = f"{name}__{self._counts[name]}"
        self._taken.add(fresh)
        return fresh

    def _refuse_too_many(self, model: ModelProto, allow_large: bool) -> None:
        """Count what is there once everything is written out, before anything is."""
        sizes: dict[_Key, tuple[int, int]] = {}  # nodes and bytes of functions, written out
        under_way: set[_Key] = set()
        for start in self._functions:
            stack = [start]
            while stack:
                key = stack[-1]
                if key in sizes:
                    stack.pop()
                    continue
                calls = [
                    called
                    for node in _all_nodes(self._functions[key].node)
                    if (called := _key(node)) in self._functions
                ]
                missing = [called for called in calls if called not in sizes]
                if key in under_way and missing:
                    raise InputError(
                        "", problem=f"the function {_name(key)} calls itself, by way of {_name(missing[0])}"
                    )
                under_way.add(key)
                stack += missing
                if not missing:
                    sizes[key] = self._total(self._functions[key].node, sizes)
        nodes, size = self._total(model.graph.node, sizes)
        if model.functions:
            written_out = "once its functions are written out"
            check_amount(nodes, MOST_NODES, f"nodes {written_out}", allow_large=allow_large, field="graph")
            added = size - model.graph.ByteSize()
            check_amount(added, MOST_ADDED, f"more bytes {written_out}", allow_large=allow_large, field="graph")

    def _total(self, nodes: Iterable[NodeProto], sizes: Mapping[_Key, tuple[int, int]]) -> tuple[int, int]:
        count = size = 0
        for node in nodes:
            size += node.ByteSize()
            for inner in _all_nodes([node]):
                called = sizes.get(_key(inner), (1, 0))
                count += called[0]
                size += called[1]
        return min(count, _UNCOUNTED), min(size, _UNCOUNTED)


def _all_nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Yield nodes and those of the graphs that they run."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        stack += [inner for graph in subgraphs(node) for inner in graph.node]


def _key(node: NodeProto) -> _Key:
    return domain_of(node), node.op_type, node.overload


def _name(key: _Key) -> str:
    return ":".join(filter(None, key))


def _constant(tensor: TensorProto | SparseTensorProto, name: str) -> NodeProto:
    from onnx import SparseTensorProto, helper

    if isinstance(tensor, SparseTensorProto):
        return helper.make_node("Constant", [], [name], sparse_value=tensor)
    return helper.make_node("Constant", [], [name], value=tensor)
