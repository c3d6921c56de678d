"""ONNX files: what counts as weights, and which of them layers share."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx_models import floats, model, node, tensors


def shared(network):
    return [(weights.name, weights.bytes, weights.layers) for weights in network.shared_weights]


def test_tied_weights_are_shared_and_read_twice(read):
    nodes = [
        node("Gather", ["table", "ids"], ["h"]),
        node("Transpose", ["table"], ["head"], perm=[1, 0]),
        node("MatMul", ["h", "head"], ["y"]),
    ]
    network = read(nodes, {"ids": ([6], TensorProto.INT64)}, ["y"], {"table": floats(1000, 8)})
    embedding, product = network.layers
    assert (embedding.weights, product.weights) == (0, 0)
    assert shared(network) == [("table", 32000, ("gather1", "matmul1"))]
    assert embedding.bytes == 6 * 8 + 2 * 6 * 8 * 4
    assert product.bytes == 6 * 8 * 4 + 32000 + 6 * 1000 * 4


def test_weights_are_the_same_behind_identity_transposition_cast_and_dequantisation(read):
    nodes = [
        node("Identity", ["q"], ["q1"]),
        node("DequantizeLinear", ["q1", "scale"], ["w"]),
        node("MatMul", ["x", "w"], ["a"]),
        node("Transpose", ["q"], ["q2"]),
        node("Transpose", ["q2"], ["q3"]),
        node("DequantizeLinear", ["q3", "scale"], ["w2"]),
        node("MatMul", ["a", "w2"], ["b"]),
        node("Cast", ["q"], ["w3"], to=TensorProto.FLOAT),
        node("MatMul", ["b", "w3"], ["y"]),
    ]
    weights = {"q": np.zeros((30, 30), np.int8), "scale": np.ones(1, np.float32)}
    network = read(nodes, {"x": [2, 30]}, ["y"], weights)
    assert [layer.weights for layer in network.layers] == [4, 4, 0]  # the scale is no weight to share
    assert shared(network) == [("q", 900, ("matmul1", "matmul2", "matmul3"))]


def test_what_is_computed_from_weights_is_shared_as_a_whole(read):
    nodes = [
        node("Add", ["w", "w"], ["v"]),
        node("MatMul", ["x", "v"], ["a"]),
        node("MatMul", ["a", "v"], ["b"]),
        node("MatMul", ["b", "w"], ["y"]),
    ]
    network = read(nodes, {"x": [2, 3]}, ["y"], {"w": floats(3, 3)})
    assert shared(network) == [("v", 36, ("matmul1", "matmul2"))]
    assert [layer.weights for layer in network.layers] == [0, 0, 36]


def test_layer_that_reads_a_weight_twice_does_not_share_it(read):
    network = read([node("Where", ["x", "w", "w"], ["y"])], {"x": ([4], TensorProto.BOOL)}, ["y"], {"w": floats(4)})
    assert (network.layers[0].weights, network.shared_weights) == (16, ())


def test_constants_of_one_element_are_each_layers_own(read):
    nodes = [node("Mul", ["x", "half"], ["a"]), node("Mul", ["a", "half"], ["y"])]
    network = read(nodes, {"x": [8]}, ["y"], {"half": floats()})
    assert ([layer.weights for layer in network.layers], network.shared_weights) == ([4, 4], ())


def test_weights_that_no_layer_reads_are_left_out(read):
    nodes = [node("Relu", ["x"], ["y"]), node("MatMul", ["x", "w"], ["unused"])]
    network = read(nodes, {"x": [2, 3]}, ["y"], {"w": floats(3, 4), "v": floats(100)})
    assert [layer.name for layer in network.layers] == ["relu1"]
    assert network.layers[0].weights == 0


def test_quantised_weights_count_at_their_stored_size(read):
    nodes = [node("DequantizeLinear", ["q", "s"], ["w"]), node("MatMul", ["x", "w"], ["y"])]
    network = read(nodes, {"x": [2, 30]}, ["y"], {"q": np.zeros((30, 40), np.int8), "s": floats()})
    (layer,) = network.layers
    assert (layer.weights, layer.bytes) == (1204, 240 + 1204 + 320)


def test_quantised_convolution_reads_bytes_and_makes_bytes(read):
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
    zero = np.zeros((), np.int8)
    weights = dict.fromkeys(["xs", "ws", "ys"], floats()) | dict.fromkeys(["xz", "wz", "yz"], zero)
    weights["w"] = np.zeros((4, 3, 3, 3), np.int8)
    network = read([node("QLinearConv", names, ["y"])], {"x": ([1, 3, 8, 8], TensorProto.INT8)}, ["y"], weights)
    assert (network.layers[0].flops, network.layers[0].weights) == (2 * 144 * 27, 108 + 3 * 4 + 3)
    assert tensors(network)["y"] == ("qlinearconv1", ("output",), 144)


def test_sparse_weights_count_their_entries_and_indices(read):
    made = model([node("MatMul", ["x", "w"], ["y"])], {"x": [2, 30]}, ["y"])
    values = numpy_helper.from_array(np.ones(7, np.float32), "w")
    indices = numpy_helper.from_array(np.arange(7, dtype=np.int64), "")
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [30, 40]))
    assert read(made).layers[0].weights == 7 * 4 + 7 * 8
