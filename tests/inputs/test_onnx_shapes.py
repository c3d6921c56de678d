"""Inferred shapes: what does not fit is refused at its node, and what fits has the shapes that onnxruntime makes."""

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import TensorProto
from onnx_models import floats, integers, model, node, runtime_shapes

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.graph import OnnxGraph


def graph_of(made, folder):
    path = folder / "net.onnx"
    path.write_bytes(made.SerializeToString())
    graph = OnnxGraph(path, {})
    graph.check_shapes()
    return graph


# Operator, shape of its input x, its constants, attributes: onnxruntime refuses each, and ONNX's own rules accept it.
MISFITS = [
    ("Reshape", [8, 3, 16], [integers(1, 1024)], {}, "8x3x16 has 384 elements and 1x1024 has 1024"),
    ("Gemm", [2, 4], [floats(4, 3), floats(3, 3)], {}, "the bias is 3x3, which does not broadcast to 2x3"),
    ("Gemm", [1, 4], [floats(4, 3), floats(2, 3)], {}, "the bias is 2x3"),
    (
        "Conv",
        [1, 4, 8, 8],
        [floats(4, 3, 3, 3)],
        {},
        "the input has 4 channels and the weights are 4x3x3x3, in 1 groups",
    ),
    ("Conv", [1, 4, 8, 8], [floats(5, 2, 3, 3)], {"group": 2}, "in 2 groups"),
    ("Conv", [1, 4, 8, 8], [floats(4, 4, 3, 3), floats(3)], {}, "the bias is 3, expected 4"),
    ("Conv", [1, 4, 8, 8], [floats(4, 4, 3, 3)], {"kernel_shape": [5, 5]}, "kernel_shape is 5x5"),
    ("Conv", [1, 4, 2, 8], [floats(4, 4, 3, 3)], {}, "a map of 2x8 is too small for 3x3"),
    ("Conv", [1, 4, 1, 8], [floats(4, 4, 2, 2)], {"strides": [3, 1]}, "a map of 1x8 is too small for 2x2"),
    ("Conv", [1, 4, 4, 4], [floats(4, 4, 3, 3)], {"dilations": [2, 1]}, "a map of 4x4 is too small for 3x3"),
    ("ConvTranspose", [1, 4, 5, 5], [floats(3, 2, 3, 3)], {}, "the input has 4 channels and the weights are 3x2x3x3"),
    ("ConvTranspose", [1, 4, 5, 5], [floats(4, 2, 3, 3), floats(4)], {"group": 1}, "the bias is 4, expected 2"),
    ("MaxPool", [1, 4, 1, 8], [], {"kernel_shape": [4, 2]}, "-2"),
    ("AveragePool", [1, 4, 5, 8], [], {"kernel_shape": [2, 2], "pads": [3, 3, 3, 3]}, "exceed the kernel"),
    ("BatchNormalization", [1, 4, 5], [floats(4), floats(4), floats(4), floats(3)], {}, "3"),
    ("InstanceNormalization", [1, 4, 5], [floats(3), floats(3)], {}, "the scale is 3, expected 4"),
    ("LayerNormalization", [1, 4, 5], [floats(4)], {}, "the scale is 4, which does not broadcast to 5"),
    ("PRelu", [1, 4, 5], [floats(3, 1)], {}, "the slope is 3x1, which does not broadcast to 1x4x5"),
    ("MatMul", [1, 4, 5], [floats(4, 3)], {}, "Incompatible dimensions"),
    ("Transpose", [1, 4, 5], [], {"perm": [0, 1]}, "perm is [0, 1] and the input 1x4x5"),
    ("Pad", [2, 4], [integers(-3, 0, 0, 0)], {}, "'y' has the shape -1x4"),
    ("GatherElements", [2, 4], [np.zeros((3, 5), np.int64)], {}, "the data are 2x4 and the indices 3x5, along axis 0"),
    (
        "ScatterElements",
        [2, 4],
        [np.zeros((1, 2), np.int64), floats(2, 2)],
        {},
        "the indices are 1x2 and the updates 2x2",
    ),
    ("ScatterND", [2, 4], [np.zeros((3, 1), np.int64), floats(3, 3)], {}, "the indices 3x1 and the updates 3x3"),
    ("DepthToSpace", [1, 6, 2, 2], [], {"blocksize": 2}, "the input is 1x6x2x2 and blocksize 2"),
    ("SpaceToDepth", [1, 6, 3, 3], [], {"blocksize": 2}, "the input is 1x6x3x3 and blocksize 2"),
    ("LSTM", [5, 2, 3], [floats(1, 32, 4), floats(1, 32, 8)], {"hidden_size": 8}, "are 1x32x4, expected 1x32x3"),
    ("GRU", [5, 2, 3], [floats(1, 24, 3), floats(1, 24, 7)], {"hidden_size": 8}, "are 1x24x7, expected 1x24x8"),
    ("RNN", [5, 2, 3], [floats(1, 8, 3), floats(1, 8, 8), floats(1, 8)], {"hidden_size": 8}, "is 1x8, expected 1x16"),
    ("CumSum", [1, 4, 5], [np.array(9)], {}, "axis is 9"),
    ("LRN", [1, 4, 5, 5], [], {"size": 0}, "size is 0"),
    ("Einsum", [2, 4], [floats(3, 5)], {"equation": "ij,jk->ik"}, "the index 'j' has the sizes 4 and 3"),
    ("GlobalAveragePool", [1, 4], [], {}, "the input is 1x4, expected a map"),
]


