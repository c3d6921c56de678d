"""Small ONNX models with all that transforms look at: random stacks of convolutions, and a transformer layer."""

import numpy as np
from hypothesis import strategies as st
from onnx_models import integers, model, node


def normal(rng, *shape):
    """Return weights that keep values near 1."""
    return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


@st.composite
def stacks(draw):
    """A chain of convolutions, pools and element-wise layers, with residual sums; and a dense head, or none."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, rows, columns = draw(st.sampled_from([2, 4, 6])), draw(st.integers(6, 13)), draw(st.integers(6, 13))
    given_channels = channels
    batch = draw(st.sampled_from([1, 3]))
    nodes, weights, name = [], {}, "x"
    size = [rows, columns]
    for k in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["conv", "conv", "depthwise", "pool", "relu", "norm", "residual", "scale"]))
        out = f"t{k}"
        if kind in ("conv", "depthwise", "pool"):
            kernel = [draw(st.integers(1, 3)) for _ in range(2)]
            dilation = [draw(st.integers(1, 2)) for _ in range(2)] if kind != "pool" else [1, 1]
            pads = [draw(st.integers(0, kernel[a % 2] - 1)) for a in range(4)]
            stride = [draw(st.integers(1, 2)) for _ in range(2)]
            after = [
                (size[a] + pads[a] + pads[a + 2] - dilation[a] * (kernel[a] - 1) - 1) // stride[a] + 1 for a in range(2)
            ]
            if min(after) < 2:
                continue
            size = after
            window = {"kernel_shape": kernel, "pads": pads, "strides": stride}
            if kind == "pool":
                nodes.append(node("MaxPool", [name], [out], **window))
            else:
                groups = channels if kind == "depthwise" else draw(st.sampled_from([1, 2]))
                wide = channels if kind == "depthwise" else draw(st.sampled_from([2, 4, 6]))
                weights[f"w{k}"] = normal(rng, wide, channels // groups, *kernel) / 3
                weights[f"b{k}"] = rng.standard_normal(wide).astype(np.float32)
                nodes.append(node("Conv", [name, f"w{k}", f"b{k}"], [out], group=groups, dilations=dilation, **window))
                channels = wide
        elif kind == "norm":
            for one in "sbmv":
                weights[f"{one}{k}"] = rng.uniform(0.5, 2.0, channels).astype(np.float32)
            nodes.append(node("BatchNormalization", [name, f"s{k}", f"b{k}", f"m{k}", f"v{k}"], [out]))
        elif kind == "residual":
            nodes += [node("Sigmoid", [name], [f"r{k}"]), node("Add", [f"r{k}", name], [out])]
        elif kind == "scale":
            weights[f"c{k}"] = rng.standard_normal((channels, 1, 1)).astype(np.float32)
            nodes.append(node("Mul", [name, f"c{k}"], [out]))
        else:
            nodes.append(node("Relu", [name], [out]))
        name = out
    if draw(st.booleans()) or not nodes:
        weights |= {"shape": integers(batch, -1), "dense": normal(rng, channels * size[0] * size[1], 4)}
        nodes += [node("Reshape", [name, "shape"], ["flat"]), node("Gemm", ["flat", "dense"], ["y"])]
        name = "y"
    return model(nodes, {"x": [batch, given_channels, rows, columns]}, [name], weights), rng


def transformer_layer(tokens=6, width=16, heads=4):
    """Attention and a feed-forward layer, each with its residual sum, as exporters write them."""
    rng = np.random.default_rng(1)
    weights = {"split": integers(1, tokens, heads, width // heads), "join": integers(1, tokens, width)}
    for name, shape in (("wq", (width, width)), ("wk", (width, width)), ("wv", (width, width)), ("wo", (width, width))):
        weights[name] = normal(rng, *shape)
    weights |= {f"b{name}": rng.standard_normal(width).astype(np.float32) for name in "qkv"}
    weights |= {"w1": normal(rng, width, 4 * width)}
    weights |= {"w2": normal(rng, 4 * width, width)}
    nodes = []
    for name, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += [
            node("MatMul", ["x", f"w{name}"], [f"{name}0"]),
            node("Add", [f"{name}0", f"b{name}"], [f"{name}1"]),
            node("Reshape", [f"{name}1", "split"], [f"{name}2"]),
            node("Transpose", [f"{name}2"], [name], perm=order),
        ]
    nodes += [
        node("MatMul", ["q", "k"], ["scores"]),
        node("Softmax", ["scores"], ["p"], axis=-1),
        node("MatMul", ["p", "v"], ["o0"]),
        node("Transpose", ["o0"], ["o1"], perm=[0, 2, 1, 3]),
        node("Reshape", ["o1", "join"], ["o2"]),
        node("MatMul", ["o2", "wo"], ["o"]),
        node("Add", ["o", "x"], ["h"]),
        node("MatMul", ["h", "w1"], ["f0"]),
        node("Relu", ["f0"], ["f1"]),
        node("MatMul", ["f1", "w2"], ["f"]),
        node("Add", ["f", "h"], ["y"]),
    ]
    return model(nodes, {"x": [1, tokens, width]}, ["y"], weights)
