"""Types of numbers: layers have one, devices have a rate for each that has its own."""

import pytest

import dnnopt as dp
from dnnopt.problem.profiles import roofline_seconds

RATES = {"float32": "8 TFLOP/s", "int8": 32e12}


def device(rates=RATES, **fields):
    return dp.Device("t4", flops_per_s=rates, bytes_per_s=1e12, **fields)


@pytest.mark.parametrize(("dtype", "seconds"), [("float32", 2.0), ("int8", 0.5), ("float16", 2.0), ("int4", 2.0)])
def test_a_layer_takes_the_time_of_its_type_or_else_that_of_float32(dtype, seconds):
    layer = dp.Layer("conv", flops=8e12, bytes=1.0, dtype=dtype)
    assert roofline_seconds(layer, device(efficiency=0.5)) == seconds
    assert roofline_seconds(layer, device(8e12)) == 1.0  # one rate is that of all types


def test_bytes_take_the_same_time_whatever_the_type():
    layer = dp.Layer("conv", flops=1.0, bytes=3e12, dtype="int8")
    assert roofline_seconds(layer, device()) == 3.0


def test_files_keep_types_and_rates(tmp_path):
    network = dp.Network("net", layers=[dp.Layer("conv", flops=1.0, bytes=1.0, dtype="int8"), dp.Layer("fc")])
    dp.write_network(network, tmp_path / "net.json")
    assert dp.read_network(tmp_path / "net.json") == network
    platform = dp.Platform(devices=[device(), device(5.0).replace(name="cpu")])
    dp.write_platform(platform, tmp_path / "platform.json")
    assert dp.read_platform(tmp_path / "platform.json") == platform
    assert platform.devices[0].flops_per_s == {"float32": 8e12, "int8": 32e12}


def test_a_merged_layer_has_the_type_of_most_of_its_work():
    layers = [dp.Layer("conv", "Conv", flops=9.0, dtype="int8"), dp.Layer("relu", "Relu", flops=1.0)]
    network = dp.Network("net", layers=layers, tensors=[dp.Tensor("t", "conv", ("relu",), 1.0)])
    (merged,) = dp.coarsen(network, "layer").layers
    assert (merged.flops, merged.dtype) == (10.0, "int8")


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (
            {"int8": 5},
            "flops_per_s: got {'int8': 5.0}, expected a rate of 'float32', which is that of types without one",
        ),
        ({"float32": 1, "int9": 5}, "flops_per_s.int9: got 'int9', expected one of 'float64', 'float32'"),
        ({"float32": "fast"}, "flops_per_s.float32: got 'fast', expected flop rate such as '8 GFLOP/s'"),
        ({"float32": 0}, "flops_per_s.float32: got 0, expected a number > 0"),
        ("fast", "flops_per_s: got 'fast', expected flop rate such as '8 GFLOP/s'"),
        ([1e9], "flops_per_s: got [1000000000.0], expected a number"),
    ],
)
def test_wrong_rates_are_named(rates, message):
    with pytest.raises(dp.InputError) as caught:
        device(rates)
    assert str(caught.value).startswith(message)


def test_an_unknown_type_is_named():
    with pytest.raises(dp.InputError, match=r"^dtype: got 'int', expected one of 'float64', 'float32'"):
        dp.Layer("conv", dtype="int")