@pytest.mark.parametrize(("op", "x", "arrays", "attributes", "message"), MISFITS)
def test_what_does_not_fit_is_refused_at_its_node_as_onnxruntime_does(tmp_path, op, x, arrays, attributes, message):
    weights = {f"i{position}": array for position, array in enumerate(arrays)}
    made = model([node(op, ["x", *weights], ["y"], name="here", **attributes)], {"x": x}, ["y"], weights)
    with pytest.raises(InputError, match=re.escape(f"net.onnx: the shapes at {op} 'here' do not fit: ")) as caught:
        graph_of(made, tmp_path)
    assert message in str(caught.value)
    pytest.importorskip("onnxruntime")
    assert runtime_shapes(made, {"x": floats(*x)}) is None


@pytest.mark.parametrize(
    ("op", "inputs", "attributes"),
    [
        ("Conv", ["x", "w"], {"strides": 3}),
        ("Conv", ["x", "w"], {"strides": [1]}),
        ("Conv", ["x", "w"], {"strides": [0, 1]}),
        ("Conv", ["x", "w"], {"group": 0}),
        ("Conv", ["x", "w"], {"pads": [2**62] * 4}),
        ("Conv", ["x"], {}),
        ("MaxPool", ["x"], {}),
        ("DepthToSpace", ["x"], {"blocksize": 0}),
        ("Softmax", ["x"], {"axis": "last"}),
        ("Transpose", ["x"], {"perm": [0, 1, 2, 7]}),
        ("Einsum", ["x"], {"equation": "ij->ji"}),
        ("Einsum", ["x"], {"equation": "ijkl->ijklm"}),
        ("Einsum", ["x"], {}),
        ("GroupNormalization", ["x", "w", "w"], {}),
        ("LayerNormalization", ["x", "w"], {"axis": 2**31}),
        ("LayerNormalization", ["x", "w"], {"axis": 4}),
        ("GatherND", ["x", "i"], {"batch_dims": -6}),
        ("Split", ["x"], {"axis": -1, "num_outputs": 2**31}),
    ],
)
def test_malformed_nodes_are_refused_by_name(tmp_path, op, inputs, attributes):
    weights = {"w": floats(4, 3, 3, 3), "i": np.zeros((1, 1), np.int64)}
    made = model([node(op, inputs, ["y"], **attributes)], {"x": [1, 3, 8, 8]}, ["y"], weights, opset=18)
    with pytest.raises(InputError, match=rf"net\.onnx: the shapes at {op} \(of 'y'\) do not fit: "):
        graph_of(made, tmp_path)


def test_sizes_that_cannot_be_counted_are_refused(tmp_path):
    nodes = [node("Tile", ["x", "r"], ["y"])]
    with pytest.raises(InputError, match="the shapes at Tile"):
        graph_of(model(nodes, {"x": [8]}, ["y"], {"r": integers(2**51)}), tmp_path)
    with pytest.raises(InputError, match="'x' has the shape 1099511627776x1099511627776, expected sizes >= 0"):
        graph_of(model([node("Flatten", ["x"], ["y"])], {"x": [2**40, 2**40]}, ["y"]), tmp_path)


