"""Every linear formulation and solver finds and proves the optimum that enumeration by the referee finds."""

from collections import Counter

import pytest
from brute_force import brute_force, check_solved
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.formulations.milp.communication import COMMUNICATIONS
from dnnopt.methods.formulated import run_formulation
from dnnopt.methods.pool import Pool
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Control, Limits

ONE_THREAD = Limits(threads=1)


def solve_without_start(problem, name, solver):
    """Return status, objective, bound and noise of one formulation and solver that get no plan to start from."""
    compiled = compile_problem(problem)
    pool = Pool(problem, compiled)
    outcome = run_formulation(pool, registry.formulation(name, compiled), solver, ONE_THREAD, Control())
    return outcome.status, pool.objective, pool.bound, pool.resolution


def test_every_linear_formulation_matches_brute_force_without_a_start_plan():
    seen = Counter()
    used = set()

    @settings(max_examples=60)
    @given(problems())
    def check(problem):
        best = brute_force(problem)
        for name in registry.supporting(compile_problem(problem), "milp"):
            seen[check_solved(best, *solve_without_start(problem, name, "highs"))] += 1
            used.add(name)

    check_until(
        check,
        lambda: (
            seen["optimal"] and seen["infeasible"] and {name.partition("+")[0] for name in used} == set(COMMUNICATIONS)
        ),
    )


@pytest.mark.parametrize(("solver", "examples"), [("cbc", 40), ("scip", 40)])
def test_other_linear_solvers_match_brute_force_without_a_start_plan(solver, examples):
    if solver == "scip":
        pytest.importorskip("pyscipopt")
    seen = Counter()

    @settings(max_examples=examples)
    @given(problems(), st.data())
    def check(problem, data):
        name = data.draw(st.sampled_from(registry.supporting(compile_problem(problem), "milp")))
        seen[check_solved(brute_force(problem), *solve_without_start(problem, name, solver))] += 1

    check_until(check, lambda: seen["optimal"] >= 5)


def test_solve_with_a_named_formulation_matches_brute_force():
    seen = Counter()

    @settings(max_examples=40)
    @given(problems(), st.data())
    def check(problem, data):
        best = brute_force(problem)
        name = data.draw(st.sampled_from(registry.supporting(compile_problem(problem), "milp")))
        solver = data.draw(st.sampled_from(("highs", "highs", "highs", "cbc")))
        result = solve(problem, formulation=name, solver=solver, threads=1)
        seen[check_solved(best, result.status, result.objective, result.bound)] += 1
        assert (result.formulation, result.solver) == (name, solver)

    check_until(check, lambda: seen["optimal"] >= 5)
