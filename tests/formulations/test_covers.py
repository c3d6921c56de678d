"""Rows that a cap on the period implies: no plan below it is cut off, and pieces are not shared out evenly."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from brute_force import judged_plans
from builders import network, platform, problem
from hypothesis import given
from hypothesis import strategies as st

from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.formulations.milp.timing.covers import covers
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.highs import relaxation
from dnnopt.models.solvers.interface import Limits
from dnnopt.problem.objectives import period


@given(st.lists(st.integers(0, 9), max_size=7), st.integers(1, 30))
def test_covers_hold_for_all_that_fits_and_are_the_largest_sets(times, cap):
    times = sorted(times, reverse=True)
    for count, nodes in covers(np.array(times, dtype=float), cap):
        longest = times[:nodes]
        assert nodes > count
        assert all(sum(some) > cap for some in combinations(longest, count + 1))
        if nodes < len(times):
            assert sum(times[nodes - count : nodes + 1]) <= cap


def capped(c, cap):
    return replace(c, cap=cap)


def pieces(count, seconds, devices):
    """Layers of one length without tensors, on so many devices alike."""
    names = "abcdefghi"[:count]
    on = platform("pqrs"[:devices].replace("", " ").strip())
    return problem(network(" ".join(names)), on, dict.fromkeys(names, (seconds,) * devices), "pipelined", period())


def test_a_relaxation_below_a_cap_knows_that_pieces_do_not_split():
    # Seven layers of 2 s on three devices: some device has three of them. Shared out evenly it would be 14/3 s.
    one = pieces(7, 2.0, 3)
    c = compile_problem(one)
    for cap, status in ((5.9, "infeasible"), (6.0, "optimal")):
        model = registry.formulation("edgewise", c).build(capped(c, cap))
        assert relaxation(model, Limits(threads=1)).status == status
    result = solve(one, threads=1)
    assert (result.status, result.objective) == ("optimal", 6.0)
    assert min(judged.objective for _, judged in judged_plans(one)) == 6.0


@pytest.mark.parametrize("cap", [np.inf, 1e9])
def test_a_cap_that_everything_keeps_adds_no_row(cap):
    c = compile_problem(pieces(3, 2.0, 2))
    model = registry.formulation("edgewise", c).build(capped(c, cap))
    assert not [block.name for block in model.rows if block.name.startswith("at_most")]
