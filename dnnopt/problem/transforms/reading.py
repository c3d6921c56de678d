"""What a part of a layer's output reads: for each axis of the output, the axes of the operands that go with it.

Layers are ONNX operators here. An axis of the output can be divided where each part of it can be computed from parts of
the operands, or from whole ones, with no more work than its share. What is not known to be so is not divided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dnnopt.problem.networks import Layer

Shape = tuple[int, ...]
Span = tuple[int, int]


@dataclass(frozen=True)
class AxisLink:
    """How an axis of an operand goes with an axis of the output.

    Attributes
    ----------
    operand, axis, size : int
        Which operand, which of its axes, and how long that is.
    blocks : (int, int)
        So many positions of the output go with so many of the operand, block by block.
    window : (int, int, int, int) or None
        Kernel, stride, pad at the begin, dilation of a sliding window; `blocks` does not count then.
    transposed : bool
        Whether the window slides over the output (of a transposed convolution).
    """

    operand: int
    axis: int
    size: int
    blocks: tuple[int, int] = (1, 1)
    window: tuple[int, int, int, int] | None = None
    transposed: bool = False

    def of(self, interval: Span) -> Span:
        """Return the positions of the operand that positions [first, end) of the output need, cut to what there is.

        Position i of the output of a convolution reads the positions i·s - p + j·d, 0 <= j < k, of its operand.
        """
        first, end = interval
        if self.window is None:
            out, into = self.blocks
            low, high = first // out * into, -(-end // out) * into
        else:
            kernel, stride, pad, dilation = self.window
            reach = dilation * (kernel - 1)
            if self.transposed:
                low, high = -((reach - first - pad) // stride), (end - 1 + pad) // stride + 1
            else:
                low, high = first * stride - pad, (end - 1) * stride - pad + reach + 1
        low = min(max(low, 0), self.size)
        return low, max(min(high, self.size), low)


@dataclass(frozen=True)
class LayerReading:
    """A layer with the shapes of its operands (None: a constant, or none at all) and of its result."""

    layer: Layer
    operands: tuple[Shape | None, ...]
    result: Shape

    def links(self, axis: int) -> tuple[AxisLink, ...] | None:
        """Return what goes with an axis of the result; None: it cannot be divided.

        Of operands without a link, every part needs the whole.
        """
        rule = _RULES.get(self.layer.op)
        if rule is None or not 0 <= axis < len(self.result):
            return None
        found = rule(self, axis)
        return None if found is None else tuple(found)

    @property
    def summed(self) -> AxisLink | None:
        """The axis of the first operand over which the layer sums products with its weights, if it does that alone.

        Parts of it make partial sums, which add up to the result.
        """
        data, layer = self.operands[0], self.layer
        if data is None or any(shape is not None for shape in self.operands[1:]):
            return None
        if layer.op == "Conv" and layer.window is not None and layer.window.groups == 1 and len(data) > 2:
            return AxisLink(0, 1, data[1])
        if layer.op in _DENSE and layer.weight_axes == (len(self.result) - 1,) and data[:-1] == self.result[:-1]:
            return AxisLink(0, len(data) - 1, data[-1])
        return None


_Links = Sequence[AxisLink] | None
_DENSE = ("MatMul", "Gemm")


def _aligned(reading: LayerReading, axis: int) -> _Links:
    """Element by element: operands are aligned at their last axis, and an axis of length 1 is repeated."""
    found = []
    for index, shape in enumerate(reading.operands):
        own = axis - len(reading.result) + len(shape or ())
        if shape is not None and own >= 0 and shape[own] == reading.result[axis]:
            found.append(AxisLink(index, own, shape[own]))
    return found


def _along_others(reading: LayerReading, axis: int) -> _Links:
    """An operator that works along some axes, and apart for each position of the others."""
    working = reading.layer.axes
    if not working:
        return None
    source = axis
    first = next((shape for shape in reading.operands if shape is not None), ())
    if len(first) != len(reading.result):  # reduced axes are gone
        kept = [a for a in range(len(first)) if a not in working]
        if len(kept) != len(reading.result):
            return None
        source = kept[axis]
    if source in working:
        return None
    found = []
    for index, shape in enumerate(reading.operands):
        if shape is not None:
            if len(shape) != len(first) or shape[source] != reading.result[axis]:
                return None
            found.append(AxisLink(index, source, shape[source]))
    return found


def _window(reading: LayerReading, axis: int) -> _Links:
    """Convolutions and pools: samples, channels, then the axes along which a window slides."""
    window, data = reading.layer.window, reading.operands[0]
    if window is None or data is None or not len(data) == len(reading.result) == len(window.kernel) + 2:
        return None
    op = reading.layer.op
    if axis == 0:
        return [AxisLink(0, 0, data[0])]
    if axis == 1:
        if op in _POOLS:
            return [AxisLink(0, 1, data[1])]
        if window.groups == 1:
            return []
        return [AxisLink(0, 1, data[1], blocks=(reading.result[1] // window.groups, data[1] // window.groups))]
    slide = axis - 2
    geometry = window.kernel[slide], window.stride[slide], window.pads[slide], window.dilation[slide]
    return [AxisLink(0, axis, data[axis], window=geometry, transposed=op == "ConvTranspose")]


def _global_pool(reading: LayerReading, axis: int) -> _Links:
    data = reading.operands[0]
    return [AxisLink(0, axis, data[axis])] if data is not None and axis < 2 else None


def _matmul(reading: LayerReading, axis: int) -> _Links:
    """Products of matrices: rows go with the first operand, columns with the second, stacks with both."""
    first, second = (*reading.operands, None)[:2]
    rank = len(reading.result)
    if axis == rank - 1:
        if second is None:
            return [] if axis in reading.layer.weight_axes else None
        return [AxisLink(1, len(second) - 1, second[-1])] if len(second) > 1 else None
    if first is None:
        return None if axis >= rank - 2 or second is None else _stacked(reading, axis)
    if axis == rank - 2:
        return [AxisLink(0, len(first) - 2, first[-2])] if len(first) > 1 and first[-2] == reading.result[-2] else None
    return _stacked(reading, axis)


def _stacked(reading: LayerReading, axis: int) -> _Links:
    if any(shape is not None and len(shape) < 2 for shape in reading.operands):
        return None
    return _aligned(reading, axis)


def _gemm(reading: LayerReading, axis: int) -> _Links:
    data = reading.operands[0]
    if data is None or any(shape is not None for shape in reading.operands[1:]) or len(data) != 2:
        return None
    if axis == 0:
        return [AxisLink(0, 0, data[0])] if data[0] == reading.result[0] else None
    return []


def _transpose(reading: LayerReading, axis: int) -> _Links:
    data, order = reading.operands[0], reading.layer.axes
    if data is None or sorted(order) != list(range(len(data))) or len(data) != len(reading.result):
        return None
    return [AxisLink(0, order[axis], data[order[axis]])]


def _reshape(reading: LayerReading, axis: int) -> _Links:
    """Axes whose lengths have the same product go together; of these, the first of more than one can be divided."""
    data = reading.operands[0]
    if data is None or math.prod(data) != math.prod(reading.result) or 0 in data:
        return None
    for sources, targets in _same_products(data, reading.result):
        if axis not in targets:
            continue
        source = next((a for a in sources if data[a] > 1), None)
        target = next((a for a in targets if reading.result[a] > 1), None)
        if source is None or target != axis:
            return None
        per_target = math.prod(reading.result[a] for a in targets if a > target)
        per_source = math.prod(data[a] for a in sources if a > source)
        common = math.gcd(per_target, per_source)
        return [AxisLink(0, source, data[source], blocks=(per_source // common, per_target // common))]
    return None


def _same_products(first: Shape, second: Shape) -> list[tuple[list[int], list[int]]]:
    """Return the smallest runs of axes of two shapes whose lengths have equal products."""
    found, i, j = [], 0, 0
    while i < len(first) or j < len(second):
        a, b = [i] if i < len(first) else [], [j] if j < len(second) else []
        i, j = i + len(a), j + len(b)
        left, right = math.prod(first[x] for x in a), math.prod(second[x] for x in b)
        while left != right:
            if left < right:
                a.append(i)
                left, i = left * first[i], i + 1
            else:
                b.append(j)
                right, j = right * second[j], j + 1
        found.append((a, b))
    return found


def _gather(reading: LayerReading, axis: int) -> _Links:
    """Rows of a table, by numbers: with a table that is constant, an axis of the numbers or one of the table."""
    data, numbers = (*reading.operands, None)[:2]
    if data is None and numbers is not None:
        if axis in reading.layer.weight_axes:
            return []
        return [AxisLink(1, axis, numbers[axis])] if reading.layer.axes == (0,) and axis < len(numbers) else None
    if data is None or numbers is not None or len(reading.layer.axes) != 1:
        return None
    taken = reading.layer.axes[0]
    added = len(reading.result) - len(data) + 1
    if axis < taken:
        return [AxisLink(0, axis, data[axis])]
    return [AxisLink(0, axis - added + 1, data[axis - added + 1])] if axis >= taken + added else None


_POOLS = ("MaxPool", "AveragePool", "LpPool")
_ELEMENTWISE = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BatchNormalization BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
    Cast CastLike Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish
    IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu
    Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
"""
_ALONG = """
    ArgMax ArgMin Concat CumProd CumSum GroupNormalization Hardmax InstanceNormalization LRN LayerNormalization
    LogSoftmax LpNormalization MeanVarianceNormalization Pad RMSNormalization ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Resize Slice Softmax Split TopK
"""
_RULES: dict[str, Callable[[LayerReading, int], _Links]] = {
    **dict.fromkeys(_ELEMENTWISE.split(), _aligned),
    **dict.fromkeys(_ALONG.split(), _along_others),
    **dict.fromkeys(("Conv", "ConvTranspose", *_POOLS), _window),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _global_pool),
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Transpose": _transpose,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    "Gather": _gather,
}
