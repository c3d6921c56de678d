"""The formulation `segments`: exact relaxations on chains, sizes, and that without blocks it is `edgewise`."""

from itertools import pairwise

import numpy as np
import pytest
from brute_force import brute_force
from builders import layer, link, network, platform, problem, tensor

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.models.solvers.highs import relaxation
from dnnopt.models.solvers.interface import Limits


def chain(seed, layers=5, devices=2, blocks=True):
    """Return a chain in which every run of layers is a block, with random times."""
    rng = np.random.default_rng(seed)
    names, places = "abcdefgh"[:layers], "pqr"[:devices]
    tensors = [tensor("x", "input", names[0], float(rng.integers(0, 9)))]
    tensors += [tensor(f"t{u}", u, v, float(rng.integers(1, 9))) for u, v in pairwise(names)]
    pairs = [(i, j) for i in places for j in places if i != j]
    on = platform(
        " ".join(places),
        [link(f"{i}{j}", latency=float(rng.integers(0, 3))) for i, j in pairs],
        {f"{i}>{j}": f"{i}{j}" for i, j in pairs},
    )
    times = {name: tuple(float(t) for t in rng.integers(1, 9, devices)) for name in names}
    one = problem(network([layer(name) for name in names], tensors, source="p", sink=None), on, times)
    listed = []
    for first in range(layers):
        for last in range(first + 1, layers):
            run = names[first : last + 1]
            alone = np.array([times[name] for name in run]).sum(axis=0)
            some = {
                d: float(a * rng.uniform(0.5, 1.3)) for d, a in zip(places, alone, strict=True) if rng.random() < 0.7
            }
            if some:
                listed.append({"network": "net", "layers": list(run), "time": some})
    return one.replace(profile=one.profile.replace(blocks=listed)) if blocks else one


@pytest.mark.parametrize("seed", range(6))
def test_the_relaxation_is_exact_on_chains(seed):
    one = chain(seed, layers=4, devices=2 + seed % 2)
    model = dp.formulate(one, "segments")
    bound = relaxation(model, Limits(10.0, threads=1)).objective * model.objective_unit
    assert bound == pytest.approx(brute_force(one).objective, rel=1e-6)


def test_a_block_is_one_variable_on_each_host():
    one = chain(1)
    segments, edgewise = dp.formulate(one, "segments"), dp.formulate(one, "edgewise")
    (block,) = [block for block in segments.variables if block.name == "segment"]
    assert block.size == sum(len(block.time) for block in one.profile.blocks)
    assert segments.column_count < edgewise.column_count
    assert not any(rows.name == "tied" and rows.size for rows in segments.rows)
    assert any(rows.name == "tied" for rows in edgewise.rows)


def test_without_blocks_it_is_edgewise():
    one = chain(1, blocks=False)
    segments, edgewise = dp.formulate(one, "segments"), dp.formulate(one, "edgewise")
    assert segments.size() == edgewise.size()
    assert dp.solve(one, formulation="segments").objective == brute_force(one).objective


def test_without_blocks_it_knows_other_executions_and_is_not_compared_with_itself():
    one = chain(1, blocks=False).replace(execution="parallel")
    assert dp.solve(one, formulation="segments").formulation == "segments+potentials"
    compiled = [compile_problem(problem) for problem in (one, chain(1))]
    assert [any(name.startswith("segments") for name in registry.suiting(c)) for c in compiled] == [False, True]


def test_layers_that_must_be_apart_are_in_no_block():
    one = chain(2).replace(subject_to=[dp.Separate(["a", "c"])])
    result = dp.solve(one, formulation="segments")
    assert result.objective == pytest.approx(brute_force(one).objective)
    assert result.plan.placement["net"]["a"] != result.plan.placement["net"]["c"]


def test_values_of_its_variables_are_plans():
    one = chain(3, layers=3)
    values = {"segment(a..c,p)": 1.0}
    assert dp.plan_from_values(values, one, "segments").blocks == {"net": ("a..c",)}
