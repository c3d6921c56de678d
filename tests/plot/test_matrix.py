"""The matrix of approaches has a square for each value that an approach has."""

import pytest
from pictures import faults

import dnnopt as dp
from dnnopt.approaches import DIMENSIONS, classification

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def test_each_value_of_an_approach_is_a_square():
    found = classification(locations=["end-cloud"])
    figure = dp.plot.matrix(found)
    (axes,) = figure.axes
    titles = [label.get_text() for label in axes.get_yticklabels()]
    assert titles == [one.title for one in found.approaches]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == [value for dimension in DIMENSIONS for value in dimension.values if value != "own"]
    columns = dict(zip(axes.get_xticks(), names, strict=True))
    drawn = [[] for _ in titles]
    for squares in axes.collections[1::2]:
        for x, y in squares.get_offsets():
            drawn[int(y)].append(columns[x])
    expected = [[value for one in DIMENSIONS for value in approach.values(one.name)] for approach in found.approaches]
    assert [sorted(row) for row in drawn] == [sorted(row) for row in expected]
    assert faults(figure) == []
    with pytest.raises(dp.InputError, match="one approach or more"):
        dp.plot.matrix(classification(objectives=["traffic", "energy"]))
