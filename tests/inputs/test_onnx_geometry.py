"""Geometry that ONNX files tell: windows against what runtimes make, axes and weights against what depends on what."""

import ast
import inspect
from collections import Counter

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_models import attention_block, floats, integers, layers, model, node, runtime_results

import dnnopt as dp
from dnnopt.inputs.onnx import geometry
from dnnopt.inputs.onnx.costs import COSTS
from dnnopt.inputs.onnx.microsoft_costs import COSTS as MICROSOFT_COSTS
from dnnopt.inputs.onnx.reader import read_onnx
from dnnopt.problem.geometry import Window

MICROSOFT = "com.microsoft"


def read_here(made, folder):
    path = folder / "net.onnx"
    path.write_bytes(made.SerializeToString())
    return read_onnx(path)


def shapes(network):
    return {tensor.name: tensor.shape for tensor in network.tensors}


# The table


def test_each_operator_has_one_rule_and_a_cost():
    tree = ast.parse(inspect.getsource(geometry))
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call) and getattr(each.func, "id", "") == "_each"]
    names = Counter(name for call in calls for name in call.args[0].value.split())
    assert {name for name, count in names.items() if count > 1} == set()
    assert len(names) == len(geometry.RULES)
    assert geometry.RULES.keys() <= COSTS.keys() | MICROSOFT_COSTS.keys()


# Windows


