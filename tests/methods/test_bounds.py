"""Every bound is below the proved optimum of every problem of the set `small` that it accepts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from dnnopt import library
from dnnopt.best_known import read_table
from dnnopt.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.bounds.destructive import destructive_bound
from dnnopt.methods.bounds.escapes import escapes
from dnnopt.methods.bounds.lagrangian import Lagrangian
from dnnopt.methods.label_search import LabelSearch
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
