"""Reading ONNX files: what becomes of tiny models made here."""

import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import floats, integers, model, node

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.costs import Cost
from dnnopt.inputs.onnx.reader import read_onnx


@pytest.fixture
def read(read_model):
    return read_model


def layers(network):
    return {layer.name: layer for layer in network.layers}


def tensors(network):
    return {tensor.name: (tensor.producer, tensor.consumers, tensor.bytes) for tensor in network.tensors}


def test_importing_the_reader_does_not_import_onnx():
    check = "import sys, dnnopt.inputs.onnx.reader; print('onnx' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "False"


def test_layer_has_flops_bytes_weights_and_activations(read):
    network = read(
        [node("Conv", ["x", "w", "b"], ["y"])], {"x": [1, 3, 8, 8]}, ["y"], {"w": floats(4, 3, 3, 3), "b": floats(4)}
    )
    (layer,) = network.layers
    assert layer.op == "Conv"
    assert layer.flops == 2 * (4 * 6 * 6) * 27
    assert layer.weights == (108 + 4) * 4
    assert layer.activations == 4 * 36 * 4
    assert layer.bytes == 3 * 64 * 4 + 112 * 4 + 4 * 36 * 4
    assert tensors(network) == {"x": ("input", ("conv1",), 768), "y": ("conv1", ("output",), 576)}


def test_network_takes_the_file_name_or_the_name_given_and_both_devices(read):
    made = model([node("Relu", ["x"], ["y"])], {"x": [4]}, ["y"])
    assert read(made).name == "net"
    assert (read(made).source, read(made).sink) == (None, None)
    named = read(made, options={"name": "mine", "source": "phone", "sink": "cloud"})
    assert (named.name, named.source, named.sink) == ("mine", "phone", "cloud")
    assert named.provenance == "net.onnx: ONNX IR 8, operator set 17, by tests; input x 4 float"


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("FLOAT", 40),
        ("FLOAT16", 20),
        ("BFLOAT16", 20),
        ("DOUBLE", 80),
        ("INT64", 80),
        ("INT8", 10),
        ("BOOL", 10),
        ("INT4", 5),
    ],
)
def test_tensor_bytes_follow_the_element_type(read, dtype, expected):
    network = read([node("Flatten", ["x"], ["y"])], {"x": ([2, 5], getattr(TensorProto, dtype))}, ["y"], opset=23)
    assert [tensor.bytes for tensor in network.tensors] == [expected, expected]


def test_shape_inference_gives_sizes_that_the_file_does_not_state(read):
    nodes = [node("MaxPool", ["x"], ["p"], kernel_shape=[3, 3], strides=[2, 2]), node("Relu", ["p"], ["y"])]
    network = read(nodes, {"x": [1, 2, 9, 9]}, ["y"])
    assert layers(network)["maxpool1"].flops == 2 * 16 * 9
    assert tensors(network)["p"] == ("maxpool1", ("relu1",), 2 * 16 * 4)


def test_tensor_lists_each_consumer_once_and_the_output(read):
    nodes = [node("Relu", ["x"], ["h"]), node("Mul", ["h", "h"], ["s"]), node("Add", ["s", "h"], ["y"])]
    network = read(nodes, {"x": [5]}, ["y", "h"])
    assert tensors(network)["h"] == ("relu1", ("mul1", "add1", "output"), 20)
    assert layers(network)["mul1"].bytes == 20 + 20


def test_input_that_is_also_an_output_reaches_both(read):
    network = read([node("Relu", ["x"], ["y"])], {"x": [5]}, ["y", "x"])
    assert tensors(network)["x"] == ("input", ("relu1", "output"), 20)


def test_several_outputs_become_several_tensors_of_one_layer(read):
    nodes = [
        node("Split", ["x", "sizes"], ["a", "b", "c"], axis=1),
        node("Relu", ["a"], ["y"]),
        node("Add", ["b", "c"], ["z"]),
    ]
    network = read(nodes, {"x": [2, 7]}, ["y", "z"], {"sizes": integers(3, 2, 2)})
    assert tensors(network) == {
        "x": ("input", ("split1",), 56),
        "a": ("split1", ("relu1",), 24),
        "b": ("split1", ("add1",), 16),
        "c": ("split1", ("add1",), 16),
        "y": ("relu1", ("output",), 24),
        "z": ("add1", ("output",), 16),
    }
    assert layers(network)["split1"].activations == 56


