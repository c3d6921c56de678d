"""Exact merging: the same optimum with fewer layers."""

import pytest
from brute_force import brute_force
from hypothesis import given, settings
from strategies import problems

import dnnopt as dp
from dnnopt.methods.merging import merge_exactly
from dnnopt.problem import constraints as c

KINDS = (c.Memory, c.Placement, c.Deadline, c.Energy, c.Cost, c.Traffic, c.Bandwidth, c.Utilisation)


def merged_share(at):
    """Return the share of the layers that were merged away."""
    before = sum(len(one.original.layers) for one in at.networks)
    return 1 - sum(len(one.network.layers) for one in at.networks) / before


def with_known_limits(problem):
    """Return the problem with those constraints of which merging knows what they mean."""
    limits = [limit for limit in problem.subject_to if isinstance(limit, KINDS)]
    return problem.replace(subject_to=limits, transport="unicast")


@settings(max_examples=150, deadline=None)
@given(problems(executions=["sequential"], most_placements=243).map(with_known_limits))
def test_merging_keeps_the_optimum(problem):
    merged = merge_exactly(problem)
    before, after = brute_force(problem), brute_force(merged.problem)
    assert (before.objective is None) == (after.objective is None)
    if before.objective is not None:
        assert after.objective == pytest.approx(before.objective, rel=1e-9, abs=1e-300)
        plan = {name: lifted.placement[name] for name, lifted in merged.lift(after.plans[0]).items()}
        lifted = dp.evaluate(problem, dp.Plan(plan))
        assert lifted.feasible
        assert lifted.objective == pytest.approx(before.objective, rel=1e-9, abs=1e-300)


@settings(max_examples=20, deadline=None)
@given(problems(executions=["parallel", "pipelined"], most_placements=81))
def test_nothing_is_merged_where_it_is_not_known_to_keep_the_optimum(problem):
    merged = merge_exactly(problem)
    assert merged_share(merged) == 0


def test_pools_join_the_convolutions_before_them_where_sending_is_slow():
    problem = dp.Problem(
        dp.network("alexnet", source="pi", sink="pi"), "pi4-wifi-nx-wan-t4", "sequential", dp.latency()
    )
    merged = merge_exactly(problem)
    assert merged_share(merged) > 0.2
    assert dp.solve(merged.problem).objective == pytest.approx(dp.solve(problem).objective)
