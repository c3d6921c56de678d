"""The destructive bound is a bound, and no weaker than the plain linear relaxation."""

from collections import Counter

import pytest
from brute_force import brute_force
from builders import link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.bounds.destructive import SOURCE, destructive_bound
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers.highs import relaxation
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.objectives import Term, latency, period

# Bisection stops at this relative distance.
CLOSE = 3e-4
ONE_THREAD = Limits(threads=1)


def bounds(problem, plan, name="edgewise"):
    """Return the destructive bound from a plan, and the plain relaxation's."""
    compiled = compile_problem(problem)
    formulation = registry.formulation(name, compiled)
    pool = Pool(problem, compiled)
    pool.offer(plan, "given")
    destructive_bound(pool, formulation, ONE_THREAD, Control())
    model = formulation.build(compiled)
    return pool.bound, relaxation(model, ONE_THREAD).objective * model.objective_unit


def test_destructive_bound_is_between_the_relaxation_and_the_optimum():
    seen = Counter()
    objectives = st.sampled_from((period(), latency(), Term(metric="latency", over="max")))

    @settings(max_examples=50)
    @given(problems(executions=("parallel", "pipelined"), most_placements=90, most_constraints=2), objectives)
    def check(problem, objective):
        problem = problem.model_copy(update={"minimize": (objective,)})
        best = brute_force(problem)
        if not best.objective or len(problem.platform.devices) == 1:
            return
        bound, relaxed = bounds(problem, best.plans[0])
        assert bound <= best.objective * (1 + 1e-9)
        assert bound >= relaxed * (1 - CLOSE) - 1e-9 * best.objective
        seen["stronger"] += bound > relaxed * 1.01
        seen["tight"] += bound >= best.objective * (1 - 2 * CLOSE)

    check_until(check, lambda: seen["stronger"] >= 1 and seen["tight"] >= 3)


def test_one_long_layer_cannot_be_halved_between_two_devices():
    one = problem(network("a"), platform("p q"), {"a": (10, 15)}, "pipelined", minimize=period())
    bound, relaxed = bounds(one, brute_force(one).plans[0])
    assert relaxed == pytest.approx(6)  # 0.6 of it on p, 0.4 on q
    assert 10 * (1 - CLOSE) <= bound <= 10


def test_the_bound_rests_on_the_optimum_even_where_the_plan_it_starts_from_is_far_off():
    on = platform("p q", [link("up"), link("down")], {"p>q": "up", "q>p": "down"})
    net = network("a b c", [tensor("t", "a", "b", 2), tensor("s", "b", "c", 2)])
    chain = problem(net, on, {"a": (4, 500), "b": (4, 500), "c": (500, 3)}, "parallel")
    compiled = compile_problem(chain)
    worst = compiled.plan([1, 1, 0])
    bound, _ = bounds(chain, worst)
    assert brute_force(chain).objective == 13
    assert 13 * (1 - 2 * CLOSE) <= bound <= 13


def test_without_a_plan_there_is_nothing_to_bisect():
    one = problem(network("a"), platform("p q"), {"a": (10, 10)}, "pipelined", minimize=period())
    compiled = compile_problem(one)
    pool = Pool(one, compiled)
    destructive_bound(pool, registry.formulation("edgewise", compiled), ONE_THREAD, Control())
    assert pool.bound is None


def test_a_stop_ends_the_bisection():
    one = problem(network("a"), platform("p q"), {"a": (10, 10)}, "pipelined", minimize=period())
    compiled = compile_problem(one)
    pool, control = Pool(one, compiled), Control()
    pool.offer(compiled.plan([0]), "given")
    control.stop.set()
    destructive_bound(pool, registry.formulation("edgewise", compiled), ONE_THREAD, control)
    assert pool.bound is None
    destructive_bound(pool, registry.formulation("edgewise", compiled), ONE_THREAD, Control())
    assert pool.bound_by == SOURCE
