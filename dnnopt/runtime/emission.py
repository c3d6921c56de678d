"""Pieces as ONNX models: their nodes, calls of functions where these are whole, types, operator sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dnnopt.base.errors import InputError
from dnnopt.base.graphs import topological_order
from dnnopt.inputs.onnx.file import domain_of, subgraphs
from dnnopt.inputs.onnx.functions import Node, opsets_of
from dnnopt.inputs.onnx.graph import same_definition
from dnnopt.runtime.assembly import Assembly, PieceDraft

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto


def piece_model(assembly: Assembly, draft: PieceDraft) -> ModelProto:
    """Return a piece as a model; weights in other files are where the whole model has them.

    Raises
    ------
    InputError
        If one version of the operator sets does not do for all its nodes.
    """
    import onnx

    source = assembly.graph.model
    model = onnx.ModelProto(ir_version=source.ir_version, producer_name="dnnopt", domain=source.domain)
    model.metadata_props.extend(source.metadata_props)
    nodes = _kept(assembly, draft)
    protos = _with_calls(assembly, draft, nodes, model)
    protos = _sorted([*draft.before, *protos, *draft.after])
    graph = model.graph
    graph.name = f"{source.graph.name}_{draft.name}" if source.graph.name else draft.name
    graph.node.extend(protos)
    graph.input.extend(_declared(assembly, value) for value in draft.inputs)
    graph.output.extend(_declared(assembly, value) for value in draft.outputs)
    read = {value for node in graph.node for value in Node(node, {}).reads} | draft.outputs.keys()
    graph.initializer.extend(tensor for tensor in source.graph.initializer if tensor.name in read)
    graph.sparse_initializer.extend(one for one in source.graph.sparse_initializer if one.values.name in read)
    graph.initializer.extend(tensor for tensor in draft.constants if tensor.name in read)
    inner = {value for node in graph.node for value in node.output} - draft.outputs.keys()
    graph.value_info.extend(value for value in source.graph.value_info if value.name in inner)
    graph.quantization_annotation.extend(
        entry for entry in source.graph.quantization_annotation if entry.tensor_name in inner | read
    )
    return model


def _kept(assembly: Assembly, draft: PieceDraft) -> list[Node]:
    """Return the nodes of a piece in order, without those that make again what it receives."""
    graph, received = assembly.graph, {*draft.inputs, *(value for value in assembly.wire if value in draft.part.reads)}
    own = {graph.layers[layer] for layer in draft.layers}
    known = {tensor.name for tensor in draft.constants}
    nodes = [
        node
        for node in draft.part.nodes
        if node in own or not any(value in received or value in known for value in node.proto.output if value)
    ]
    return sorted(nodes, key=assembly.origins.position.__getitem__)


def _with_calls(assembly: Assembly, draft: PieceDraft, nodes: Sequence[Node], model: ModelProto) -> list[NodeProto]:
    """Return the nodes with calls of functions in place of all that these do; give the model what it needs for that."""
    from onnx import helper

    source = assembly.graph.model
    opsets = opsets_of(source.opset_import)
    here = set(nodes)
    whole: dict[int, NodeProto] = {}
    parts: dict[int, list[Node]] = {}
    for node in assembly.graph.nodes:
        if node.call is not None:
            whole[id(node.call)] = node.call
            parts.setdefault(id(node.call), []).append(node)
    needed = {*draft.outputs, *draft.inputs, *(value for node in draft.after for value in node.input)}
    for key, members in parts.items():
        inner = {value for node in members for value in node.proto.output} - set(whole[key].output)
        outside = {value for node in nodes if node.call is not whole[key] for value in Node(node.proto, {}).reads}
        is_whole = here.issuperset(members) and inner.isdisjoint(needed | outside)
        if not is_whole or not set(whole[key].output).isdisjoint(draft.inputs):
            del whole[key]
    functions = {(domain_of(one), one.name, one.overload): one for one in source.functions}
    for function in _called(functions, whole.values()):
        model.functions.append(function)
    protos, called = [], set()
    for node in nodes:
        key = id(node.call)
        if key not in whole:
            own = opsets.setdefault(node.domain, node.version)
            if not same_definition(node, own):
                problem = f"{node.label} is of a function with operator set {node.version}, and the model has {own}"
                raise assembly.graph.error(f"{problem}; a piece with a part of that function needs one for both")
            protos.append(node.proto)
        elif key not in called:
            called.add(key)
            protos.append(whole[key])
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in opsets.items())
    return protos


def _called(
    functions: dict[tuple[str, str, str], FunctionProto], calls: Iterable[NodeProto]
) -> Iterable[FunctionProto]:
    """Return the functions that calls run, and those that these call."""
    found: dict[tuple[str, str, str], FunctionProto] = {}
    stack = list(calls)
    while stack:
        node = stack.pop()
        key = (domain_of(node), node.op_type, node.overload)
        if key in functions and key not in found:
            found[key] = functions[key]
            stack += functions[key].node
        stack += [inner for graph in subgraphs(node) for inner in graph.node]
    return [function for key, function in functions.items() if key in found]


def _sorted(protos: Sequence[NodeProto]) -> list[NodeProto]:
    made = {value: position for position, node in enumerate(protos) for value in node.output if value}
    needs = [
        {made[value] for value in Node(node, {}).reads if value in made and made[value] != position}
        for position, node in enumerate(protos)
    ]
    order, _ = topological_order(needs)
    return [protos[position] for position in order]


def _declared(assembly: Assembly, value: str) -> ValueInfoProto:
    from onnx import helper

    return helper.make_tensor_value_info(value, assembly.element_type(value), list(assembly.shape(value)))


def constants_of(model: ModelProto) -> Iterable[TensorProto]:
    """Yield each constant of a model: initialisers, those of the nodes' own graphs, and attributes."""
    stack: list[GraphProto] = [model.graph]
    attributes = [one for function in model.functions for node in function.node for one in node.attribute]
    while stack:
        graph = stack.pop()
        yield from graph.initializer
        for node in graph.node:
            attributes += node.attribute
            stack += subgraphs(node)
    for attribute in attributes:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors


def check_whole(model: ModelProto, draft: PieceDraft) -> None:
    """Refuse a piece that reads what it does not have, which would be a mistake of this module.

    Raises
    ------
    InputError
        With the first such value.
    """
    graph = model.graph
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    known |= {sparse.values.name for sparse in graph.sparse_initializer}
    for node in graph.node:
        missing = next((value for value in Node(node, {}).reads if value not in known), None)
        if missing is not None:
            raise InputError("", problem=f"the piece {draft.name} reads {missing!r}, which nothing in it makes")
        known.update(value for value in node.output if value)
