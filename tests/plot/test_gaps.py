"""The gap profile counts problems."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dnnopt as dp
from dnnopt.plot.gaps import profile_steps

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def lines(axes):
    return {line.get_label(): list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in axes.lines}


def test_each_method_has_a_line_of_the_share_within_each_gap():
    found = {"greedy": [0.0, 0.02, 0.5, None], "exact": [0.0, 0.0, 1e-9, 0.001]}
    axes = dp.plot.gaps(found).axes[0]
    assert lines(axes) == {
        "greedy": [(0, 25), (2, 50), (50, 75), (100, 75)],
        "exact": [(0, 75), (0.1, 100), (100, 100)],
    }
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["greedy", "exact"]
    assert axes.get_title(loc="left") == "Problems within a gap, of 4"
    assert axes.get_xlabel() == "gap (%)"


def test_many_methods_differ_in_colour_and_line():
    axes = dp.plot.gaps({f"method {index}": [0.1 * index] for index in range(12)}).axes[0]
    assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in axes.lines}) == 12


def test_a_set_of_500_problems_keeps_every_step_inside_the_axes():
    found = [0.002 * index for index in range(500)]
    axes = dp.plot.gaps({"greedy": found}).axes[0]
    (steps,) = lines(axes).values()
    assert len(steps) == 501
    assert axes.get_xlim()[1] > 100 * max(found)


@given(st.lists(st.one_of(st.none(), st.floats(0, 10)), min_size=1))
def test_shares_grow_to_the_share_of_problems_with_a_plan(found):
    reached, shares = profile_steps(found)
    assert reached[0] == 0
    assert reached == sorted(set(reached))
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(sum(gap is not None for gap in found) / len(found))


@pytest.mark.parametrize(("found", "words"), [({}, "methods: got {}"), ({"greedy": []}, r"methods.greedy: got \[\]")])
def test_nothing_to_draw_is_refused(found, words):
    with pytest.raises(dp.InputError, match=words):
        dp.plot.gaps(found)
