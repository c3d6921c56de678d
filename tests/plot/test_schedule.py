"""The Gantt chart shows when the referee says that things happen."""

import math

import pytest
from builders import link, network, plan, platform, problem, tensor, transfer
from choice_problems import problems_with_choices
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from limits import placement_plan
from strategies import problems

import dnnopt as dp
from dnnopt.plot.timetable import makespan, timetable

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def chain(execution, sink=None):
    net = network("a b c", [tensor("t", "a", "b", 2), tensor("u", "b", "c", 3)], sink=sink)
    on = platform("p q", [link("w"), link("x")], {"p>q": "w", "q>p": "x"})
    return problem(net, on, dict.fromkeys("abc", (1, 4)), execution=execution)


def drawn(axes):
    """Return the bars, (start, seconds) of each lane in turn."""
    lanes = [label.get_text() for label in axes.get_yticklabels()]
    middles = axes.get_yticks()
    found = {lane: [] for lane in lanes}
    for collection in axes.collections:
        for path in collection.get_paths():
            (left, low), (right, high) = path.vertices.min(axis=0), path.vertices.max(axis=0)
            lane = min(range(len(lanes)), key=lambda index: abs(middles[index] - (low + high) / 2))
            found[lanes[lane]].append((round(left, 6), round(right - left, 6)))
    return {lane: sorted(bars) for lane, bars in found.items()}


def test_sequential_execution_does_one_thing_after_the_other():
    axes = dp.plot.schedule(chain("sequential"), plan("a:p b:q c:p")).axes[0]
    assert drawn(axes) == {"p": [(0, 1), (10, 1)], "q": [(3, 4)], "w": [(1, 2)], "x": [(7, 3)]}
    assert axes.get_xlabel() == "time (s)"
    assert axes.get_title(loc="left") == "net: latency 11 s"


def test_encoding_and_decoding_have_bars_on_their_devices():
    zipped = dp.Form(name="zip", bytes=1, encode={"p": 2.0}, decode={"q": 3.0})
    net = network("a b", [tensor("t", "a", "b", 9, forms=(zipped,))])
    on = platform("p q", [link("w")], {"p>q": "w"})
    for execution in ("sequential", "parallel"):
        one = problem(net, on, dict.fromkeys("ab", (1, 4)), execution=execution)
        bars = timetable(one, plan("a:p b:q").replace(forms={"net": {"t": "zip"}}))
        assert [(bar.place, bar.name, bar.start, bar.seconds) for bar in bars] == [
            ("p", "a", 0, 1),
            ("p", "encode t", 1, 2),
            ("w", "t", 3, 1),
            ("q", "decode t", 4, 3),
            ("q", "b", 7, 4),
        ]


def test_the_title_says_what_the_times_are_of():
    slow = dp.Scenario(name="slow", probability=1, bandwidth={"w": 0.5})
    axes = dp.plot.schedule(chain("sequential").replace(scenarios=[slow]), plan("a:p b:q c:q")).axes[0]
    assert axes.get_title(loc="left") == "net: latency 13 s; times without scenarios"


def test_scheduled_execution_has_the_starts_of_the_plan():
    late = plan("a:p b:q c:q", {"a": 0, "b": 5, "c": 9}, [transfer("t", "w", "q", 2)])
    axes = dp.plot.schedule(chain("scheduled"), late).axes[0]
    assert drawn(axes) == {"p": [(0, 1)], "q": [(5, 4), (9, 4)], "w": [(2, 2)]}


def test_parallel_execution_stacks_what_one_place_does_at_a_time():
    net = network("a b", [tensor("s", "input", "a", 3), tensor("t", "input", "b", 2)], source="p")
    on = platform("p q", [link("w")], {"p>q": "w"})
    axes = dp.plot.schedule(problem(net, on, dict.fromkeys("ab", (1, 1)), "parallel"), plan("a:q b:q")).axes[0]
    assert drawn(axes) == {"q": [(2, 1), (3, 1)], "w": [(0, 2), (0, 3)]}
    rows = {round(path.vertices[:, 1].min(), 6) for collection in axes.collections for path in collection.get_paths()}
    assert len(rows) == 3


CHOICES = problems_with_choices(("modes", "forms", "reach"), ("sequential",))
PARALLEL = problems_with_choices(("modes", "forms"), ("parallel",))


@settings(max_examples=60)
@given(st.one_of(problems(executions=("sequential", "parallel")), CHOICES, PARALLEL), st.data())
def test_the_last_bar_ends_when_the_referee_says(one, data):
    executors = [executor.name for executor in one.platform.executors()]
    count = sum(len(net.layers) for net in one.networks)
    placed = placement_plan(one, data.draw(st.lists(st.sampled_from(executors), min_size=count, max_size=count)))
    formed = {
        net.name: {tensor.name: data.draw(st.sampled_from(tensor.forms)).name for tensor in net.tensors if tensor.forms}
        for net in one.networks
    }
    placed = placed.replace(forms={net: forms for net, forms in formed.items() if forms})
    evaluation = dp.evaluate(one, placed)
    ends = [evaluation.metrics[f"latency({net.name})"] for net in one.networks]
    assume(math.isfinite(sum(ends)))
    expected = sum(ends) if one.execution == "sequential" else max(ends)
    assert makespan(timetable(one, placed)) == pytest.approx(expected)


def test_networks_have_hatches_of_their_own():
    nets = [network("a", name="first"), network("a", name="second")]
    times = {"first": {"a": (1,)}, "second": {"a": (2,)}}
    two = problem(nets, platform("p"), times, "scheduled")
    starts = {"first": {"a": 0}, "second": {"a": 1}}
    axes = dp.plot.schedule(two, plan({"first": "a:p", "second": "a:p"}, starts)).axes[0]
    assert drawn(axes) == {"p": [(0, 1), (1, 2)]}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["first", "second"]
    assert len({collection.get_hatch() for collection in axes.collections}) == 2


def test_a_long_schedule_shows_every_layer_and_names_the_long_ones():
    net = dp.network("densenet121", source="pi", sink="pi")
    one = dp.Problem(net, "pi4-wifi-nx-wan-t4", execution="sequential", minimize=dp.latency())
    places = {layer.name: "pi" if index < 400 else "nx" for index, layer in enumerate(net.layers)}
    axes = dp.plot.schedule(one, dp.Plan(placement={net.name: places})).axes[0]
    bars = drawn(axes)
    assert (len(bars["pi"]), len(bars["nx"])) == (400, len(net.layers) - 400)
    assert 1 <= len(axes.texts) < 100


@pytest.mark.parametrize("execution", ["pipelined", "call"])
def test_executions_without_start_times_are_refused(execution):
    one = problem(network("a"), platform("p"), {"a": (1,)}, execution)
    with pytest.raises(dp.UnsupportedError, match=f"under {execution} execution has no start times"):
        dp.plot.schedule(one, plan("a:p"))


def test_plans_that_never_end_are_refused():
    with pytest.raises(dp.InputError, match="never ends: the plan has no schedule"):
        dp.plot.schedule(chain("scheduled"), plan("a:p b:p c:p"))
