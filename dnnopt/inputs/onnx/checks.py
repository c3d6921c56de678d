"""What ONNX's shape rules leave unchecked: whether channels, weights and sizes fit each other.

Each check gets an operator with all shapes, and raises a ValueError that says what does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dnnopt.inputs.onnx.costs import Operator, Value
from dnnopt.inputs.onnx.fitting import broadcasts, demand, is_vector, shown

Check = Callable[[Operator], None]

# Standard operators without a shape rule, and some of onnxruntime's: the first output is shaped like the first input.
LIKE_INPUT = frozenset(
    ["GroupNormalization", "MeanVarianceNormalization", "Affine", "ImageScaler", "ParametricSoftplus", "ScaledTanh"]
)


def _optional(node: Operator, index: int) -> Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _convolution(x: int, weight: int, bias: int) -> Check:
    def check(node: Operator) -> None:
        data, weights = node.input(x).shape, node.input(weight).shape
        group = node.attributes.get("group", 1)
        demand(len(data) == len(weights) >= 3, f"the input is {shown(data)} and the weights are {shown(weights)}")
        demand(
            group >= 1 and data[1] == weights[1] * group and weights[0] % group == 0,
            f"the input has {data[1]} channels and the weights are {shown(weights)}, in {group} groups",
        )
        is_vector(_optional(node, bias), weights[0], "the bias")
        kernel = tuple(node.attributes.get("kernel_shape", weights[2:]))
        demand(kernel == weights[2:], f"kernel_shape is {shown(kernel)} and the weights are {shown(weights)}")
        _window(node, data[2:])
        _does_not_vanish(node, data[2:], kernel)

    return check


def _window(node: Operator, before: Sequence[int]) -> None:
    """Check the attributes of a window that moves over a map."""
    for name in ("strides", "dilations", "kernel_shape"):
        values = node.attributes.get(name, [1] * len(before))
        demand(len(values) == len(before) and min(values) >= 1, f"{name} is {list(values)}")
    pads = node.attributes.get("pads", [0] * 2 * len(before))
    demand(len(pads) == 2 * len(before) and max(map(abs, pads)) < 2**31, f"pads is {list(pads)}")


def _does_not_vanish(node: Operator, before: Sequence[int], kernel: Sequence[int]) -> None:
    """Refuse a convolution whose filter does not fit into a map."""
    rank, after = len(before), node.out.shape[2:]
    pads, dilations = node.attributes.get("pads", [0] * 2 * rank), node.attributes.get("dilations", [1] * rank)
    padded = [size + first + last for size, first, last in zip(before, pads[:rank], pads[rank:], strict=True)]
    extent = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    fits = node.text("auto_pad", "NOTSET").startswith("SAME") or all(
        a <= b for a, b in zip(extent, padded, strict=True)
    )
    demand(0 in before or (fits and min(after) >= 1), f"a map of {shown(before)} is too small for {shown(kernel)}")


def _transposed_convolution(node: Operator) -> None:
    data, weights = node.input(0).shape, node.input(1).shape
    group = node.attributes.get("group", 1)
    demand(len(data) == len(weights) >= 3, f"the input is {shown(data)} and the weights are {shown(weights)}")
    demand(
        group >= 1 and data[1] == weights[0] and data[1] % group == 0,
        f"the input has {data[1]} channels and the weights are {shown(weights)}, in {group} groups",
    )
    is_vector(_optional(node, 2), weights[1] * group, "the bias")
    kernel = tuple(node.attributes.get("kernel_shape", weights[2:]))
    demand(kernel == weights[2:], f"kernel_shape is {shown(kernel)} and the weights are {shown(weights)}")
    _window(node, data[2:])
    after = node.out.shape[2:]
    demand(0 in data[2:] or min(after) >= 1, f"a map of {shown(data[2:])} becomes {shown(after)}")


def _pool(node: Operator) -> None:
    kernel, pads = node.attributes["kernel_shape"], node.attributes.get("pads", [])
    _window(node, node.input(0).shape[2:])
    demand(
        all(pad < size for pad, size in zip(pads, kernel * 2, strict=False)), f"pads {pads} exceed the kernel {kernel}"
    )


def _gemm(node: Operator) -> None:
    bias = _optional(node, 2)
    if bias is not None:
        fits = broadcasts(bias.shape, node.out.shape)
        demand(fits, f"the bias is {shown(bias.shape)}, which does not broadcast to {shown(node.out.shape)}")


def _reshape(node: Operator) -> None:
    before, after = node.input(0), node.out
    demand(
        before.size == after.size,
        f"{shown(before.shape)} has {before.size} elements and {shown(after.shape)} has {after.size}",
    )


def _batch_norm(node: Operator) -> None:
    if node.attributes.get("spatial", 1):  # else, in early versions, it has a scale for each element of a sample
        for index, what in ((1, "the scale"), (2, "the bias"), (3, "the mean"), (4, "the variance")):
            is_vector(node.input(index), node.input(0).shape[1], what)


def _instance_norm(node: Operator) -> None:
    channels = node.input(0).shape[1]
    for index, what in ((1, "the scale"), (2, "the bias")):
        is_vector(node.input(index), channels, what)


def _group_norm(node: Operator) -> None:
    channels, groups = node.input(0).shape[1], node.attributes["num_groups"]
    demand(groups >= 1 and channels % groups == 0, f"{channels} channels, in {groups} groups")
    for index, what in ((1, "the scale"), (2, "the bias")):
        size = node.input(index).shape
        demand(size in ((channels,), (groups,)), f"{what} is {shown(size)}, expected {channels} or {groups}")


def _layer_norm(node: Operator) -> None:
    shape = node.input(0).shape
    inner = shape[node.attributes.get("axis", -1) % len(shape) :]
    for index, what in ((1, "the scale"), (2, "the bias")):
        value = _optional(node, index)
        if value is not None:
            fits = broadcasts(value.shape, shape)
            demand(fits, f"{what} is {shown(value.shape)}, which does not broadcast to {shown(inner)}")


def _prelu(node: Operator) -> None:
    data, slope = node.input(0).shape, node.input(1).shape
    channels = slope == data[1:2]  # version 1 and 6 have one slope a channel
    demand(
        channels or broadcasts(slope, data), f"the slope is {shown(slope)}, which does not broadcast to {shown(data)}"
    )


def _transpose(node: Operator) -> None:
    order, shape = node.attributes.get("perm"), node.input(0).shape
    fits = order is None or sorted(order) == list(range(len(shape)))
    demand(fits, f"perm is {order} and the input {shown(shape)}")


def _elements(node: Operator) -> None:
    data, indices = node.input(0).shape, node.input(1).shape
    demand(len(data) == len(indices), f"the data are {shown(data)} and the indices {shown(indices)}")
    axis = node.attributes.get("axis", 0) % max(len(data), 1)
    fits = all(i <= d for position, (d, i) in enumerate(zip(data, indices, strict=True)) if position != axis)
    demand(fits, f"the data are {shown(data)} and the indices {shown(indices)}, along axis {axis}")


def _scatter(node: Operator) -> None:
    _elements(node)
    indices, updates = node.input(1).shape, node.input(2).shape
    demand(indices == updates, f"the indices are {shown(indices)} and the updates {shown(updates)}")


def _scatter_nd(node: Operator) -> None:
    data, indices, updates = (node.input(index).shape for index in range(3))
    fits = bool(indices) and indices[-1] <= len(data) and updates == (*indices[:-1], *data[indices[-1] :])
    problem = f"the data are {shown(data)}, the indices {shown(indices)} and the updates {shown(updates)}"
    demand(fits, problem)


def _depth_to_space(node: Operator) -> None:
    shape, block = node.input(0).shape, node.attributes["blocksize"]
    demand(block >= 1 and shape[1] % block**2 == 0, f"the input is {shown(shape)} and blocksize {block}")


def _space_to_depth(node: Operator) -> None:
    shape, block = node.input(0).shape, node.attributes["blocksize"]
    fits = block >= 1 and all(size % block == 0 for size in shape[2:])
    demand(fits, f"the input is {shown(shape)} and blocksize {block}")


def _recurrent(gates: int) -> Check:
    def check(node: Operator) -> None:
        data, weights, recurrent = (node.input(index).shape for index in range(3))
        demand(len(data) == 3, f"the input is {shown(data)}")
        hidden = node.attributes.get("hidden_size", recurrent[-1] if recurrent else 0)
        directions = 2 if node.text("direction") == "bidirectional" else 1
        expected: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
            "weights are": (weights, (directions, gates * hidden, data[-1])),
            "recurrent weights are": (recurrent, (directions, gates * hidden, hidden)),
        }
        bias = _optional(node, 3)
        if bias is not None:
            expected["bias is"] = bias.shape, (directions, 2 * gates * hidden)
        for what, (found, wanted) in expected.items():
            demand(found == wanted, f"the {what} {shown(found)}, expected {shown(wanted)}")

    return check


def _cumulative(node: Operator) -> None:
    axis, rank = node.input(1).data, len(node.input(0).shape)
    demand(axis is None or (axis.size == 1 and -rank <= axis.item() < rank), f"axis is {axis}, of {rank} axes")


def _lrn(node: Operator) -> None:
    demand(node.attributes["size"] >= 1, f"size is {node.attributes['size']}")


def _global_pool(node: Operator) -> None:
    demand(len(node.input(0).shape) >= 3, f"the input is {shown(node.input(0).shape)}, expected a map")


def _axis(node: Operator) -> None:
    rank, axis = len(node.input(0).shape), node.attributes.get("axis", -1)
    demand(-rank <= axis < rank, f"axis is {axis} and the input {shown(node.input(0).shape)}")


def _batch_dims(node: Operator) -> None:
    rank, count = min(len(node.input(index).shape) for index in (0, 1)), node.attributes.get("batch_dims", 0)
    demand(0 <= count < max(rank, 1), f"batch_dims is {count}")


def _parts(node: Operator) -> None:
    count = node.attributes.get("num_outputs", len(node.outputs))
    demand(count == len(node.outputs), f"num_outputs is {count}, and there are {len(node.outputs)} outputs")


def _each(names: str, check: Check) -> dict[str, Check]:
    return dict.fromkeys(names.split(), check)


# Checked before ONNX's rules are asked, which would read out of bounds or count up to any number; outputs are None.
BEFORE: dict[str, Check] = {
    **_each("LayerNormalization RMSNormalization", _axis),
    **_each("GatherND", _batch_dims),
    **_each("Split", _parts),
}
CHECKS: dict[str, Check] = {
    **_each("Conv", _convolution(0, 1, 2)),
    **_each("ConvInteger", _convolution(0, 1, 99)),
    **_each("QLinearConv", _convolution(0, 3, 8)),
    **_each("ConvTranspose", _transposed_convolution),
    **_each("MaxPool AveragePool LpPool", _pool),
    **_each("GlobalAveragePool GlobalMaxPool GlobalLpPool", _global_pool),
    **_each("Gemm", _gemm),
    **_each("Reshape", _reshape),
    **_each("BatchNormalization", _batch_norm),
    **_each("InstanceNormalization", _instance_norm),
    **_each("GroupNormalization", _group_norm),
    **_each("LayerNormalization RMSNormalization", _layer_norm),
    **_each("PRelu", _prelu),
    **_each("Transpose", _transpose),
    **_each("GatherElements", _elements),
    **_each("Scatter ScatterElements", _scatter),
    **_each("ScatterND", _scatter_nd),
    **_each("DepthToSpace", _depth_to_space),
    **_each("SpaceToDepth", _space_to_depth),
    **_each("RNN", _recurrent(1)),
    **_each("GRU", _recurrent(3)),
    **_each("LSTM", _recurrent(4)),
    **_each("CumSum CumProd", _cumulative),
    **_each("LRN", _lrn),
}
