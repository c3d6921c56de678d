"""The layer profile has every layer's time on every device, and the bytes along the network."""

import pytest
from builders import network, platform, problem, tensor

import dnnopt as dp
from dnnopt.plot.layers import tensor_bytes

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.fixture
def net():
    """`a` feeds `b`, and past it `c`, whose answer is the result."""
    return network(
        "a b c",
        [
            tensor("image", "input", "a b", 10),
            tensor("t", "a", "b c", 20),
            tensor("u", "b", "c", 30),
            tensor("answer", "c", "output", 40),
        ],
    )


def test_tensors_are_alive_until_their_last_use(net):
    assert tensor_bytes(net) == ([20, 30, 40], [30, 50, 0])


def test_each_device_has_a_line_and_unsupported_layers_a_hole(net):
    one = problem(net, platform("p q"), {"a": (1, 3), "b": (2, None), "c": (4, 5)})
    above, below = dp.plot.layers(one).axes
    p, q = above.lines
    assert list(p.get_ydata()) == [1, 2, 4]
    assert list(q.get_ydata())[::2] == [3, 5]
    assert [text.get_text() for text in above.get_legend().get_texts()] == ["p: 7 s", "q: 8 s, 1 unsupported"]
    assert (above.get_ylabel(), below.get_ylabel()) == ("time (s)", "tensors (B)")
    assert [bar.get_height() for bar in below.patches] == [20, 30, 40]
    assert list(below.lines[0].get_ydata()) == [30, 50, 0]
    assert [label.get_text() for label in below.get_xticklabels()] == ["a", "b", "c"]


def test_a_network_of_800_layers_has_no_names_at_its_axis():
    one = dp.Problem("clip-vit-b32", "pi4-wifi-nx-wan-t4", execution="sequential", minimize=dp.latency())
    figure = dp.plot.layers(one)
    above, below = figure.axes
    assert {len(line.get_ydata()) for line in above.lines} == {785}
    assert len(below.patches) == 785
    assert below.get_xlabel() == "layer, in topological order"
    assert figure.get_size_inches()[0] <= 14


def test_of_several_networks_one_must_be_named(net):
    other = net.model_copy(update={"name": "other"})
    times = {name: dict.fromkeys("abc", (1,)) for name in ("net", "other")}
    two = problem([net, other], platform("p"), times)
    assert dp.plot.layers(two, "other").axes[0].get_title(loc="left") == "other: 3 layers"
    for name in (None, "third"):
        with pytest.raises(dp.InputError, match="network: got"):
            dp.plot.layers(two, name)


def test_each_mode_of_a_device_has_a_line(net):
    quick = dp.Mode(name="quick", flops_per_s=2.0, bytes_per_s=1.0, overhead=0.0)
    on = platform([dp.Device(name="p", modes=(dp.Mode(name="usual"), quick)), dp.Device(name="q")])
    one = problem(
        net.replace(layers=[layer.replace(flops=6, bytes=0) for layer in net.layers]), on, dict.fromkeys("abc", (4, 5))
    )
    above, _ = dp.plot.layers(one).axes
    assert [list(line.get_ydata()) for line in above.lines] == [[4] * 3, [3] * 3, [5] * 3]
    assert [text.get_text() for text in above.get_legend().get_texts()] == ["p:usual: 12 s", "p:quick: 9 s", "q: 15 s"]
