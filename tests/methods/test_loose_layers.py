"""Training graphs: gradients without a class, and layers that share a device below a cap, against enumeration."""

from collections import Counter

import numpy as np
import pytest
from shared_data import shared_file
from workloads import every_placement, workload

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.inputs.generators.operators import operator_graph
from dnnopt.inputs.msr import problem_of_workload, read_msr
from dnnopt.methods.bounds.contiguous import bound_stages, relaxations
from dnnopt.methods.bounds.together import together_below
from dnnopt.methods.exact import ideals
from dnnopt.methods.heuristics import BASELINES, Effort
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs import items as module
from dnnopt.models.solvers.interface import Control, Limits


def training(seed, light=False, **options):
    """Return a random problem of contiguous training; `light` gradients take little, and nothing on processors."""
    data = workload(seed, backward=2 + seed % 2, **options)
    for node in data["nodes"]:
        if light and node["isBackwardNode"]:
            node |= {"cpuLatency": 0.0, "fpgaLatency": 0.5, "size": 0.0, "colorClass": None}
    if light:  # what a gradient needs goes there alone, mostly
        last = {node["id"] for node in data["nodes"] if node["isBackwardNode"]}
        once = {edge["sourceId"]: edge for edge in data["edges"] if edge["destId"] in last}
        data["edges"] = [edge for edge in data["edges"] if once.get(edge["sourceId"], edge) is edge]
    return problem_of_workload(data, "net", contiguous=True)


def judged(problem):
    """Return the compiled problem, its feasible placements and their periods."""
    c = compile_problem(problem)
    evaluator, plans = Evaluator(c), every_placement(c)
    plans = plans[evaluator.excess(plans) == 0]
    return c, plans, evaluator.objectives(plans)


def test_ideals_with_loose_layers_find_the_optimum(monkeypatch):
    seen, asked = Counter(), []
    real = module.follows
    monkeypatch.setattr(module, "follows", lambda *given: real(*given) and not asked.append(1))
    for seed in range(40):
        problem = training(seed, light=seed % 2 == 1, room=0.6 if seed % 3 == 0 else None)
        c, _, values = judged(problem)
        asked.clear()
        if ideals.refuses(c) is not None:
            seen["refused"] += 1
            continue
        loose = ideals._items(c).loose
        seen["loose"] += bool(loose)
        seen["follows"] += bool(asked)
        seen["free"] += any(not one.follows for one in loose)
        pool = Pool(problem, c)
        outcome = ideals.run(pool, Limits(), Control())
        assert outcome.status == "optimal"
        assert pool.objective == pytest.approx(values.min(), rel=1e-9)
        assert pool.bound <= values.min() * (1 + 1e-9)
    assert min(seen["loose"], seen["follows"], seen["free"]) >= 5, seen


def test_bounds_of_relaxations_are_never_above_the_optimum():
    seen = Counter()
    for seed in range(26):
        problem = training(seed, light=seed % 3 == 1, accelerators=1 + seed % 2)
        c, plans, values = judged(problem)
        pool = Pool(problem, c)
        if seed % 2:  # a poor plan, or the best one
            pool.offer_placement(plans[values.argmin() if seed % 4 == 1 else len(values) // 2], "given")
        bound_stages(pool, Limits(), Control())
        if pool.bound is None:
            continue
        assert pool.bound <= values.min() * (1 + 1e-9)
        seen["bounds"] += 1
        seen["several"] += len(list(relaxations(c))) > 1
        seen["tight"] += pool.bound >= values.min() * (1 - 1e-6)
    assert min(seen.values()) >= 8, seen


@pytest.mark.parametrize("contiguous", [True, False])
def test_layers_that_share_a_device_below_a_cap_do_so(contiguous):
    seen = Counter()
    for seed in range(25):
        data = workload(seed, backward=2)
        for edge in data["edges"]:
            edge["cost"] *= 4
        c, plans, values = judged(problem_of_workload(data, "net", contiguous=contiguous))
        for cap in (values.min(), 1.2 * values.min(), np.median(values)):
            below = plans[values <= cap]
            for one in together_below(c, cap):
                there = below[:, list(one.nodes)]
                assert (there == there[:, :1]).all()
                seen["found"] += 1
                every = plans[:, list(one.nodes)]
                seen["says something"] += (every != every[:, :1]).any()
    assert seen["says something"] >= 20, seen


def test_without_a_cap_or_a_period_nothing_is_together():
    c = compile_problem(problem_of_workload(workload(1), "net"))
    assert together_below(c, np.inf) == []
    call = compile_problem(problem_of_workload(workload(1), "net", objective="latency"))
    assert together_below(call, 1e-9) == []


def test_the_training_of_bert_is_solved_by_relaxations():
    """The authors' program has 65.3031491221 ms, as gradients without a class mirror forward layers there."""
    problem = read_msr(shared_file("msr/throughput/bert_l-3_training.json"), contiguous=True)
    pool = Pool(problem, compile_problem(problem))
    for source, placement in BASELINES["class-segments"].placements(pool.compiled, Effort()):
        pool.offer_placement(placement, source)
    assert 1e3 * pool.objective <= 65.79
    bound_stages(pool, Limits(), Control())
    assert pool.is_closed(1e-6)
    assert 1e3 * pool.objective == pytest.approx(65.3030930, abs=1e-6)


def test_costs_that_are_left_out_are_found_again_in_the_plan():
    problem = operator_graph(70, 2, training=True, objective="throughput", contiguous=True, seed=1)
    c = compile_problem(problem)
    first = next(iter(relaxations(c)), None)
    assert first is not None
    assert len(first.use_tensor) < len(c.use_tensor)
    assert (first.seconds <= c.seconds).all()
    pool = Pool(problem, c)
    bound_stages(pool, Limits(time_limit=2.0), Control())
    assert pool.objective is not None
