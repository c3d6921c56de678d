"""Exact merging: the same optimum with fewer layers."""

from itertools import permutations

import pytest
from brute_force import brute_force
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

import dnnopt as dp
from dnnopt.methods.merging import merge_exactly, merged_pool
from dnnopt.models.solvers.interface import Outcome
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


@st.composite
def on_slow_links(draw):
    """Draw a sequential problem whose links are slow and whose memory is tight, so that layers are merged."""
    amount = st.integers(1, 40)
    names = "pqr"[: draw(st.sampled_from([2, 3]))]
    count = draw(st.integers(3, 6 if len(names) == 2 else 5))
    layers = [
        dp.Layer(
            name=f"l{v}", flops=draw(st.integers(0, 3)), bytes=0, weights=draw(st.sampled_from([0, 0, 0, 0, 9, 20]))
        )
        for v in range(count)
    ]
    inputs = [
        {draw(st.sampled_from([v - 1, v - 1, v - 1, 0])), draw(st.sampled_from([v - 1, v - 1, max(0, v - 2)]))}
        for v in range(1, count)
    ]
    tensors = [dp.Tensor(name="image", producer="input", consumers=("l0",), bytes=draw(amount))]
    for v in range(count - 1):
        readers = [f"l{w + 1}" for w, reads in enumerate(inputs) if v in reads]
        tensors.append(dp.Tensor(name=f"t{v}", producer=f"l{v}", consumers=readers or ["output"], bytes=draw(amount)))
    network = dp.Network(
        name="net", layers=layers, tensors=tensors, source="p", sink=draw(st.sampled_from([None, "q"]))
    )
    held = sum(layer.weights for layer in layers)
    devices = [
        dp.Device(
            name=name,
            flops_per_s=draw(amount),
            bytes_per_s=1,
            power=draw(amount),
            memory=draw(st.integers(held // 2, held + 1)),
        )
        for name in names
    ]
    pairs = list(permutations(names, 2))
    links = [dp.Link(name=a + b, sender=a, receiver=b, bandwidth=draw(amount) / 20, latency=0) for a, b in pairs]
    routes = [dp.Route(origin=a, destination=b, links=[a + b]) for a, b in pairs]
    terms = draw(st.sampled_from([dp.latency(), dp.energy(), 0.3 * dp.latency() + 0.7 * dp.energy()]))
    limits = [dp.Memory()] + [dp.Traffic(limit=draw(amount))] * draw(st.booleans())
    return dp.Problem(
        network, dp.Platform(devices=devices, links=links, routes=routes), "sequential", terms, subject_to=limits
    )


def solve_merged(problem):
    """Solve a problem, merged as far as it can be; return the result, and whether a layer was merged."""
    merged = []

    def watched(pool):
        relay = merged_pool(pool)
        merged.append(relay is not None)
        return relay

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("dnnopt.methods.merging.WORTH_MERGING", 1e-9)
        patched.setattr("dnnopt.methods.auto.merged_pool", watched)
        patched.setattr("dnnopt.methods.auto._Auto._fitting", lambda auto: Outcome("no_solution"))
        return dp.solve(problem), any(merged)


def test_what_is_solved_with_layers_merged_is_the_optimum():
    @settings(max_examples=60, deadline=None)
    @given(on_slow_links())
    def check(problem):
        best = brute_force(problem)
        result, merged = solve_merged(problem)
        assert not result.contradictions
        if best.objective is None:
            assert result.status == "infeasible"
        else:
            assert result.status == "optimal"
            assert result.objective == pytest.approx(best.objective, rel=1e-6)
        were_merged.append(merged)

    were_merged: list[bool] = []
    check()
    assert sum(were_merged) >= 5
