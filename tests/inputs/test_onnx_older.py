"""Operators of early operator sets, each by its own definition there."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_models import floats, integers, model, node

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.graph import OnnxGraph


@pytest.fixture
def shapes(tmp_path):
    """Return the shapes of the outputs of one operator, which reads x and, as constants, the arrays that are given."""

    def of(version, op, x, arrays=(), outputs=1, dtype=TensorProto.FLOAT, **attributes):
        weights = {f"i{position}": array for position, array in enumerate(arrays) if array is not None}
        names = [f"i{position}" if array is not None else "" for position, array in enumerate(arrays)]
        results = [f"y{position}" for position in range(outputs)]
        made = model(
            [node(op, ["x", *names], results, **attributes)], {"x": (x, dtype)}, results, weights, opset=version
        )
        path = tmp_path / "net.onnx"
        path.write_bytes(made.SerializeToString())
        graph = OnnxGraph(path, {})
        graph.check_shapes()
        return [graph.described(name).shape for name in results]

    return of


@pytest.mark.parametrize("version", [1, 4])
def test_reshape_has_its_shape_as_an_attribute(shapes, version):
    assert shapes(version, "Reshape", [2, 3, 4], shape=[0, -1]) == [(2, 12)]
    assert shapes(version, "Reshape", [2, 3, 4], shape=[4, 6], consumed_inputs=[0]) == [(4, 6)]
    with pytest.raises(InputError, match="24 elements and 5x5 has 25"):
        shapes(version, "Reshape", [2, 3, 4], shape=[5, 5])


def test_reshape_has_its_shape_as_an_input_since_5(shapes):
    assert shapes(5, "Reshape", [2, 3, 4], [integers(0, -1)]) == [(2, 12)]


@pytest.mark.parametrize("version", [1, 6, 8])
def test_constants_of_integers_set_shapes_in_every_operator_set(read_model, version):
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [2, 12])
    nodes = [node("Constant", [], ["s"], value=shape), node("Reshape", ["x", "s"], ["h"]), node("Relu", ["h"], ["y"])]
    network = read_model(nodes, {"x": [2, 3, 4]}, ["y"], opset=max(version, 5))
    assert [layer.op for layer in network.layers] == ["Reshape", "Relu"]


def test_cast_names_its_type_before_6(shapes):
    assert shapes(1, "Cast", [2, 3], to="FLOAT16") == [(2, 3)]
    assert shapes(6, "Cast", [2, 3], to=TensorProto.FLOAT16) == [(2, 3)]
    with pytest.raises(InputError, match="the shapes at Cast"):
        shapes(5, "Cast", [2, 3], to="FLOAT17")


def test_concat_takes_the_channels_before_4(shapes):
    assert shapes(1, "Concat", [2, 3, 4], [floats(2, 5, 4)]) == [(2, 8, 4)]
    assert shapes(3, "Concat", [2, 3, 4], [floats(2, 3, 1)], axis=2) == [(2, 3, 5)]
    with pytest.raises(InputError, match="the shapes at Concat"):
        shapes(4, "Concat", [2, 3, 4], [floats(2, 5, 4)])


def test_pad_has_attributes_before_11(shapes):
    assert shapes(1, "Pad", [2, 3], paddings=[0, 1, 2, 3]) == [(4, 7)]
    assert shapes(2, "Pad", [2, 3], pads=[0, 1, 2, 3]) == [(4, 7)]
    assert shapes(11, "Pad", [2, 3], [integers(0, 1, 2, 3)]) == [(4, 7)]


def test_split_has_an_attribute_or_an_input(shapes):
    assert shapes(1, "Split", [2, 7], outputs=2, axis=1, split=[3, 4]) == [(2, 3), (2, 4)]
    assert shapes(2, "Split", [2, 7], outputs=2, axis=1, split=[3, 4]) == [(2, 3), (2, 4)]
    assert shapes(11, "Split", [2, 6], outputs=2, axis=1) == [(2, 3), (2, 3)]
    assert shapes(13, "Split", [2, 7], [integers(3, 4)], outputs=2, axis=1) == [(2, 3), (2, 4)]


def test_tile_repeats_one_axis_before_6(shapes):
    assert shapes(1, "Tile", [2, 3], [floats() + 4, floats() + 1]) == [(2, 12)]
    assert shapes(6, "Tile", [2, 3], [integers(1, 4)]) == [(2, 12)]


def test_upsample_has_scales_in_three_ways(shapes):
    scales = np.array([1, 1, 2, 3], np.float32)
    assert shapes(1, "Upsample", [1, 2, 4, 4], height_scale=2.0, width_scale=3.0) == [(1, 2, 8, 12)]
    assert shapes(7, "Upsample", [1, 2, 4, 4], scales=scales.tolist()) == [(1, 2, 8, 12)]
    for version in (9, 10, 13):  # given up in 10, but runtimes have it
        assert shapes(version, "Upsample", [1, 2, 4, 4], [scales]) == [(1, 2, 8, 12)]


def test_slice_squeeze_unsqueeze_and_reductions_have_attributes(shapes):
    assert shapes(1, "Slice", [4, 9], axes=[1], starts=[2], ends=[-1]) == [(4, 6)]
    assert shapes(11, "Squeeze", [4, 1, 9], axes=[1]) == [(4, 9)]
    assert shapes(1, "Unsqueeze", [4, 9], axes=[0, 3]) == [(1, 4, 9, 1)]
    assert shapes(12, "ReduceSum", [4, 9], axes=[1], keepdims=0) == [(4,)]
    assert shapes(1, "TopK", [4, 9], outputs=2, k=3) == [(4, 3), (4, 3)]


@pytest.mark.parametrize("version", [1, 6])
def test_broadcasting_was_asked_for_by_an_attribute(shapes, version):
    assert shapes(version, "Add", [2, 3, 4], [floats(3)], broadcast=1, axis=1) == [(2, 3, 4)]
    assert shapes(version, "PRelu", [2, 3, 4], [floats(3)]) == [(2, 3, 4)]
    assert shapes(version, "Gemm", [2, 3], [floats(3, 4), floats(4)], broadcast=1) == [(2, 4)]


@pytest.mark.parametrize(("version", "outputs"), [(1, 5), (6, 5), (7, 5), (8, 1), (9, 5), (13, 5), (14, 3), (15, 3)])
def test_batch_normalisation_has_one_to_five_outputs(shapes, version, outputs):
    old = {"consumed_inputs": [0, 0, 0, 1, 1]} if version == 1 else {}
    old |= {"training_mode": 1} if outputs == 3 else {}
    for count in {1, outputs} - ({1} if outputs == 3 else set()):
        found = shapes(version, "BatchNormalization", [2, 3, 4], [floats(3)] * 4, outputs=count, **old)
        assert found == [(2, 3, 4)] + [(3,)] * (count - 1)


@pytest.mark.parametrize(
    ("version", "op", "attributes"),
    [
        (1, "Clip", {"min": 0.0, "max": 6.0, "consumed_inputs": [0]}),
        (6, "Clip", {"min": 0.0}),
        (1, "Elu", {"alpha": 1.0}),
        (1, "LpPool", {"kernel_shape": [1, 1], "p": 2.0}),
        (1, "GlobalLpPool", {"p": 2.0}),
        (1, "InstanceNormalization", {}),
        (1, "Affine", {"alpha": 2.0, "beta": 1.0}),
        (1, "ImageScaler", {"scale": 2.0, "bias": [1.0, 2.0]}),
    ],
)
def test_early_definitions_without_a_shape_rule_are_read(shapes, version, op, attributes):
    weights = [floats(2), floats(2)] if op == "InstanceNormalization" else []
    expected = (1, 2, 1, 1) if op == "GlobalLpPool" else (1, 2, 5, 5)
    assert shapes(version, op, [1, 2, 5, 5], weights, **attributes) == [expected]


@pytest.mark.parametrize("version", [1, 6, 7, 10])
def test_dropout_is_removed_whatever_its_attributes(read_model, version):
    attributes = {1: {"consumed_inputs": [0], "is_test": 1}, 6: {"is_test": 1}}.get(version, {"ratio": 0.5})
    nodes = [node("Dropout", ["x"], ["d", "mask"], **attributes), node("Relu", ["d"], ["y"])]
    assert [layer.op for layer in read_model(nodes, {"x": [3]}, ["y"], opset=version).layers] == ["Relu"]
