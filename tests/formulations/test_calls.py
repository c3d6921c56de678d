"""Timing `calls` finds the optimum that the referee finds by judging every placement."""

import numpy as np
import pytest
from brute_force import brute_force, check_solved, judged_plans
from builders import layer, link, network, platform, problem, shared, tensor
from hypothesis import given, settings
from hypothesis import strategies as st

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.formulations import registry
from dnnopt.methods.bounds import chains
from dnnopt.problem.constraints import Colocate, Deadline, MaxDevices, Memory
from dnnopt.problem.platforms import Device

FORMULATIONS = ("edgewise+calls", "product+calls")


@st.composite
def call_problems(draw):
    """Draw a problem on one or two devices that run calls and a pool, around a host's memory or with direct links."""
    calling = ["acc", "gpu"][: draw(st.integers(1, 2))]
    devices = [*(Device(name=name) for name in calling), Device(name="cpu", pool=True)]
    names = [device.name for device in devices]
    alike = draw(st.booleans())
    bandwidths = st.just(1.0) if alike else st.sampled_from((0.5, 1.0, 4.0))
    if draw(st.booleans()):
        links = [link(f"{name}-out", draw(bandwidths), sender=name) for name in calling]
        links += [link(f"{name}-in", draw(bandwidths), receiver=name) for name in calling]
        routes = {
            f"{i}>{j}": " ".join([f"{i}-out"] * (i in calling) + [f"{j}-in"] * (j in calling))
            for i in names
            for j in names
            if i != j
        }
    else:
        links = [link(f"{i}>{j}", draw(bandwidths), sender=i, receiver=j) for i in names for j in names if i != j]
        routes = {one.name: one.name for one in links}
    words = "abcde"[: draw(st.integers(1, 5 if len(names) == 3 else 6))]
    amounts = st.sampled_from((0.0, 1.0, 1.0, 2.0, 3.0, 7.0))
    tensors = []
    for position, word in enumerate(words):
        later = [other for other in words[position + 1 :] if draw(st.integers(0, 2))]
        result = ["output"] if draw(st.integers(0, 3)) == 0 else []
        if later or result:
            tensors.append(tensor(f"t{word}", word, " ".join(later + result), draw(amounts)))
    if draw(st.booleans()):
        tensors.append(tensor("in", "input", words[0], draw(amounts)))
    net = network(
        [layer(word, draw(amounts)) for word in words],
        tensors,
        source=draw(st.sampled_from((None, "cpu"))),
        sink=draw(st.sampled_from((None, "cpu"))),
        shared_weights=[shared("tied", draw(amounts), " ".join(words[: draw(st.integers(1, len(words)))]))],
    )
    times = {}
    for word in words:
        own = [draw(amounts)] * len(calling) if alike else [draw(amounts) for _ in calling]
        times[word] = (*own, 3 * draw(amounts))
    limits = [
        Memory(limits=dict.fromkeys(calling if alike else calling[:1], draw(st.sampled_from((2.0, 5.0))))),
        Deadline(limit=draw(st.sampled_from((3.0, 10.0, 30.0)))),
        MaxDevices(limit=1),
    ]
    return problem(
        net,
        platform(devices, links, routes),
        times,
        "call",
        minimize=draw(st.sampled_from((dp.latency(), dp.period(), dp.latency() + 0.5 * dp.traffic()))),
        subject_to=[limit for limit in limits if draw(st.integers(0, 3)) == 0],
        transport=draw(st.sampled_from(("multicast", "unicast", "per_edge"))),
    )


@settings(max_examples=60)
@given(call_problems())
def test_the_evaluator_agrees_with_the_referee(problem):
    compiled = compile_problem(problem)
    evaluator = Evaluator(compiled)
    for plan, judged in judged_plans(problem):
        placement = compiled.placement(plan)[None]
        latency = evaluator.latencies(placement)[0, 0]
        assert latency == pytest.approx(judged.metrics["latency"])
        assert (evaluator.excess(placement)[0] > 0) == (not judged.feasible)


@settings(max_examples=20)
@given(call_problems(), st.data())
def test_formulations_match_brute_force(problem, data):
    able = registry.supporting(compile_problem(problem))
    assert set(FORMULATIONS) <= set(able)
    assert {name.partition("+")[2] for name in able} <= {"calls", "period", "sum"}
    result = dp.solve(problem, formulation=data.draw(st.sampled_from(able)), solver="highs")
    check_solved(brute_force(problem), result.status, result.objective, result.bounds[0], noise=1e-6)


