"""The bound of merged devices, against all placements."""

from collections import Counter

import numpy as np
from brute_force import ROUNDING, brute_force
from hypothesis import given, settings
from hypothesis import strategies as st
from special import in_memory

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.methods.bounds.merged_devices import MergedPool, bound_merged, fill_members, refuses, relaxed, with_clusters
from dnnopt.methods.exact import groups
from dnnopt.methods.exact.groups import GroupSearch
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.referee import evaluate

DRAWN = in_memory(most_placements=120)


def random_clusters(count, draw):
    """Return the devices in two clusters or more, unless there is one device."""
    labels = draw.integers(0, max(2, count - 1), count)
    return [tuple(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)]


def test_no_plan_costs_less_than_its_plan_of_clusters_nor_breaks_a_limit_there():
    seen = Counter()

    @settings(max_examples=120, deadline=None)
    @given(DRAWN, st.integers(0, 2**32))
    def check(one, seed):
        draw = np.random.default_rng(seed)
        c = compile_problem(one).at_stage(0, {})
        best = brute_force(one)
        if refuses(c) is not None or best.objective is None:
            return
        clusters = random_clusters(len(c.device_names), draw)
        merged = with_clusters(c, clusters)
        number = np.array(
            [next(n for n, mine in enumerate(clusters) if device in mine) for device in c.executor_device]
        )
        for plan in best.plans:
            placement = number[c.placement(plan)]
            assert merged.allowed[np.arange(len(placement)), placement].all()
            evaluator = evaluator_of(merged)
            assert evaluator.excess(placement[None])[0] <= 1e-9
            value = evaluator.objectives(placement[None])[0]
            assert value <= best.objective + ROUNDING * abs(best.objective) + 1e-300
        seen["plans"] += 1
        seen["clusters"] += len(clusters) < len(c.device_names)

    check()
    assert seen["plans"] >= 8
    assert seen["clusters"] >= 4


def test_the_bound_of_any_clusters_is_one_and_filled_members_are_placements():
    seen = Counter()

    @settings(max_examples=120, deadline=None)
    @given(DRAWN, st.integers(0, 2**32))
    def check(one, seed):
        draw = np.random.default_rng(seed)
        c = compile_problem(one).at_stage(0, {})
        if refuses(c) is not None:
            return
        clusters = random_clusters(len(c.device_names), draw)
        merged = with_clusters(c, clusters)
        if not groups.suits(merged):
            return
        best = brute_force(one).objective
        pool = Pool(one, c)
        if best is not None and draw.random() < 0.5:
            pool.cutoff = best * (1.0 + draw.random())
        outcome = GroupSearch(MergedPool(pool, clusters, merged), merged, Control()).run(Limits(20.0))
        if best is None:
            return
        assert outcome.status != "infeasible"
        room = ROUNDING * abs(best) + 1e-300
        assert pool.bound is None or pool.bound <= best + room
        assert pool.objective is None or pool.objective >= best - room
        placement = np.array([draw.choice(np.flatnonzero(row)) for row in merged.allowed])
        inside = fill_members(c, clusters, placement)
        assert c.allowed[np.arange(len(inside)), inside].all()
        seen["bound"] += pool.bound is not None
        seen["optimum"] += pool.bound is not None and pool.bound >= best - 1e-6 * abs(best)
        seen["plan"] += pool.objective is not None

    check()
    assert seen["bound"] >= 4
    assert seen["optimum"] >= 1
    assert seen["plan"] >= 1


def test_a_problem_that_no_clusters_can_solve_has_no_plan():
    seen = Counter()

    @settings(max_examples=120, deadline=None)
    @given(DRAWN)
    def check(one):
        c = compile_problem(one).at_stage(0, {})
        if refuses(c) is not None or relaxed(c) is None:
            return
        pool = Pool(one, c)
        outcome = bound_merged(pool, c, Limits(20.0), Control())
        best = brute_force(one).objective
        seen["runs"] += 1
        if outcome.status == "infeasible":
            assert best is None
            seen["infeasible"] += 1
        if pool.plan is not None:
            assert evaluate(one, pool.plan).feasible

    check()
    assert seen["runs"] >= 2
