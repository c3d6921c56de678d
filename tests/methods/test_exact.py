"""Every exact method finds and proves the optimum of enumeration where it accepts a problem, and refuses by reason."""

from collections import Counter

import pytest
from brute_force import brute_force, check_solved
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.compiler import compile_problem
from dnnopt.errors import UnsupportedError
from dnnopt.methods.exact import EXACT
from dnnopt.objectives import cost, energy, latency, period, traffic
from dnnopt.solving import solve

OBJECTIVES = st.sampled_from((latency(), energy(), cost(), traffic(), latency() + 0.5 * energy(), period()))


@pytest.mark.parametrize("name", EXACT)
def test_the_method_matches_brute_force_where_it_accepts_the_problem(name):
    seen = Counter()

    @settings(max_examples=150)
    @given(problems(executions=("sequential", "pipelined"), largest_spread=2), OBJECTIVES, st.booleans())
    def check(problem, objective, free):
        problem = problem.replace(minimize=objective, subject_to=() if free else problem.subject_to)
        if EXACT[name].refuses(compile_problem(problem)) is not None:
            seen["refused"] += 1
            with pytest.raises(UnsupportedError, match=f"the method '{name}' does not support"):
                solve(problem, method=name)
            return
        result = solve(problem, method=name, threads=1)
        seen[check_solved(brute_force(problem), result.status, result.objective, result.bound)] += 1
        assert result.method == name

    check()
    assert seen["optimal"] >= 10
    assert seen["refused"] >= 10
