"""Every constraint-programming formulation finds and proves the optimum that enumeration by the referee finds."""

from collections import Counter

import pytest
from brute_force import brute_force, check_solved
from builders import link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.formulated import run_formulation
from dnnopt.methods.pool import Pool
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.constraints import MaxCuts
from dnnopt.problem.objectives import latency, traffic


def test_every_cp_formulation_matches_brute_force_without_a_start_plan():
    seen = Counter()

    # CP-SAT counts in whole numbers: a model has room for so many orders of magnitude only.
    @settings(max_examples=75)
    @given(problems(largest_spread=2))
    def check(problem):
        best = brute_force(problem)
        compiled = compile_problem(problem)
        for name in registry.supporting(compiled, "cp"):
            pool = Pool(problem, compiled)
            outcome = run_formulation(pool, registry.formulation(name, compiled), "cpsat", Limits(threads=1), Control())
            seen[name, check_solved(best, outcome.status, pool.objective, pool.bound)] += 1

    check_until(check, lambda: all(seen[name, status] for name in registry.CP for status in ("optimal", "infeasible")))


def test_solve_with_cp_sat_matches_brute_force():
    seen = Counter()

    @settings(max_examples=45)
    @given(problems(largest_spread=2, executions=("sequential", "pipelined")))
    def check(problem):
        result = solve(problem, solver="cpsat", threads=2)
        seen[check_solved(brute_force(problem), result.status, result.objective, result.bound)] += 1

    check_until(check, lambda: seen["optimal"] >= 5)


@pytest.mark.parametrize("limits", [(), (MaxCuts(limit=0),)])
def test_bytes_that_are_never_sent_do_not_spoil_an_objective_in_seconds(limits):
    # The layer runs only where its input is; a megabyte beside no time at all had a coefficient beyond 64 bits.
    tensors = [
        tensor("x", "input", "a output", 1e6, source="q"),
        tensor("y", "input", "a", 0),
        tensor("z", "a", "", 0),
    ]
    on = platform("p q", [link("p-q", 5e8), link("q-p", 5e8)], {"p>q": "p-q", "q>p": "q-p"})
    for transport in ("unicast", "per_edge"):
        one = problem(
            network("a", tensors, sink="p"),
            on,
            {"a": (None, 0)},
            minimize=(latency(), traffic("p-q")),
            subject_to=limits,
            transport=transport,
        )
        result = solve(one, solver="cpsat")
        status = check_solved(brute_force(one), result.status, result.objective, result.bound)
        assert status == ("infeasible" if limits else "optimal")
