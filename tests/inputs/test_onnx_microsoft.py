"""Operators of onnxruntime's own domain: shapes as onnxruntime makes them, and FLOP by hand."""

import numpy as np
import pytest
from onnx import helper
from onnx_models import floats, model, node, runtime_shapes

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.graph import OnnxGraph
from dnnopt.inputs.onnx.reader import read_onnx


def bytes_(*shape):
    return np.ones(shape, np.uint8)


def ids(*shape):
    return np.zeros(shape, np.int32)


ONE, ZERO = np.ones((), np.float32), np.zeros((), np.uint8)
PAIR = (ONE, ZERO)  # how a quantised input is read: scale and zero point

# Operator -> inputs (None: left out), attributes, shapes of all outputs, FLOP.
CASES = {
    "SkipLayerNormalization": [
        ([floats(2, 5, 8)] * 2 + [floats(8)] * 3, {}, [(2, 5, 8), (2, 5, 1), (2, 5, 1), (2, 5, 8)], 9 * 80),
        ([floats(2, 5, 8), floats(1, 5, 8), floats(8)], {}, [(2, 5, 8)], 8 * 80),
        ([floats(2, 5, 8), floats(5, 8), floats(8)], {}, [(2, 5, 8)], 8 * 80),
    ],
    "SkipSimplifiedLayerNormalization": [
        ([floats(10, 8)] * 2 + [floats(8)] * 2, {}, [(10, 8), (10, 1), (10, 1), (10, 8)], 6 * 80)
    ],
    "EmbedLayerNormalization": [
        (
            [ids(2, 5), ids(2, 5), floats(9, 8), floats(7, 8), floats(3, 8), floats(8), floats(8), ids(2, 5)],
            {},
            [(2, 5, 8), (2,), (2, 5, 8)],
            (2 + 7) * 80,
        ),
        ([ids(2, 5), None, floats(9, 8), floats(7, 8), None, floats(8), floats(8)], {}, [(2, 5, 8), (2,)], 8 * 80),
    ],
    "Gelu": [([floats(2, 3)], {}, [(2, 3)], 5 * 6)],
    "FastGelu": [([floats(2, 3), floats(3)], {}, [(2, 3)], 9 * 6), ([floats(2, 3)], {}, [(2, 3)], 8 * 6)],
    "QuickGelu": [([floats(2, 3)], {}, [(2, 3)], 6 * 6)],
    "BiasGelu": [([floats(2, 3), floats(3)], {}, [(2, 3)], 6 * 6)],
    "FusedConv": [
        (
            [floats(1, 4, 9, 9), floats(6, 2, 3, 3), floats(6)],
            {"group": 2, "activation": "Relu", "strides": [2, 2], "pads": [1, 1, 1, 1]},
            [(1, 6, 5, 5)],
            2 * 150 * 18 + 150,
        ),
        (
            [floats(1, 4, 9, 9), floats(6, 4, 3, 3), None, floats(1, 6, 7, 7)],
            {"activation": "Relu"},
            [(1, 6, 7, 7)],
            2 * 294 * 36 + 294 + 294,
        ),
    ],
    "FusedGemm": [
        ([floats(3, 4), floats(5, 4), floats(5)], {"transB": 1, "activation": "Relu"}, [(3, 5)], 2 * 15 * 4 + 15)
    ],
    "FusedMatMul": [
        ([floats(3, 4, 5), floats(3, 5, 6)], {}, [(3, 4, 6)], 2 * 72 * 5),
        ([floats(3, 5, 4), floats(3, 6, 5)], {"transA": 1, "transB": 1}, [(3, 4, 6)], 2 * 72 * 5),
        ([floats(5), floats(3, 5, 6)], {}, [(3, 6)], 2 * 18 * 5),
        ([floats(4, 3, 5), floats(3, 5, 6)], {"transBatchA": 1}, [(3, 4, 6)], 2 * 72 * 5),
        ([floats(4, 3, 2, 5), floats(3, 2, 5, 6)], {"transBatchA": 1}, [(3, 2, 4, 6)], 2 * 144 * 5),
    ],
    "MatMulNBits": [
        (
            [floats(2, 5, 32), bytes_(7, 2, 8), floats(14)],
            {"N": 7, "K": 32, "bits": 4, "block_size": 16},
            [(2, 5, 7)],
            2 * 70 * 32,
        )
    ],
    "MatMulIntegerToFloat": [
        ([bytes_(2, 3, 4), bytes_(4, 5), ONE, ONE], {}, [(2, 3, 5)], (2 * 4 + 1) * 30),
    ],
    "MatMulInteger16": [([np.ones((3, 4), np.int16), np.ones((4, 5), np.int16)], {}, [(3, 5)], 2 * 15 * 4)],
    "DynamicQuantizeMatMul": [
        ([floats(2, 3, 4), bytes_(4, 5), ONE, ZERO, floats(5)], {}, [(2, 3, 5)], (2 * 4 + 1) * 30 + 5 * 24)
    ],
    "QGemm": [
        ([bytes_(3, 4), *PAIR, bytes_(5, 4), *PAIR, ids(5), *PAIR], {"transB": 1}, [(3, 5)], 2 * 15 * 4),
        ([bytes_(3, 4), *PAIR, bytes_(4, 5), *PAIR], {}, [(3, 5)], 2 * 15 * 4),
    ],
    "QLinearAdd": [([bytes_(3, 4), *PAIR, bytes_(4), *PAIR, *PAIR], {}, [(3, 4)], 8 * 12)],
    "QLinearMul": [([bytes_(3, 1), *PAIR, bytes_(4), *PAIR, *PAIR], {}, [(3, 4)], 8 * 12)],
    "QLinearConcat": [([*PAIR, bytes_(3, 4), *PAIR, bytes_(3, 5), *PAIR], {"axis": 1}, [(3, 9)], 5 * 27)],
    "QLinearWhere": [([np.ones((3, 1), bool), bytes_(3, 4), *PAIR, bytes_(4), *PAIR, *PAIR], {}, [(3, 4)], 6 * 12)],
    "QLinearSigmoid": [([bytes_(3, 4), *PAIR, *PAIR], {}, [(3, 4)], 9 * 12)],
    "QLinearLeakyRelu": [([bytes_(3, 4), *PAIR, *PAIR], {"alpha": 0.1}, [(3, 4)], 7 * 12)],
    "QLinearSoftmax": [([bytes_(3, 4), *PAIR, *PAIR], {"opset": 13}, [(3, 4)], 10 * 12)],
    "QLinearAveragePool": [
        (
            [bytes_(1, 3, 9, 9), *PAIR, *PAIR],
            {"kernel_shape": [3, 3], "strides": [2, 2]},
            [(1, 3, 4, 4)],
            48 * 9 + 3 * 48,
        ),
        (
            [bytes_(1, 9, 9, 3), *PAIR, *PAIR],
            {"kernel_shape": [3, 3], "channels_last": 1},
            [(1, 7, 7, 3)],
            147 * 9 + 3 * 147,
        ),
    ],
    "QLinearGlobalAveragePool": [
        ([bytes_(1, 9, 9, 3), *PAIR, *PAIR], {"channels_last": 1}, [(1, 1, 1, 3)], 243 + 3 * 3)
    ],
    "QLinearConv": [
        (
            [bytes_(1, 9, 9, 4), *PAIR, bytes_(6, 4, 3, 3), *PAIR, *PAIR, ids(6)],
            {"channels_last": 1},
            [(1, 7, 7, 6)],
            2 * 294 * 36,
        )
    ],
    "NhwcMaxPool": [([bytes_(1, 9, 9, 4)], {"kernel_shape": [3, 3], "strides": [2, 2]}, [(1, 4, 4, 4)], 64 * 9)],
    "Attention": [
        (
            [floats(2, 5, 8), floats(8, 24), floats(24)],
            {"num_heads": 2},
            [(2, 5, 8), (2, 2, 2, 5, 4)],
            2 * 10 * 8 * 24 + 2 * 50 * 8 + 5 * 50 * 2 + 2 * 50 * 8,
        ),
        (
            [floats(2, 5, 8), floats(8, 24), floats(24), None, floats(2, 2, 2, 3, 4)],
            {"num_heads": 2},
            [(2, 5, 8), (2, 2, 2, 8, 4)],
            2 * 10 * 8 * 24 + 2 * 80 * 8 + 5 * 80 * 2 + 2 * 80 * 8,
        ),
        (
            [floats(2, 5, 8), floats(8, 20), floats(20)],
            {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]},
            [(2, 5, 4)],
            2 * 10 * 8 * 20 + 2 * 50 * 8 + 5 * 50 * 2 + 2 * 50 * 4,
        ),
    ],
    "QAttention": [
        (
            [bytes_(2, 5, 8), bytes_(8, 24), floats(24), ONE, ONE, None, ZERO, ZERO, floats(2, 2, 2, 3, 4)],
            {"num_heads": 2, "unidirectional": 1},
            [(2, 5, 8), (2, 2, 2, 8, 4)],
            2 * 10 * 8 * 24 + 2 * 80 * 8 + 5 * 80 * 2 + 2 * 80 * 8,
        )
    ],
    "MultiHeadAttention": [
        (
            [floats(2, 5, 8), floats(2, 7, 8), floats(2, 7, 4)],
            {"num_heads": 2},
            [(2, 5, 4)],
            2 * 70 * 8 + 5 * 70 * 2 + 2 * 70 * 4,
        ),
        (
            [floats(2, 5, 8)] * 3 + [None, None, None] + [floats(2, 2, 3, 4)] * 2,
            {"num_heads": 2},
            [(2, 5, 8), (2, 2, 8, 4), (2, 2, 8, 4)],
            2 * 80 * 8 + 5 * 80 * 2 + 2 * 80 * 8,
        ),
        (
            [floats(2, 5, 8), floats(2, 2, 7, 4), floats(2, 2, 7, 4)],
            {"num_heads": 2},
            [(2, 5, 8)],
            2 * 70 * 8 + 5 * 70 * 2 + 2 * 70 * 8,
        ),
    ],
    "GroupQueryAttention": [
        (
            [
                floats(2, 1, 32),
                floats(2, 1, 16),
                floats(2, 1, 16),
                floats(2, 2, 7, 8),
                floats(2, 2, 7, 8),
                ids(2) + 7,
                ids() + 8,
            ],
            {"num_heads": 4, "kv_num_heads": 2},
            [(2, 1, 32), (2, 2, 8, 8), (2, 2, 8, 8)],
            2 * 16 * 32 + 5 * 16 * 4 + 2 * 16 * 32,
        ),
        (
            [floats(2, 5, 128), None, None, None, None, ids(2) + 4, ids() + 5, floats(10, 8), floats(10, 8)],
            {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1},
            [(2, 5, 64), (2, 2, 5, 16), (2, 2, 5, 16)],
            2 * 50 * 64 + 5 * 50 * 4 + 2 * 50 * 64 + 3 * 10 * 6 * 16,
        ),
    ],
    "RotaryEmbedding": [
        (
            [floats(2, 5, 8), np.zeros((2, 5), np.int64), floats(9, 2), floats(9, 2)],
            {"num_heads": 2, "rotary_embedding_dim": 4},
            [(2, 5, 8)],
            3 * 80,
        )
    ],
    "DynamicQuantizeLSTM": [
        (
            [
                floats(4, 2, 3),
                bytes_(1, 3, 32),
                bytes_(1, 8, 32),
                floats(1, 64),
                None,
                None,
                None,
                None,
                floats(1),
                bytes_(1),
                floats(1),
                bytes_(1),
            ],
            {"hidden_size": 8},
            [(4, 1, 2, 8), (1, 2, 8), (1, 2, 8)],
            2 * 8 * 32 * (3 + 8),
        )
    ],
    "GatherBlockQuantized": [
        (
            [bytes_(10, 16), np.zeros(3, np.int64), floats(10, 2)],
            {"bits": 4, "block_size": 16, "quantize_axis": 1, "gather_axis": 0},
            [(3, 32)],
            2 * 96,
        )
    ],
    "QuantizeLinear": [([floats(3, 4), *PAIR], {}, [(3, 4)], 3 * 12)],
    "DequantizeLinear": [([bytes_(3, 4), *PAIR], {}, [(3, 4)], 2 * 12)],
    "ExpandDims": [([floats(3, 4), ids() + 1], {}, [(3, 1, 4)], 0)],
    "MoE": [
        (
            [floats(6, 8), floats(6, 4), floats(4, 16, 8), None, floats(4, 8, 16)],
            {"k": 2, "activation_type": "relu"},
            [(6, 8)],
            2 * 6 * 2 * (16 * 8 + 8 * 16) + 5 * 24,
        )
    ],
    "QMoE": [
        (
            [floats(6, 32), floats(6, 4), bytes_(4, 32, 16), floats(4, 32), None, bytes_(4, 32, 16), floats(4, 32)],
            {"k": 2, "activation_type": "relu", "expert_weight_bits": 4},
            [(6, 32)],
            2 * 6 * 2 * (32 * 32 + 32 * 32) + 5 * 24,
        )
    ],
}


