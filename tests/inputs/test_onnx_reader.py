"""Reading ONNX files: what becomes of tiny models made here."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import attention_block, floats, integers, layers, model, node, tensors

from dnnopt.base.errors import InputError


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
