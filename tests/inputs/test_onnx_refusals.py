"""ONNX files: operators that need a cost, and what is refused, with the node or the value at fault."""

import math
import re

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_models import attention_block, floats, integers, layers, model, node, tensors

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.costs import OperatorCost
from dnnopt.inputs.onnx.reader import read_onnx


def test_operators_without_a_cost_are_refused_all_at_once(read):
    nodes = [
        node("MyOp", ["x"], ["a"], domain="my.domain"),
        node("NonZero", ["a"], ["b"]),
        node("NonZero", ["b"], ["c"]),
        node("Relu", ["c"], ["y"]),
    ]
    expected = r"no cost is known for the operator NonZero \(2 nodes\), my\.domain:MyOp; .*costs=\{'NonZero': lambda"
    with pytest.raises(InputError, match=expected):
        read(nodes, {"x": [3]}, ["y"], domains=["my.domain"])


def test_operator_of_another_domain_does_not_get_the_cost_of_its_namesake(read):
    with pytest.raises(InputError, match=r"no cost is known for the operator my\.domain:Relu"):
        read([node("Relu", ["x"], ["y"], domain="my.domain")], {"x": [3]}, ["y"], domains=["my.domain"])


def test_cost_may_be_that_of_one_domain_and_may_say_the_bytes(read):
    nodes = [node("Relu", ["x"], ["a"], domain="mine"), node("Relu", ["a"], ["y"])]
    own = {"mine:Relu": lambda op: OperatorCost(5, 2 * op.out.bytes), "other:Relu": lambda op: 9}
    network = read(nodes, {"x": [10]}, ["y"], domains=["mine"], value_info=[("a", [10])], options={"costs": own})
    assert [(layer.flops, layer.bytes) for layer in network.layers] == [(5, 80), (10, 80)]
    with pytest.raises(InputError, match=r"costs\['Relu'\]: got -1, expected a number >= 0 of bytes"):
        read(
            [node("Relu", ["x"], ["y"])],
            {"x": [10]},
            ["y"],
            options={"costs": {"Relu": lambda op: OperatorCost(1, -1)}},
        )


def test_cost_can_be_supplied_and_sees_shapes_and_attributes(read):
    nodes = [node("MyOp", ["x", "w"], ["a"], domain="my.domain", factor=3), node("Relu", ["a"], ["y"])]
    network = read(
        nodes,
        {"x": [2, 5]},
        ["y"],
        {"w": floats(5, 7)},
        domains=["my.domain"],
        value_info=[("a", [2, 7])],
        options={"costs": {"MyOp": lambda op: op.attributes["factor"] * op.input(1).size * op.out.shape[0]}},
    )
    layer = layers(network)["myop1"]
    assert (layer.flops, layer.weights, layer.bytes) == (3 * 35 * 2, 140, 40 + 140 + 56)


def test_supplied_cost_takes_the_place_of_the_known_one(read):
    made = model([node("Relu", ["x"], ["y"])], {"x": [10]}, ["y"])
    assert read(made).layers[0].flops == 10
    assert read(made, options={"costs": {"Relu": lambda op: np.float64(0)}}).layers[0].flops == 0


@pytest.mark.parametrize("result", [-1, math.nan, math.inf, None, "3"])
def test_supplied_cost_must_be_a_number_of_flop(read, result):
    with pytest.raises(InputError, match=re.escape(f"costs['Relu']: got {result!r}, expected a number >= 0 of FLOP")):
        read([node("Relu", ["x"], ["y"])], {"x": [10]}, ["y"], options={"costs": {"Relu": lambda op: result}})


def test_control_flow_is_refused_by_name(read):
    branch = helper.make_graph(
        [node("Relu", ["x"], ["r"])], "branch", [], [helper.make_tensor_value_info("r", TensorProto.FLOAT, [3])]
    )
    nodes = [node("If", ["flag"], ["y"], name="choose", then_branch=branch, else_branch=branch)]
    inputs = {"x": [3], "flag": ([], TensorProto.BOOL)}
    with pytest.raises(InputError, match="depends on data; these operators run a graph of their own: If 'choose'"):
        read(nodes, inputs, ["y"])
    network = read(nodes, inputs, ["y"], value_info=[("y", [3])], options={"costs": {"If": lambda op: 7}})
    assert [(layer.name, layer.flops) for layer in network.layers] == [("choose", 7)]
    assert tensors(network) == {  # what its graphs read, too
        "x": ("input", ("choose",), 12),
        "flag": ("input", ("choose",), 1),
        "y": ("choose", ("output",), 12),
    }


def test_shape_that_depends_on_data_is_refused_where_it_starts(read):
    nodes = [
        node("Slice", ["x", "begin", "ends"], ["s"], name="crop"),
        node("Relu", ["s"], ["r"]),
        node("Exp", ["r"], ["y"]),
    ]
    with pytest.raises(InputError, match="the shape of what Slice 'crop' makes is not known: it depends on data"):
        read(nodes, {"x": [9], "begin": ([1], TensorProto.INT64)}, ["y"], {"ends": integers(9)})