def one_node(op, arrays, attributes, outputs, domain="com.microsoft"):
    """Return a model of one operator, and what to feed it: its first input, and others that are no small constants."""
    names = [f"i{position}" if array is not None else "" for position, array in enumerate(arrays)]
    given = {name: array for name, array in zip(names, arrays, strict=True) if array is not None}
    fed = {name: array for name, array in given.items() if name == "i0" or (array.dtype == np.float32 and array.ndim)}
    if given["i0"].ndim == 0:  # of a QLinearConcat, whose first inputs are the output's scale and zero point
        fed = {"i2": given["i2"]}
    results = [f"o{position}" for position in range(outputs)]
    made = model(
        [node(op, names, results, domain=domain, **attributes)],
        {name: (list(array.shape), helper.np_dtype_to_tensor_dtype(array.dtype)) for name, array in fed.items()},
        results,
        {name: array for name, array in given.items() if name not in fed},
        domains=[domain] if domain else [],
    )
    return made, fed


def cases():
    return [(op, *case) for op, found in CASES.items() for case in found]


@pytest.mark.parametrize(("op", "arrays", "attributes", "shapes", "flops"), cases())
def test_operator_has_onnxruntimes_shapes_and_its_flop(tmp_path, op, arrays, attributes, shapes, flops):
    made, feeds = one_node(op, arrays, attributes, len(shapes))
    path = tmp_path / "net.onnx"
    path.write_bytes(made.SerializeToString())
    graph = OnnxGraph(path, {})
    graph.check_shapes()
    found = {f"o{position}": graph.described(f"o{position}").shape for position in range(len(shapes))}
    assert list(found.values()) == shapes
    assert [layer.flops for layer in read_onnx(path).layers] == [flops]
    pytest.importorskip("onnxruntime")
    assert runtime_shapes(made, feeds) == found


