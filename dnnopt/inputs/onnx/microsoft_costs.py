"""What the operators of onnxruntime's domain, com.microsoft, cost, by the rules of `dnnopt.inputs.onnx.costs`."""

from __future__ import annotations

import math

from dnnopt.inputs.onnx import costs as onnx_costs
from dnnopt.inputs.onnx.costs import CostFunction, Operator, OperatorCost
from dnnopt.inputs.onnx.microsoft import DOMAIN, STANDARD, cross_attention, grouped, has, self_attention


def _as_standard(name: str, quantised: float = 0) -> CostFunction:
    """Return the cost of the standard operator, with so much more for each output."""
    standard = STANDARD[DOMAIN + name]

    def cost(node: Operator) -> float:
        same = Operator(standard.op, tuple(standard.pick(node.inputs)), node.outputs, node.attributes)
        return onnx_costs.flops(same) + quantised * node.out.size

    return cost


def _activation(node: Operator) -> float:
    """Return what an operator's own activation costs, with what it adds before."""
    name = node.text("activation")
    added = node.out.size if node.op.endswith("FusedConv") and has(node, 3) else 0
    return added + (onnx_costs.flops(Operator(name, (node.out,), (node.out,))) if name else 0)


def _fused(name: str) -> CostFunction:
    return lambda node: _as_standard(name)(node) + _activation(node)  # type: ignore[operator]


def _per_output(flops: float) -> CostFunction:
    return lambda node: flops * node.out.size


def _with_bias(flops: float, bias: int) -> CostFunction:
    """So much for each output, and one more where there is a bias."""
    return lambda node: (flops + has(node, bias)) * node.out.size


def _inner(node: Operator) -> int:
    """Number of products that are summed up for each output of a matrix product."""
    shape = list(node.input(0).shape)
    if len(shape) > 1 and node.attributes.get("transBatchA"):
        shape = [*shape[1:-1], shape[0], shape[-1]]
    return shape[-2] if len(shape) > 1 and node.attributes.get("transA") else shape[-1]


