"""Types and shapes of what a node makes, by its operator's own definition, with what that leaves unchecked checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from dnnopt.inputs.onnx.checks import BEFORE, CHECKS, LIKE_INPUT
from dnnopt.inputs.onnx.costs import Operator, Value, einsum_extents
from dnnopt.inputs.onnx.file import BITS, check_sizes, type_name
from dnnopt.inputs.onnx.functions import Node
from dnnopt.inputs.onnx.microsoft import SHAPES, STANDARD, Standard
from dnnopt.inputs.onnx.older import Arrays, in_newer_terms, rewritten
from dnnopt.inputs.onnx.values import constant_tensor

if TYPE_CHECKING:
    import numpy as np
    from onnx import NodeProto, TypeProto

# What malformed attributes and missing inputs raise in rules and costs.
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
Types = Mapping[str, "TypeProto"]


def shape_of(type_: TypeProto) -> tuple[int, ...] | None:
    """Return the shape of a tensor type, or None if it is not known completely."""
    if not type_.HasField("tensor_type") or not type_.tensor_type.HasField("shape"):
        return None
    dimensions = type_.tensor_type.shape.dim
    if not all(dimension.HasField("dim_value") for dimension in dimensions):
        return None
    return tuple(dimension.dim_value for dimension in dimensions)


def described(type_: TypeProto, data: np.ndarray | None = None) -> Value:
    """Return a value as rules and costs see it.

    Raises
    ------
    ValueError
        If its elements have no known size.
    """
    dtype = type_.tensor_type.elem_type
    return Value(shape_of(type_) or (), _bits(dtype), dtype, data)


@cache
def _bits(dtype: int) -> int:
    name = type_name(dtype)
    if name not in BITS:
        raise ValueError(f"has elements of type {name}, whose size is not known")
    return BITS[name]


def what_is_wrong(error: Exception) -> str:
    """Return what an exception among `MALFORMED` says of a node."""
    if isinstance(error, KeyError):
        return f"it lacks the attribute {error}"
    return str(error) if isinstance(error, ValueError) else f"an input or attribute is malformed ({error})"


def output_types(node: Node, types: Types, data: Arrays, ir_version: int) -> dict[str, TypeProto]:
    """Return the types of a node's outputs, as far as they can be told.

    Parameters
    ----------
    node : Node
    types : mapping
        Types of its inputs, all of them complete.
    data : mapping
        Those of its inputs whose values are known.
    ir_version : int
        The file's.

    Raises
    ------
    ValueError
        If the inputs do not fit the operator.
    """
    if node.key in BEFORE:
        BEFORE[node.key](_as_operator(node, types, data))
    if node.key in SHAPES or node.key in LIKE_INPUT or node.key == "Einsum":
        found = _by_own_rule(node, types, data)
    elif node.key in STANDARD:
        return _by_standard(node, STANDARD[node.key], types, data, ir_version)
    elif node.domain == "" and node.op == "Constant":
        tensor = constant_tensor(node)
        found = {} if tensor is None else {node.outputs[0]: _type(tensor.data_type, tensor.dims)}
        found = found or _by_onnx(node, types, data, ir_version)
    else:
        found = _by_onnx(node, types, data, ir_version)
    if node.key in ("MaxPool", "AveragePool", "LpPool"):
        _drop_empty_windows(node, types, found)
    elif node.key == "BatchNormalization":  # all its further outputs are statistics; early rules leave them out
        known = {value for value, type_ in found.items() if shape_of(type_) is not None}
        found |= {value: types[node.inputs[1]] for value in node.outputs[1:] if value and value not in known}
    shapes = {value: shape_of(type_) for value, type_ in found.items()}
    if node.key in CHECKS and None not in shapes.values():
        CHECKS[node.key](_as_operator(node, {**types, **found}, data))
    for value, shape in shapes.items():
        check_sizes(shape or (), value)
    return found


def _as_operator(node: Node, types: Types, data: Arrays) -> Operator:
    return operator_of(
        node,
        [described(types[value], data.get(value)) if value else None for value in node.inputs],
        [described(types[value]) if value in types else None for value in node.outputs],
    )


def operator_of(node: Node, inputs: Iterable[Value | None], outputs: Iterable[Value | None]) -> Operator:
    """Return a node as rules and costs see it."""
    from onnx import helper

    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.proto.attribute}
    return Operator(node.key, tuple(inputs), tuple(outputs), attributes)


def _type(dtype: int, shape: Any) -> TypeProto:
    from onnx import helper

    return helper.make_tensor_type_proto(dtype, list(shape))


def _by_own_rule(node: Node, types: Types, data: Arrays) -> dict[str, TypeProto]:
    operator = _as_operator(node, types, data)
    if node.key == "Einsum":
        outputs: Sequence[Value | None] = [_einsum(operator)]
    else:
        outputs = SHAPES[node.key](operator) if node.key in SHAPES else [operator.input(0)]
    return {
        name: _type(value.dtype, value.shape)
        for name, value in zip(node.outputs, outputs, strict=False)
        if name and value is not None
    }


def _einsum(operator: Operator) -> Value:
    """Return what an Einsum makes; ONNX's rule takes the first size of an index, though an axis of 1 is stretched."""
    extents = einsum_extents(operator)
    inputs, arrow, output = operator.text("equation").replace(" ", "").partition("->")
    hidden = sorted((name for name in extents if len(name) > 1), key=lambda name: -int(name[3:]))
    if not arrow:
        letters = Counter(inputs.replace(",", "").replace(".", ""))
        output = "..." + "".join(sorted(letter for letter, count in letters.items() if count == 1))
    before, dots, after = output.partition("...")
    shape = tuple(extents[name] for name in (*before, *(hidden if dots else []), *after))
    return Value(shape, operator.input(0).bits, operator.input(0).dtype)


