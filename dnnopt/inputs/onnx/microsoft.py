"""Operators that onnxruntime adds to ONNX's (domain com.microsoft), and the shapes that they make.

`STANDARD` has those that are a standard operator with more inputs: its shape rule, checks and cost do. The others have
a rule in `SHAPES`, which gets an operator without outputs and raises a ValueError where its inputs do not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dnnopt.inputs.onnx.costs import FLOAT, Operator, Value
from dnnopt.inputs.onnx.fitting import broadcasts, demand, is_vector, shown

INT32 = 6  # the number of onnx.TensorProto.INT32
Rule = Callable[[Operator], Sequence[Value | None]]


@dataclass(frozen=True)
class Standard:
    """A standard operator that does for another one.

    Attributes
    ----------
    op : str
    inputs : tuple of int
        The inputs that are those of the standard operator; -1 after the first ones: and every third one from there.
    dtype : tuple of int
        Inputs of which the first that is there has the output's element type.
    channels_last : bool
        Whether channels are the last axis, with or without the attribute ``channels_last``.
    """

    op: str
    inputs: tuple[int, ...]
    dtype: tuple[int, ...] = (0,)
    channels_last: bool = False

    def pick(self, values: Sequence[Any]) -> list[Any]:
        """Return those of an operator's inputs that the standard one has."""
        if self.inputs[-1] == -1:
            return list(values[self.inputs[0] :: 3])
        return [values[index] for index in self.inputs if index < len(values)]


_STANDARD: dict[str, Standard] = {
    "FusedConv": Standard("Conv", (0, 1, 2)),
    "NhwcConv": Standard("Conv", (0, 1, 2), channels_last=True),
    "NhwcFusedConv": Standard("Conv", (0, 1, 2), channels_last=True),
    "QLinearConv": Standard("Conv", (0, 3, 8), dtype=(7,)),
    "FusedGemm": Standard("Gemm", (0, 1, 2)),
    "QGemm": Standard("Gemm", (0, 3, 6), dtype=(8, 1)),
    "MatMulIntegerToFloat": Standard("MatMul", (0, 1), dtype=(2,)),
    "DynamicQuantizeMatMul": Standard("MatMul", (0, 1)),
    "NhwcMaxPool": Standard("MaxPool", (0,), channels_last=True),
    "QLinearAveragePool": Standard("AveragePool", (0,)),
    "QLinearGlobalAveragePool": Standard("GlobalAveragePool", (0,)),
    "QLinearAdd": Standard("Add", (0, 3)),
    "QLinearMul": Standard("Mul", (0, 3)),
    "QLinearWhere": Standard("Where", (0, 1, 4), dtype=(1,)),
    "QLinearConcat": Standard("Concat", (2, -1), dtype=(2,)),
    "Pad": Standard("Pad", (0, 1)),
    "Trilu": Standard("Trilu", (0, 1)),
    "GatherND": Standard("GatherND", (0, 1)),
    "GridSample": Standard("GridSample", (0, 1)),
}


def has(node: Operator, index: int) -> bool:
    """Whether an operator has an input that may be left out."""
    return index < len(node.inputs) and node.inputs[index] is not None


def _like(value: Value, shape: Sequence[int]) -> Value:
    return Value(tuple(shape), value.bits, value.dtype)


def _like_input(node: Operator) -> list[Value | None]:
    return [node.input(0)]


def _normalised(node: Operator) -> list[Value | None]:
    """Outputs of a layer normalisation: the result, two statistics, and the sum of what is added up before."""
    x, added = node.input(0), node.input(1).shape
    for index in range(2, len(node.inputs)):
        is_vector(node.inputs[index], x.shape[-1], f"input {index}")
    demand(broadcasts(added, x.shape), f"the skip is {shown(added)} and the input {shown(x.shape)}")
    statistics = Value((*x.shape[:-1], 1), 32, FLOAT)
    return [x, statistics, statistics, x]


def _simplified(node: Operator) -> list[Value | None]:
    x, axis = node.input(0), node.attributes.get("axis", -1)
    demand(-len(x.shape) <= axis < len(x.shape), f"axis is {axis} and the input {shown(x.shape)}")
    axis %= len(x.shape)
    scale = node.input(1).shape
    demand(broadcasts(scale, x.shape), f"the scale is {shown(scale)} and the input {shown(x.shape)}")
    return [x, Value((*x.shape[:axis], *[1] * (len(x.shape) - axis)), 32, FLOAT)]


