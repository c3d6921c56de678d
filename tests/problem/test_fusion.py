"""The best fusion: a shortest path over blocks, proved by a solver and by trying all ways."""

from itertools import pairwise, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_stacks import stacks
from pieces_values import Run, lan

import dnnopt as dp
from dnnopt.problem.profiles import Profile
from dnnopt.problem.transforms.fusion import BlockCosts

some = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def every_way(network, platform, grids):
    """Return the cost of each way to cut a network into blocks and to choose their tiles."""
    costs = BlockCosts(network, platform, platform.device_names(), Profile())
    cost = {(first, last, grid): seconds for grid in grids for first, last, seconds in costs.of(grid)}
    count = len(costs.stages)
    for cuts in product([False, True], repeat=count - 1):
        ends = [0, *(k + 1 for k, cut in enumerate(cuts) if cut), count]
        options = [[cost[a, b - 1, grid] for grid in grids if (a, b - 1, grid) in cost] for a, b in pairwise(ends)]
        yield from map(sum, product(*options))


@some
@given(stacks(), st.integers(1, 3), st.sampled_from([1, 10]))
def test_the_best_fusion_is_the_best_of_all_ways_and_solvers_prove_it(tmp_path, drawn, devices, faster):
    made, rng = drawn
    network = Run.of(made, tmp_path, rng).network
    platform = lan(*["hub", "a", "b"][:devices], a=faster)
    grids = [(1, 1), (2, 1), (2, 2)]
    best = dp.best_fusion(network, platform, grids)
    assert best.seconds == pytest.approx(min(every_way(network, platform, grids)))
    assert best.seconds == pytest.approx(sum(run.seconds for run in best.runs))
    assert [name for run in best.runs for name in run.layers] == [network.layers[v].name for v in network.order]
    if len(network.layers) > 1:
        for options in ({}, {"formulation": "segments"}):
            result = dp.solve(best.problem, **options)
            assert result.status == "optimal"
            assert result.objective == pytest.approx(best.seconds)


@some
@given(stacks(), st.sampled_from([(2, 1), (2, 2), (1, 3)]))
def test_a_fixed_fusion_costs_what_its_tiles_do(tmp_path, drawn, grid):
    made, rng = drawn
    network = Run.of(made, tmp_path, rng).network
    alone = lan("hub")
    costs = BlockCosts(network, alone, ["hub"], Profile())
    for first, last, seconds in costs.of(grid):
        members = [name for stage in costs.stages[first : last + 1] for name in stage]
        tiles = dp.fuse(network, [members], grid).network
        there = {layer.name: "hub" for layer in tiles.layers}
        own = [layer for layer in tiles.layers if layer.name.partition("#")[0] == members[-1]]
        rest = dp.Network("rest", layers=own)
        problem = dp.Problem(rest, alone, "sequential", dp.latency())
        plan = dp.Plan({"rest": {layer.name: there[layer.name] for layer in own}})
        assert dp.evaluate(problem, plan).metrics["latency"] == pytest.approx(seconds)


def test_vgg16_is_fused_better_than_by_any_one_block_or_grid():
    network = dp.network("vgg16")
    platform = lan("hub", "a", "b", "c")
    grids = [(2, 2), (4, 1)]
    best = dp.best_fusion(network, platform, grids)
    costs = BlockCosts(network, platform, platform.device_names(), Profile())
    alone = {first: seconds for first, _, seconds in costs.of((1, 1))}
    for grid in grids:
        for first, last, seconds in costs.of(grid):
            fixed = seconds + sum(time for stage, time in alone.items() if not first <= stage <= last)
            assert best.seconds <= fixed * (1 + 1e-9)
    assert best.seconds < sum(alone.values())
    assert dp.solve(best.problem).objective == pytest.approx(best.seconds)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"devices": ["hub", "moon"]}, "devices: got 'moon', expected one of hub, a"),
        ({"devices": []}, r"devices: got \[\], expected at least one device, each once"),
        ({"grids": [(0, 2)]}, r"grids\[0\]: got \(0, 2\), expected \(rows, columns\), two whole numbers >= 1"),
    ],
)
def test_wrong_arguments_are_named(arguments, problem):
    with pytest.raises(dp.InputError, match=problem):
        dp.best_fusion(dp.network("alexnet"), lan("hub", "a"), **{"grids": [(2, 2)], **arguments})
