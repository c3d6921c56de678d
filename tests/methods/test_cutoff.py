"""A cutoff: plans above what is known elsewhere are not looked for, and that there are none below it is a proof."""

from collections import Counter

import pytest
from brute_force import OPTIMAL, ROUNDING, brute_force
from examples import check_until
from hard_problem import hard_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.exact import EXACT
from dnnopt.methods.pool import Pool
from dnnopt.methods.solving import Search
from dnnopt.models.solvers.interface import Control, Limits

FORMULATIONS = ("edgewise", "product", "boundary", "cp-assignment")
OPTIMUM, CUTOFF = 0.0886, 0.05  # of the hard problem, in seconds; its bound is above this one soon
CHOICES = [{}, {}, *({"formulation": name} for name in FORMULATIONS), *({"method": name} for name in EXACT)]


def run(problem, cutoff, limits=None, **choice):
    """Return the pool and the result of a search with a cutoff."""
    compiled = compile_problem(problem)
    search = Search(problem, compiled, limits or Limits(threads=1), Control(), **choice)
    pool = Pool(problem, compiled.at_stage(0, {}), cutoff=cutoff)
    return pool, search.result([(pool, search.improve(pool, search.limits.time_limit, None))], 0.0)


def test_a_search_below_a_cutoff_finds_the_optimum_or_proves_that_it_is_not_below():
    seen = Counter()

    @settings(max_examples=60)
    @given(problems(), st.sampled_from(CHOICES), st.sampled_from((0.3, 0.999, 1.0, 1.001, 2.0, 1e6)))
    def check(one, choice, factor):
        best = brute_force(one).objective
        cutoff = factor * (1.0 if best is None else best)
        try:
            pool, result = run(one, cutoff, **choice)
        except UnsupportedError:
            return
        seen[result.status] += 1
        if best is None:
            assert result.status in ("infeasible", "cut_off")
            assert result.plan is None
            return
        room = OPTIMAL * abs(best) + pool.resolution
        assert result.bound <= best + ROUNDING * abs(best) + pool.resolution
        if cutoff > best + 2 * room:
            assert result.status == "optimal"
            assert abs(result.objective - best) <= room
        else:
            assert result.status in ("cut_off", "optimal")
            assert result.bound >= min(cutoff, best) - 2 * room

    check_until(check, lambda: seen["cut_off"] > 5 and seen["optimal"] > 5)


@pytest.mark.parametrize("choice", [{}, {"formulation": "edgewise"}], ids=["auto", "edgewise"])
def test_a_search_ends_as_soon_as_its_bound_reaches_the_cutoff(choice):
    _, result = run(hard_problem(), CUTOFF, Limits(time_limit=300), confirm=False, **choice)
    assert result.status == "cut_off"
    assert CUTOFF <= result.bound < OPTIMUM
    assert result.trace[-1].time < 100


def test_a_gap_counts_from_the_cutoff():
    assert run(hard_problem(), 1.1 * CUTOFF, Limits(time_limit=300, gap=0.2), confirm=False)[1].status == "cut_off"
