"""The picture of a placement shows every layer in its device's colour, and what is sent."""

import pytest
from builders import layer, link, network, plan, platform, problem, tensor

import dnnopt as dp
from dnnopt.plot.layout import columns_and_tracks

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.fixture
def branching():
    """`a` feeds `b` and `c`, which feed `d`; the input starts at p, the answer is wanted there."""
    net = network(
        "a b c d",
        [
            tensor("image", "input", "a", 1000),
            tensor("t", "a", "b c", 2000),
            tensor("u", "b", "d", 3000),
            tensor("v", "c", "d", 4000),
            tensor("answer", "d", "output", 5000),
        ],
        source="p",
        sink="p",
    )
    on = platform("p q r", [link("w"), link("x")], {"p>q": "w", "q>p": "x"})
    return problem(net, on, dict.fromkeys("abcd", (1, 1, 1)))


def boxes(axes):
    """Return how many boxes each device has."""
    found = {}
    for collection in axes.collections:
        if not collection.get_label().startswith("_"):
            found[collection.get_label()] = len(collection.get_paths())
    return found


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_each_layer_has_a_box_with_its_name_and_each_copy_its_size(branching):
    axes = dp.plot.placement(branching, plan("a:p b:p c:q d:q")).axes[0]
    assert boxes(axes) == {"p": 2, "q": 2}
    assert {"a", "b", "c", "d", "input\nat p", "output"} <= set(texts(axes))
    assert [text for text in texts(axes) if text.endswith("B")] == ["5 kB", "3 kB", "2 kB"]
    assert axes.get_title(loc="left") == "net: latency 10,004 s; 3 copies sent"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["p: 2 layers, 2 s", "q: 2 layers, 2 s"]


@pytest.mark.parametrize(("transport", "arrows"), [("unicast", 1), ("per_edge", 2)])
def test_a_tensor_sent_once_for_two_consumers_has_one_arrow_with_its_size(branching, transport, arrows):
    one = branching.replace(transport=transport)
    axes = dp.plot.placement(one, plan("a:p b:q c:q d:q")).axes[0]
    assert texts(axes).count("2 kB") == arrows
    assert len(axes.patches) == arrows + 1  # and the answer's
    assert f"{arrows + 1} copies sent" in axes.get_title(loc="left")


def test_nothing_is_said_of_sending_where_nothing_is_sent(branching):
    axes = dp.plot.placement(branching, plan("a:p b:p c:p d:p")).axes[0]
    assert "sent" not in axes.get_title(loc="left")
    assert not axes.patches


def test_devices_have_colours_and_hatches_of_their_own():
    names = [f"d{index}" for index in range(9)]
    net = network([layer(f"l{index}") for index in range(9)])
    one = problem(net, platform(" ".join(names)), {f"l{index}": (1,) * 9 for index in range(9)})
    axes = dp.plot.placement(one, plan(" ".join(f"l{index}:d{index}" for index in range(9)))).axes[0]
    looks = {(patch.get_facecolor(), patch.get_hatch()) for patch in axes.get_legend().get_patches()}
    assert len(looks) == 9


def test_a_network_of_800_layers_is_wrapped_into_rows_that_hold_every_layer_once():
    net = dp.network("clip-vit-b32", source="pi", sink="pi")
    one = dp.Problem(net, "pi4-wifi-nx-wan-t4", execution="sequential", minimize=dp.latency())
    devices = ["pi"] * 300 + ["nx"] * 300 + ["t4"] * (len(net.layers) - 600)
    placed = {net.layers[index].name: device for index, device in zip(net.order, devices, strict=True)}
    figure = dp.plot.placement(one, dp.Plan(placement={net.name: placed}))
    axes = figure.axes[0]
    assert boxes(axes) == {"pi": 300, "nx": 300, "t4": len(net.layers) - 600}
    corners = {
        tuple(path.vertices[0].round(6))
        for collection in axes.collections
        if not collection.get_label().startswith("_")
        for path in collection.get_paths()
    }
    assert len(corners) == len(net.layers)  # none hides another
    assert len({y for _, y in corners}) > 5
    assert max(figure.get_size_inches()) < 31
    assert net.layers[0].name not in texts(axes)


