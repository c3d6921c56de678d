"""The tree program is exact without limits, its marginals tell choices apart, and prices give bounds that hold."""

from collections import Counter

import numpy as np
import pytest
from brute_force import feasible_plans
from builders import link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.constraints import LinearTerm
from dnnopt.methods.programs.lagrangian import Lagrangian, below
from dnnopt.methods.programs.tree_program import TreeProgram
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.constraints import memory
from dnnopt.problem.objectives import cost, energy, latency, period, traffic

OBJECTIVES = st.sampled_from((latency(), energy(), cost(), traffic(), latency() + 0.5 * energy()))
FAST = Limits(10.0, threads=1)


def parts(c):
    """Return the coefficients of a linear objective without exposure."""
    alpha, beta = np.zeros(c.time.shape), np.zeros((len(c.tensor_names), len(c.link_names)))
    for term in c.objective[0]:
        m = term.metric
        alpha = alpha + term.weight * m.alpha
        beta = beta + term.weight * m.scale[:, None] * (m.per_copy + c.tensor_bytes[:, None] * m.per_byte)
    return alpha, beta


def drawn(**options):
    return problems(executions=("sequential", "pipelined"), largest_spread=2, **options)


def check_against_enumeration(one, seen):
    c = compile_problem(one)
    assert all(isinstance(term, LinearTerm) for term in c.objective[0])
    values = {}
    for (objective,), plan in feasible_plans(one):
        values[tuple(c.placement(plan))] = objective
    program = TreeProgram(c)
    value, placement = program.solve(*parts(c))
    if not values:
        assert np.isinf(value)
        seen["none"] += 1
        return
    best = min(values.values())
    assert value == pytest.approx(best, rel=1e-9, abs=1e-12)
    assert values[tuple(placement)] == pytest.approx(best, rel=1e-9, abs=1e-12)
    marginals = program.marginals(*parts(c))
    for node in range(len(c.node_names)):
        for executor in range(c.time.shape[1]):
            there = [v for p, v in values.items() if p[node] == executor]
            found = marginals.nodes[node, executor]
            assert found == pytest.approx(min(there), rel=1e-9, abs=1e-12) if there else np.isposinf(found)
    for edge, (u, v) in enumerate(zip(c.edge_producer, c.edge_consumer, strict=True)):
        for pair, (i, j) in enumerate(zip(c.pair_origin, c.pair_destination, strict=True)):
            there = [x for p, x in values.items() if (p[u], p[v]) == (i, j)]
            found = marginals.edges[edge, pair]
            seen["sets"] += bool(np.isneginf(found))
            if there:
                assert found <= min(there) * (1 + 1e-9) + 1e-12
                assert np.isneginf(found) or found == pytest.approx(min(there), rel=1e-9, abs=1e-12)
            else:
                assert np.isinf(found)
    seen[one.transport] += 1
    seen["shared"] += bool((c.fan_out > 1).any())


def test_values_plans_and_marginals_are_those_of_enumeration():
    seen = Counter()

    @settings(max_examples=60)
    @given(drawn(), OBJECTIVES)
    def check(one, objective):
        check_against_enumeration(one.replace(subject_to=(), minimize=objective), seen)

    check_until(check, lambda: all(seen[name] for name in ("unicast", "multicast", "per_edge", "shared")))


@pytest.mark.parametrize("transport", ["unicast", "multicast", "per_edge"])
def test_tensors_with_many_uses_are_charged_once_for_each_destination(transport):
    seen = Counter()
    tensors = [tensor("t", "a", "b c d e", 3), tensor("u", "b", "e", 1), tensor("v", "c", "d", 2)]
    links = [link(name, rate) for name, rate in (("p-up", 1), ("q-up", 2), ("r-up", 3), ("p-down", 3), ("q-down", 1))]
    routes = {f"{i}>{j}": f"{i}-up {j}-down" for i in "pqr" for j in "pq" if i != j}
    on = platform("p q r", links, routes)
    times = {"a": (1, 2, 3), "b": (5, 1, 1), "c": (2, 9, 2), "d": (4, 2, 1), "e": (7, 1, 5)}
    check_against_enumeration(problem(network("a b c d e", tensors), on, times, transport=transport), seen)
    assert bool(seen["sets"]) == (transport != "per_edge")