def test_output_that_nobody_uses_is_neither_a_tensor_nor_an_activation(read):
    nodes = [node("TopK", ["x", "k"], ["values", "indices"]), node("Relu", ["values"], ["y"])]
    network = read(nodes, {"x": [1, 10]}, ["y"], {"k": integers(4)})
    assert tensors(network).keys() == {"x", "values", "y"}
    assert layers(network)["topk1"].activations == 16


def test_lstm_reads_its_weights_and_leaves_optional_inputs_out(read):
    nodes = [node("LSTM", ["x", "w", "r", "", "", "h0"], ["", "h"], hidden_size=8)]
    weights = {"w": floats(1, 32, 5), "r": floats(1, 32, 8), "h0": floats(1, 2, 8)}
    network = read(nodes, {"x": [10, 2, 5]}, ["h"], weights)
    assert layers(network)["lstm1"].flops == 2 * 20 * 32 * 13
    assert layers(network)["lstm1"].weights == (160 + 256 + 16) * 4
    assert tensors(network)["h"] == ("lstm1", ("output",), 64)


def test_initialisers_listed_as_inputs_are_weights(read):
    network = read([node("MatMul", ["x", "w"], ["y"])], {"x": [2, 3], "w": [3, 4]}, ["y"], {"w": floats(3, 4)})
    assert [tensor.name for tensor in network.tensors] == ["x", "y"]
    assert network.layers[0].weights == 48


def test_constants_in_nodes_are_weights(read):
    nodes = [
        node("Constant", [], ["c"], value=numpy_helper.from_array(floats(3, 4))),
        node("Constant", [], ["half"], value_float=0.5),
        node("ConstantOfShape", ["shape"], ["w"]),
        node("Add", ["x", "c"], ["a"]),
        node("Mul", ["a", "half"], ["m"]),
        node("MatMul", ["m", "w"], ["y"]),
    ]
    network = read(nodes, {"x": [3, 4]}, ["y"], {"shape": integers(4, 100)})
    assert {layer.name: layer.weights for layer in network.layers} == {"add1": 48, "mul1": 4, "matmul1": 1600}


def test_what_is_computed_from_constants_is_folded(read):
    nodes = [
        node("Add", ["w", "one"], ["w1"]),
        node("Transpose", ["w1"], ["w2"]),
        node("Cast", ["w2"], ["w3"], to=TensorProto.FLOAT16),
        node("MatMul", ["x", "w3"], ["y"]),
    ]
    network = read(nodes, {"x": ([2, 3], TensorProto.FLOAT16)}, ["y"], {"w": floats(4, 3), "one": floats()})
    assert [layer.name for layer in network.layers] == ["matmul1"]
    assert network.layers[0].weights == 48  # of the sum, which is stored before the cast


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


def test_settings_of_an_operator_are_no_weights(read):
    nodes = [
        node("Slice", ["x", "starts", "ends"], ["a"]),
        node("Clip", ["a", "low", "high"], ["b"]),
        node("Reshape", ["b", "shape"], ["c"]),
        node("ReduceSum", ["c", "axes"], ["y"], keepdims=0),
    ]
    settings = {"starts": integers(1), "ends": integers(5), "low": floats(), "high": floats()}
    network = read(nodes, {"x": [8, 6]}, ["y"], settings | {"shape": integers(2, -1), "axes": integers(1)}, opset=18)
    assert [layer.weights for layer in network.layers] == [0, 0, 0, 0]
    assert [layer.bytes for layer in network.layers] == [192, 192, 0, 96 + 8]
    assert tensors(network)["c"] == ("reshape1", ("reducesum1",), 96)


def test_views_are_layers_without_flops_or_bytes(read):
    nodes = [node("Relu", ["x"], ["a"]), node("Flatten", ["a"], ["b"]), node("Gemm", ["b", "w"], ["y"])]
    network = read(nodes, {"x": [1, 3, 4]}, ["y"], {"w": floats(12, 5)})
    view = layers(network)["flatten1"]
    assert (view.flops, view.bytes, view.weights, view.activations) == (0, 0, 0, 48)


