"""Statistics against their definitions, by hand and by all signs that there are."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dnnopt as dp
from dnnopt.studies.statistics import (
    holm,
    paired,
    primal_gap,
    primal_integral,
    shifted_geometric_mean,
    signed_rank,
)


def test_the_shifted_geometric_mean_by_hand():
    assert shifted_geometric_mean([0, 3], 1) == pytest.approx(1.0)
    assert shifted_geometric_mean([5], 10) == pytest.approx(5)
    with pytest.raises(dp.InputError, match="values"):
        shifted_geometric_mean([], 1)
    with pytest.raises(dp.InputError, match="values"):
        shifted_geometric_mean([-1.0], 1)


def test_the_primal_gap_is_between_0_and_1():
    assert primal_gap(None, 3.0) == 1.0
    assert primal_gap(math.inf, 3.0) == 1.0
    assert primal_gap(4.0, 3.0) == 0.25
    assert primal_gap(0.0, 0.0) == 0.0
    assert primal_gap(1.0, 0.0) == 1.0
    assert primal_gap(1.0, -1.0) == 1.0


def test_the_primal_integral_by_hand():
    trace = [(1.0, None), (2.0, 4.0), (5.0, 2.0)]
    # 1 until 2 s, one half until 5 s, then 0
    assert primal_integral(trace, 2.0, 10.0) == pytest.approx(2 + 1.5)
    assert primal_integral(trace, 2.0, 3.0) == pytest.approx(2 + 0.5)
    assert primal_integral([], 2.0, 3.0) == 3.0
    assert primal_integral([(0.0, 2.0)], 2.0, 3.0) == 0.0


def by_all_signs(differences):
    """The test from its definition: every way in which signs could have fallen is as likely."""
    sizes = [abs(one) for one in differences]
    ranks = [sum(other < one for other in sizes) + (sizes.count(one) + 1) / 2 for one in sizes]
    middle = sum(ranks) / 2
    seen = abs(sum(rank for rank, one in zip(ranks, differences, strict=True) if one > 0) - middle)
    every = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign) - middle
        for signs in itertools.product((False, True), repeat=len(ranks))
    ]
    return sum(abs(one) >= seen - 1e-9 for one in every) / len(every)


@given(st.lists(st.sampled_from([-math.inf, -3, -2, -1, 1, 2, 3, 4, math.inf]), max_size=8))
def test_the_signed_rank_test_counts_all_signs(differences):
    assert signed_rank(differences) == pytest.approx(by_all_signs(differences) if differences else 1.0)


def test_many_pairs_are_judged_as_few_are():
    for differences in ([(-1) ** (k % 3 == 0) * (k + 1) for k in range(60)], [1 if k % 4 else -1 for k in range(60)]):
        exact = signed_rank(differences)
        near = signed_rank([*differences, 0.5])
        assert near == pytest.approx(exact, rel=0.35)


def test_scipy_says_the_same():
    stats = pytest.importorskip("scipy.stats")
    differences = [1.5, -0.5, 2.5, 3.5, -4.5, 5.5, 6.5, 7.5, 8.5]
    assert signed_rank(differences) == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)
    many = [(k + 1) * (-1 if k % 4 == 0 else 1) for k in range(80)]
    there = stats.wilcoxon(many, method="approx", correction=True).pvalue
    assert signed_rank(many) == pytest.approx(there, rel=1e-6)


def test_pairs_are_of_the_problems_that_both_have():
    first = {"a": 1.0, "b": 2.0, "c": math.inf, "d": 3.0, "e": 0.0}
    found = paired(first, {"a": 1.0 + 1e-9, "b": 3.0, "c": 2.0, "e": 1.0, "z": 9.0})
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert found.p == by_all_signs([-1, math.inf, -math.inf])


def test_two_methods_without_plans_tie():
    assert paired({"a": math.inf}, {"a": math.inf}).ties == 1


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({}) == {}
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
