"""Every bound is below the proved optimum of every problem of the set `small` that it accepts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from brute_force import brute_force
from builders import link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.bounds import chains
from dnnopt.methods.bounds.contiguous import bound_stages
from dnnopt.methods.bounds.destructive import destructive_bound
from dnnopt.methods.bounds.escapes import escapes
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.label_search import LabelSearch
from dnnopt.methods.programs.lagrangian import Lagrangian
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.highs import relaxation
from dnnopt.models.solvers.interface import Clock, Control, Limits
from dnnopt.problem.constraints import Contiguous
from dnnopt.problem.objectives import Term, latency, period
from dnnopt.problem.problem import load
from dnnopt.studies.best_known import read_table

LIMITS = Limits(1.0, threads=1)


def lagrangian(problem, c):
    if Lagrangian.refuses(c) is not None:
        return None
    found = Lagrangian(c)
    found.maximize(LIMITS, Control())
    return found.bound


def labels(problem, c):
    if Lagrangian.refuses(c) is not None or LabelSearch.refuses(c) is not None:
        return None
    prices = Lagrangian(c)
    prices.maximize(LIMITS, Control())
    found = LabelSearch(c, prices.around(8, 0)).run(10, np.inf, Clock(), Control())
    plans = [Pool(problem, c).offer_placement(placement, "labels") for placement in found.placements[:1]]
    return min([found.bound, *(plan.objective for plan in plans)])


def with_escapes(problem, c):
    found = escapes(c)
    able = [name for name in registry.supporting(c, "milp") if name.startswith("edgewise")]
    if not found or not able:
        return None
    model = registry.formulation(able[0], c).build(replace(c, constraints=(*c.constraints, *found)))
    outcome = relaxation(model, LIMITS)
    return outcome.objective * model.objective_unit if outcome.status == "optimal" else None


def destructive(problem, c):
    able = [name for name in registry.supporting(c, "milp") if name.startswith("edgewise")]
    start = solve(problem, method="multi-cut")
    if not able or start.plan is None:
        return None
    pool = Pool(problem, c)
    pool.offer(start.plan, "multi-cut")
    destructive_bound(pool, registry.formulation(able[0], c), LIMITS, Control())
    return pool.bound


@pytest.mark.parametrize("bound", [lagrangian, labels, with_escapes, destructive])
def test_the_bound_is_below_the_proved_optimum_of_small_problems(bound):
    seen = Counter()
    for row in read_table().values():
        if not row.problem.startswith("small/"):
            continue
        problem = load(row.problem)
        found = bound(problem, compile_problem(problem))
        if found is None:
            seen["refused"] += 1
            continue
        assert found <= row.objective * (1 + 1e-6), row.problem
        seen["holds"] += 1
        seen["tight"] += found >= row.objective * (1 - 1e-3)
    assert seen["holds"] >= 10
    assert seen["tight"] >= 1


def test_the_chain_bound_is_below_the_optimum_of_contiguous_plans():
    seen = Counter()

    @settings(max_examples=60)
    @given(problems(executions=("parallel",), most_placements=90, largest_spread=2, most_constraints=1), st.booleans())
    def check(one, alone):
        name = one.networks[0].name
        limits = [Contiguous(network=name), *(() if alone else one.subject_to)]
        one = one.replace(minimize=latency(name), subject_to=limits)
        c, best = compile_problem(one), brute_force(one).objective
        assert chains.refuses(c) is None
        bound = chains.chain_bound(c)
        if best is None:
            seen["infeasible"] += 1
            return
        assert bound <= best * (1 + 1e-9)
        seen["tight"] += bound >= best * (1 - 1e-6)
        seen["positive"] += bound > 0

    check_until(check, lambda: min(seen["tight"], seen["positive"]) >= 10)


def test_two_contiguities_of_some_layers_each_have_no_chain_bound():
    net = network("a b c d", [tensor("t", "a", "b", 1), tensor("u", "b", "c", 1), tensor("v", "c", "d", 1)])
    on = platform("p q", [link("w", 1e3)], {"p>q": "w", "q>p": "w"})
    apart = [Contiguous(network="net", layers=("a", "c")), Contiguous(network="net", layers=("b", "d"))]
    times = {"a": (1, 100), "b": (100, 1), "c": (1, 100), "d": (100, 1)}
    one = problem(net, on, times, "parallel", latency("net"), apart)
    assert chains.refuses(compile_problem(one)) == "layers that need not be contiguous"
    assert solve(one).objective == pytest.approx(4.003)


@pytest.mark.parametrize("slow", [1e8, 1e12])
@pytest.mark.parametrize(("execution", "objective"), [("parallel", latency("net")), ("pipelined", period())])
def test_rounding_beside_very_slow_devices_lifts_no_bound_above_the_optimum(execution, objective, slow):
    net = network("a b c", [tensor("t", "a", "b", 1), tensor("u", "b", "c", 1)])
    on = platform("p q", [link("w", 1e3)], {"p>q": "w", "q>p": "w"})
    times = {"a": (slow, 0.0123), "b": (0.0317, slow), "c": (0.0431, slow)}
    one = problem(net, on, times, execution, objective, [Contiguous()])
    pool = Pool(one, compile_problem(one))
    bound_stages(pool, Limits(), Control())
    chains.add_chain_bound(pool)
    assert pool.bound <= brute_force(one).objective


def test_an_objective_without_any_term_is_no_period():
    one = problem(
        network("a"), platform("p"), {"a": (1,)}, "pipelined", Term(metric="traffic", over="max"), [Contiguous()]
    )
    assert solve(one).status == "optimal"