def _embedding_cost(node: Operator) -> OperatorCost:
    """Rows of two or three tables are added up and normalised; the tables are read where rows are picked."""
    ids = node.input(0)
    quantised = node.op.endswith("QEmbedLayerNormalization")
    tables = [node.inputs[index] for index in (2, 3, 4) if node.inputs[index] is not None]
    rows = ids.size * node.input(2).shape[-1]
    flops = (len(tables) - 1 + 7 + (2 * len(tables) if quantised else 0)) * rows
    read = sum(rows * table.bits // 8 for table in tables if table is not None)
    others = [value for index, value in enumerate(node.inputs) if index not in (2, 3, 4) and value is not None]
    written = sum(value.bytes for value in node.outputs if value is not None)
    return OperatorCost(flops, read + sum(value.bytes for value in others) + written)


def _blocks_cost(node: Operator) -> OperatorCost:
    table, indices, scales, out = node.input(0), node.input(1), node.input(2), node.out
    picked = min(1.0, indices.size / max(table.shape[node.attributes.get("gather_axis", 0)], 1))
    stored = table.bytes + scales.bytes + (node.input(3).bytes if has(node, 3) else 0)
    return OperatorCost(2 * out.size, picked * stored + indices.bytes + out.bytes)


def _experts_cost(node: Operator) -> OperatorCost:
    """Each token meets `k` experts; of their weights, at most as many are read as tokens meet."""
    quantised = node.op.endswith("QMoE")
    first = (2, 5, 8) if quantised else (2, 4, 6)
    matrices = [node.inputs[index] for index in first if has(node, index)]
    packed = 8 // node.attributes.get("expert_weight_bits", 4) if quantised else 1
    experts, tokens, k = node.input(2).shape[0], math.prod(node.input(0).shape[:-1]), node.attributes.get("k", 1)
    products = sum(matrix.size for matrix in matrices if matrix is not None) * packed / experts
    weights = [value for value in node.inputs[2:] if value is not None]
    read = min(1.0, tokens * k / experts) * sum(value.bytes for value in weights)
    moved = node.input(0).bytes + node.input(1).bytes + node.out.bytes
    return OperatorCost(2 * tokens * k * products + 5 * node.input(1).size, read + moved)


def _projected(past: int) -> CostFunction:
    def cost(node: Operator) -> float:
        weights = node.input(1).shape
        sizes = self_attention(node, past)
        return 2 * sizes.samples * sizes.queries * weights[0] * weights[1] + sizes.flops

    return cost


def _grouped_cost(node: Operator) -> float:
    sizes, groups, width = grouped(node)
    turned = sizes.samples * sizes.queries * (sizes.heads + groups) * width if node.attributes.get("do_rotary") else 0
    return sizes.flops + 3 * turned


_COSTS: dict[str, CostFunction] = {
    "FusedConv": _fused("FusedConv"),
    "NhwcConv": _as_standard("NhwcConv"),
    "NhwcFusedConv": _fused("NhwcFusedConv"),
    "FusedGemm": _fused("FusedGemm"),
    **{
        name: _as_standard(name)
        for name in ["QLinearConv", "QGemm", "NhwcMaxPool", "Pad", "Trilu", "GatherND", "GridSample"]
    },
    # Two operands are made real numbers (two each), and the result an integer (three), as by the operators apart.
    **{name: _as_standard(name, 7) for name in ("QLinearAdd", "QLinearMul")},
    **{name: _as_standard(name, 5) for name in ("QLinearWhere", "QLinearConcat")},
    **{name: _as_standard(name, 3) for name in ("QLinearAveragePool", "QLinearGlobalAveragePool")},
    "QLinearReduceMean": lambda node: node.input(0).size + 3 * node.out.size,
    "QLinearSigmoid": _per_output(9),
    "QLinearLeakyRelu": _per_output(7),
    "QLinearSoftmax": _per_output(10),
    "MatMulIntegerToFloat": _as_standard("MatMulIntegerToFloat", 1),
    "DynamicQuantizeMatMul": lambda node: (2 * _inner(node) + 1) * node.out.size + 5 * node.input(0).size,
    **dict.fromkeys(
        ["MatMulInteger16", "FusedMatMul", "TransposeMatMul"], lambda node: 2 * _inner(node) * node.out.size
    ),
    "FusedMatMulActivation": lambda node: 2 * _inner(node) * node.out.size + _activation(node),
    "GemmFastGelu": lambda node: (2 * _inner(node) + 8 + has(node, 2)) * node.out.size,
    **dict.fromkeys(["MatMulNBits", "MatMulBnb4"], lambda node: 2 * node.attributes["K"] * node.out.size),
    "Gelu": _per_output(5),
    "BiasGelu": _per_output(6),
    "FastGelu": _with_bias(8, 1),  # x (1/2 + tanh(x (a + b x²)) / 2)
    "QuickGelu": _per_output(6),
    "BiasSplitGelu": _per_output(8),
    "BiasAdd": _per_output(2),
    "BiasSoftmax": _per_output(6),
    "SkipLayerNormalization": _with_bias(8, 4),
    "SkipSimplifiedLayerNormalization": _with_bias(5, 3),
    "GroupNorm": lambda node: (7 + (5 if node.attributes.get("activation") else 0)) * node.out.size,
    "SkipGroupNorm": lambda node: (8 + has(node, 4) + (5 if node.attributes.get("activation") else 0)) * node.out.size,
    **dict.fromkeys(["EmbedLayerNormalization", "QEmbedLayerNormalization"], _embedding_cost),
    "RotaryEmbedding": _per_output(3),
    "QuantizeLinear": _per_output(3),
    "DequantizeLinear": _per_output(2),
    "ExpandDims": _per_output(0),
    "RelativePositionBias": _per_output(0),
    "CDist": lambda node: 3 * node.input(0).shape[1] * node.out.size,
    "Inverse": lambda node: 2 * node.input(0).shape[-1] * node.out.size,
    "DynamicQuantizeLSTM": onnx_costs.recurrent,
    "GatherBlockQuantized": _blocks_cost,
    **dict.fromkeys(["MoE", "QMoE"], _experts_cost),
    "Attention": _projected(4),
    "QAttention": _projected(8),
    "MultiHeadAttention": lambda node: cross_attention(node, 6, 8).flops,
    "DecoderMaskedMultiHeadAttention": lambda node: cross_attention(node, 5, 7).flops,
    "GroupQueryAttention": _grouped_cost,
}

COSTS = {"SimplifiedLayerNormalization": _per_output(4), **{DOMAIN + name: cost for name, cost in _COSTS.items()}}