def test_shapes_that_constants_of_unknown_shape_set_are_found(tmp_path):
    # The way that indices of a mask are made: what NonZero finds is as constant as the mask.
    nodes = [
        node("Greater", ["mask", "zero"], ["m"]),
        node("NonZero", ["m"], ["i"]),
        node("Transpose", ["i"], ["t"]),
        node("GatherND", ["x", "t"], ["y"]),
    ]
    weights = {"mask": np.array([1, 0, 2, 0], np.float32), "zero": floats()}
    assert graph_of(model(nodes, {"x": [4, 5]}, ["y"], weights), tmp_path).described("y").shape == (2, 5)


def test_long_chains_of_constants_are_worked_out(tmp_path):
    nodes = [node("Add", [f"c{i}", "one"], [f"c{i + 1}"]) for i in range(1500)]
    nodes.append(node("Expand", ["x", "c1500"], ["y"]))
    made = model(nodes, {"x": [1]}, ["y"], {"c0": integers(0), "one": integers(1)})
    assert graph_of(made, tmp_path).described("y").shape == (1500,)


def test_what_would_take_long_to_work_out_is_not(tmp_path):
    nodes = [
        node("Einsum", ["v"] * 8, ["n"], equation="a,b,c,d,e,f,g,h->"),
        node("Cast", ["n"], ["m"], to=TensorProto.INT64),
    ]
    nodes += [node("Reshape", ["m", "one"], ["s"]), node("Expand", ["x", "s"], ["y"])]
    with pytest.raises(InputError, match="the shape of what Expand"):
        graph_of(model(nodes, {"x": [1]}, ["y"], {"v": np.ones(4096, np.float32), "one": integers(1)}), tmp_path)


# Random graphs: each strategy draws a node that reads `value` of the shape given, with its constants.
sizes = st.integers(1, 5)