@settings(max_examples=15)
@given(call_problems())
def test_auto_matches_brute_force(problem):
    result = dp.solve(problem)
    check_solved(brute_force(problem), result.status, result.objective, result.bounds[0], noise=1e-6)


@settings(max_examples=60)
@given(call_problems())
def test_the_chain_bound_is_below_brute_force(problem):
    compiled, best = compile_problem(problem), brute_force(problem).objective
    if chains.refuses(compiled) is None and best is not None:
        bound = chains.chain_bound(compiled)
        assert bound is not None
        assert bound <= best * (1 + 1e-9)


def test_the_chain_bound_is_the_optimum_of_calls_on_a_chain():
    # Two of the three layers fit on the accelerator; what goes in and out takes 1 s each.
    net = network([layer(word, 1.0) for word in "abc"], [tensor("t", "a", "b", 1), tensor("u", "b", "c", 1)])
    on = platform(
        [Device(name="acc"), Device(name="cpu", pool=True)],
        [link("out", sender="acc"), link("in", receiver="acc")],
        {"acc>cpu": "out", "cpu>acc": "in"},
    )
    made = problem(net, on, {"a": (1, 9), "b": (2, 8), "c": (3, 7)}, "call", subject_to=[Memory(limits={"acc": 2.0})])
    bound = chains.chain_bound(compile_problem(made))
    assert brute_force(made).objective == 1 + 2 + 1 + 7
    assert bound == pytest.approx(1 + 2 + 1 + 7)


def test_the_chain_bound_knows_that_a_call_has_what_is_between_its_layers_and_what_is_colocated_with_it():
    # A call with a and d has b and c, too, whose class takes 4; a, b and d alone would fit.
    net = network(
        [layer(word, 3.0 if word == "w" else 1.0) for word in "wabcd"],
        [tensor("x", "w", "c", 1), tensor("t", "a", "b c", 0), tensor("u", "b", "d", 1), tensor("v", "c", "d", 0)],
    )
    on = platform(
        [Device(name="acc"), Device(name="cpu", pool=True)],
        [link("out", sender="acc"), link("in", receiver="acc")],
        {"acc>cpu": "out", "cpu>acc": "in"},
    )
    times = {"w": (0, 0), "a": (1, 20), "b": (3, 40), "c": (1, 0), "d": (1, 20)}
    limits = [Memory(limits={"acc": 3.0}), Colocate(network=net.name, layers=("w", "c"))]
    made = problem(net, on, times, "call", subject_to=limits)
    bound = chains.chain_bound(compile_problem(made))
    assert bound == pytest.approx(brute_force(made).objective)


@settings(max_examples=30)
@given(call_problems(), st.data())
def test_every_feasible_plan_is_a_solution_of_the_model(problem, data):
    compiled = compile_problem(problem)
    found = registry.formulation(data.draw(st.sampled_from(registry.supporting(compiled))), compiled)
    model = found.build(compiled)
    for plan, judged in judged_plans(problem):
        if judged.feasible:
            values = found.encode(compiled, model, compiled.placement(plan))
            arrays = model.arrays()
            assert arrays.worst_violation(values) <= 1e-7
            assert arrays.cost @ values * model.objective_unit == pytest.approx(judged.objective, rel=1e-9, abs=1e-9)


def test_calls_that_take_no_time_may_not_wait_for_each_other_either():
    net = network("a b c", [tensor("s", "a", "b", 0), tensor("t", "b", "c", 0)])
    on = platform(
        [Device(name="acc"), Device(name="cpu", pool=True)],
        [link("out", sender="acc"), link("in", receiver="acc")],
        {"acc>cpu": "out", "cpu>acc": "in"},
    )
    # b cannot run on the accelerator, and the pool is slow at a and c: only one of them may be called.
    made = problem(net, on, {"a": (0, 5), "b": (None, 0), "c": (0, 7)}, "call")
    result = dp.solve(made, formulation="edgewise", solver="highs")
    assert result.status == "optimal"
    assert result.objective == pytest.approx(5)
    assert np.isinf(Evaluator(compile_problem(made)).latencies(np.array([[0, 1, 0]]))[0, 0])