@st.composite
def moved(draw, op):
    """Return the attributes of an operator, sizes of its map and kernel, and channels of input and output."""
    rank = draw(st.integers(1, 2))
    kernel = [draw(st.integers(1, 4)) for _ in range(rank)]
    attributes = {"kernel_shape": kernel}
    if draw(st.booleans()):
        attributes["strides"] = [draw(st.integers(1, 4)) for _ in range(rank)]
    if draw(st.booleans()):
        attributes["dilations"] = [draw(st.integers(1, 3)) for _ in range(rank)]
    auto = draw(st.sampled_from([None, "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if auto is not None:
        attributes["auto_pad"] = auto
    if auto in (None, "NOTSET") and draw(st.booleans()):
        attributes["pads"] = [draw(st.integers(0, size - 1)) for size in kernel * 2]
    groups = 1
    if "Pool" in op:
        if draw(st.booleans()):
            attributes["ceil_mode"] = draw(st.integers(0, 1))
    else:
        groups = draw(st.integers(1, 3))
        if groups > 1:
            attributes["group"] = groups
    return attributes, [draw(st.integers(1, 12)) for _ in range(rank)], groups


def one_node(op, attributes, sizes, groups, rng=None):
    """Return a model of one operator; its weights are random where there is a generator."""
    kernel, channels = attributes["kernel_shape"], 2 * groups
    weights = {}
    if "Conv" in op:
        shape = (3 * groups, 2, *kernel) if op == "Conv" else (channels, 3, *kernel)
        weights = {"w": rng.standard_normal(shape).astype(np.float32) if rng is not None else floats(*shape)}
    made = node(op, ["x", *weights], ["y"], **attributes)
    return model([made], {"x": [2, channels, *sizes]}, ["y"], weights, opset=19)


def inferred(made):
    """Return the sizes of the map that ONNX's own inference gives."""
    try:
        found = onnx.shape_inference.infer_shapes(made, strict_mode=True, check_type=True, data_prop=True)
    except onnx.shape_inference.InferenceError:
        return None
    return [axis.dim_value for axis in found.graph.output[0].type.tensor_type.shape.dim][2:]


def made_of(window, sizes):
    """Return what a window makes of the sizes of a map."""
    rank = len(sizes)
    ends = zip(window.pads[:rank], window.pads[rank:], strict=True)
    steps = zip(sizes, ends, window.kernel, window.stride, window.dilation, strict=True)
    return [(n + begin + end - d * (k - 1) - 1) // s + 1 for n, (begin, end), k, s, d in steps]


@pytest.mark.parametrize("op", ["Conv", "MaxPool", "AveragePool", "LpPool"])
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_windows_of_convolutions_and_pools_make_what_onnx_infers(op, data, tmp_path):
    attributes, sizes, groups = data.draw(moved(op))
    made = one_node(op, attributes, sizes, groups)
    after = inferred(made)
    assume(after is not None and min(after) >= 1)
    try:
        network = read_here(made, tmp_path)
    except dp.InputError:  # a kernel that does not fit into the map
        assume(False)
    window, found = network.layers[0].window, shapes(network)
    assert found["x"] == (2, 2 * groups, *sizes)
    rank = len(sizes)
    if attributes.get("ceil_mode"):  # a window that would begin behind the map is none
        assert all(0 <= one - other <= 1 for one, other in zip(after, found["y"][2:], strict=True))
    else:
        assert list(found["y"][2:]) == after
    assert made_of(window, sizes) == list(found["y"][2:])
    assert window.kernel == tuple(attributes["kernel_shape"])
    assert window.stride == tuple(attributes.get("strides", [1] * rank))
    assert window.dilation == tuple(attributes.get("dilations", [1] * rank))
    assert window.groups == attributes.get("group", 1)
    told = tuple(attributes.get("pads", [0] * 2 * rank))
    if not attributes.get("auto_pad", "").startswith("SAME"):
        assert window.pads[:rank] == told[:rank]
        extents = [d * (k - 1) for k, d in zip(window.kernel, window.dilation, strict=True)]
        padded = [n + told[axis] + told[rank + axis] for axis, n in enumerate(sizes)]
        if attributes.get("ceil_mode") or any(n <= extent for n, extent in zip(padded, extents, strict=True)):
            assert all(mine >= given for mine, given in zip(window.pads, told, strict=True))
        else:
            assert window.pads == told


def explicit(op, window):
    """Return the attributes that say the same without any automatic."""
    rank = len(window.kernel)
    begins, ends = window.pads[:rank], window.pads[rank:]
    said = {
        "kernel_shape": window.kernel,
        "strides": window.stride,
        "dilations": window.dilation,
        "pads": [*begins, *(max(end, 0) for end in ends)],
    }
    if op == "ConvTranspose":
        said["output_padding"] = [max(-end, 0) for end in ends]
    return said | ({"group": window.groups} if window.groups > 1 else {})


@pytest.mark.parametrize("op", ["Conv", "MaxPool", "ConvTranspose"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), seed=st.integers(0, 99))
def test_windows_say_what_a_runtime_computes(op, data, seed, tmp_path):
    pytest.importorskip("onnxruntime")
    attributes, sizes, groups = data.draw(moved(op))
    strides = attributes.get("strides", [1] * len(sizes))
    if op == "ConvTranspose":
        if data.draw(st.booleans()):
            attributes["output_padding"] = [data.draw(st.integers(0, step - 1)) for step in strides]
        assume("output_padding" not in attributes or not attributes.get("auto_pad", "").startswith("SAME"))
    rng = np.random.default_rng(seed)
    made = one_node(op, attributes, sizes, groups, rng)
    x = rng.standard_normal((2, 2 * groups, *sizes)).astype(np.float32)
    after = inferred(made)
    assume(after is not None and min(after) >= 1)
    expected = runtime_results(made, {"x": x})
    assume(expected is not None)
    try:
        network = read_here(made, tmp_path)
    except dp.InputError:
        assume(False)
    window = network.layers[0].window
    assume(shapes(network)["y"] == expected["y"].shape)
    if op == "ConvTranspose":
        rank = len(sizes)
        assume(all(pad >= 0 for pad in window.pads[:rank]))
        assume(all(-pad < step for pad, step in zip(window.pads[rank:], strides, strict=True)))
    elif op == "MaxPool":
        assume(all(pad < size for pad, size in zip(window.pads, window.kernel * 2, strict=True)))
    if op != "ConvTranspose" and attributes.get("auto_pad", "").startswith("SAME"):
        # onnxruntime shifts windows that leave a rest of the map, by no rule, and does not count a pool's dilation.
        reach = zip(after, window.stride, window.dilation, window.kernel, strict=True)
        whole = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in reach]
        assume(all(a >= b for a, b in zip(whole, sizes, strict=True)))
        assume(op == "Conv" or "dilations" not in attributes)
    same = node(op, made.graph.node[0].input, ["y"], **explicit(op, window))
    again = onnx.ModelProto()
    again.CopyFrom(made)
    del again.graph.node[:]
    again.graph.node.append(same)
    np.testing.assert_allclose(runtime_results(again, {"x": x})["y"], expected["y"], rtol=1e-4, atol=1e-5)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_windows_of_transposed_convolutions_make_what_onnx_infers(data, tmp_path):
    attributes, sizes, groups = data.draw(moved("ConvTranspose"))
    strides = attributes.get("strides", [1] * len(sizes))
    if data.draw(st.booleans()):
        attributes["output_padding"] = [data.draw(st.integers(0, step - 1)) for step in strides]
    elif data.draw(st.booleans()):
        attributes["output_shape"] = [data.draw(st.integers(1, 20)) for _ in sizes]
    made = one_node("ConvTranspose", attributes, sizes, groups)
    after = inferred(made)
    assume(after is not None and len(after) == len(sizes) and min(after) >= 1)  # it gives up on some
    network = read_here(made, tmp_path)
    window = network.layers[0].window
    assert list(shapes(network)["y"][2:]) == after
    rank = len(sizes)
    ends = zip(window.pads[:rank], window.pads[rank:], strict=True)
    steps = zip(sizes, ends, window.kernel, window.stride, window.dilation, strict=True)
    assert [s * (n - 1) + d * (k - 1) + 1 - begin - end for n, (begin, end), k, s, d in steps] == after
    if "pads" in attributes and "output_shape" not in attributes:
        added = attributes.get("output_padding", [0] * rank)
        told = attributes["pads"]
        assert window.pads == (*told[:rank], *(end - one for end, one in zip(told[rank:], added, strict=True)))


def test_quantised_convolutions_and_pools_have_windows(read):
    weights = {"w": np.zeros((4, 3, 3, 3), np.uint8), "s": np.ones((), np.float32), "z": np.zeros((), np.uint8)}
    image = {"x": ([1, 3, 8, 8], TensorProto.UINT8)}
    expected = Window((3, 3), (2, 2), (1, 1, 1, 1))
    told = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    inputs = ["x", "s", "z", "w", "s", "z", "s", "z"]
    for domain in ("", MICROSOFT):
        found = read(
            [node("QLinearConv", inputs, ["y"], domain=domain, **told)], image, ["y"], weights, domains=[MICROSOFT]
        )
        assert (found.layers[0].window, found.layers[0].weight_axes) == (expected, (1,))
    found = read([node("ConvInteger", ["x", "w"], ["y"], **told)], image, ["y"], weights)
    assert (found.layers[0].window, found.layers[0].weight_axes) == (expected, (1,))
    pool = node("QLinearAveragePool", ["x", "s", "z", "s", "z"], ["y"], domain=MICROSOFT, kernel_shape=[3, 3], **told)
    assert read([pool], image, ["y"], weights, domains=[MICROSOFT]).layers[0].window == expected
    pool.attribute.append(helper.make_attribute("channels_last", 1))
    assert read([pool], image, ["y"], weights, domains=[MICROSOFT]).layers[0].window is None


# Axes: along all others the operator works on each part by itself

SHAPE = (2, 6, 4, 4)
ALONG = {
    "softmax": (node("Softmax", ["x"], ["y"], axis=-2), 17, {}, (2,)),
    "early softmax": (node("Softmax", ["x"], ["y"], axis=2), 11, {}, (2, 3)),
    "default softmax": (node("LogSoftmax", ["x"], ["y"]), 17, {}, (3,)),
    "early default softmax": (node("Softmax", ["x"], ["y"]), 11, {}, (1, 2, 3)),
    "hardmax": (node("Hardmax", ["x"], ["y"], axis=1), 17, {}, (1,)),
    "instance": (node("InstanceNormalization", ["x", "one6", "zero6"], ["y"]), 17, {}, (2, 3)),
    "group": (node("GroupNormalization", ["x", "one6", "zero6"], ["y"], num_groups=2), 21, {}, (1, 2, 3)),
    "lrn": (node("LRN", ["x"], ["y"], size=3, alpha=0.5), 17, {}, (1,)),
    "lp": (node("LpNormalization", ["x"], ["y"], axis=1), 17, {}, (1,)),
    "reduce": (node("ReduceMean", ["x"], ["y"], axes=[1, -1]), 17, {}, (1, 3)),
    "reduce by an input": (node("ReduceSum", ["x", "axes"], ["y"]), 17, {"axes": integers(-2, 1)}, (1, 2)),
    "reduce all": (node("ReduceMax", ["x"], ["y"]), 17, {}, (0, 1, 2, 3)),
    "reduce none": (node("ReduceSum", ["x"], ["y"], noop_with_empty_axes=1), 17, {}, ()),
    "argmax": (node("ArgMax", ["x"], ["y"], axis=2), 17, {}, (2,)),
    "default argmax": (node("ArgMin", ["x"], ["y"]), 17, {}, (0,)),
    "cumsum": (node("CumSum", ["x", "axis"], ["y"]), 17, {"axis": np.array(-3)}, (1,)),
    "topk": (node("TopK", ["x", "k"], ["y", "i"], axis=1), 17, {"k": integers(2)}, (1,)),
    "slice": (
        node("Slice", ["x", "starts", "ends", "axes"], ["y"]),
        17,
        {"starts": integers(1, 0), "ends": integers(3, 99), "axes": integers(1, 2)},
        (1,),
    ),
    "slice backwards": (
        node("Slice", ["x", "starts", "ends", "axes", "steps"], ["y"]),
        17,
        {"starts": integers(-1), "ends": integers(-99), "axes": integers(-1), "steps": integers(-1)},
        (3,),
    ),
    "slice the first axes": (
        node("Slice", ["x", "starts", "ends"], ["y"]), 17, {"starts": integers(0, 1), "ends": integers(9, 3)}, (1,)
    ),
    "early slice": (node("Slice", ["x"], ["y"], starts=[1], ends=[3], axes=[2]), 9, {}, (2,)),
    "pad": (node("Pad", ["x", "pads"], ["y"]), 17, {"pads": integers(0, 0, 1, 0, 0, 0, 0, 2)}, (2, 3)),
    "shift": (node("Pad", ["x", "pads"], ["y"]), 17, {"pads": integers(0, 0, -1, 0, 0, 0, 1, 0)}, (2,)),
    "pad some": (
        node("Pad", ["x", "pads", "", "axes"], ["y"]), 18, {"pads": integers(1, 0), "axes": integers(-2)}, (2,)
    ),
    "early pad": (node("Pad", ["x"], ["y"], pads=[0, 1, 0, 0, 0, 0, 0, 0]), 9, {}, (1,)),
    "resize": (
        node("Resize", ["x", "", "scales"], ["y"], mode="linear"),
        17,
        {"scales": np.array([1, 1, 2, 1], np.float32)},
        (2,),
    ),
    "tile": (node("Tile", ["x", "times"], ["y"]), 17, {"times": integers(1, 1, 2, 1)}, (2,)),
    "trilu": (node("Trilu", ["x"], ["y"]), 17, {}, (2, 3)),
    "pool": (node("GlobalAveragePool", ["x"], ["y"]), 17, {}, (2, 3)),
    "elements": (
        node("GatherElements", ["x", "ids"], ["y"], axis=1), 17, {"ids": np.full(SHAPE, 1, np.int64)}, (1,)
    ),
    "layer norm": (node("LayerNormalization", ["x", "one4"], ["y"], axis=-1), 17, {}, (3,)),
    "gelu": (node("Gelu", ["x"], ["y"]), 20, {}, ()),
}  # fmt: skip
CONSTANTS = {"one6": np.ones(6, np.float32), "zero6": floats(6), "one4": np.ones(4, np.float32)}


def made_from(made, shape, opset, weights):
    used = {name: value for name, value in {**CONSTANTS, **weights}.items() if name in made.input}
    outputs = ["y", "i"] if made.op_type == "TopK" else ["y"]
    return model([made], {"x": list(shape)}, outputs, used, opset=opset)


@pytest.mark.parametrize("case", ALONG)
def test_axes_are_those_along_which_parts_do_not_do(case, read):
    made, opset, weights, expected = ALONG[case]
    (layer,) = read(made_from(made, SHAPE, opset, weights)).layers
    assert layer.axes == expected
    pytest.importorskip("onnxruntime")
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)

    def computed(part):
        used = {
            name: value[tuple(slice(size) for size in part.shape)] if value.shape == SHAPE else value
            for name, value in weights.items()
        }
        used |= {name: CONSTANTS[name][: part.shape[1]] for name in ("one6", "zero6")}
        found = runtime_results(made_from(made, part.shape, opset, used), {"x": part})
        return None if found is None else found["y"]

    whole = computed(x)
    for axis in range(4):
        parts = [computed(part) for part in np.split(x, 2, axis)]
        same = all(part is not None for part in parts)  # it may be too small for a setting
        if same:
            joined = np.concatenate(parts, axis)
            same = joined.shape == whole.shape and np.allclose(joined, whole, rtol=1e-4, atol=1e-5)
        assert same == (axis not in expected), axis


def test_axes_of_joins_splits_and_turns(read):
    x, y = {"x": [2, 3, 4]}, {"x": [2, 3, 4], "z": [2, 5, 4]}
    (concat,) = read([node("Concat", ["x", "z"], ["y"], axis=-2)], y, ["y"]).layers
    assert (concat.axes, concat.inputs) == ((1,), ("x", "z"))
    (early,) = read([node("Concat", ["x", "z"], ["y"])], y, ["y"], opset=3).layers
    assert early.axes == (1,)
    (split,) = read([node("Split", ["x"], ["y", "w"])], x, ["y", "w"], opset=13).layers
    assert split.axes == (0,)
    assert read([node("Transpose", ["x"], ["y"], perm=[0, 2, 1])], x, ["y"]).layers[0].axes == (0, 2, 1)
    assert read([node("Transpose", ["x"], ["y"])], x, ["y"]).layers[0].axes == (2, 1, 0)
    joined = node("QLinearConcat", ["s", "z", "x", "s", "z", "w", "s", "z"], ["y"], domain=MICROSOFT, axis=1)
    small = {"x": ([2, 3], TensorProto.UINT8), "w": ([2, 5], TensorProto.UINT8)}
    weights = {"s": np.ones((), np.float32), "z": np.zeros((), np.uint8)}
    (concat,) = read([joined], small, ["y"], weights, domains=[MICROSOFT]).layers
    assert (concat.axes, concat.inputs) == ((1,), ("", "", "x", "", "", "w", "", ""))


def test_settings_that_are_no_constants_may_be_any(read):
    nodes = [node("CumSum", ["x", "a"], ["y"])]
    (layer,) = read(nodes, {"x": [2, 3, 4], "a": ([], TensorProto.INT64)}, ["y"]).layers
    assert (layer.axes, layer.inputs) == ((0, 1, 2), ("x", "a"))


# Weights: along their axes each of them has a say in one part of the output alone

WEIGHED = {
    "conv": (node("Conv", ["x", "w", "b"], ["y"]), [2, 4, 5, 5], {"w": (6, 4, 2, 2), "b": (6,)}, (1,)),
    "groups": (node("Conv", ["x", "w"], ["y"], group=2), [2, 4, 5, 5], {"w": (6, 2, 2, 2)}, (1,)),
    "depthwise": (node("Conv", ["x", "w"], ["y"], group=4), [2, 4, 5, 5], {"w": (4, 1, 2, 2)}, (1,)),
    "transposed": (node("ConvTranspose", ["x", "w", "b"], ["y"]), [2, 4, 5, 5], {"w": (4, 3, 2, 2), "b": (3,)}, (1,)),
    "transposed groups": (node("ConvTranspose", ["x", "w"], ["y"], group=2), [2, 4, 5], {"w": (4, 3, 2)}, (1,)),
    "matmul": (node("MatMul", ["x", "w"], ["y"]), [2, 3, 4], {"w": (4, 5)}, (2,)),
    "matmul of a stack": (node("MatMul", ["x", "w"], ["y"]), [2, 3, 4], {"w": (2, 4, 5)}, (0, 2)),
    "matmul of one for all": (node("MatMul", ["x", "w"], ["y"]), [2, 2, 3, 4], {"w": (2, 1, 4, 5)}, (0, 3)),
    "matmul of a vector": (node("MatMul", ["x", "w"], ["y"]), [4], {"w": (2, 4, 5)}, (0, 1)),
    "matmul with a vector": (node("MatMul", ["x", "w"], ["y"]), [3, 4], {"w": (4,)}, ()),
    "gemm": (node("Gemm", ["x", "w", "b"], ["y"]), [3, 4], {"w": (4, 5), "b": (5,)}, (1,)),
    "gemm transposed": (node("Gemm", ["x", "w"], ["y"], transB=1), [3, 4], {"w": (5, 4)}, (1,)),
    "batch": (
        node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"]), [2, 3, 4], dict.fromkeys("sbmv", (3,)), (1,)
    ),
    "instance": (node("InstanceNormalization", ["x", "s", "b"], ["y"]), [2, 3, 4], {"s": (3,), "b": (3,)}, (1,)),
    "bias": (node("Add", ["x", "b"], ["y"]), [2, 3, 4], {"b": (4,)}, (2,)),
    "bias first": (node("Sub", ["b", "x"], ["y"]), [2, 3, 4], {"b": (3, 1)}, (1,)),
    "table": (node("Mul", ["x", "b"], ["y"]), [2, 3, 4], {"b": (1, 3, 4)}, (1, 2)),
    "wider": (node("Mul", ["x", "b"], ["y"]), [3, 1], {"b": (2, 1, 4)}, (0, 2)),
    "number": (node("Mul", ["x", "b"], ["y"]), [2, 3, 4], {"b": ()}, ()),
    "several": (node("Sum", ["x", "b", "c"], ["y"]), [2, 3, 4], {"b": (3, 4), "c": (4,)}, (2,)),
    "slopes": (node("PRelu", ["x", "b"], ["y"]), [2, 3, 4], {"b": (3, 1)}, (1,)),
    "layer norm": (node("LayerNormalization", ["x", "s", "b"], ["y"]), [2, 3, 4], {"s": (4,), "b": (4,)}, (2,)),
    "layer norm of two axes": (
        node("LayerNormalization", ["x", "s"], ["y"], axis=1), [2, 3, 4], {"s": (3, 4)}, (1, 2)
    ),
    "gather": (node("Gather", ["w", "x"], ["y"]), [2, 2], {"w": (3, 4)}, (2,)),
    "gather along": (node("Gather", ["w", "x"], ["y"], axis=1), [2, 2], {"w": (4, 3, 5)}, (0, 3)),
}  # fmt: skip


@pytest.mark.parametrize("case", WEIGHED)
def test_weights_have_a_say_in_one_part_along_each_of_their_axes(case, read):
    made, shape, sizes, expected = WEIGHED[case]
    rng = np.random.default_rng(0)
    weights = {name: rng.uniform(1, 2, size).astype(np.float32) for name, size in sizes.items()}
    x = np.zeros(shape, np.int64) if made.op_type == "Gather" else -rng.uniform(1, 2, shape).astype(np.float32)
    kind = TensorProto.INT64 if made.op_type == "Gather" else TensorProto.FLOAT
    whole = model([made], {"x": (shape, kind)}, ["y"], weights)
    (layer,) = read(whole).layers
    assert layer.weight_axes == expected

    pytest.importorskip("onnxruntime")
    open_ = model([made], {"x": (shape, kind), **{name: list(size) for name, size in sizes.items()}}, ["y"])

    def computed(values):
        return runtime_results(open_, {"x": x, **values})["y"]

    before = computed(weights)
    most = [0] * before.ndim  # places along each axis that one weight has a say in
    for name, array in weights.items():
        for place in np.ndindex(array.shape):
            other = array.copy()
            other[place] += 1
            changed = np.nonzero(~np.isclose(computed({**weights, name: other}), before, rtol=1e-6, atol=0))
            most = [max(a, len(set(places.tolist()))) for a, places in zip(most, changed, strict=True)]
    assert tuple(axis for axis, places in enumerate(most) if places == 1 < before.shape[axis]) == expected


@pytest.mark.parametrize(
    ("made", "inputs", "weights"),
    [
        (node("Conv", ["x", "w"], ["y"]), {"x": [1, 3, 4], "w": [2, 3, 2]}, {}),
        (node("MatMul", ["x", "w"], ["y"]), {"x": [3, 4], "w": [4, 5]}, {}),
        (node("MatMul", ["w", "x"], ["y"]), {"x": [3, 4]}, {"w": floats(5, 3)}),
        (node("Gemm", ["x", "w"], ["y"]), {"x": [3, 4], "w": [4, 5]}, {"b": floats(5)}),
        (node("Gemm", ["x", "w"], ["y"], transA=1), {"x": [4, 3]}, {"w": floats(4, 5)}),
        (node("Add", ["x", "w"], ["y"]), {"x": [3, 4], "w": [4]}, {}),
        (node("Gather", ["x", "ids"], ["y"]), {"x": [3, 4]}, {"ids": integers(0, 2)}),
        (node("Clip", ["x", "low"], ["y"]), {"x": [3, 4]}, {"low": floats()}),
    ],
)
def test_what_has_no_divided_weights_says_none(read, made, inputs, weights):
    assert read([made], inputs, ["y"], weights).layers[0].weight_axes == ()


def test_early_broadcasts_begin_at_an_axis(read):
    told = {"axis": 1, "broadcast": 1}
    assert read([node("Add", ["x", "b"], ["y"], **told)], {"x": [2, 3, 4]}, ["y"], {"b": floats(3)}, opset=6).layers[
        0
    ].weight_axes == (1,)
    assert read([node("PRelu", ["x", "b"], ["y"])], {"x": [2, 3, 4]}, ["y"], {"b": floats(3)}, opset=6).layers[
        0
    ].weight_axes == (1,)


# Inputs and shapes


def test_inputs_are_said_where_they_are_not_the_first_operand_alone(read):
    found = layers(
        read(
            [
                node("MatMul", ["x", "w"], ["a"], name="only"),
                node("MatMul", ["w", "x"], ["b"], name="second"),
                node("Sub", ["a", "b"], ["c"], name="both"),
                node("Mul", ["c", "c"], ["d"], name="twice"),
                node("Identity", ["x"], ["x2"]),
                node("Where", ["yes", "d", "x2"], ["e"], name="later"),
                node("Clip", ["e", "", "low"], ["y"], name="clipped"),
            ],
            {"x": [4, 4]},
            ["y"],
            {"w": floats(4, 4), "yes": np.ones((4, 4), bool), "low": floats()},
        )
    )
    assert {name: layer.inputs for name, layer in found.items()} == {
        "only": (),
        "second": ("", "x"),
        "both": ("a", "b"),
        "twice": ("c", "c"),
        "later": ("", "d", "x"),
        "clipped": (),
    }


def test_shapes_are_those_of_the_file(read):
    network = read(attention_block(), options={"dimensions": {"batch": 2, "seq": 7}})
    found = shapes(network)
    assert found["x"] == (2, 7, 32)
    assert found["k"] == (2, 4, 8, 7)
    assert found["p"] == (2, 4, 7, 7)
    assert all(4 * np.prod(tensor.shape) == tensor.bytes for tensor in network.tensors)
    products = [layer for layer in network.layers if layer.op == "MatMul"]
    assert [layer.weight_axes for layer in products] == [(2,), (2,), (2,), (), (), (2,)]


def test_a_number_has_no_axes(read):
    assert shapes(read([node("ReduceSum", ["x"], ["y"], keepdims=0)], {"x": [3]}, ["y"]))["y"] == ()
