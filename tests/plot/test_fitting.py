"""Names, titles and legends keep to their room, whatever they are, and stay readable."""

from itertools import pairwise

import pytest
from builders import layer, link, network, platform, problem
from hypothesis import given
from hypothesis import strategies as st
from pictures import faults

import dnnopt as dp
from dnnopt.plot import fitting, style
from dnnopt.studies.pareto import Front, FrontPoint

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

PREFIX, SUFFIX = "organisation/project/encoder/layer.", "/attention/output/dense/MatMul"
LONG = [f"{PREFIX}{index}{SUFFIX}" for index in range(16)]


@pytest.mark.parametrize(
    ("names", "length", "shown"),
    [
        ("inception", 9, "inception"),
        ("inception", 5, "in…on"),
        ("inception", 2, "i…"),
        ("inception", 1, "…"),
        ("layer-1-of-the-encoder layer-2-of-the-encoder", 13, "layer-1…coder layer-2…coder"),
        ("backbone.features.0.conv backbone.features.1.conv", 4, "b…0… b…1…"),
        (f"{LONG[3]} {LONG[12]}", 15, "organisatio…3… organisatio…12…"),
    ],
)
def test_long_names_lose_what_they_have_in_common(names, length, shown):
    assert list(fitting.short_names(names.split(), length).values()) == shown.split()


def test_what_differs_is_what_is_left():
    found = fitting.short_names(LONG, 15)
    for index, name in enumerate(LONG):
        assert str(index) in found[name]


@given(st.lists(st.text("ab/1", max_size=30), min_size=1, max_size=12, unique=True), st.integers(6, 20))
def test_short_names_differ_and_keep_to_their_length(names, length):
    found = fitting.short_names(names, length)
    assert len(set(found.values())) == len(names)
    assert all(len(text) <= length for text in found.values())
    assert all(found[name] == name for name in names if len(name) <= length and "…" not in name)


def test_lines_are_as_wide_as_they_may_be_and_keep_all_words():
    text = "a title with many words that goes on for longer than one line has room"
    lines = fitting.in_lines(text, 2.0, 10).split("\n")
    assert len(lines) > 2
    assert " ".join(lines) == text
    assert max(fitting.text_width(line, 10) for line in lines) <= 2.0
    assert fitting.text_width(fitting.in_lines("w" * 200, 2.0, 10), 10) <= 2.0


def lightness(colour):
    """CIE L*, 0 to 100: what is left of a colour in greyscale."""
    from matplotlib.colors import to_rgb

    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def test_sixteen_devices_differ_in_colour_and_hatch_together_and_in_greyscale():
    looks = [style.look(index) for index in range(16)]
    assert len({tuple(one.values()) for one in looks}) == 16
    for index, one in enumerate(looks):
        for other in (other for other in looks[:index] if other["hatch"] == one["hatch"]):
            fields, strokes = (
                abs(lightness(one[part]) - lightness(other[part])) for part in ("facecolor", "edgecolor")
            )
            assert max(fields, strokes) > 20, (one, other)


def test_every_area_is_seen_on_white_and_its_hatch_on_it():
    for index in range(112):
        one = style.look(index)
        assert abs(lightness(one["facecolor"]) - lightness(one["edgecolor"])) > 20
        assert min(lightness(one["facecolor"]), lightness(one["edgecolor"])) < 75
        assert lightness(style.line_colour(index)) < 75


@pytest.fixture
def wordy():
    """Sixteen devices with long names that differ in their middle, as do those of layers, links and the problem."""
    devices = [
        f"the-laboratory-in-the-basement/rack-{index:02d}/accelerator-card-of-the-second-kind" for index in range(16)
    ]
    tensors = [dp.Tensor(name=f"{a}:0", producer=a, consumers=(b,), bytes=1e6) for a, b in pairwise(LONG)]
    net = network([layer(name, 1.0) for name in LONG], tensors, name="a network whose name is rather long as well" * 2)
    links = [link(f"link-of-the-laboratory-in-the-basement-number-{index}-to-the-next") for index in range(2)]
    routes = {f"{a}>{b}": links[index % 2].name for index, (a, b) in enumerate(pairwise(devices))}
    on = platform([dp.Device(name=name) for name in devices], links, routes)
    times = {name: tuple(1.0 + (index % 4) for index in range(16)) for name in LONG}
    return problem(net, on, times).replace(name="a problem with a name that is so long that no title holds it, " * 3)


@pytest.fixture
def its_plan(wordy):
    placed = dict(zip(LONG, wordy.platform.device_names(), strict=True))
    return dp.Plan({wordy.networks[0].name: placed})


@pytest.mark.parametrize("kind", ["placement", "schedule", "layers", "loads", "progress", "sweep"])
def test_long_names_leave_the_drawing_its_room_and_the_figure_holds_all(wordy, its_plan, kind):
    if kind == "layers":
        figure = dp.plot.layers(wordy)
    elif kind == "loads":
        figure = dp.plot.loads(wordy.replace(execution="pipelined"), its_plan)
    elif kind == "progress":
        figure = dp.plot.progress(dp.solve(wordy, method="greedy"))
    elif kind == "sweep":
        figure = dp.plot.sweep(dp.sweep(wordy, "bandwidth=0.5..1", points=2))
    else:
        figure = getattr(dp.plot, kind)(wordy, its_plan)
    assert faults(figure, 0.5) == []


@pytest.mark.parametrize("count", [3, 40])
def test_profiles_of_many_methods_with_long_names_hold_their_legends(count):
    methods = {
        f"a method with a long name that has the number {index} in it": [0.1 * index, None] for index in range(count)
    }
    figure = dp.plot.gaps(methods)
    assert faults(figure, 0.5) == []
    shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert len(set(shown)) == count
    assert all(str(index) in text for index, text in enumerate(shown))


def test_the_title_of_a_front_is_wrapped(wordy):
    one = wordy.replace(minimize=[dp.latency(), dp.energy().replace(priority=1), dp.cost().replace(priority=2)])
    points = tuple(FrontPoint(None, (1.0 + i, 9.0 - i, 1.0), True) for i in range(3))
    assert faults(dp.plot.front(Front(one, points, 1e-3, True, (), 2.0)), 0.5) == []


def test_identical_devices_share_a_line_that_names_them_and_no_other_is_hidden():
    net = network("a b")
    one = problem(net, platform("p q r s"), {"a": (1, 2, 2, 2), "b": (3, 4, 4, 4)})
    above = dp.plot.layers(one).axes[0]
    lines = {line.get_label(): list(line.get_ydata()) for line in above.lines}
    assert lines == {"p: 4 s": [1, 3], "q ... s (3 alike): 6 s": [2, 4]}


def test_a_placement_on_narrow_axes_of_ones_own_has_a_legend_that_fits(wordy, its_plan):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 12), layout="constrained")
    axes = figure.subplots()
    dp.plot.placement(wordy, its_plan, axes=axes)
    assert not [fault for fault in faults(figure) if "Legend" in fault]
    assert len(axes.get_legend().get_texts()) == 16
