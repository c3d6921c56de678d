"""What one ONNX operator costs: its floating-point operations, and the bytes that it reads and writes.

Rules of counting:

- One multiply-accumulate is two FLOP. A bias starts the sum it belongs to, so it costs nothing extra: a sum of K
  products with a bias is K multiplications and K additions.
- Everything else counts the arithmetic of its definition, per element; a comparison, an elementary function (exp, log,
  erf, tanh, sqrt, ...) and an integer operation of a quantised layer are one each. So Sigmoid, 1 / (1 + exp(-x)), is 4.
- Moving data costs bytes but no FLOP. `VIEWS` only rename the axes of what is in memory already: no FLOP and no bytes.
- Bytes are those of every input, weight and output, each once; `PICKS` read of their first input what they write.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

FLOAT = 1  # the number of onnx.TensorProto.FLOAT


@dataclass(frozen=True)
class Value:
    """An input or output of an operator: its shape, the bits of one element, ONNX's number of its type.

    `data` are the elements of a small constant, as an array, where they are known.
    """

    shape: tuple[int, ...]
    bits: int = 32
    dtype: int = FLOAT
    data: Any = field(default=None, compare=False, repr=False)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of all elements; elements of less than 8 bits are packed."""
        return -(-self.size * self.bits // 8)


@dataclass(frozen=True)
class Operator:
    """One node of an ONNX graph, as the cost functions see it.

    Attributes
    ----------
    op : str
        Operator type, such as ``Conv``.
    inputs, outputs : tuple of Value or None
        In the order of the ONNX operator; None for one that is left out (or, of the outputs, not used).
    attributes : dict
        As in the file; those left out there are absent here.
    """

    op: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    def input(self, index: int) -> Value:
        """Return an input that the operator must have; a ValueError says that the file left it out."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise ValueError(f"{self.op} lacks its input {index}")
        return value

    def text(self, name: str, default: str = "") -> str:
        """Return an attribute that is a text; ONNX stores them as bytes."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    @property
    def out(self) -> Value:
        """The first output that is used."""
        return next(value for value in self.outputs if value is not None)


class OperatorCost(NamedTuple):
    """What a cost function may return where the bytes are not those of every input and output.

    Attributes
    ----------
    flops : float
    bytes : float, optional
        Bytes read and written; None: inputs, weights and outputs, each once.
    """

    flops: float
    bytes: float | None = None


CostFunction = Callable[[Operator], "float | OperatorCost"]
_Flops = Callable[[Operator], float]


def _per_output(flops: float) -> _Flops:
    return lambda node: flops * node.out.size


def _per_input(flops: float) -> _Flops:
    return lambda node: flops * node.input(0).size


def _convolution(weight: int) -> _Flops:
    # A weight is (output channels, input channels of one group, *kernel): all but the first axis are summed over.
    return lambda node: 2 * node.out.size * math.prod(node.input(weight).shape[1:])


def _transposed_convolution(node: Operator) -> float:
    # The weight is (input channels, output channels of one group, *kernel), and every input element meets a whole row.
    return 2 * node.input(0).size * math.prod(node.input(1).shape[1:])


def _matmul(node: Operator) -> float:
    return 2 * node.out.size * node.input(0).shape[-1]


def _gemm(node: Operator) -> float:
    return 2 * node.out.size * node.input(0).shape[0 if node.attributes.get("transA") else 1]


def einsum_extents(node: Operator) -> dict[str, int]:
    """Return the size of each index of an Einsum; those that ``...`` stands for are ``...2``, ``...1``.

    Raises
    ------
    ValueError
        If the equation does not fit the operands.
    """
    operands = [value for value in node.inputs if value is not None]
    terms = node.text("equation").replace(" ", "").split("->")[0].split(",")
    extent: dict[str, int] = {}
    for term, value in zip(terms, operands, strict=True):
        before, dots, after = term.partition("...")
        hidden = len(value.shape) - len(before) - len(after) if dots else 0
        labels = [*before, *(f"...{position}" for position in range(hidden, 0, -1)), *after]
        for label, size in zip(labels, value.shape, strict=True):
            known = extent.setdefault(label, size)
            if size != known and 1 not in (size, known):
                raise ValueError(f"the index {label!r} has the sizes {known} and {size}")
            extent[label] = size if known == 1 else known
    return extent


def _einsum(node: Operator) -> float:
    """One multiplication per further operand and one addition, for each combination of the index values."""
    return sum(value is not None for value in node.inputs) * math.prod(einsum_extents(node).values())


def _pool(flops: float) -> _Flops:
    return lambda node: flops * node.out.size * math.prod(node.attributes["kernel_shape"])


def _variadic(node: Operator) -> float:
    return (len(node.inputs) - 1) * node.out.size


def _mean(node: Operator) -> float:
    return len(node.inputs) * node.out.size


def _lrn(node: Operator) -> float:
    # x / (bias + alpha / size * sum of squares)^beta: square, sum over `size`, scale, add, power, divide.
    return (node.attributes["size"] + 5) * node.out.size


_SAMPLES = {"nearest": 0, "linear": 2, "bilinear": 2, "cubic": 4, "bicubic": 4}


def _resize(node: Operator) -> float:
    changed = sum(a != b for a, b in zip(node.input(0).shape, node.out.shape, strict=True))
    return 2 * node.out.size * _SAMPLES[node.text("mode", "nearest")] ** changed if changed else 0


def _grid_sample(node: Operator) -> float:
    return 2 * node.out.size * _SAMPLES[node.text("mode", "linear")] ** (len(node.out.shape) - 2)


def recurrent(node: Operator) -> float:
    """Both weights, (directions, gates * hidden, inputs of the product), meet every (time, sample) pair once.

    The gates' element-wise work, some 1/hidden of that, is left out.
    """
    return 2 * math.prod(node.input(0).shape[:2]) * (node.input(1).size + node.input(2).size)


def _attention(node: Operator) -> float:
    """Scores, their softmax, and the weighted values (ONNX Attention, operator set 23)."""
    query, keys = node.input(0), node.input(1).shape[-2]
    if len(node.inputs) > 4 and node.inputs[4] is not None:
        keys += node.inputs[4].shape[-2]
    heads = query.shape[1] if len(query.shape) == 4 else node.attributes["q_num_heads"]
    scores = query.shape[0] * heads * query.shape[-2] * keys
    return 2 * keys * query.size + 5 * scores + 2 * keys * node.out.size


def _top_k(node: Operator) -> float:
    axis = node.attributes.get("axis", -1)
    return node.input(0).size * math.ceil(math.log2(node.out.shape[axis] + 1))


def _multinomial(node: Operator) -> float:
    # Softmax and running sum of each row, then a search for each sample.
    return 6 * node.input(0).size + node.out.size * math.ceil(math.log2(node.input(0).shape[-1] + 1))


def _each(names: str, cost: _Flops) -> dict[str, _Flops]:
    return dict.fromkeys(names.split(), cost)


# FLOP of every operator that the reader knows.
COSTS: dict[str, _Flops] = {
    **_each("Conv ConvInteger", _convolution(1)),
    **_each("QLinearConv", _convolution(3)),
    **_each("ConvTranspose", _transposed_convolution),
    **_each("MatMul MatMulInteger QLinearMatMul", _matmul),
    **_each("Gemm", _gemm),
    **_each("Einsum", _einsum),
    **_each("Attention", _attention),
    **_each("LSTM GRU RNN", recurrent),
    **_each("MaxPool AveragePool", _pool(1)),
    **_each("LpPool", _pool(2)),
    **_each("GlobalMaxPool GlobalAveragePool", _per_input(1)),
    **_each("GlobalLpPool", _per_input(2)),
    # Scale and shift, as statistics are constants; the others make their statistics: 7 is two sums (2), centre,
    # square, divide, scale and shift.
    **_each("BatchNormalization", _per_output(2)),
    **_each("LayerNormalization InstanceNormalization GroupNormalization", _per_output(7)),
    **_each("MeanVarianceNormalization", _per_output(5)),
    **_each("RMSNormalization", _per_output(4)),
    **_each("LpNormalization", _per_output(3)),
    **_each("LRN", _lrn),
    # Maximum, subtract, exp, sum, divide (or subtract the logarithm).
    **_each("Softmax LogSoftmax", _per_output(5)),
    **_each("Hardmax", _per_output(1)),
    **_each("Sum Max Min", _variadic),
    **_each("Mean", _mean),
    **_each("Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor Log Neg Reciprocal", _per_output(1)),
    **_each("Relu Round Sign Sin Sinh Sqrt Tan Tanh IsInf IsNaN Not BitwiseNot", _per_output(1)),
    **_each("Add Sub Mul Div Pow Mod And Or Xor Equal Greater Less GreaterOrEqual LessOrEqual", _per_output(1)),
    **_each("BitShift BitwiseAnd BitwiseOr BitwiseXor Where ThresholdedRelu", _per_output(1)),
    **_each("Clip LeakyRelu PRelu", _per_output(2)),
    **_each("Shrink Softplus Softsign RotaryEmbedding", _per_output(3)),
    **_each("Elu Sigmoid HardSigmoid", _per_output(4)),
    **_each("Celu Selu Gelu HardSwish Swish Mish", _per_output(5)),
    **_each("SwiGLU", _per_output(6)),
    **_each("DequantizeLinear", _per_output(2)),
    **_each("QuantizeLinear", _per_output(3)),
    **_each("DynamicQuantizeLinear", _per_output(5)),
    **_each("ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ArgMax ArgMin", _per_input(1)),
    **_each("ReduceL1 ReduceL2 ReduceLogSum ReduceSumSquare", _per_input(2)),
    **_each("ReduceLogSumExp", _per_input(4)),
    **_each("CumSum CumProd", _per_input(1)),
    **_each("TopK", _top_k),
    **_each("Resize Upsample", _resize),
    **_each("GridSample", _grid_sample),
    **_each("RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli", _per_output(1)),
    **_each("Multinomial", _multinomial),
    **_each("Dropout", _per_output(2)),  # in training: a random number, and the product with its mask
    **_each("ImageScaler Affine", _per_output(2)),
    **_each("ScaledTanh", _per_output(3)),
    **_each("ParametricSoftplus", _per_output(5)),
    **_each("Reshape Flatten Squeeze Unsqueeze", _per_output(0)),
    **_each(
        "BitCast Cast CastLike Concat ConstantOfShape DepthToSpace EyeLike Expand OneHot Pad Range ReverseSequence",
        _per_output(0),
    ),
    **_each("Scatter ScatterElements ScatterND SpaceToDepth Split TensorScatter Tile Transpose Trilu", _per_output(0)),
    **_each("Gather GatherElements GatherND Slice CenterCropPad", _per_output(0)),
}


def flops(node: Operator) -> float:
    """Return the FLOP of a standard operator."""
    return COSTS[node.op](node)


VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "com.microsoft:ExpandDims"})
PICKS = frozenset({"Gather", "GatherElements", "GatherND", "Slice", "CenterCropPad", "com.microsoft:GatherND"})

_WITH_SETTINGS = """
    Reshape Squeeze Unsqueeze Slice CenterCropPad Split Expand Tile Pad Clip Resize Upsample OneHot TopK CumSum CumProd
    Trilu ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare
"""
# How many inputs are data, for operators whose later ones are settings (axes, sizes, limits) if they are constants.
# Such a constant is an attribute in other operator sets; it is no weight, and reading it costs nothing.
DATA_INPUTS = dict.fromkeys(_WITH_SETTINGS.split(), 1)


def bytes_moved(node: Operator, read: Iterable[float]) -> float:
    """Return the bytes that an operator reads and writes.

    Parameters
    ----------
    node : Operator
    read : iterable of float
        Bytes of its distinct inputs and weights, the first one first.
    """
    written = sum(value.bytes for value in node.outputs if value is not None)
    if node.op in VIEWS:
        return 0
    first, *others = [*read, 0]
    return written + sum(others) + (min(first, written) if node.op in PICKS else first)
