"""The picture of a Pareto front has its points."""

import pytest
from builders import network, plan, platform, problem

import dnnopt as dp
from dnnopt.studies.pareto import Front, FrontPoint

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def front(*points, unproved=(), complete=True):
    goals = [dp.latency(), dp.energy(), dp.cost(), dp.traffic()][: len(points[0])] if points else [dp.latency()]
    terms = [goal.replace(priority=priority) for priority, goal in enumerate(goals)]
    one = problem(network("a"), platform("p"), {"a": (1,)}, minimize=terms)
    found = tuple(FrontPoint(plan("a:p"), values, index not in unproved) for index, values in enumerate(points))
    return Front(one, found, 1e-3, complete, (), 2.0)


def test_two_objectives_are_points_on_steps_in_units_that_fit():
    axes = dp.plot.front(front((0.001, 9.0), (0.002, 4.0), (0.005, 3.0))).axes[0]
    (scatter,) = axes.collections
    assert scatter.get_offsets().tolist() == [[1, 9], [2, 4], [5, 3]]
    (steps,) = axes.lines
    assert (list(steps.get_xdata()), list(steps.get_ydata())) == ([1, 2, 5], [9, 4, 3])
    assert steps.get_drawstyle() == "steps-post"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("latency (ms)", "energy (J)")
    assert axes.get_title(loc="left") == "net: 3 points, complete within 0.1 %, in 2 s"


def test_points_that_are_not_proved_are_hollow():
    axes = dp.plot.front(front((1.0, 9.0), (2.0, 4.0), unproved=[1], complete=False)).axes[0]
    proved, open_ones = axes.collections
    assert (proved.get_offsets().tolist(), open_ones.get_offsets().tolist()) == ([[1, 9]], [[2, 4]])
    assert open_ones.get_facecolor().tolist() == [[1, 1, 1, 1]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["proved", "not proved"]
    assert "not complete" in axes.get_title(loc="left")


def test_the_third_objective_is_a_colour_with_a_scale():
    figure = dp.plot.front(front((1.0, 9.0, 0.001), (2.0, 4.0, 0.002)))
    axes, scale = figure.axes
    assert axes.collections[0].get_array().tolist() == [1, 2]
    assert scale.get_ylabel() == "cost (mUSD)"


def test_a_front_of_500_points_is_drawn_in_full():
    axes = dp.plot.front(front(*((1.0 + index, 1000.0 - index) for index in range(500)))).axes[0]
    assert len(axes.collections[0].get_offsets()) == 500


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(dp.UnsupportedError, match="a front of 4 objectives cannot be drawn"):
        dp.plot.front(front((1.0, 2.0, 3.0, 4.0)))
    with pytest.raises(dp.InputError, match="a front with points"):
        dp.plot.front(front())