def test_shape_arithmetic_disappears(read):
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "zero"], ["batch"]),
        node("Unsqueeze", ["batch", "axis"], ["batch1"]),
        node("Gather", ["shape", "two"], ["width"]),
        node("Div", ["width", "four"], ["part"]),
        node("Unsqueeze", ["part", "axis"], ["part1"]),
        node("Concat", ["batch1", "minus", "heads", "part1"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["r"]),
        node("Transpose", ["r"], ["y"], perm=[0, 2, 1, 3]),
    ]
    scalars = {"zero": np.array(0), "two": np.array(2), "four": np.array(4)}
    lists = {"axis": integers(0), "minus": integers(-1), "heads": integers(4)}
    network = read(nodes, {"x": [2, 10, 32]}, ["y"], scalars | lists)
    assert [layer.name for layer in network.layers] == ["reshape1", "transpose1"]
    assert tensors(network)["y"] == ("transpose1", ("output",), 2 * 10 * 32 * 4)


def test_part_of_a_shape_is_folded(read):
    nodes = [node("Shape", ["x"], ["tail"], start=1, end=-1), node("Expand", ["v", "tail"], ["y"])]
    network = read(nodes, {"x": [2, 3, 5, 7], "v": [1, 1]}, ["y"])
    assert tensors(network) == {"v": ("input", ("expand1",), 4), "y": ("expand1", ("output",), 3 * 5 * 4)}


def test_resize_takes_its_shape_from_constant_scales(read):
    scales = np.array([1, 1, 2, 3], np.float32)
    network = read([node("Resize", ["x", "", "scales"], ["y"])], {"x": [1, 2, 4, 4]}, ["y"], {"scales": scales})
    assert tensors(network)["y"] == ("resize1", ("output",), 2 * 8 * 12 * 4)


def test_random_numbers_are_not_folded_and_cost_one_operation_each(read):
    nodes = [node("RandomNormal", [], ["noise"], shape=[3]), node("Add", ["x", "noise"], ["y"])]
    network = read(nodes, {"x": [3]}, ["y"])
    assert (layers(network)["randomnormal1"].flops, layers(network)["randomnormal1"].bytes) == (3, 12)
    assert tensors(network)["noise"] == ("randomnormal1", ("add1",), 12)
    for op in ("RandomNormalLike", "RandomUniformLike", "Bernoulli"):
        network = read([node(op, ["x"], ["noise"]), node("Add", ["x", "noise"], ["y"])], {"x": [3]}, ["y"])
        assert [layer.flops for layer in network.layers] == [3, 3]


def test_layer_that_only_its_shape_is_asked_of_is_dropped(read):
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Shape", ["c"], ["s"]), node("Expand", ["v", "s"], ["y"])]
    network = read(nodes, {"x": [1, 3, 8, 8], "v": [1, 4, 1, 1]}, ["y"], {"w": floats(4, 3, 3, 3)})
    assert [layer.name for layer in network.layers] == ["expand1"]
    assert tensors(network) == {"v": ("input", ("expand1",), 16), "y": ("expand1", ("output",), 576)}


def test_constant_mask_computed_from_a_shape_is_a_weight(read):
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("ConstantOfShape", ["s"], ["ones"], value=helper.make_tensor("v", TensorProto.BOOL, [1], [1])),
        node("Trilu", ["ones"], ["mask"], upper=0),
        node("Where", ["mask", "x", "low"], ["y"]),
    ]
    network = read(nodes, {"x": [100, 100]}, ["y"], {"low": floats()})
    assert [(layer.name, layer.weights) for layer in network.layers] == [("where1", 100 * 100 + 4)]


@pytest.mark.parametrize("removed", [node("Identity", ["a"], ["b"]), node("Dropout", ["a"], ["b"])])
def test_identity_and_dropout_are_removed(read, removed):
    network = read([node("Relu", ["x"], ["a"]), removed, node("Exp", ["b"], ["y"])], {"x": [5]}, ["y"])
    assert tensors(network) == {
        "x": ("input", ("relu1",), 20),
        "a": ("relu1", ("exp1",), 20),
        "y": ("exp1", ("output",), 20),
    }


