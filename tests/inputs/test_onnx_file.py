"""What an ONNX file stores: constants of the right length, files that are damaged, and early and cheap refusals."""

import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_models import floats, integers, model, node

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.file import load_model
from dnnopt.inputs.onnx.reader import read_onnx


def with_constant(**fields):
    """Return a model whose one weight has these fields of a TensorProto."""
    made = model([node("MatMul", ["x", "w"], ["y"])], {"x": [2, 3]}, ["y"], {"w": floats(3, 4)})
    weight = made.graph.initializer[0]
    for name, value in fields.items():
        weight.ClearField("raw_data")
        if isinstance(value, list):
            weight.ClearField(name)
            getattr(weight, name).extend(value)
        else:
            setattr(weight, name, value)
    return made


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dims": [3, -4]}, "'w' has the shape 3x-4, expected sizes >= 0"),
        ({"dims": [2**40, 2**40]}, "'w' has the shape 1099511627776x1099511627776, expected sizes >= 0"),
        ({"raw_data": b"123"}, "'w' has 3 bytes of raw data, expected 48 for 3x4 float"),
        ({"raw_data": bytes(52)}, "'w' has 52 bytes of raw data, expected 48"),
        ({"float_data": [1.0] * 11}, "'w' has 11 values, expected 12 for 3x4 float"),
        ({"data_type": TensorProto.INT4, "raw_data": bytes(5)}, "'w' has 5 bytes of raw data, expected 6 for 3x4 int4"),
        ({"data_type": TensorProto.INT4, "int32_data": [1] * 12}, "'w' has 12 values, expected 6 for 3x4 int4"),
        (
            {"data_type": TensorProto.COMPLEX64, "float_data": [1.0] * 12},
            "'w' has 12 values, expected 24 for 3x4 complex64",
        ),
    ],
)
def test_constants_are_as_long_as_their_sizes_say(read_model, fields, message):
    with pytest.raises(InputError, match=re.escape(f"net.onnx: {message}")):
        read_model(with_constant(**fields))


@pytest.mark.parametrize("fields", [{"raw_data": b""}, {"float_data": [1.0] * 12}, {"raw_data": bytes(48)}])
def test_constants_without_data_are_read(read_model, fields):
    assert read_model(with_constant(**fields)).layers[0].weights == 48


def test_constants_in_nodes_branches_and_functions_are_checked(read_model):
    bad = helper.make_tensor("c", TensorProto.FLOAT, [2], [0.0, 0.0])
    bad.dims[0] = -2
    constant = node("Constant", [], ["c"], value=bad)
    results = [helper.make_tensor_value_info("c", TensorProto.FLOAT, None)]
    branch = helper.make_graph([constant], "branch", [], results)
    function = helper.make_function("mine", "F", ["a"], ["c"], [constant], [helper.make_opsetid("", 17)])
    relu = node("Relu", ["x"], ["y"])
    for nodes, functions in (
        ([constant, relu], []),
        ([relu, node("If", ["x"], ["z"], then_branch=branch, else_branch=branch)], []),
        ([relu], [function]),
    ):
        with pytest.raises(InputError, match="'c' has the shape -2, expected sizes >= 0"):
            read_model(nodes, {"x": [3]}, ["y"], functions=functions)


def test_sparse_constants_are_checked(read_model):
    made = model([node("MatMul", ["x", "w"], ["y"])], {"x": [2, 3]}, ["y"])
    values = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("", TensorProto.INT64, [1], [0])
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3, -4]))
    with pytest.raises(InputError, match="'w' has the shape 3x-4"):
        read_model(made)


def test_shape_without_data_is_not_known(read_model):
    made = model([node("Reshape", ["x", "shape"], ["y"])], {"x": [2, 3]}, ["y"], {"shape": integers(6)})
    made.graph.initializer[0].ClearField("raw_data")
    with pytest.raises(InputError, match=r"the shape of what Reshape \(of 'y'\) makes is not known"):
        read_model(made)


def test_values_that_are_inputs_and_outputs_of_nodes_are_refused(read_model):
    with pytest.raises(InputError, match=r"'x' is an output of Relu \(of 'x'\), and an input or initialiser too"):
        read_model([node("Relu", ["x"], ["x"])], {"x": [3]}, ["x"])


def test_inputs_that_nothing_reads_may_be_of_any_type(read_model):
    made = model([node("Relu", ["x"], ["y"])], {"x": [3], "idle": [2], "text": ([2], TensorProto.STRING)}, ["y"])
    made.graph.input[1].type.tensor_type.elem_type = 99
    assert read_model(made).provenance.endswith("input x 3 float, idle 2 99, text 2 string")


def test_files_that_do_not_end_are_not_read_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("dnnopt.inputs.onnx.file._LONGEST", 1000)
    (tmp_path / "endless.onnx").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="not an ONNX file: these have less than 2 GiB"):
        load_model(tmp_path / "endless.onnx")


