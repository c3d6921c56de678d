"""The picture of a Pareto front has its points."""

from itertools import pairwise

import numpy as np
import pytest
from builders import network, plan, platform, problem
from hypothesis import given
from hypothesis import strategies as st

import dnnopt as dp
from dnnopt.plot.front import ring_numbers
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


def test_points_of_three_objectives_that_lie_on_each_other_are_rings_of_which_each_is_seen():
    close = [(1.0, 2.0, 0.1 * index) for index in range(4)]
    spread = [(2.0 + index / 10, 5.0 - index, 1.0 + index) for index in range(20)]
    axes = dp.plot.front(front(*close, *spread)).axes[0]
    (drawn,) = axes.collections
    assert len(drawn.get_offsets()) == 24
    rings = [
        (size, value)
        for size, value, place in zip(drawn.get_sizes(), drawn.get_array(), drawn.get_offsets(), strict=True)
        if place[0] == 1
    ]
    sizes = [size for size, _ in rings]
    assert sizes == sorted(set(sizes), reverse=True)  # the smaller ones are drawn later, on top
    assert len(sizes) == 4
    widths = [size**0.5 for size in sizes]
    assert min(a - b for a, b in pairwise(widths)) > 3  # points of paper


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50)), min_size=1, max_size=40), st.floats(0.1, 20))
def test_no_two_points_near_each_other_have_the_same_size(places, near):
    numbers = ring_numbers(np.array(places), near)
    for index, place in enumerate(places):
        for other in range(index):
            if np.hypot(place[0] - places[other][0], place[1] - places[other][1]) < near:
                assert numbers[index] != numbers[other]


def test_of_three_objectives_points_that_are_not_proved_have_an_edge_of_another_colour():
    axes = dp.plot.front(front((1.0, 9.0, 1.0), (2.0, 4.0, 2.0), unproved=[1], complete=False)).axes[0]
    first, second = axes.collections[0].get_edgecolors().tolist()
    assert first != second
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["proved", "not proved"]