def test_chain_of_removed_nodes_at_the_input_and_the_output_is_rewired(read):
    nodes = [
        node("Identity", ["x"], ["x1"]),
        node("Dropout", ["x1"], ["x2"]),
        node("Relu", ["x2"], ["h"]),
        node("Identity", ["h"], ["y"]),
        node("Identity", ["h"], ["z"]),
    ]
    network = read(nodes, {"x": [5]}, ["y", "z"])
    assert tensors(network) == {"x": ("input", ("relu1",), 20), "h": ("relu1", ("output",), 20)}


def test_dropout_mask_is_a_constant(read):
    nodes = [node("Dropout", ["x"], ["d", "mask"]), node("Where", ["mask", "d", "x"], ["y"])]
    network = read(nodes, {"x": [3, 5]}, ["y", "mask"])
    assert [(layer.name, layer.weights) for layer in network.layers] == [("where1", 15)]
    assert tensors(network) == {"x": ("input", ("where1",), 60), "y": ("where1", ("output",), 60)}


def test_dropout_in_training_is_a_layer(read):
    nodes = [node("Dropout", ["x", "ratio", "training"], ["d", "mask"]), node("Relu", ["d"], ["y"])]
    settings = {"ratio": floats(), "training": np.array(True)}
    network = read(nodes, {"x": [3, 5]}, ["y", "mask"], settings)
    assert [(layer.op, layer.flops) for layer in network.layers] == [("Dropout", 30), ("Relu", 15)]
    assert tensors(network)["mask"] == ("dropout1", ("output",), 15)
    settings["training"] = np.array(False)
    assert [layer.op for layer in read(nodes, {"x": [3, 5]}, ["y", "mask"], settings).layers] == ["Relu"]


def test_batched_matmul_of_two_activations_has_no_weights(read):
    network = read([node("MatMul", ["q", "k"], ["y"])], {"q": [2, 4, 10, 8], "k": [4, 8, 12]}, ["y"])
    assert (network.layers[0].flops, network.layers[0].weights) == (2 * (2 * 4 * 10 * 12 * 8), 0)


