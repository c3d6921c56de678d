"""ONNX files: layers that compute with small numbers, and the conversions around them."""

import numpy as np
import pytest
from onnx import TensorProto
from onnx_models import floats, layers, model, node, tensors

import dnnopt as dp
from dnnopt.problem.geometry import Window

SCALE, ZERO = np.ones((), np.float32), np.zeros((), np.int8)
DEVICE = dp.Device("t4", flops_per_s={"float32": 8e12, "int8": 130e12}, bytes_per_s=320e9)


class Net:
    """A residual network, whose tensors are quantised or not."""

    def __init__(self, quantised):
        self.quantised, self.nodes = quantised, []
        self.weights = {"scale": SCALE, "zero": ZERO} if quantised else {}

    def there_and_back(self, value):
        """Return the value that is read where `value` is: quantised and dequantised."""
        if not self.quantised:
            return value
        self.nodes += [
            node("QuantizeLinear", [value, "scale", "zero"], [f"{value}_q"], name=f"{value}_quantize"),
            node("DequantizeLinear", [f"{value}_q", "scale", "zero"], [f"{value}_d"], name=f"{value}_dequantize"),
        ]
        return f"{value}_d"

    def weight(self, name, *shape):
        if not self.quantised:
            self.weights[name] = floats(*shape)
            return name
        self.weights[f"{name}_q"] = np.zeros(shape, np.int8)
        self.nodes.append(node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [name]))
        return name

    def model(self):
        add = self.nodes.append
        x = self.there_and_back("x")
        add(node("Conv", [x, self.weight("w1", 8, 3, 3, 3)], ["a"], name="conv1", pads=[1, 1, 1, 1]))
        add(node("Relu", ["a"], ["b"], name="relu1"))
        b = self.there_and_back("b")
        self.weights["bias"] = floats(8)
        add(node("Conv", [b, self.weight("w2", 8, 8, 3, 3), "bias"], ["c"], name="conv2", pads=[1, 1, 1, 1]))
        add(node("Add", [b, self.there_and_back("c")], ["d"], name="add"))
        add(node("GlobalAveragePool", [self.there_and_back("d")], ["e"], name="pool"))
        add(node("Flatten", ["e"], ["f"], name="flatten"))
        add(node("Gemm", [self.there_and_back("f"), self.weight("w3", 8, 10)], ["y"], name="gemm"))
        return model(self.nodes, {"x": [1, 3, 32, 32]}, ["y"], self.weights)


@pytest.fixture
def both(read):
    return read(Net(False).model()), read(Net(True).model())


def test_conversions_are_parts_of_the_layers_that_compute_with_small_numbers(both):
    plain, small = both
    names = [layer.name for layer in plain.layers]
    assert [layer.name for layer in small.layers] == ["x_quantize", *names]
    assert [layer.dtype for layer in small.layers] == ["float32", *["int8"] * 7]
    assert {layer.dtype for layer in plain.layers} == {"float32"}
    assert [layer.flops for layer in small.layers[1:]] == [layer.flops for layer in plain.layers]


def test_tensors_and_weights_of_small_layers_have_a_byte_for_each_number(both):
    plain, small = both
    found = tensors(small)
    assert found["x_q"] == ("x_quantize", ("conv1",), 3 * 32 * 32)
    assert found["a"] == ("conv1", ("relu1",), 8 * 32 * 32)  # it is quantised after the activation, which commutes
    assert found["b_q"] == ("relu1", ("conv2", "add"), 8 * 32 * 32)
    assert found["y"] == ("gemm", ("output",), 4 * 10)  # sums are large
    assert sum(one.bytes for one in small.tensors if one.name != "x") < 0.4 * sum(one.bytes for one in plain.tensors)
    assert layers(small)["conv1"].weights == 8 * 27 + 4 + 1  # with the scale and the zero point
    assert layers(small)["conv1"].bytes == 3 * 1024 + 8 * 27 + 5 + 8 * 1024
    assert layers(small)["conv1"].activations == 8 * 1024


def test_layers_of_small_numbers_have_the_geometry_of_the_others(both):
    plain, small = both
    plainly, smally = layers(plain), layers(small)
    for name, layer in plainly.items():
        same = smally[name]
        assert (same.window, same.axes, same.weight_axes) == (layer.window, layer.axes, layer.weight_axes)
        assert len(same.inputs) == len(layer.inputs)
    assert smally["conv2"].window == Window((3, 3), pads=(1, 1, 1, 1))
    assert plainly["add"].inputs == ("b", "c")
    assert smally["add"].inputs == ("b_q", "c_q")
    made = {tensor.producer: tensor.shape for tensor in plain.tensors}
    assert {tensor.producer: tensor.shape for tensor in small.tensors} == {"x_quantize": (1, 3, 32, 32), **made}


