"""Geometry of layers and tensors: what is refused, what files keep, and that nothing else depends on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dnnopt as dp
from dnnopt.problem.geometry import Window
from dnnopt.problem.networks import read_network, write_network
from dnnopt.problem.transforms.coarsening import merge

SIZES = st.integers(1, 2**40)


@st.composite
def windows(draw):
    rank = draw(st.integers(1, 4))

    def numbers(of, count=rank):
        return draw(st.lists(of, min_size=count, max_size=count))

    given = {"kernel": numbers(SIZES)}
    given |= {name: numbers(st.integers(1, 3)) for name in ("stride", "dilation") if draw(st.booleans())}
    if draw(st.booleans()):
        given["pads"] = numbers(st.integers(-1, 3), 2 * rank)
    if draw(st.booleans()):
        given["groups"] = draw(st.integers(1, 3))
    return given


@given(windows())
def test_a_window_is_whole_and_its_file_is_short(data):
    window, rank = Window(**data), len(data["kernel"])
    usual = {"stride": [1] * rank, "pads": [0] * 2 * rank, "dilation": [1] * rank, "groups": 1}
    for name, value in ({**usual, **data}).items():
        assert getattr(window, name) == (tuple(value) if isinstance(value, list) else value)
    assert window.to_data() == {name: value for name, value in data.items() if value != usual.get(name)}
    layer = dp.Layer("a", window=window)
    assert layer.to_data() == {"name": "a", "window": window.to_data()}
    assert dp.Layer.from_data(layer.to_data()) == layer
    assert window == Window(**{**usual, **data}) == window.replace()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kernel": [3, 3], "stride": [2]}, "window.stride: got [2], expected 2 numbers, as kernel has 2"),
        ({"kernel": [3], "dilation": [2, 2]}, "window.dilation: got [2, 2], expected 1 number, as kernel has 1"),
        ({"kernel": [3, 3], "pads": [1, 1]}, "window.pads: got [1, 1], expected 4 numbers, as kernel has 2"),
        ({"kernel": []}, "window.kernel: got [], expected a list of at least 1"),
        ({"kernel": [0]}, "window.kernel[0]: got 0, expected a number >= 1"),
        ({"kernel": [2.5]}, "window.kernel[0]: got 2.5, expected a whole number"),
        ({"kernel": 3}, "window.kernel: got 3, expected a list"),
        ({"kernel": [3], "stride": None}, "window.stride: got None, expected a list"),
        ({"kernel": [3], "groups": 0}, "window.groups: got 0, expected a number >= 1"),
        ({"stride": [3]}, "window.kernel: missing, and it has no default"),
    ],
)  # fmt: skip
def test_a_window_that_is_none_is_refused(data, message):
    with pytest.raises(dp.InputError) as refused:
        dp.Layer("a", window=data)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"axes": [1, 1]}, "axes: got [1, 1], expected axes, each of them once"),
        ({"axes": [-1]}, "axes[0]: got -1, expected a number >= 0"),
        ({"weight_axes": [True]}, "weight_axes[0]: got True, expected a whole number"),
        ({"inputs": [3]}, "inputs[0]: got 3, expected a text"),
    ],
)
def test_axes_and_inputs_that_are_none_are_refused(fields, message):
    with pytest.raises(dp.InputError) as refused:
        dp.Layer("a", **fields)
    assert str(refused.value) == message


def net(**inputs):
    layers = [dp.Layer(name, flops=1.0, bytes=1.0, inputs=inputs.get(name, ())) for name in ("one", "two", "three")]
    tensors = [
        dp.Tensor("x", "input", ["one", "three"], 8, shape=[2, 1]),
        dp.Tensor("y", "one", ["two"], 8, shape=[2, 1]),
        dp.Tensor("z", "two", ["three"], 4, shape=()),
        dp.Tensor("w", "three", ["output"], 4),
    ]
    return dp.Network("net", layers, tensors)


def test_inputs_are_tensors_that_the_layer_consumes():
    assert net(three=["z", "", "x"]).layers[2].inputs == ("z", "", "x")
    for wrong in ("y", "w", "no"):
        with pytest.raises(dp.InputError, match=rf"layers\[2\].inputs\[1\]: got '{wrong}'.*: x, z$"):
            net(three=["x", wrong])


def test_a_shape_has_sizes_from_0():
    with pytest.raises(dp.InputError, match=r"shape\[1\]: got -1, expected a number >= 0"):
        dp.Tensor("x", "input", ["a"], 8, shape=[2, -1])
    assert dp.Tensor("x", "input", ["a"], 8, shape=[2, 0]).shape == (2, 0)


def told():
    """Return a network with everything told."""
    layers = [
        dp.Layer("one", window=Window([3, 3], [2, 2]), weight_axes=[1], flops=1.0, bytes=1.0),
        dp.Layer("two", axes=[0], flops=1.0, bytes=1.0),
        dp.Layer("three", inputs=["z", "", "x"], flops=1.0, bytes=1.0),
    ]
    return net().replace(layers=layers)


def test_files_keep_geometry(tmp_path):
    write_network(told(), tmp_path / "net.json")
    assert read_network(tmp_path / "net.json") == told()
    shapes = [tensor.shape for tensor in read_network(tmp_path / "net.json").tensors]
    assert shapes == [(2, 1), (2, 1), (), None]


def test_layers_that_stay_alone_keep_geometry_and_merged_ones_have_none():
    whole = told()
    alone = merge(whole, [["one"], ["two"], ["three"]])
    assert alone.layers == whole.layers
    merged = merge(whole, [["one", "two"], ["three"]])
    first, third = merged.layers
    assert (first.window, first.axes, first.inputs, first.weight_axes) == (None, (), (), ())
    assert third == whole.layers[2]
    assert [tensor.shape for tensor in merged.tensors] == [(2, 1), (), None]


def test_a_checksum_does_not_depend_on_geometry():
    on = dp.Platform(devices=[dp.Device("pi", flops_per_s=1e9, bytes_per_s=1e9)])
    bare = net().replace(tensors=[tensor.replace(shape=None) for tensor in net().tensors])
    problems = [dp.Problem(one, on, "sequential", dp.latency()) for one in (bare, told())]
    assert problems[0].checksum == problems[1].checksum
    assert problems[0].to_data() != problems[1].to_data()
    other = told().replace(layers=[layer.replace(flops=2.0) for layer in told().layers])
    assert dp.Problem(other, on, "sequential", dp.latency()).checksum != problems[0].checksum