@st.composite
def convolutions(draw, value, shape):
    rank = len(shape) - 2
    assume(rank in (1, 2))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    group = draw(st.sampled_from([g for g in (1, 2, 3) if shape[1] % g == 0]))
    channels = group * draw(st.integers(1, 2))
    attributes = {"group": group}
    if draw(st.booleans()):
        attributes["strides"] = [draw(st.integers(1, 3)) for _ in range(rank)]
    if draw(st.booleans()):
        attributes["dilations"] = [draw(st.integers(1, 2)) for _ in range(rank)]
    if draw(st.booleans()):
        attributes["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    transposed = draw(st.booleans())
    weight = (shape[1], channels // group, *kernel) if transposed else (channels, shape[1] // group, *kernel)
    return ("ConvTranspose" if transposed else "Conv"), [value, "w"], {"w": floats(*weight)}, attributes


@st.composite
def pools(draw, value, shape):
    rank = len(shape) - 2
    assume(rank in (1, 2))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    attributes = {"kernel_shape": kernel, "strides": [draw(st.integers(1, 3)) for _ in range(rank)]}
    attributes["ceil_mode"] = draw(st.integers(0, 1))
    attributes["pads"] = [draw(st.integers(0, size - 1)) for size in kernel * 2]
    return draw(st.sampled_from(["MaxPool", "AveragePool"])), [value], {}, attributes


@st.composite
def products(draw, value, shape):
    if len(shape) == 2 and draw(st.booleans()):
        columns, turned = draw(sizes), draw(st.booleans())
        weight = (columns, shape[1]) if turned else (shape[1], columns)
        bias = draw(st.sampled_from([(), (1,), (columns,), (shape[0], 1), (shape[0], columns)]))
        return "Gemm", [value, "w", "b"], {"w": floats(*weight), "b": floats(*bias)}, {"transB": int(turned)}
    weight = draw(st.sampled_from([(shape[-1], draw(sizes)), (shape[-1],), (2, shape[-1], 3)]))
    return "MatMul", [value, "w"], {"w": floats(*weight)}, {}


@st.composite
def reshapes(draw, value, shape):
    kind = draw(
        st.sampled_from(["Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Expand", "Tile", "Pad", "Slice"])
    )
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    if kind == "Reshape":
        target = draw(st.sampled_from([[-1], [0, -1], [*shape[::-1]], [1, -1, shape[-1]], [-1, *shape[1:]]]))
        return kind, [value, "t"], {"t": integers(*target)}, {}
    if kind == "Flatten":
        return kind, [value], {}, {"axis": axis}
    if kind == "Transpose":
        return kind, [value], {}, {"perm": draw(st.permutations(range(len(shape))))}
    if kind == "Squeeze":
        ones = [position for position, size in enumerate(shape) if size == 1]
        return kind, [value, *(["a"] if ones else [])], {"a": integers(*ones)} if ones else {}, {}
    if kind == "Unsqueeze":
        return kind, [value, "a"], {"a": integers(axis)}, {}
    if kind == "Expand":
        return kind, [value, "t"], {"t": integers(draw(sizes), *(1 for _ in shape))}, {}
    if kind == "Tile":
        return kind, [value, "r"], {"r": integers(*(draw(st.integers(1, 3)) for _ in shape))}, {}
    if kind == "Pad":
        return kind, [value, "p"], {"p": integers(*(draw(st.integers(-1, 2)) for _ in shape * 2))}, {}
    limits = {"s": integers(draw(st.integers(-3, 3))), "e": integers(draw(st.integers(-3, 6))), "a": integers(axis)}
    return kind, [value, *limits], limits, {}


@st.composite
def others(draw, value, shape):
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    last = draw(st.sampled_from([(), (1,), tuple(shape[-1:]), tuple(shape), (2, *(1 for _ in shape))]))
    channels = floats(shape[1]) if len(shape) > 1 else floats()
    reduced = {"a": integers(axis)}
    return draw(
        st.sampled_from(
            [
                ("Relu", [value], {}, {}),
                ("Add", [value, "c"], {"c": floats(*last)}, {}),
                ("Where", ["c", value, "d"], {"c": np.ones(last, bool), "d": floats()}, {}),
                ("PRelu", [value, "c"], {"c": floats(*shape[-1:])}, {}),
                ("Softmax", [value], {}, {"axis": axis}),
                ("ReduceSum", [value, "a"], reduced, {"keepdims": draw(st.integers(0, 1))}),
                ("Concat", [value, "c"], {"c": floats(*shape)}, {"axis": axis}),
                (
                    "Gather",
                    [value, "i"],
                    {"i": np.zeros(draw(st.sampled_from([(), (2,), (2, 1)])), np.int64)},
                    {"axis": axis},
                ),
                ("TopK", [value, "k"], {"k": integers(1)}, {"axis": axis}),
                ("LayerNormalization", [value, "c"], {"c": floats(*shape[-1:])}, {}),
                ("InstanceNormalization", [value, "c", "c"], {"c": channels}, {}),
                ("Resize", [value, "", "s"], {"s": np.array([1.5] + [1.0] * (len(shape) - 1), np.float32)}, {}),
                ("CumSum", [value, "a"], {"a": np.array(axis)}, {}),
            ]
        )
    )


@given(st.data())
def test_shapes_of_random_graphs_are_those_that_onnxruntime_makes(tmp_path_factory, data):
    pytest.importorskip("onnxruntime")
    shape = data.draw(st.lists(sizes, min_size=1, max_size=4), label="input")
    start, nodes, weights, feeds = shape, [], {}, {"x": floats(*shape)}
    for step in range(data.draw(st.integers(1, 4), label="nodes")):
        value = nodes[-1].output[0] if nodes else "x"
        made_of = data.draw(st.sampled_from([convolutions, pools, products, reshapes, others]))
        op, inputs, constants, attributes = data.draw(made_of(value, shape))
        names = {name: f"{name}{step}" for name in constants}
        weights |= {names[name]: array for name, array in constants.items()}
        outputs = [f"v{step}", f"i{step}"] if op == "TopK" else [f"v{step}"]
        nodes.append(node(op, [names.get(name, name) for name in inputs], outputs, **attributes))
        made = model(nodes, {"x": start}, outputs, weights, opset=18)
        found = runtime_shapes(made, feeds)
        folder = tmp_path_factory.mktemp("graphs")
        if found is None:  # what we accept, onnxruntime runs, save for what it has no code for
            assume(False)
        graph = graph_of(made, folder)
        assert {name: graph.described(name).shape for name in found} == found
        shape = list(found[outputs[0]])
        assume(shape and 0 not in shape and np.prod(shape) < 10_000)
