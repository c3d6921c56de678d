"""Every bound is below the proved optimum of every problem of the set `small` that it accepts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from brute_force import brute_force
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt import library
from dnnopt.best_known import read_table
from dnnopt.compiler import compile_problem
from dnnopt.constraints import Contiguous
from dnnopt.formulations import registry
from dnnopt.methods.bounds import chains
from dnnopt.methods.bounds.destructive import destructive_bound
from dnnopt.methods.bounds.escapes import escapes
from dnnopt.methods.bounds.lagrangian import Lagrangian
from dnnopt.methods.label_search import LabelSearch
from dnnopt.objectives import latency
from dnnopt.pool import Pool
from dnnopt.solvers.highs import relaxation
from dnnopt.solvers.interface import Clock, Control, Limits
from dnnopt.solving import solve

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
        problem = library.load(row.problem)
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

    @settings(max_examples=120)
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

    check()
    assert min(seen[word] for word in ("tight", "positive")) >= 10, seen