def test_a_quantised_network_is_predicted_to_be_quicker_than_its_original(both):
    on = dp.Platform(devices=[DEVICE])
    plain, small = (dp.Problem(one, on, "sequential", dp.latency()).solve().objective for one in both)
    assert small < 0.6 * plain


def test_a_conversion_stays_a_layer_for_whatever_computes_with_large_numbers(read):
    nodes = [
        node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="dequantize"),
        node("Relu", ["d"], ["a"], name="relu"),
        node("QuantizeLinear", ["a", "scale", "zero"], ["a_q"], name="first"),
        node("Exp", ["d"], ["b"], name="exp"),
        node("Log", ["b"], ["c"], name="log"),
        node("QuantizeLinear", ["c", "scale", "zero"], ["c_q"], name="second"),
    ]
    weights = {"scale": SCALE, "zero": ZERO}
    found = read(nodes, {"q": ([4], TensorProto.INT8)}, ["a_q", "c_q"], weights)
    assert [(layer.name, layer.dtype) for layer in found.layers] == [
        ("dequantize", "float32"), ("relu", "int8"), ("exp", "float32"), ("log", "float32"), ("second", "float32"),
    ]  # fmt: skip
    assert tensors(found)["q"] == ("input", ("dequantize", "relu"), 4)
    assert tensors(found)["a_q"] == ("relu", ("output",), 4)
    assert tensors(found)["d"] == ("dequantize", ("exp",), 16)


@pytest.mark.parametrize(
    "why",
    ["large weights", "a large input", "a result that is read as it is", "two readers"],
)
def test_a_layer_with_anything_large_computes_with_large_numbers(read, why):
    nodes = [
        node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        node("Mul", ["d", "w" if why == "large weights" else "x" if why == "a large input" else "half"], ["a"]),
        node("QuantizeLinear", ["a", "scale", "zero"], ["y"]),
    ]
    outputs = ["y", "a"] if why == "a result that is read as it is" else ["y"]
    if why == "two readers":
        nodes.append(node("QuantizeLinear", ["a", "scale2", "zero"], ["z"]))
        outputs.append("z")
    weights = {"scale": SCALE, "scale2": SCALE, "zero": ZERO, "half": floats(), "w": floats(4)}
    found = read(nodes, {"q": ([4], TensorProto.INT8), "x": [4]}, outputs, weights)
    assert layers(found)["mul1"].dtype == "float32"
    assert "dequantizelinear1" in layers(found)
    assert "quantizelinear1" in layers(found)


@pytest.mark.parametrize(
    ("op", "inputs", "dtype"),
    [
        ("ConvInteger", {"x": ([1, 3, 8, 8], TensorProto.UINT8), "w": ([4, 3, 3, 3], TensorProto.INT8)}, "int8"),
        ("MatMulInteger", {"x": ([2, 3], TensorProto.INT8), "w": ([3, 4], TensorProto.INT8)}, "int8"),
        ("MatMul", {"x": ([2, 3], TensorProto.FLOAT16), "w": ([3, 4], TensorProto.FLOAT16)}, "float16"),
        ("Gather", {"x": ([9, 3], TensorProto.BFLOAT16), "ids": ([4], TensorProto.INT64)}, "bfloat16"),
        ("Not", {"x": ([2], TensorProto.BOOL)}, "float32"),
        ("Add", {"x": ([2], TensorProto.DOUBLE), "w": ([2], TensorProto.DOUBLE)}, "float64"),
    ],
)
def test_the_type_of_a_layer_is_that_of_the_data_it_reads(read, op, inputs, dtype):
    assert read([node(op, [*inputs], ["y"])], inputs, ["y"]).layers[0].dtype == dtype


def test_dynamic_quantisation_computes_with_what_it_makes(read):
    made = node("DynamicQuantizeMatMul", ["x", "w", "s"], ["y"], domain="com.microsoft")
    weights = {"w": np.zeros((3, 4), np.int8), "s": SCALE}
    assert read([made], {"x": [2, 3]}, ["y"], weights, domains=["com.microsoft"]).layers[0].dtype == "int8"
