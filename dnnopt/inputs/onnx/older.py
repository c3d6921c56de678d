"""Operators of the first ONNX operator sets whose definitions have no shape rule, in terms of later ones that have.

What became an input since then (the target of a Reshape) is an attribute there, and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from onnx import AttributeProto, NodeProto

    from dnnopt.inputs.onnx.functions import Node

Shapes = Mapping[str, tuple[int, ...] | None]
Arrays = Mapping[str, "np.ndarray"]
# The node in newer terms, the version of these, and the inputs that are attributes, or not there, in the older ones.
Newer = tuple["NodeProto", int, dict[str, "np.ndarray"]]


def in_newer_terms(node: Node, shapes: Shapes, data: Arrays) -> Newer | None:
    """Return what an early operator means, or None where its own definition has a shape rule.

    Raises
    ------
    ValueError
        If the node does not fit its operator.
    """
    if node.domain or node.op not in _OLDER or node.version >= _OLDER[node.op][0]:
        return None
    return _OLDER[node.op][1](node, shapes, data)


def rewritten(proto: NodeProto, inputs: Iterable[str], attributes: Iterable[AttributeProto]) -> NodeProto:
    """Return a node with other inputs and attributes."""
    import onnx

    copy = onnx.NodeProto(op_type=proto.op_type, domain=proto.domain, name=proto.name)
    copy.input.extend(inputs)
    copy.output.extend(proto.output)
    copy.attribute.extend(attributes)
    return copy


def _attribute(node: Node, name: str, default: Any = None) -> Any:
    from onnx import helper

    found = (attribute for attribute in node.proto.attribute if attribute.name == name)
    return next(map(helper.get_attribute_value, found), default)


def _with(node: Node, **values: Any) -> NodeProto:
    """Return the node with some attributes replaced or added."""
    from onnx import helper

    kept = [attribute for attribute in node.proto.attribute if attribute.name not in values]
    return rewritten(node.proto, node.inputs, kept + [helper.make_attribute(key, to) for key, to in values.items()])


def _reshape(node: Node, shapes: Shapes, data: Arrays) -> Newer:
    import numpy as np

    name = f"{node.outputs[0]}.shape"
    shape = np.array(_attribute(node, "shape", []), np.int64)
    return rewritten(node.proto, [node.inputs[0], name], []), 5, {name: shape}


def _cast(node: Node, shapes: Shapes, data: Arrays) -> Newer:
    from onnx import TensorProto

    kind = _attribute(node, "to", b"")
    if isinstance(kind, bytes):  # version 1 names the type, later ones number it
        kind = TensorProto.DataType.Value(kind.decode().upper())
    return _with(node, to=kind), 6, {}


def _concat(node: Node, shapes: Shapes, data: Arrays) -> Newer:
    return _with(node, axis=_attribute(node, "axis", 1)), 4, {}


def _pad(node: Node, shapes: Shapes, data: Arrays) -> Newer:
    return _with(node, pads=_attribute(node, "paddings", [])), 2, {}


def _split(node: Node, shapes: Shapes, data: Arrays) -> Newer:
    return node.proto, 2 if len(node.inputs) < 2 else 13, {}


def _tile(node: Node, shapes: Shapes, data: Arrays) -> Newer:
    import numpy as np

    name = f"{node.outputs[0]}.repeats"
    proto = rewritten(node.proto, [node.inputs[0], name], [])
    shape = shapes[node.inputs[0]]
    tiles, axis = (data.get(value) for value in (*node.inputs[1:], "", "")[:2])
    if shape is None or tiles is None or axis is None or tiles.size != 1 or axis.size != 1:
        return proto, 6, {}
    repeats = np.ones(len(shape), np.int64)
    repeats[int(axis.item())] = int(tiles.item())
    return proto, 6, {name: repeats}


def _upsample(node: Node, shapes: Shapes, data: Arrays) -> Newer:
    scales = [1.0, 1.0, _attribute(node, "height_scale", 1.0), _attribute(node, "width_scale", 1.0)]
    return _with(node, scales=scales), 7, {}


# Operator -> the first version whose definition needs none of this, and what the earlier ones mean.
_OLDER: dict[str, tuple[int, Callable[[Node, Shapes, Arrays], Newer]]] = {
    "Cast": (6, _cast),
    "Concat": (4, _concat),
    "Pad": (2, _pad),
    "Reshape": (5, _reshape),
    "Split": (2, _split),
    "Tile": (6, _tile),
    "Upsample": (7, _upsample),
}