def _drop_empty_windows(node: Node, types: Types, found: Types) -> None:
    """Take off what ``ceil_mode`` adds where that window would begin behind the map, as runtimes do."""
    from onnx import helper

    own = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.proto.attribute}
    before = shape_of(types[node.inputs[0]])
    if not own.get("ceil_mode") or own.get("auto_pad", b"NOTSET") != b"NOTSET" or before is None:
        return
    rank = len(before) - 2
    strides, pads = own.get("strides", [1] * rank), own.get("pads", [0] * 2 * rank)
    for type_ in found.values():
        axes = type_.tensor_type.shape.dim
        for axis, size, stride, pad in zip(axes[2:], before[2:], strides, pads[:rank], strict=True):
            if axis.dim_value > 1 and (axis.dim_value - 1) * stride >= size + pad:
                axis.dim_value -= 1


def _by_standard(node: Node, standard: Standard, types: Types, data: Arrays, ir_version: int) -> dict[str, TypeProto]:
    """Find the types of an operator as those of the standard one that it is, on numbers as that has them."""
    import onnx

    attributes = {attribute.name: attribute for attribute in node.proto.attribute}
    last = standard.channels_last or ("channels_last" in attributes and attributes["channels_last"].i == 1)
    inputs = standard.pick(node.inputs)
    proto = rewritten(node.proto, inputs, [a for name, a in attributes.items() if name != "channels_last"])
    proto.op_type, proto.domain = standard.op, ""
    as_numbers = {}
    for value in filter(None, inputs):
        dtype, shape = types[value].tensor_type.elem_type, shape_of(types[value]) or ()
        if last and value == inputs[0]:
            shape = (*shape[:1], *shape[-1:], *shape[1:-1])
        as_numbers[value] = _type(dtype if dtype in _numbers() else onnx.TensorProto.FLOAT, shape)
    version = onnx.defs.onnx_opset_version()
    schema = _schema(standard.op, version, "")
    same = Node(_without_unknown(proto, schema), {"": version})
    found = output_types(same, as_numbers, {value: data[value] for value in inputs if value in data}, ir_version)
    kind = next(node.inputs[index] for index in standard.dtype if index < len(node.inputs) and node.inputs[index])
    made = shape_of(found[node.outputs[0]])
    if made is None:
        return {}
    made = (*made[:1], *made[2:], *made[1:2]) if last else made
    return {node.outputs[0]: _type(types[kind].tensor_type.elem_type, made)}


@lru_cache(maxsize=1)
def _numbers() -> frozenset[int]:
    """Element types that standard operators compute with, or that are settings of them."""
    from onnx import TensorProto

    return frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BOOL, TensorProto.INT64})


def _by_onnx(node: Node, types: Types, data: Arrays, ir_version: int) -> dict[str, TypeProto]:
    from onnx import TensorProto, helper, numpy_helper
    from onnx.checker import ValidationError
    from onnx.shape_inference import InferenceError, infer_node_outputs

    proto, version, inputs = node.proto, node.version, dict(data)
    types = dict(types)
    newer = in_newer_terms(node, {value: shape_of(types[value]) for value in node.inputs if value}, data)
    if newer is not None:
        proto, version, more = newer
        types |= {name: _type(TensorProto.INT64, array.shape) for name, array in more.items()}
        inputs |= more
    schema = _schema(node.op, version, node.domain)
    if schema is None or any(value and value not in types for value in proto.input):
        return {}
    if schema.since_version > node.version:
        proto = _without_unknown(proto, schema)
    try:
        return infer_node_outputs(
            schema,
            proto,
            types,
            {value: numpy_helper.from_array(array, value) for value, array in inputs.items()},
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in node.opsets.items()],
            ir_version=ir_version,
        )
    except (InferenceError, ValidationError, ValueError, RuntimeError) as error:
        raise ValueError(next(iter(str(error).strip().splitlines()), "")) from None


@cache
def _schema(op: str, version: int, domain: str) -> Any:
    """Return the operator's definition; the next later one that has a shape rule, where an early one has none."""
    import onnx

    if (op, domain) == ("Upsample", ""):
        version = min(version, 9)  # where it was given up in favour of Resize, and lost its rule
    for later in range(version, onnx.defs.onnx_opset_version() + 1):
        try:
            schema = onnx.defs.get_schema(op, later, domain)
        except onnx.defs.SchemaError:
            continue
        if schema.has_type_and_shape_inference_function:
            return schema
    return None


def _without_unknown(proto: NodeProto, schema: Any) -> NodeProto:
    """Return a node without the attributes that a later definition does not have, or has of another type."""
    known = {name: attribute.type.value for name, attribute in schema.attributes.items()}
    kept = [attribute for attribute in proto.attribute if known.get(attribute.name) == attribute.type]
    return rewritten(proto, list(proto.input), kept)
