"""Tiny ONNX models to split, with random weights, and plans for them."""

import random

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx_models import integers, model, node
from onnx_stacks import normal

from dnnopt.inputs.onnx.reader import read_onnx
from dnnopt.problem.plan import Plan

RNG = np.random.default_rng(5)
INT = TensorProto.INT64


def conv(name, given, made, weights, channels, out, **options):
    weights[f"{name}.w"] = RNG.standard_normal((out, channels, 3, 3)).astype(np.float32) / (3 * channels**0.5)
    weights[f"{name}.b"] = normal(RNG, out)
    return node("Conv", [given, f"{name}.w", f"{name}.b"], [made], name=name, pads=[1, 1, 1, 1], **options)


def chain():
    w = {"fc": normal(RNG, 64, 10)}
    nodes = [
        conv("conv1", "x", "a", w, 3, 4),
        node("Relu", ["a"], ["b"], name="relu1"),
        node("Dropout", ["b"], ["b1"], name="drop"),
        node("MaxPool", ["b1"], ["c"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        conv("conv2", "c", "d", w, 4, 4),
        node("Flatten", ["d"], ["e"], name="flat"),
        node("MatMul", ["e", "fc"], ["f"], name="fc"),
        node("Softmax", ["f"], ["y"], name="softmax"),
    ]
    return model(nodes, {"x": [1, 3, 8, 8]}, ["y"], w)


def residual():
    w = {}
    nodes = [conv("conv0", "x", "t0", w, 3, 4)]
    for k in range(3):
        nodes += [
            conv(f"conv{k}a", f"t{k}", f"u{k}", w, 4, 4),
            node("Relu", [f"u{k}"], [f"v{k}"], name=f"relu{k}"),
            conv(f"conv{k}b", f"v{k}", f"w{k}", w, 4, 4),
            node("Add", [f"w{k}", f"t{k}"], [f"t{k + 1}"], name=f"add{k}"),
        ]
    nodes += [node("Identity", ["t3"], ["y"], name="out")]
    return model(nodes, {"x": [1, 3, 8, 8]}, ["y"], w)


def branches():
    w = {}
    nodes = [conv("stem", "x", "s", w, 3, 4)]
    for k in range(3):
        nodes += [conv(f"b{k}", "s", f"p{k}", w, 4, 2), node("Relu", [f"p{k}"], [f"q{k}"], name=f"r{k}")]
    nodes += [
        node("Concat", ["q0", "q1", "q2"], ["cat"], name="cat", axis=1),
        conv("tail", "cat", "y", w, 6, 2),
        node("GlobalAveragePool", ["q1"], ["aux"], name="aux"),
    ]
    return model(nodes, {"x": [1, 3, 8, 8]}, ["y", "aux"], w)


def inputs_and_outputs():
    """Several inputs, an input that is an output, an output that is constant, and one output under two names."""
    w = {"wa": normal(RNG, 6, 5), "wb": normal(RNG, 6, 5), "k": normal(RNG, 5)}
    nodes = [
        node("MatMul", ["a", "wa"], ["a1"], name="ma"),
        node("MatMul", ["b", "wb"], ["b1"], name="mb"),
        node("Add", ["a1", "b1"], ["s"], name="add"),
        node("Tanh", ["s"], ["t"], name="tanh"),
        node("Identity", ["b"], ["b_again"], name="hand on"),
        node("Neg", ["k"], ["constant"], name="negative"),
        node("Identity", ["t"], ["t_again"], name="copy"),
        node("Mul", ["t", "a1"], ["y"], name="mul"),
    ]
    return model(nodes, {"a": [2, 6], "b": [2, 6]}, ["y", "b_again", "constant", "t", "t_again", "k"], w)


def transformer(batch=1):
    """One layer with a cache of keys and values as inputs and outputs; shapes are computed from those of inputs."""
    heads, size, width = 2, 4, 8
    w = {f"w{name}": normal(RNG, width, width) for name in "qkvo"}
    w |= {"heads": integers(heads, size), "merged": integers(width), "start": integers(0), "end": integers(2)}
    w |= {"g": np.ones(width, np.float32), "z": normal(RNG, width), "root": np.float32(2).reshape(())}
    nodes = [
        node("Shape", ["x"], ["shape"], name="shape"),
        node("Slice", ["shape", "start", "end"], ["front"], name="front"),
        node("Concat", ["front", "heads"], ["split"], name="split", axis=0),
        node("Concat", ["front", "merged"], ["whole"], name="whole", axis=0),
    ]
    for name in "qkv":
        nodes += [
            node("MatMul", ["x", f"w{name}"], [f"{name}0"], name=f"mat_{name}"),
            node("Reshape", [f"{name}0", "split"], [f"{name}1"], name=f"reshape_{name}"),
            node("Transpose", [f"{name}1"], [f"{name}2"], name=f"turn_{name}", perm=[0, 2, 1, 3]),
        ]
    nodes += [
        node("Concat", ["past_k", "k2"], ["present_k"], name="cache_k", axis=2),
        node("Concat", ["past_v", "v2"], ["present_v"], name="cache_v", axis=2),
        node("Transpose", ["present_k"], ["kt"], name="turn", perm=[0, 1, 3, 2]),
        node("MatMul", ["q2", "kt"], ["s0"], name="scores"),
        node("Div", ["s0", "root"], ["s1"], name="scale"),
        node("Softmax", ["s1"], ["p"], name="softmax", axis=-1),
        node("MatMul", ["p", "present_v"], ["o0"], name="mix"),
        node("Transpose", ["o0"], ["o1"], name="turn_back", perm=[0, 2, 1, 3]),
        node("Reshape", ["o1", "whole"], ["o2"], name="merge"),
        node("MatMul", ["o2", "wo"], ["o3"], name="project"),
        node("Add", ["o3", "x"], ["r"], name="residual"),
        node("LayerNormalization", ["r", "g", "z"], ["y"], name="norm"),
    ]
    past = [batch, heads, "past" if batch == "batch" else 3, size]
    inputs = {"x": [batch, "seq" if batch == "batch" else 2, width], "past_k": past, "past_v": past}
    return model(nodes, inputs, ["y", "present_k", "present_v"], w)


def dynamic():
    return transformer("batch")


def quantised():
    """QDQ: convolutions and what is between them compute with small numbers."""
    w = {"s": np.float32(0.05).reshape(()), "o": np.int8(0).reshape(()), "bias": normal(RNG, 4)}
    nodes = []

    def small(value):
        nodes.append(node("QuantizeLinear", [value, "s", "o"], [f"{value}_q"], name=f"{value}_quantize"))
        nodes.append(node("DequantizeLinear", [f"{value}_q", "s", "o"], [f"{value}_d"], name=f"{value}_dequantize"))
        return f"{value}_d"

    def weight(name, *shape):
        w[f"{name}_q"] = RNG.integers(-20, 20, shape).astype(np.int8)
        nodes.append(node("DequantizeLinear", [f"{name}_q", "s", "o"], [name]))
        return name

    nodes.append(node("Conv", [small("x"), weight("w1", 4, 3, 3, 3)], ["a"], name="conv1", pads=[1] * 4))
    nodes.append(node("Relu", ["a"], ["b"], name="relu1"))
    nodes.append(node("MaxPool", ["b"], ["b2"], name="pool1", kernel_shape=[2, 2], strides=[2, 2]))
    b = small("b2")
    nodes.append(node("Conv", [b, weight("w2", 4, 4, 3, 3), "bias"], ["c"], name="conv2", pads=[1] * 4))
    nodes.append(node("Add", [b, small("c")], ["d"], name="add"))
    nodes.append(node("Flatten", [small("d")], ["f"], name="flatten"))
    nodes.append(node("Gemm", [small("f"), weight("w3", 64, 5)], ["g"], name="gemm"))
    nodes.append(node("Softmax", ["g"], ["y"], name="softmax"))
    return model(nodes, {"x": [1, 3, 8, 8]}, ["y"], w)


def functions():
    """Calls of a function: one stays whole where all of it is in one piece."""
    block = helper.make_function(
        "own",
        "Block",
        ["x", "w"],
        ["y"],
        [
            node("MatMul", ["x", "w"], ["m"], name="mat"),
            node("Relu", ["m"], ["r"], name="relu"),
            node("Add", ["r", "x"], ["y"], name="add"),
        ],
        [helper.make_opsetid("", 17)],
    )
    w = {f"w{k}": normal(RNG, 6, 6) for k in range(3)}
    nodes = [node("Block", [f"t{k}", f"w{k}"], [f"t{k + 1}"], domain="own", name=f"block{k}") for k in range(3)]
    return model(nodes, {"t0": [2, 6]}, ["t3"], w, domains=["own"], functions=[block])


def control_flow():
    """A loop and a branch that depend on data, which read values of the graph around them, each within one piece."""
    body = helper.make_graph(
        [
            node("Add", ["acc", "h"], ["acc1"]),
            node("MatMul", ["acc1", "w2"], ["acc2"]),
            node("Identity", ["go"], ["go1"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("acc", TensorProto.FLOAT, [2, 6]),
        ],
        [
            helper.make_tensor_value_info("go1", TensorProto.BOOL, []),
            helper.make_tensor_value_info("acc2", TensorProto.FLOAT, [2, 6]),
        ],
    )
    arms = [
        helper.make_graph(
            [node(op, ["looped", "h"], [f"arm_{op}"])],
            op,
            [],
            [helper.make_tensor_value_info(f"arm_{op}", TensorProto.FLOAT, [2, 6])],
        )
        for op in ("Add", "Sub")
    ]
    w = {"w1": normal(RNG, 6, 6), "w2": normal(RNG, 6, 6), "times": np.array(3, np.int64), "true": np.array(True)}
    w["zero"] = np.zeros((), np.float32)
    nodes = [
        node("MatMul", ["x", "w1"], ["h"], name="mat"),
        node("Loop", ["times", "true", "h"], ["looped"], name="loop", body=body),
        node("ReduceSum", ["h"], ["sum"], name="sum", keepdims=0),
        node("Greater", ["sum", "zero"], ["more"], name="more"),
        node("If", ["more"], ["chosen"], name="if", then_branch=arms[0], else_branch=arms[1]),
        node("Relu", ["chosen"], ["y"], name="relu"),
    ]
    known = [("looped", [2, 6]), ("chosen", [2, 6])]
    return model(nodes, {"x": [2, 6]}, ["y"], w, value_info=known)


MODELS = {
    made.__name__: made
    for made in (
        chain, residual, branches, inputs_and_outputs, transformer, dynamic, quantised, functions, control_flow
    )
}  # fmt: skip
DIMENSIONS = {"dynamic": {"batch": 2, "seq": 3, "past": 4}}
COSTS = {"control_flow": {"Loop": "1", "If": "1"}}


def saved(name, folder, *, external=False):
    """Write a model and return its file."""
    path = folder / f"{name}.onnx"
    if external:
        onnx.save(MODELS[name](), path, save_as_external_data=True, location=f"{name}.bin", size_threshold=0)
    else:
        onnx.save(MODELS[name](), path)
    return path


def network_of(path):
    return read_onnx(path, dimensions=DIMENSIONS.get(path.stem), costs=COSTS.get(path.stem))


def single_cut(network, devices=("a", "b")):
    half = len(network.layers) // 2
    return placed(network, [devices[position >= half] for position in range(len(network.layers))])


def there_and_back(network, devices=("a", "b")):
    third = len(network.layers) // 3
    return placed(network, [devices[third <= position < 2 * third + 1] for position in range(len(network.layers))])


def four_devices(network, seed=1):
    """Layers anywhere."""
    draw = random.Random(seed)
    return placed(network, [draw.choice("abcd") for _ in network.layers])


PLANS = {"cut": single_cut, "back": there_and_back, "four": four_devices}


def placed(network, devices):
    names = [layer.name for layer in network.layers]
    return Plan(placement={network.name: dict(zip(names, devices, strict=True))})
