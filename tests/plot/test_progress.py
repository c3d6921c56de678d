"""Incumbent and bound are the trace's."""

from dataclasses import replace

import pytest
from builders import network, platform, problem

import dnnopt as dp

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.fixture
def result():
    one = problem(network("a"), platform("p"), {"a": (0.002,)})
    return replace(dp.solve(one), runtime=4.0, found_by="luck", bound_by="proof", status="feasible")


def lines(axes):
    """Return the steps by label."""
    return {
        line.get_label(): list(zip(line.get_xdata(), line.get_ydata(), strict=True))
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


def test_lines_step_where_the_trace_does_and_last_until_the_end(result):
    trace = (
        dp.Event(0.5, 0.009, None, "luck"),
        dp.Event(1.0, 0.009, 0.001, "proof"),
        dp.Event(2.0, 0.004, 0.001, "luck"),
        dp.Event(3.0, 0.004, 0.003, "proof"),
    )
    axes = dp.plot.progress(replace(result, trace=trace)).axes[0]
    assert lines(axes) == {
        "plan (luck)": [(0.5, 9.0), (2.0, 4.0), (4.0, 4.0)],
        "bound (proof)": [(1.0, 1.0), (3.0, 3.0), (4.0, 3.0)],
    }
    assert axes.get_ylabel() == "latency (ms)"
    assert axes.get_title(loc="left").startswith("net: feasible, gap ")


def test_only_the_first_priority_is_drawn(result):
    trace = (
        dp.Event(0.5, 0.009, None, "luck"),
        dp.Event(2.0, 0.009, 0.009, "proof"),
        dp.Event(0.1, 77.0, None, "luck"),
    )
    axes = dp.plot.progress(replace(result, trace=trace)).axes[0]
    assert lines(axes) == {"plan (luck)": [(0.5, 9.0), (2.0, 9.0)], "bound (proof)": [(2.0, 9.0), (2.0, 9.0)]}


def test_a_run_of_many_events_is_drawn_in_full(result):
    trace = tuple(dp.Event(0.01 * step, 5.0 - 0.01 * step, 0.001 * step, "luck") for step in range(300))
    axes = dp.plot.progress(replace(result, trace=trace)).axes[0]
    assert {len(points) for points in lines(axes).values()} == {301}
    assert axes.get_ylabel() == "latency (s)"


def test_a_bound_without_a_plan_is_drawn(result):
    axes = dp.plot.progress(replace(result, trace=(dp.Event(1.0, None, 0.001, "proof"),))).axes[0]
    assert lines(axes) == {"bound (proof)": [(1.0, 1.0), (4.0, 1.0)]}


def test_a_run_that_found_nothing_is_refused(result):
    with pytest.raises(dp.InputError, match=r"result.trace: got 'no_solution', expected a result with a plan or"):
        dp.plot.progress(replace(result, trace=(), status="no_solution"))