def test_prices_give_a_bound_and_what_they_price_out_is_in_no_plan_of_that_value():
    seen = Counter()

    @settings(max_examples=35)
    @given(drawn(), OBJECTIVES)
    def check(one, objective):
        one = one.replace(minimize=objective)
        c = compile_problem(one)
        feasible = [(objective, c.placement(plan)) for (objective,), plan in feasible_plans(one)]
        lagrangian = Lagrangian(c)
        unpriced, _ = lagrangian.program.solve(*parts(c))
        lagrangian.maximize(FAST, Control())
        if not feasible:
            seen["infeasible"] += 1
            return
        best = min(value for value, _ in feasible)
        assert lagrangian.bound <= best + 1e-9 * abs(best) + 1e-12
        assert lagrangian.bound >= unpriced - 1e-12 * abs(unpriced)
        marginals = lagrangian.marginals(FAST, Control())
        for cap in (best, 1.1 * best):
            reduced = below(c, marginals, cap)
            for value, placement in feasible:
                if value <= cap:
                    assert reduced.allowed[np.arange(len(placement)), placement].all()
                    devices = c.executor_device[placement]
                    moved = (devices[c.edge_producer][:, None] == c.pair_origin) & (
                        devices[c.edge_consumer][:, None] == c.pair_destination
                    )
                    assert not (moved & reduced.forbidden_moves).any()
            seen["priced out"] += bool((~reduced.allowed & c.allowed).any())

    check_until(check, lambda: seen["priced out"] >= 1)


def test_the_price_of_memory_by_hand():
    # All of it fits on neither device. q is twice as fast; the link is free: a and b are split in the relaxation.
    net = network("a b", [tensor("t", "a", "b", 0)])
    net = net.replace(layers=[one.replace(weights=2.0) for one in net.layers])
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    one = problem(net, on, {"a": (2, 1), "b": (2, 1)}, subject_to=[memory(limits={"q": 3})])
    lagrangian = Lagrangian(compile_problem(one))
    lagrangian.maximize(FAST, Control())
    assert lagrangian.bound == pytest.approx(2.5, rel=1e-4)  # one and a half layers on q
    assert lagrangian.prices == pytest.approx([1, 1.5], rel=1e-3)  # a second for each 2 of 3 bytes


def test_what_is_too_wide_or_not_linear_is_refused_by_reason():
    net = network("a b", [tensor("t", "a", "b", 0)])
    names = " ".join(f"d{i}" for i in range(11))
    wide = problem(net, platform(names), dict.fromkeys("ab", (1,) * 11))
    assert TreeProgram.refuses(compile_problem(wide)) == "more than 10 devices"
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    parallel = problem(net, on, dict.fromkeys("ab", (1, 2)), "parallel")
    assert Lagrangian.refuses(compile_problem(parallel)) == "latency under parallel execution"


def test_weights_over_resources_give_a_bound_on_the_period():
    seen = Counter()

    @settings(max_examples=30)
    @given(problems(executions=("pipelined",), largest_spread=2))
    def check(one):
        one = one.replace(minimize=period())
        c = compile_problem(one)
        feasible = [(objective, c.placement(plan)) for (objective,), plan in feasible_plans(one)]
        lagrangian = Lagrangian(c)
        lagrangian.maximize(FAST, Control())
        if not feasible:
            return
        best = min(value for value, _ in feasible)
        assert lagrangian.bound <= best + 1e-9 * abs(best) + 1e-12
        assert lagrangian.prices[: len(lagrangian.objective)].sum() == pytest.approx(1)
        reduced = below(c, lagrangian.marginals(FAST, Control()), best)
        for value, placement in feasible:
            assert value > best or reduced.allowed[np.arange(len(placement)), placement].all()
        seen["tight"] += lagrangian.bound >= best * (1 - 1e-4)
        seen["priced out"] += bool((~reduced.allowed & c.allowed).any())

    check_until(check, lambda: seen["tight"] and seen["priced out"])
