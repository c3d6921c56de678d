"""The loads' bars are the referee's, against the period."""

import pytest
from builders import link, network, plan, platform, problem, tensor

import dnnopt as dp

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.fixture
def pipeline():
    net = network("a b c", [tensor("t", "a", "b", 2), tensor("u", "b", "c", 3)])
    on = platform("p q idle", [link("w"), link("x")], {"p>q": "w", "q>p": "x"}, {"radio": "q w x"})
    return problem(net, on, dict.fromkeys("abc", (1, 4, 1)), "pipelined", dp.period())


def widths(axes):
    """Return the bars' widths, resource by resource, of each kind."""
    return {bars.get_label(): [bar.get_width() for bar in bars] for bars in axes.containers}


def test_bars_are_what_computing_and_sending_take_of_each_resource(pipeline):
    axes = dp.plot.loads(pipeline, plan("a:p b:q c:p")).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["radio", "p"]  # idle does nothing
    assert widths(axes) == {"computing": [4, 2], "sending": [5, 0]}
    assert [text.get_text() for text in axes.texts] == [" 9 s", " 2 s"]


def test_the_period_is_a_line_at_the_longest_bar(pipeline):
    axes = dp.plot.loads(pipeline, plan("a:p b:q c:p")).axes[0]
    (line,) = axes.lines
    assert list(line.get_xdata()) == [9, 9]
    assert "period 9 s" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert axes.get_title(loc="left") == "net: period 9 s"


def test_a_period_in_milliseconds_is_drawn_in_milliseconds():
    net = dp.network("resnet50", source="pi", sink="pi")
    one = dp.Problem(net, "pi4-wifi-nx-wan-t4", execution="pipelined", minimize=dp.period())
    placed = dp.Plan(placement={net.name: dict.fromkeys((layer.name for layer in net.layers), "nx")})
    axes = dp.plot.loads(one, placed).axes[0]
    loads = dp.evaluate(one, placed).metrics
    assert axes.get_xlabel() == "load (ms)"
    assert sum(map(sum, widths(axes).values())) == pytest.approx(
        1e3 * sum(value for name, value in loads.items() if name.startswith("load("))
    )


def test_a_plan_without_a_route_has_no_loads():
    net = network("a b", [tensor("t", "a", "b", 2)])
    one = problem(net, platform("p q"), dict.fromkeys("ab", (1, 1)), "pipelined", dp.period())
    with pytest.raises(dp.InputError, match="has no period: no route from p to q"):
        dp.plot.loads(one, plan("a:p b:q"))