def test_simplified_layer_normalisation_is_in_onnxs_own_domain(tmp_path):
    made, feeds = one_node("SimplifiedLayerNormalization", [floats(2, 3, 8), floats(8)], {"axis": -1}, 2, domain="")
    (tmp_path / "net.onnx").write_bytes(made.SerializeToString())
    network = read_onnx(tmp_path / "net.onnx")
    assert [(layer.flops, layer.bytes) for layer in network.layers] == [(4 * 48, 2 * 192 + 32 + 24)]
    pytest.importorskip("onnxruntime")
    assert runtime_shapes(made, feeds) == {"o0": (2, 3, 8), "o1": (2, 3, 1)}


@pytest.mark.parametrize(
    ("op", "arrays", "attributes"),
    [
        ("FusedConv", [floats(1, 4, 9, 9), floats(6, 3, 3, 3)], {"activation": "Relu"}),
        ("FusedMatMul", [floats(3, 4, 5), floats(3, 6, 6)], {}),
        ("FusedGemm", [floats(3, 4), floats(5, 4)], {}),
        ("SkipLayerNormalization", [floats(2, 5, 8), floats(2, 5, 8), floats(7)], {}),
        ("SkipLayerNormalization", [floats(2, 5, 8), floats(2, 4, 8), floats(8)], {}),
        ("Attention", [floats(2, 5, 8), floats(7, 24), floats(24)], {"num_heads": 2}),
        ("MultiHeadAttention", [floats(2, 5, 8), floats(2, 7, 6), floats(2, 7, 6)], {"num_heads": 2}),
        ("MatMulNBits", [floats(2, 30), bytes_(7, 2, 8), floats(14)], {"N": 7, "K": 32, "bits": 4, "block_size": 16}),
        ("QLinearConcat", [*PAIR, bytes_(3, 4), *PAIR, bytes_(2, 5), *PAIR], {"axis": 1}),
    ],
)
def test_what_does_not_fit_is_refused_as_onnxruntime_does(tmp_path, op, arrays, attributes):
    made, feeds = one_node(op, arrays, attributes, 1)
    (tmp_path / "net.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(InputError, match=rf"the shapes at {op} \(of 'o0'\) do not fit: "):
        read_onnx(tmp_path / "net.onnx")
    pytest.importorskip("onnxruntime")
    assert runtime_shapes(made, feeds) is None


def test_embeddings_read_the_rows_that_they_pick(read_model):
    arrays = [ids(2, 5), None, floats(900, 8), floats(7, 8), None, floats(8), floats(8)]
    made, _ = one_node("EmbedLayerNormalization", arrays, {}, 1)
    (layer,) = read_model(made).layers
    assert layer.bytes == 2 * 5 * 4 + 2 * (10 * 8 * 4) + 2 * 32 + 10 * 8 * 4


def test_quantised_weights_of_its_own_operator_are_constants(read_model):
    nodes = [
        node("DequantizeLinear", ["q", "s", "z"], ["w"], domain="com.microsoft"),
        node("MatMul", ["x", "w"], ["a"]),
        node("MatMul", ["a", "w"], ["y"]),
    ]
    weights = {"q": bytes_(4, 4), "s": ONE, "z": ZERO}
    network = read_model(nodes, {"x": [3, 4]}, ["y"], weights, domains=["com.microsoft"])
    assert [layer.op for layer in network.layers] == ["MatMul", "MatMul"]
    assert [(shared.name, shared.bytes) for shared in network.shared_weights] == [("q", 16)]
    assert [layer.weights for layer in network.layers] == [5, 5]


def test_operators_without_a_cost_are_refused_with_their_domain(read_model):
    made, _ = one_node("Sampling", [ids(2, 5)], {}, 1)
    with pytest.raises(InputError, match=r"no cost is known for the operator com\.microsoft:Sampling; .*--cost"):
        read_model(made)
