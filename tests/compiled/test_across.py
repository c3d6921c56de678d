"""Conditional values at risk as the largest of linear metrics."""

from random import Random

import pytest

from dnnopt.compiled.across import worst_shares

THIRDS = [0.3333333333] * 3  # as a file may have them: their sum is 1 but for rounding


@pytest.mark.parametrize("level", [0.0, 1e-12, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("probabilities", [[1.0], [0.5, 0.5], [0.0, 0.4, 0.6], [0.1, 0.2, 0.3, 0.4], THIRDS])
def test_the_largest_mean_over_the_vertices_is_that_of_the_worst_share(probabilities, level):
    vertices = list(worst_shares(probabilities, 1.0 - level))
    values = [Random(len(probabilities)).random() for _ in probabilities]
    left, total = min(1.0 - level, sum(probabilities)), 0.0
    share = left
    for value, probability in sorted(zip(values, probabilities, strict=True), reverse=True):
        total += value * min(left, probability)
        left -= min(left, probability)
    means = [sum(weight * values[index] for index, weight in vertex) for vertex in vertices]
    assert max(means) == pytest.approx(total / share)
    assert [sum(weight for _, weight in vertex) for vertex in vertices] == pytest.approx([1.0] * len(vertices))


def test_no_vertex_is_there_twice():
    assert len(list(worst_shares([1 / 12] * 12, 0.5))) == 924  # 12 over 6
    assert len(list(worst_shares(THIRDS, 1.0))) == 1
