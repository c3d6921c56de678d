"""An ONNX file as it is stored: parsed, and its names and constants checked. Errors do not name the file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnopt.base.errors import InputError
from dnnopt.base.sizes import read_bytes

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto

BITS = {
    name: bits
    for bits, names in (
        (2, "INT2 UINT2"),
        (4, "INT4 UINT4 FLOAT4E2M1"),
        (8, "BOOL INT8 UINT8 FLOAT8E4M3FN FLOAT8E4M3FNUZ FLOAT8E5M2 FLOAT8E5M2FNUZ FLOAT8E8M0"),
        (16, "INT16 UINT16 FLOAT16 BFLOAT16"),
        (32, "INT32 UINT32 FLOAT"),
        (64, "INT64 UINT64 DOUBLE COMPLEX64"),
        (128, "COMPLEX128"),
    )
    for name in names.split()
}
_LONGEST = 2**31  # bytes; protobuf has no longer messages
_TYPED = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
MOST_ELEMENTS = 2**53  # of one tensor: beyond it sizes are no exact floating-point numbers


def load_model(path: Path) -> ModelProto:
    """Return the model in a file, with names that are texts and constants that are as long as their sizes say.

    Raises
    ------
    InputError
        For anything else.
    """
    try:
        with path.open("rb") as stream:
            data = read_bytes(stream, _LONGEST)
    except OSError as error:
        raise InputError("", problem=f"cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a null character in the path
        raise InputError("", problem=f"cannot be read: {error}") from None
    if len(data) == _LONGEST:
        raise InputError("", problem="not an ONNX file: these have less than 2 GiB, and weights beyond that in others")
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise InputError("", problem="not an ONNX file, or only a part of one") from None
    if not (model.ir_version and model.HasField("graph") and model.opset_import):
        lacking = "it lacks a graph, a version or an operator set"
        raise InputError("", problem=f"not an ONNX file, or only a part of one: {lacking}")
    if not all(isinstance(text, str) for text in _texts(model)):
        raise InputError("", problem="a damaged ONNX file: it has names that are not UTF-8")
    if not model.graph.node:
        raise InputError("", problem="the graph is empty, expected at least one operator")
    for tensor in _constants(model):
        _check_constant(tensor)
    return model


def type_name(dtype: int) -> str:
    """Return what ONNX calls a type of elements, or its number where it has no name."""
    from onnx import TensorProto

    return TensorProto.DataType.Name(dtype) if dtype in TensorProto.DataType.values() else str(dtype)


def domain_of(entry: NodeProto | OperatorSetIdProto) -> str:
    """Return the operator domain, empty for ONNX's own."""
    return "" if entry.domain == "ai.onnx" else entry.domain


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs that a node runs."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _graphs(model: ModelProto) -> Iterator[GraphProto]:
    """Yield the graph and all that its nodes and those of functions run."""
    stack = [
        model.graph,
        *(graph for function in model.functions for node in function.node for graph in subgraphs(node)),
    ]
    while stack:
        graph = stack.pop()
        yield graph
        stack += [inner for node in graph.node for inner in subgraphs(node)]


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    for part in (*_graphs(model), *model.functions):
        yield from part.node


def _texts(model: ModelProto) -> Iterator[str]:
    """Every name; protobuf hands those that are not UTF-8 over as bytes."""
    yield from (model.producer_name, model.producer_version)
    for function in model.functions:
        yield from (function.name, function.domain, function.overload, *function.input, *function.output)
        yield from function.attribute
        yield from (attribute.name for attribute in function.attribute_proto)
    for part in (model, *model.functions):
        yield from (entry.domain for entry in part.opset_import)
    for node in _nodes(model):
        yield from (node.op_type, node.domain, node.name, node.overload, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name)
    for graph in _graphs(model):
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield value.name
            yield from (dimension.dim_param for dimension in value.type.tensor_type.shape.dim)
        yield from (tensor.name for tensor in graph.initializer)
        yield from (sparse.values.name for sparse in graph.sparse_initializer)


def _constants(model: ModelProto) -> Iterator[TensorProto]:
    sparse = []
    for graph in _graphs(model):
        yield from graph.initializer
        sparse += graph.sparse_initializer
    attributes = [attribute for node in _nodes(model) for attribute in node.attribute]
    attributes += [attribute for function in model.functions for attribute in function.attribute_proto]
    for attribute in attributes:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        sparse += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
        sparse += attribute.sparse_tensors
    for entry in sparse:
        check_sizes(entry.dims, entry.values.name)
        yield from (entry.values, entry.indices)


def check_sizes(sizes: Any, name: str) -> None:
    """Refuse negative sizes, and more elements than can be counted.

    Raises
    ------
    InputError
        With the name of the value.
    """
    if any(size < 0 for size in sizes) or math.prod(size for size in sizes if size) > MOST_ELEMENTS:
        expected = f"sizes >= 0, of at most {MOST_ELEMENTS:.0e} elements"
        raise InputError("", problem=f"{name!r} has the shape {'x'.join(map(str, sizes))}, expected {expected}")


def _check_constant(tensor: TensorProto) -> None:
    """Refuse data of another length than the sizes say; data that is elsewhere, or left out, is not needed."""
    from onnx import TensorProto

    check_sizes(tensor.dims, tensor.name)
    kind = type_name(tensor.data_type)
    if kind not in BITS or tensor.data_location == TensorProto.EXTERNAL:
        return
    elements, bits = math.prod(tensor.dims), BITS[kind]
    if tensor.raw_data:
        found, expected, unit = len(tensor.raw_data), -(-elements * bits // 8), "bytes of raw data"
    else:
        found = max(len(getattr(tensor, field)) for field in _TYPED)
        unit = "values"
        expected = -(-elements * bits // 8) if bits < 8 else elements * (2 if kind.startswith("COMPLEX") else 1)
        if not found:
            return
    if found != expected:
        shape = "x".join(map(str, tensor.dims)) or "a scalar"
        problem = f"{tensor.name!r} has {found} {unit}, expected {expected} for {shape} {kind.lower()}"
        raise InputError("", problem=problem)


def join(parts: Iterable[str], limit: int = 10) -> str:
    """List `parts` for a message, at most `limit` of them."""
    listed = list(parts)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