def test_several_networks_stand_below_each_other_under_their_names(branching):
    other = branching.networks[0].model_copy(update={"name": "other"})
    times = {name: dict.fromkeys("abcd", (1, 1, 1)) for name in ("net", "other")}
    two = problem([branching.networks[0], other], branching.platform, times)
    axes = dp.plot.placement(two, plan({"net": "a:p b:p c:p d:p", "other": "a:q b:q c:q d:q"})).axes[0]
    assert {"net", "other"} <= set(texts(axes))
    assert boxes(axes) == {"p": 4, "q": 4}


def test_it_draws_on_given_axes(branching):
    from matplotlib.figure import Figure

    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert dp.plot.placement(branching, plan("a:p b:p c:q d:q"), axes=right) is figure
    assert boxes(right) == {"p": 2, "q": 2}
    assert not left.collections


def test_layout_puts_every_node_after_its_producers_and_no_two_in_one_place():
    net = dp.network("googlenet")
    edges = [(t.producer, c) for t in net.tensors for c in t.consumers if t.producer != "input" and c != "output"]
    columns, tracks = columns_and_tracks([net.layers[index].name for index in net.order], edges)
    assert all(columns[producer] < columns[consumer] for producer, consumer in edges)
    places = [(columns[name], tracks[name]) for name in columns]
    assert len(set(places)) == len(net.layers)
    assert max(abs(track) for track in tracks.values()) <= 3


def test_layout_puts_a_node_that_waits_for_nothing_just_before_its_consumer():
    columns, _ = columns_and_tracks(["weights", "a", "b", "c"], [("a", "b"), ("b", "c"), ("weights", "c")])
    assert columns == {"weights": 1, "a": 0, "b": 1, "c": 2}


def test_a_problem_without_a_plan_is_refused(branching):
    with pytest.raises(dp.InputError, match="plan: got None, expected a plan"):
        dp.plot.placement(branching)
    impossible = branching.replace(subject_to=[dp.latency() <= 0.5])
    with pytest.raises(dp.InputError, match=r"result.status: got 'infeasible', expected a result with a plan"):
        dp.plot.placement(dp.solve(impossible))


def test_a_layer_may_be_called_like_the_place_where_the_input_starts():
    net = network("a", [], source="p").replace(
        layers=(layer("input at p"), layer("b")),
        tensors=(tensor("x", "input", "b", 1), dp.Tensor(name="t", producer="b", consumers=("input at p",), bytes=1)),
    )
    one = problem(net, platform("p q"), {"input at p": (1, 1), "b": (1, 1)})
    placed = dp.Plan({"net": {"input at p": "p", "b": "p"}})
    axes = dp.plot.placement(one, placed).axes[0]
    assert boxes(axes) == {"p": 2}
    assert {"input at p", "input\nat p", "b"} <= set(texts(axes))


def test_modes_stand_below_names_and_forms_with_sizes():
    zipped = dp.Form(name="zip", bytes=300)
    net = network("a b", [tensor("t", "a", "b", 2000, forms=(zipped,)), tensor("u", "b", "output", 50)], sink="p")
    devices = [
        dp.Device(name="p"),
        dp.Device(name="q", modes=(dp.Mode(name="fp32"), dp.Mode(name="int8", output_bytes=0.5))),
    ]
    one = problem(net, platform(devices, [link("w"), link("x")], {"p>q": "w", "q>p": "x"}), dict.fromkeys("ab", (1, 1)))
    axes = dp.plot.placement(one, plan("a:p b:q:int8").replace(forms={"net": {"t": "zip"}})).axes[0]
    assert {"a", "b\nint8", "zip 300 B", "25 B"} <= set(texts(axes))
    assert boxes(axes) == {"p": 1, "q": 1}