def network():
    """Return a small network of many kinds of node."""
    branch = [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)]
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], name="conv"),
        node("BatchNormalization", ["c", "s", "s", "s", "s"], ["n"]),
        node("F", ["n"], ["f"], domain="mine"),
        node("MaxPool", ["f"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", ["p"], ["shape"]),
        node("Slice", ["shape", "zero", "one"], ["batch"]),
        node("Concat", ["batch", "minus"], ["target"], axis=0),
        node(
            "If",
            ["flag"],
            ["g"],
            then_branch=helper.make_graph([node("Relu", ["p"], ["b"])], "t", [], branch),
            else_branch=helper.make_graph([node("Neg", ["p"], ["b"])], "e", [], branch),
        ),
        node("Reshape", ["g", "target"], ["r"]),
        node("Gemm", ["r", "v", "bias"], ["y"], transB=1),
    ]
    weights = {"w": floats(4, 3, 3, 3), "s": floats(4), "v": floats(5, 16), "bias": floats(5), "flag": np.array(True)}
    weights |= {"zero": integers(0), "one": integers(1), "minus": integers(-1)}
    body = [node("Add", ["a", "a"], ["t"]), node("Sigmoid", ["t"], ["o"])]
    function = helper.make_function("mine", "F", ["a"], ["o"], body, [helper.make_opsetid("", 13)])
    made = model(nodes, {"x": ["batch", 3, 4, 4]}, ["y"], weights, domains=["mine"], functions=[function])
    return made.SerializeToString()


NETWORK = network()


def read_or_refuse(path, data):
    """Whatever a file has, the only exception is an InputError that names it."""
    path.write_bytes(data)
    refusal = None
    try:
        read_onnx(path, dimensions={"batch": 2})
    except InputError as error:
        refusal = error
    assert refusal is None or refusal.file == str(path)


def test_the_network_is_read(tmp_path):
    (tmp_path / "net.onnx").write_bytes(NETWORK)
    found = read_onnx(tmp_path / "net.onnx", dimensions={"batch": 2})
    assert [layer.op for layer in found.layers] == [
        *("Conv", "BatchNormalization", "Add", "Sigmoid", "MaxPool", "Relu", "Reshape", "Gemm")
    ]


@given(st.lists(st.tuples(st.integers(0, len(NETWORK) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_file_with_other_bytes_is_read_or_refused_by_name(tmp_path_factory, changes):
    data = bytearray(NETWORK)
    for position, value in changes:
        data[position] = value
    read_or_refuse(tmp_path_factory.mktemp("changed") / "net.onnx", bytes(data))


@given(st.integers(0, len(NETWORK)), st.integers(0, 40), st.binary(max_size=12))
def test_a_file_with_a_part_replaced_is_read_or_refused_by_name(tmp_path_factory, start, length, part):
    data = NETWORK[:start] + part + NETWORK[start + length :]
    read_or_refuse(tmp_path_factory.mktemp("changed") / "net.onnx", data)


def test_a_file_with_fields_changed_is_read_or_refused_by_name(tmp_path):
    draw = random.Random(0)
    numbers = [0, 1, -1, 2, 7, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63)]
    for _ in range(150):
        made = model([], {}, [])
        made.ParseFromString(NETWORK)
        for _ in range(draw.randint(1, 3)):
            changed = draw.choice(list(made.graph.node))
            attributes = [entry for entry in changed.attribute if entry.ints or entry.HasField("i")]
            shaped = [*made.graph.initializer, *(value.type.tensor_type.shape for value in made.graph.input)]
            kind = draw.randrange(5)
            if kind == 0 and attributes:
                entry = draw.choice(attributes)
                if entry.ints:
                    entry.ints[draw.randrange(len(entry.ints))] = draw.choice(numbers)
                else:
                    entry.i = draw.choice(numbers)
            elif kind == 1:
                entry = draw.choice(shaped)
                if isinstance(entry, TensorProto):
                    if entry.dims:
                        entry.dims[draw.randrange(len(entry.dims))] = draw.choice(numbers)
                else:
                    draw.choice(list(entry.dim)).dim_value = draw.choice(numbers)
            elif kind == 2 and changed.input:
                changed.input[draw.randrange(len(changed.input))] = draw.choice(["", "x", "w", "y", "shape", "s"])
            elif kind == 3:
                changed.op_type = draw.choice(
                    ["Conv", "Gemm", "LSTM", "Einsum", "Loop", "Resize", "Constant", "TopK", ""]
                )
            elif changed.attribute:
                del changed.attribute[draw.randrange(len(changed.attribute))]
        read_or_refuse(tmp_path / "net.onnx", made.SerializeToString())