def test_shape_of_what_depends_on_data_is_refused_where_it_starts(read):
    nodes = [
        node("Slice", ["x", "begin", "ends"], ["s"], name="crop"),
        node("Shape", ["s"], ["shape"]),
        node("Expand", ["one", "shape"], ["e"]),
        node("Add", ["e", "x"], ["y"]),
    ]
    inputs = {"x": [9], "begin": ([1], TensorProto.INT64)}
    with pytest.raises(InputError, match="the shape of what Slice 'crop' makes is not known: it depends on data"):
        read(nodes, inputs, ["y"], {"ends": integers(9), "one": floats(1)})


@pytest.mark.parametrize(("declared", "key"), [("kept", "kept"), ("kept", "s[0]"), (None, "s[0]")])
def test_dimension_in_the_middle_of_the_graph_can_be_set(read, declared, key):
    nodes = [node("Slice", ["x", "begin", "ends"], ["s"]), node("Relu", ["s"], ["y"])]
    inputs = {"x": [9], "begin": ([1], TensorProto.INT64)}
    made = model(nodes, inputs, ["y"], {"ends": integers(9)}, value_info=[("s", [declared])])
    assert tensors(read(made, options={"dimensions": {key: 4}}))["s"] == ("slice1", ("relu1",), 16)


def test_shapes_that_do_not_fit_are_refused_with_the_node(read):
    with pytest.raises(InputError, match=r"net\.onnx: the shapes at MatMul 'head' do not fit: .*[Ii]ncompatible dim"):
        read([node("MatMul", ["x", "w"], ["y"], name="head")], {"x": [2, 3]}, ["y"], {"w": floats(4, 5)})


def test_input_that_is_no_tensor_is_refused(read):
    made = model([node("Relu", ["x"], ["y"])], {"x": [3]}, ["y"])
    made.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(InputError, match="input 'x' is no tensor with a known number of dimensions"):
        read(made)


def test_elements_without_a_size_are_refused(read):
    with pytest.raises(InputError, match="'x' has elements of type STRING, whose size is not known"):
        read([node("Flatten", ["x"], ["y"])], {"x": ([3, 2], TensorProto.STRING)}, ["y"])


def test_dangling_names_are_refused(read):
    nodes = [node("Add", ["x", "ghost"], ["y"], name="sum")]
    with pytest.raises(InputError, match="has the name 'z' \\(for the graph's outputs\\), 'ghost' \\(for Add 'sum'\\)"):
        read(nodes, {"x": [3]}, ["y", "z"])


def test_value_made_twice_is_refused(read):
    with pytest.raises(InputError, match="'y' is an output of two nodes"):
        read([node("Relu", ["x"], ["y"]), node("Exp", ["x"], ["y"])], {"x": [3]}, ["y"])


def test_cycle_is_refused_and_named(read):
    nodes = [
        node("Relu", ["x"], ["a"], name="first"),
        node("Add", ["a", "c"], ["b"], name="left"),
        node("Exp", ["b"], ["c"], name="right"),
        node("Neg", ["c"], ["y"], name="last"),
    ]
    with pytest.raises(InputError, match="the graph has a cycle: Add 'left' -> Exp 'right' -> Add 'left'"):
        read(nodes, {"x": [3]}, ["y"])


def test_empty_graph_is_refused(read):
    with pytest.raises(InputError, match="the graph is empty"):
        read([], {"x": [3]}, ["x"])


@pytest.mark.parametrize(
    "nodes", [[node("Identity", ["x"], ["y"])], [node("Exp", ["w"], ["y"])], [node("Shape", ["x"], ["y"])]]
)
def test_graph_that_computes_nothing_from_its_input_is_refused(read, nodes):
    with pytest.raises(InputError, match="the graph has no layers"):
        read(nodes, {"x": [3]}, ["y"], {"w": floats(3)})


def test_operator_set_that_is_newer_than_onnx_is_refused(read):
    with pytest.raises(InputError, match=r"got ONNX operator set 999, expected 1 to \d+ \(onnx "):
        read([node("Relu", ["x"], ["y"])], {"x": [3]}, ["y"], opset=999)


def test_missing_file_is_refused():
    with pytest.raises(InputError, match=r"^missing\.onnx: cannot be read: No such file"):
        read_onnx("missing.onnx")


def test_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_onnx(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x89PNG\r\n\x1a\n" + bytes(100), b"not an onnx file\n" * 50])
def test_file_of_another_kind_is_refused_by_name(tmp_path, content):
    path = tmp_path / "picture.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"picture\.onnx: not an ONNX file") as caught:
        read_onnx(path)
    assert caught.value.file == str(path)


def test_file_cut_anywhere_is_refused(tmp_path):
    data = attention_block().SerializeToString()
    path = tmp_path / "cut.onnx"
    for length in range(0, len(data) - 1, 97):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"cut\.onnx: "):
            read_onnx(path, dimensions={"batch": 1, "seq": 8})


def test_names_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(attention_block().SerializeToString().replace(b"Softmax", b"Soft\xffax"))
    with pytest.raises(InputError, match="a damaged ONNX file: it has names that are not UTF-8"):
        read_onnx(path, dimensions={"batch": 1, "seq": 8})