def attention_block(heads=4, width=32):
    """Self-attention with a residual and a layer normalisation, the way exporters write it."""

    def split_heads(name):
        return [
            node("MatMul", ["x", f"w{name}"], [f"{name}0"], name=f"/attn/{name}/MatMul"),
            node("Reshape", [f"{name}0", "split"], [f"{name}1"], name=f"/attn/{name}/Reshape"),
            node("Transpose", [f"{name}1"], [name], perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]),
        ]

    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Slice", ["shape", "start", "end"], ["front"]),
        node("Concat", ["front", "heads"], ["split"], axis=0),
        *split_heads("q"),
        *split_heads("k"),
        *split_heads("v"),
        node("MatMul", ["q", "k"], ["s0"]),
        node("Div", ["s0", "root"], ["s1"]),
        node("Softmax", ["s1"], ["p"], axis=-1),
        node("MatMul", ["p", "v"], ["o0"]),
        node("Transpose", ["o0"], ["o1"], perm=[0, 2, 1, 3]),
        node("Reshape", ["o1", "shape"], ["o2"]),
        node("MatMul", ["o2", "wo"], ["o3"]),
        node("Add", ["o3", "x"], ["r"]),
        node("LayerNormalization", ["r", "g", "b"], ["y"]),
    ]
    weights = {f"w{name}": floats(width, width) for name in "qkvo"}
    weights |= {"g": floats(width), "b": floats(width), "root": floats()}
    weights |= {"start": integers(0), "end": integers(2), "heads": integers(heads, width // heads)}
    return model(nodes, {"x": ["batch", "seq", width]}, ["y"], weights)


def test_attention_block_is_counted_as_by_hand(read):
    batch, seq, heads, width = 2, 10, 4, 32
    network = read(attention_block(heads, width), options={"dimensions": {"batch": batch, "seq": seq}})
    rows, scores = batch * seq, batch * heads * seq * seq
    projections = 4 * 2 * rows * width * width
    products = 2 * 2 * scores * (width // heads)
    # Division and softmax of the scores, residual addition and layer normalisation.
    assert sum(layer.flops for layer in network.layers) == projections + products + 6 * scores + (1 + 7) * rows * width
    assert sum(layer.weights for layer in network.layers) == (4 * width * width + 2 * width + 1) * 4
    assert {"Shape", "Slice", "Concat"}.isdisjoint(layer.op for layer in network.layers)
    assert tensors(network)["x"][1] == ("attn.q.MatMul", "attn.k.MatMul", "attn.v.MatMul", "add1")
    assert tensors(network)["p"] == ("softmax1", ("matmul2",), scores * 4)


def test_unset_dimensions_are_named_with_the_option(read):
    with pytest.raises(InputError, match=r"no size for batch, seq; give dimensions=\{'batch': ..., 'seq': ...\}"):
        read(attention_block())
    with pytest.raises(InputError, match="no size for seq;"):
        read(attention_block(), options={"dimensions": {"batch": 1}})


@pytest.mark.parametrize("unknown", [None, -1, 0])
def test_dimension_without_a_name_is_called_after_input_and_axis(read, unknown):
    made = model([node("Relu", ["x"], ["y"])], {"x": [unknown, 3]}, ["y"])
    with pytest.raises(InputError, match=re.escape("no size for x[0]; give dimensions={'x[0]': ...}")):
        read(made)
    assert read(made, options={"dimensions": {"x[0]": 7}}).tensors[0].bytes == 84


def test_unknown_dimension_is_refused_with_those_that_exist(read):
    with pytest.raises(InputError, match="no dimension is called bach; expected some of batch, seq") as caught:
        read(attention_block(), options={"dimensions": {"bach": 1, "batch": 1, "seq": 1}})
    assert caught.value.field == "dimensions"
    with pytest.raises(InputError, match="no dimension is called n; the file has no symbolic dimension"):
        read([node("Relu", ["x"], ["y"])], {"x": [3]}, ["y"], options={"dimensions": {"n": 1}})


@pytest.mark.parametrize("size", [-1, 1.5, "8", True])
def test_size_that_is_no_whole_number_is_refused(read, size):
    with pytest.raises(InputError, match=re.escape(f"dimensions['seq']: got {size!r}, expected a whole number")):
        read(attention_block(), options={"dimensions": {"batch": 1, "seq": size}})


def test_sizes_may_be_numpy_integers(read):
    dimensions = {"batch": np.int64(1), "seq": np.int32(3)}
    assert read(attention_block(), options={"dimensions": dimensions}).tensors[0].bytes == 3 * 32 * 4


def test_stale_symbolic_shapes_in_the_file_give_way_to_inferred_ones(read):
    nodes = [node("Relu", ["x"], ["h"]), node("Exp", ["h"], ["y"])]
    made = model(nodes, {"x": ["n", 4]}, ["y"], value_info=[("h", ["unk__1", "unk__2"])])
    assert tensors(read(made, options={"dimensions": {"n": 3}}))["h"] == ("relu1", ("exp1",), 48)


def test_wrong_shapes_in_the_file_give_way_to_inferred_ones(read):
    nodes = [node("Relu", ["x"], ["h"]), node("Exp", ["h"], ["y"])]
    network = read(nodes, {"x": [3, 4]}, ["y"], value_info=[("h", [30, 40])])
    assert tensors(network)["h"] == ("relu1", ("exp1",), 48)


def test_node_names_become_readable_layer_names(read):
    names = ["/block.0/conv1/Conv", "block::1 add", "gpu_0/relu", "n21", "33", "", "input", "twice", "twice", "a-b"]
    chain = [node("Relu", [f"t{i}"], [f"t{i + 1}"], name=name) for i, name in enumerate(names)]
    network = read(chain, {"t0": [2]}, [f"t{len(names)}"])
    assert [layer.name for layer in network.layers] == [
        "block.0.conv1.Conv",
        "block_1_add",
        "gpu_0.relu",
        *("relu1", "relu2", "relu3", "relu4", "relu5", "relu6"),
        "a_b",
    ]


def test_generated_names_keep_clear_of_given_ones(read):
    chain = [node("Relu", ["a"], ["b"]), node("Exp", ["b"], ["c"], name="relu1"), node("Relu", ["c"], ["d"])]
    assert [layer.name for layer in read(chain, {"a": [2]}, ["d"]).layers] == ["relu2", "relu1", "relu3"]


def test_generated_names_of_operators_that_end_in_a_number_stay_unique(read):
    chain = [node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(11)]
    chain.append(node("Relu1", ["t11"], ["y"], domain="my.domain"))
    options = {"costs": {"Relu1": lambda op: 0}}
    network = read(chain, {"t0": [2]}, ["y"], domains=["my.domain"], value_info=[("y", [2])], options=options)
    assert [layer.name for layer in network.layers][-3:] == ["relu10", "relu11", "relu12"]


def test_unsorted_nodes_are_sorted(read):
    nodes = [node("Exp", ["b"], ["y"]), node("Neg", ["a"], ["b"]), node("Relu", ["x"], ["a"])]
    assert [layer.name for layer in read(nodes, {"x": [3]}, ["y"]).layers] == ["relu1", "neg1", "exp1"]


def test_functions_of_the_model_are_inlined(read):
    made = model([node("Twice", ["x"], ["y"], domain="mine")], {"x": [3, 4]}, ["y"], domains=["mine"])
    body = [node("Add", ["a", "a"], ["s"]), node("Relu", ["s"], ["r"])]
    made.functions.append(helper.make_function("mine", "Twice", ["a"], ["r"], body, [helper.make_opsetid("", 17)]))
    assert [(layer.op, layer.flops) for layer in read(made).layers] == [("Add", 12), ("Relu", 12)]


def test_operators_of_the_first_operator_sets_are_read(read):
    nodes = [node("Relu", ["x"], ["a"], consumed_inputs=[0]), node("Gemm", ["a", "w", "b"], ["y"], broadcast=1)]
    network = read(nodes, {"x": [2, 3]}, ["y"], {"w": floats(3, 4), "b": floats(4)}, opset=1)
    assert [layer.flops for layer in network.layers] == [6, 48]


def test_group_normalisation_keeps_its_shape(read):
    nodes = [node("GroupNormalization", ["x", "g", "b"], ["n"], num_groups=2), node("Relu", ["n"], ["y"])]
    network = read(nodes, {"x": [1, 4, 5, 5]}, ["y"], {"g": floats(2), "b": floats(2)}, opset=18)
    assert [layer.flops for layer in network.layers] == [700, 100]


def test_weights_in_missing_files_are_not_needed(read):
    made = model([node("MatMul", ["x", "w"], ["y"])], {"x": [2, 3]}, ["y"], {"w": floats(3, 4)})
    weight = made.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="missing.bin")
    assert read(made).layers[0].weights == 48


def test_shape_in_a_missing_file_is_not_known(read):
    made = model([node("Reshape", ["x", "shape"], ["y"])], {"x": [2, 3]}, ["y"], {"shape": integers(6)})
    shape = made.graph.initializer[0]
    shape.ClearField("raw_data")
    shape.data_location = TensorProto.EXTERNAL
    shape.external_data.add(key="location", value="missing.bin")
    with pytest.raises(InputError, match=r"the shape of what Reshape \(of 'y'\) makes is not known"):
        read(made)


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
    own = {"mine:Relu": lambda op: Cost(5, 2 * op.out.bytes), "other:Relu": lambda op: 9}
    network = read(nodes, {"x": [10]}, ["y"], domains=["mine"], value_info=[("a", [10])], options={"costs": own})
    assert [(layer.flops, layer.bytes) for layer in network.layers] == [(5, 80), (10, 80)]
    with pytest.raises(InputError, match=r"costs\['Relu'\]: got -1, expected a number >= 0 of bytes"):
        read([node("Relu", ["x"], ["y"])], {"x": [10]}, ["y"], options={"costs": {"Relu": lambda op: Cost(1, -1)}})


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
