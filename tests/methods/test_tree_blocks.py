"""The tree program with blocks that have costs of their own: exact, or refused by name."""

import math
from collections import Counter

import numpy as np
import pytest
from brute_force import brute_force
from choice_problems import linear_terms, problems_with_choices
from examples import check_until
from hypothesis import given, settings

from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.exact import tree
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.lagrangian import Lagrangian, below
from dnnopt.models.solvers.interface import Control, Limits


@pytest.mark.parametrize("kinds", [(), ("modes", "forms", "reach")])
def test_the_tree_program_finds_the_optimum_of_all_cuts_or_refuses(kinds):
    seen = Counter()

    @settings(max_examples=40)
    @given(problems_with_choices(kinds=(*kinds, "blocks"), always=("blocks",), executions=("sequential",)))
    def check(drawn):
        pinned = tuple(one for one in drawn.subject_to if one.constraint == "placement")
        one = drawn.model_copy(update={"subject_to": pinned, "minimize": linear_terms(drawn)})
        c = compile_problem(one)
        if tree.refuses(c):
            return
        best = brute_force(one)
        pool = Pool(one, c)
        status = tree.run(pool, Limits(20.0, threads=1), Control()).status
        if best.objective is None:
            assert (status, pool.objective) == ("infeasible", None)
            return
        assert math.isclose(pool.objective, best.objective, rel_tol=1e-9, abs_tol=1e-300)
        assert math.isclose(pool.bound, best.objective, rel_tol=1e-9, abs_tol=1e-300)
        found = {"used": all(plan.blocks for plan in best.plans), "several consumers": (c.fan_out > 2).any()}
        found |= {"modes": len(c.host_names) > len(c.device_names), "forms": bool(c.choices)}
        seen.update(name for name, there in found.items() if there)

    check_until(check, lambda: all(seen[name] > 1 for name in ("used", "several consumers", *kinds[:2])))


def test_prices_bound_every_cut_and_keep_the_best_ones():
    seen = Counter()

    @settings(max_examples=40)
    @given(problems_with_choices(kinds=("state", "blocks"), always=("blocks",)))
    def check(one):
        c = compile_problem(one)
        if Lagrangian.refuses(c):
            return
        best = brute_force(one)
        prices = Lagrangian(c)
        prices.maximize(Limits(5.0, threads=1), Control())
        if best.objective is None:
            return
        assert prices.bound <= best.objective + 1e-9 * abs(best.objective)
        left = below(c, prices.marginals(Limits(5.0, threads=1), Control()), best.objective)
        for plan in best.plans:
            placement = c.placement(plan)
            assert left.allowed[np.arange(len(placement)), placement].all()
            pairs = c.edge_pairs(placement)
            sent = np.flatnonzero(pairs >= 0)
            assert left.edge_moves[sent, pairs[sent]].all()
        seen["blocks"] += all(plan.blocks for plan in best.plans)
        seen["limits"] += bool(prices.limits)
        seen["less"] += left.allowed.sum() < c.allowed.sum()

    check_until(check, lambda: min(seen["blocks"], seen["limits"], seen["less"]) > 2)
