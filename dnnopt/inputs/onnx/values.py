"""What the small constants of an ONNX graph are: those that set shapes, and the conditions of branches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from onnx import TensorProto

    from dnnopt.inputs.onnx.functions import Node

MOST_ELEMENTS = 4096  # of a constant that is worked out, and of each that it is worked out from
_IN_SHAPES = """
    Abs Add And ArgMax ArgMin BitwiseAnd BitwiseOr Cast CastLike Ceil Clip Compress Concat ConstantOfShape CumSum Div
    Equal Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Greater GreaterOrEqual Identity IsInf IsNaN
    Less LessOrEqual Log Max Mean Min Mod Mul Neg NonZero Not OneHot Or Pow Range Reciprocal ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum Relu Reshape Round ScatterElements ScatterND Sign Slice Split Sqrt Squeeze Sub Sum
    Tile TopK Transpose Trilu Unique Unsqueeze Where Xor
"""
# What graphs make shapes of, all of it quick on so few elements; whatever else is constant is never worked out.
_COMPUTED = frozenset(_IN_SHAPES.split())
# These have no more elements than their input, though their shape is known only once they are worked out.
SHAPED_BY_DATA = frozenset({"Compress", "NonZero", "Unique"})


def stored_value(tensor: Any) -> np.ndarray | None:
    """Return what a constant holds; None if that is elsewhere, left out or sparse."""
    import onnx

    if not isinstance(tensor, onnx.TensorProto) or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return None
    if math.prod(tensor.dims) > MOST_ELEMENTS:
        return None
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError):  # no data, or elements without an array type
        return None


def constant_tensor(node: Node) -> TensorProto | None:
    """Return what a Constant node holds, as a tensor; a sparse one is none."""
    from onnx import TensorProto, helper

    for attribute in node.proto.attribute:
        if attribute.name == "value" and attribute.HasField("t"):
            return attribute.t
        kinds = {"float": TensorProto.FLOAT, "int": TensorProto.INT64, "string": TensorProto.STRING}
        for kind, dtype in kinds.items():
            if attribute.name in (f"value_{kind}", f"value_{kind}s"):
                one = attribute.name == f"value_{kind}"
                values = [getattr(attribute, kind[0])] if one else list(getattr(attribute, f"{kind}s"))
                return helper.make_tensor(node.outputs[0], dtype, [] if one else [len(values)], values)
    return None


def computed(node: Node, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the outputs of a node whose inputs are `given`; empty if it cannot be told."""
    if node.domain or node.op not in _COMPUTED:
        return {}
    import numpy as np
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    imports = [helper.make_opsetid(domain, version) for domain, version in node.opsets.items()]
    outputs = [value for value in node.outputs if value]
    function = helper.make_function("", "constant", list(given), outputs, [node.proto], imports)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results: Any = ReferenceEvaluator(function).run(None, dict(given), attributes={})
    except Exception:  # whatever it is, the value stays unknown: an error follows only if a shape needs it
        return {}
    found = {}
    for value, result in zip(outputs, results, strict=True):
        if isinstance(result, np.ndarray | np.generic) and result.size <= MOST_ELEMENTS:
            found[value] = np.asarray(result)
    return found