def _embeddings(node: Operator) -> list[Value | None]:
    ids, words = node.input(0), node.input(2)
    quantised = node.op.endswith("QEmbedLayerNormalization")
    kind = node.input(8) if quantised else words
    out = _like(kind, (*ids.shape, words.shape[-1]))
    return [out, Value(ids.shape[:1], 32, INT32), None if quantised else out]


def _matrices(node: Operator) -> list[Value | None]:
    shapes = []
    for index, name in ((0, "A"), (1, "B")):
        shape = list(node.input(index).shape)
        if len(shape) > 1 and node.attributes.get(f"transBatch{name}"):
            shape = [*shape[1:-1], shape[0], shape[-1]]
        if len(shape) > 1 and node.attributes.get(f"trans{name}"):
            shape[-2:] = shape[:-3:-1]
        shapes.append(shape)
    return [_like(node.input(0), _product(*shapes))]


def _product(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of a product of stacks of matrices."""
    rows, columns = (list(a[-2:-1]), list(b[-1:])) if len(b) > 1 else (list(a[-2:-1]), [])
    demand(bool(a and b) and a[-1] == b[-2:][0], f"the factors are {shown(a)} and {shown(b)}")
    stack = _broadcast(a[:-2], b[:-2])
    return (*stack, *rows, *columns)


def _broadcast(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    longest = max(len(a), len(b))
    pairs = zip([1] * (longest - len(a)) + list(a), [1] * (longest - len(b)) + list(b), strict=True)
    sizes = [(x, y) for x, y in pairs]
    demand(all(x == y or 1 in (x, y) for x, y in sizes), f"{shown(a)} and {shown(b)} do not broadcast")
    return tuple(y if x == 1 else x for x, y in sizes)


def _matmul_16(node: Operator) -> list[Value | None]:
    return [Value(_product(node.input(0).shape, node.input(1).shape), 32, INT32)]


def _gemm_gelu(node: Operator) -> list[Value | None]:
    return [_like(node.input(0), _product(node.input(0).shape, node.input(1).shape))]


def _packed_matrix(node: Operator) -> list[Value | None]:
    x, inner, columns = node.input(0), node.attributes["K"], node.attributes["N"]
    demand(x.shape[-1:] == (inner,), f"the input is {shown(x.shape)} and K is {inner}")
    return [_like(x, (*x.shape[:-1], columns))]


def _halves(node: Operator) -> list[Value | None]:
    x = node.input(0)
    demand(x.shape[-1] % 2 == 0, f"the input is {shown(x.shape)}, expected halves")
    return [_like(x, (*x.shape[:-1], x.shape[-1] // 2))]


def _reduced(node: Operator) -> list[Value | None]:
    x = node.input(0)
    rank = len(x.shape)
    axes = node.attributes.get("axes") or list(range(rank))
    demand(all(-rank <= axis < rank for axis in axes), f"axes are {axes} and the input {shown(x.shape)}")
    gone = {axis % rank for axis in axes}
    keep = node.attributes.get("keepdims", 1)
    return [_like(x, [1 if a in gone else size for a, size in enumerate(x.shape) if keep or a not in gone])]


def _quantised(node: Operator) -> list[Value | None]:
    x = node.input(0)
    return [_like(node.input(2), x.shape) if has(node, 2) else Value(x.shape, 8, 2)]


def _dequantised(node: Operator) -> list[Value | None]:
    return [_like(node.input(1), node.input(0).shape)]


def _expand_dims(node: Operator) -> list[Value | None]:
    x, axis = node.input(0), node.input(1).data
    demand(axis is not None and axis.size == 1, "the axis is not a constant")
    position = int(axis.item())
    rank = len(x.shape) + 1
    demand(-rank <= position < rank, f"the axis is {position} and the input {shown(x.shape)}")
    position %= rank
    return [_like(x, (*x.shape[:position], 1, *x.shape[position:]))]


def _distances(node: Operator) -> list[Value | None]:
    a, b = node.input(0), node.input(1)
    demand(len(a.shape) == len(b.shape) == 2 and a.shape[1] == b.shape[1], f"{shown(a.shape)} and {shown(b.shape)}")
    return [_like(a, (a.shape[0], b.shape[0]))]


def _lstm(node: Operator) -> list[Value | None]:
    x, weights, recurrent = (node.input(index) for index in range(3))
    hidden = node.attributes.get("hidden_size", recurrent.shape[1])
    directions = 2 if node.text("direction") == "bidirectional" else 1
    for value, rows in ((weights, x.shape[2]), (recurrent, hidden)):
        expected = (directions, rows, 4 * hidden)
        demand(value.shape == expected, f"weights are {shown(value.shape)}, expected {shown(expected)}")
    steps, samples = x.shape[:2]
    last = _like(x, (directions, samples, hidden))
    return [_like(x, (steps, directions, samples, hidden)), last, last]


def _blocks(node: Operator) -> list[Value | None]:
    """A Gather from a table of elements that are packed into bytes."""
    table, indices, scales = node.input(0), node.input(1), node.input(2)
    axis = node.attributes.get("gather_axis", 0) % len(table.shape)
    shape = list(table.shape)
    if table.bits == 8:
        shape[-1] = shape[-1] * 8 // node.attributes.get("bits", 4)
    return [_like(scales, (*shape[:axis], *indices.shape, *shape[axis + 1 :]))]


def _position_bias(node: Operator) -> list[Value | None]:
    table, *lengths = (node.input(index) for index in range(3))
    demand(all(length.data is not None for length in lengths), "the lengths are not constants")
    query, keys = (int(length.data.item()) for length in lengths)
    return [_like(table, (1, table.shape[1], query, keys))]


@dataclass(frozen=True)
class Heads:
    """Sizes of an attention: how many samples, queries, keys; widths of all heads' keys and values together."""

    samples: int
    queries: int
    keys: int
    heads: int
    key_width: int
    value_width: int

    @property
    def flops(self) -> float:
        """Scores, their softmax, and the weighted values."""
        pairs = self.samples * self.queries * self.keys
        return 2 * pairs * self.key_width + 5 * pairs * self.heads + 2 * pairs * self.value_width


def _past_length(node: Operator, index: int, axis: int, shared: bool, new: int) -> int:
    """Return how many keys there are: those of the past and the new ones; a buffer that is shared has room for both."""
    past = node.input(index).shape[axis] if has(node, index) else 0
    return past if shared and past else past + new


def self_attention(node: Operator, past: int = 4) -> Heads:
    x, weights = node.input(0).shape, node.input(1).shape
    demand(
        len(x) == 3 and len(weights) == 2 and x[2] == weights[0], f"the input is {shown(x)}, weights {shown(weights)}"
    )
    widths = node.attributes.get("qkv_hidden_sizes") or [weights[1] // 3] * 3
    demand(len(widths) == 3 and sum(widths) == weights[1], f"heads have {list(widths)}, weights are {shown(weights)}")
    shared = bool(node.attributes.get("past_present_share_buffer"))
    keys = _past_length(node, past, 3, shared, x[1])
    return Heads(x[0], x[1], keys, node.attributes["num_heads"], widths[0], widths[2])


def _self_attended(past: int, kind: int) -> Rule:
    def rule(node: Operator) -> list[Value | None]:
        sizes = self_attention(node, past)
        each = sizes.key_width // sizes.heads
        like = node.input(kind)
        present = _like(like, (2, sizes.samples, sizes.heads, sizes.keys, each))
        return [_like(like, (sizes.samples, sizes.queries, sizes.value_width)), present]

    return rule


def cross_attention(node: Operator, past: int, length: int) -> Heads:
    """Queries, keys and values of their own: three axes each, four with heads apart, or packed with five."""
    query, heads = node.input(0).shape, node.attributes["num_heads"]
    samples, queries = query[:2]
    if len(query) == 5:
        width = value_width = query[2] * query[4]
        new = queries
    else:
        width = query[2]
        key = node.input(1).shape if has(node, 1) else None
        if key is None:
            new, width, value_width = queries, width // 3, width // 3
        elif len(key) == 5:
            new, value_width = key[1], key[2] * key[4]
        elif len(key) == 4:
            new, value_width = key[2], heads * node.input(2).shape[3]
        else:
            new, value_width = key[1], node.input(2).shape[2]
            demand(key[2] == width, f"the queries are {shown(query)} and the keys {shown(key)}")
    demand(heads >= 1 and width % heads == 0 == value_width % heads, f"{width} and {value_width}, in {heads} heads")
    shared = has(node, length) or bool(node.attributes.get("past_present_share_buffer"))
    return Heads(samples, queries, _past_length(node, past, 2, shared, new), heads, width, value_width)


def _cross_attended(past: int, length: int) -> Rule:
    def rule(node: Operator) -> list[Value | None]:
        q, sizes = node.input(0), cross_attention(node, past, length)
        stack = (sizes.samples, sizes.heads, sizes.keys)
        return [
            _like(q, (sizes.samples, sizes.queries, sizes.value_width)),
            _like(q, (*stack, sizes.key_width // sizes.heads)),
            _like(q, (*stack, sizes.value_width // sizes.heads)),
            _like(q, (sizes.samples, sizes.heads, sizes.queries, sizes.keys)),
        ]

    return rule


def grouped(node: Operator) -> tuple[Heads, int, int]:
    """Return the sizes of attention whose keys and values have fewer heads, how many these are, and one's width."""
    q, heads, groups = node.input(0).shape, node.attributes["num_heads"], node.attributes["kv_num_heads"]
    demand(
        len(q) == 3 and groups >= 1 and heads % groups == 0, f"queries are {shown(q)}, in {heads} and {groups} heads"
    )
    width = q[2] // heads if has(node, 1) else q[2] // (heads + 2 * groups)
    whole = width * (heads if has(node, 1) else heads + 2 * groups)
    demand(whole == q[2], f"queries are {shown(q)}, in {heads} and {groups} heads")
    new = node.input(1).shape[1] if has(node, 1) else q[1]
    past = node.input(3).shape[2] if has(node, 3) else 0
    total = node.input(6).data
    keys = max(int(total.item()), past) if total is not None and total.size == 1 else past + new
    return Heads(q[0], q[1], keys, heads, heads * width, heads * width), groups, width


def _group_attended(node: Operator) -> list[Value | None]:
    sizes, groups, width = grouped(node)
    kind = node.input(3) if has(node, 3) else node.input(0)
    present = _like(kind, (sizes.samples, groups, sizes.keys, width))
    scores = _like(node.input(0), (sizes.samples, sizes.heads, sizes.queries, sizes.keys))
    return [_like(node.input(0), (sizes.samples, sizes.queries, sizes.key_width)), present, present, scores]


_SHAPED_LIKE_INPUT = """
    Gelu FastGelu QuickGelu BiasGelu BiasAdd BiasSoftmax RotaryEmbedding MoE QMoE Inverse GroupNorm QLinearSigmoid
    QLinearLeakyRelu QLinearSoftmax
"""
_SHAPES: dict[str, Rule] = {
    **dict.fromkeys(_SHAPED_LIKE_INPUT.split(), _like_input),
    **dict.fromkeys(["SkipLayerNormalization", "SkipSimplifiedLayerNormalization"], _normalised),
    "SkipGroupNorm": lambda node: [node.input(0), node.input(0)],
    **dict.fromkeys(["EmbedLayerNormalization", "QEmbedLayerNormalization"], _embeddings),
    **dict.fromkeys(["FusedMatMul", "TransposeMatMul", "FusedMatMulActivation"], _matrices),
    "MatMulInteger16": _matmul_16,
    "GemmFastGelu": _gemm_gelu,
    **dict.fromkeys(["MatMulNBits", "MatMulBnb4"], _packed_matrix),
    "BiasSplitGelu": _halves,
    "QLinearReduceMean": _reduced,
    "QuantizeLinear": _quantised,
    "DequantizeLinear": _dequantised,
    "ExpandDims": _expand_dims,
    "CDist": _distances,
    "DynamicQuantizeLSTM": _lstm,
    "GatherBlockQuantized": _blocks,
    "RelativePositionBias": _position_bias,
    "Attention": _self_attended(4, 0),
    "QAttention": _self_attended(8, 3),
    "MultiHeadAttention": _cross_attended(6, 8),
    "DecoderMaskedMultiHeadAttention": _cross_attended(5, 7),
    "GroupQueryAttention": _group_attended,
}


DOMAIN = "com.microsoft:"
STANDARD = {DOMAIN + name: standard for name, standard in _STANDARD.items()}
# SimplifiedLayerNormalization is an operator of ONNX's own domain there.
SHAPES = {"SimplifiedLayerNormalization": _simplified, **{DOMAIN + name: rule for name, rule in _SHAPES.items()}}
