"""The plan of an approach's algorithm and the best one in one picture."""

import dataclasses

import pytest
from commands import dnnopt
from pictures import faults
from small_settings import small

import dnnopt as dp
from dnnopt.approaches import try_approach

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def test_both_plans_are_drawn_with_what_they_take():
    trial = try_approach("equal-layers", *small("equal-layers"))
    figure = dp.plot.both_plans(trial)
    above, below = figure.axes
    titles = [axes.get_title(loc="left") for axes in (above, below)]
    assert titles[0].startswith("Equal layers (vLLM default): latency ")
    assert titles[1].startswith("the best plan: latency ")
    assert faults(figure) == []
    with pytest.raises(dp.InputError, match="a trial with both plans"):
        dp.plot.both_plans(dataclasses.replace(trial, own=None))


def test_the_picture_of_variants_says_which_one():
    figure = dp.plot.both_plans(try_approach("edgent", *small("edgent")))
    assert [axes.get_title(loc="left").partition(":")[0] for axes in figure.axes] == [
        "Edgent, exit2",
        "the best plan, exit2",
    ]


def test_the_command_draws_both(tmp_path):
    path = tmp_path / "both.png"
    assert dnnopt("approach", "neurosurgeon", "--figure", str(path)).returncode == 0
    assert path.read_bytes().startswith(b"\x89PNG")
