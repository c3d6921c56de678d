"""Small ONNX files that went wrong once: what is right for each."""

import pytest
from shared_data import shared_case

from dnnopt.base.errors import InputError
from dnnopt.inputs.onnx.reader import read_onnx


def read(name, **dimensions):
    return read_onnx(shared_case(f"onnx/{name}.onnx"), dimensions=dimensions)


@pytest.mark.parametrize(
    ("name", "dimensions", "ops", "flops"),
    [
        ("constant-if", {}, ["Squeeze", "Relu"], 64 * 1024),
        ("dead-if", {}, ["Relu"], 12),
        ("function-of-older-opset", {}, ["Add"], 12),
        ("const-int64-opset6", {}, ["Reshape", "Relu"], 24),
        ("reshape1", {}, ["Reshape", "Relu"], 24),
        ("random", {}, ["RandomNormalLike", "Add"], 24),
        ("skip-layer-norm", {}, ["MatMul", "SimplifiedLayerNormalization"], 2 * 8 * 16 * 16 + 4 * 8 * 16),
        ("hard-batch", {"N": 1}, ["Conv", "Reshape", "MatMul"], 2 * 1024 * 27 + 2 * 1024 * 10),
        ("gemm-bias", {"N": 3}, ["Gemm"], 2 * 3 * 4 * 2),
        ("question-dims", {"x[2]": 48, "x[3]": 32}, ["Relu"], 3 * 48 * 32),
        ("zero-past", {"batch": 1, "past": 0, "seq": 5}, ["Concat", "Transpose", "MatMul"], 2 * 2 * 5 * 5 * 8),
        ("zero-past", {"batch": 1, "past": 2, "k[2]": 5}, ["Concat", "Transpose", "MatMul"], 2 * 2 * 5 * 7 * 8),
        ("tied", {}, ["Gather", "MatMul", "MatMul"], 2 * 8 * 64 * 64 + 2 * 8 * 64 * 5000),
    ],
)
def test_file_is_read(name, dimensions, ops, flops):
    network = read(name, **dimensions)
    assert [layer.op for layer in network.layers] == ops
    assert sum(layer.flops for layer in network.layers) == flops


@pytest.mark.parametrize(
    ("name", "dimensions", "message"),
    [
        ("hard-batch", {"N": 8}, "the shapes at Reshape (of 'f') do not fit: 8x4x16x16 has 8192 elements and 1x1024"),
        ("gemm-bias", {"N": 1}, "the shapes at Gemm (of 'y') do not fit: the bias is 3x2"),
        ("too-small", {"H": 20, "W": 20}, "is too small for 3x3"),
        ("question-dims", {"x[2]": 48}, "no size for x[3]"),
        ("zero-past", {"batch": 1, "past": 0, "seq": 5, "past+seq": 6}, "dimensions['past+seq']: got 6, expected 5"),
        ("negative-initialiser", {}, "'b' has the shape -2, expected sizes >= 0"),
        ("raw-data-too-short", {}, "'shp' has 3 bytes of raw data, expected 16"),
        ("recursive-function", {}, "the function my:F calls itself"),
        ("function-bomb", {}, "nodes once its functions are written out"),
    ],
)
def test_file_is_refused(name, dimensions, message):
    with pytest.raises(InputError) as caught:
        read(name, **dimensions)
    assert message in str(caught.value)


def test_tied_weights_are_shared():
    network = read("tied")
    assert [(shared.name, shared.bytes, shared.layers) for shared in network.shared_weights] == [
        ("E", 5000 * 64 * 4, ("gather1", "matmul2"))
    ]
    assert [layer.weights for layer in network.layers] == [0, 64 * 64 * 4, 0]
