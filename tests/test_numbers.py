"""Numbers: what a problem is measured in does not matter, and what is infinite is infinite."""

from collections import Counter

import pytest
from brute_force import OPTIMAL, ROUNDING, brute_force, lexicographic_optimum
from hypothesis import given, settings
from hypothesis import strategies as st
from restating import Factors, restated
from scheduled_optimum import scheduled, scheduled_optimum
from strategies import problems

import dnnopt as dp
from dnnopt.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.exact import EXACT
from dnnopt.methods.formulated import run_formulation
from dnnopt.pool import Pool
from dnnopt.solvers import names as solver_names
from dnnopt.solvers.interface import Control, Limits

ONE_THREAD = Limits(threads=1)
POWERS = st.integers(-12, 12)
FACTORS = st.builds(
    lambda *powers: Factors(*(10.0**power for power in powers)), POWERS, POWERS, POWERS, POWERS, st.integers(-18, 18)
)


def ways(one):
    """Return the ways to solve a problem: methods, and formulations that are exact with each of their solvers."""
    compiled = compile_problem(one)
    found = ["auto", *(name for name, method in EXACT.items() if method.refuses(compiled) is None)]
    for name in registry.suiting(compiled):
        formulation = registry.formulation(name, compiled)
        if formulation.value == "exact":
            found += [(name, solver) for solver in solver_names(formulation.kind)]
    return found


def solved(one, way):
    """Return status, objective and bound; a formulation gets no plan to start from."""
    if isinstance(way, str):
        result = dp.solve(one, method=way, threads=1)
        return result.status, result.objective, result.bound
    compiled = compile_problem(one)
    pool = Pool(one, compiled)
    outcome = run_formulation(pool, registry.formulation(way[0], compiled), way[1], ONE_THREAD, Control())
    return outcome.status if pool.plan is None else "optimal", pool.objective, pool.bound


def check(best, found, below=OPTIMAL):
    """Assert that the optimum was found and proved, or that there is none."""
    status, objective, bound = found
    if best is None:
        assert (status, objective) == ("infeasible", None)
    else:
        assert status == "optimal"
        assert abs(objective - best) <= OPTIMAL * abs(best)
        assert best - 2 * below * abs(best) <= bound <= best + ROUNDING * abs(best)


def test_every_method_and_solver_is_right_whatever_the_units_of_the_problem():
    seen = Counter()

    @settings(max_examples=60)
    @given(problems(most_placements=60, most_constraints=2), FACTORS, st.data())
    def matches(one, factors, data):
        way = data.draw(st.sampled_from(ways(one)))
        best = brute_force(one).objective
        check(None if best is None else best * factors.objective, solved(restated(one, factors), way))
        seen[way if isinstance(way, str) else way[1]] += 1

    matches()
    assert {"auto", "highs", "cbc", "cpsat"} <= set(seen)


@settings(max_examples=15)
@given(scheduled(most_placements=30, largest_spread=2), FACTORS, st.data())
def test_schedules_are_right_whatever_the_units_of_the_problem(one, factors, data):
    way = data.draw(st.sampled_from([way for way in ways(one) if "time-indexed" not in way[0]]))
    best = scheduled_optimum(one)
    found = solved(restated(one, factors), way)
    check(None if best is None else best * factors.objective, found, below=1e-5)  # of times that are rounded


@settings(max_examples=15)
@given(problems(most_placements=40, most_constraints=1, largest_spread=2, priorities=2), FACTORS, POWERS)
def test_priorities_may_be_measured_in_different_units(one, factors, power):
    best = lexicographic_optimum(one)
    other = restated(one, factors)
    factor = factors.objective, factors.objective * 10.0**power
    terms = [
        term.model_copy(update={"weight": term.weight * 10.0 ** (power * term.priority)}) for term in other.minimize
    ]
    result = dp.solve(other.model_copy(update={"minimize": tuple(terms)}), threads=1)
    if best is None:
        assert result.status == "infeasible"
    else:
        assert result.status == "optimal"
        assert result.evaluation.objectives == pytest.approx(
            [x * y for x, y in zip(best, factor, strict=True)], rel=2e-6
        )


@settings(max_examples=20)
@given(problems(executions=("sequential", "parallel"), most_placements=40, largest_spread=2), st.integers(-18, 18))
def test_weights_of_networks_may_have_any_size(one, power):
    latency = one.model_copy(update={"minimize": dp.latency(), "subject_to": ()}).replace(minimize=dp.latency())
    networks = tuple(net.model_copy(update={"weight": net.weight * 10.0**power}) for net in latency.networks)
    best = brute_force(latency).objective
    found = solved(latency.replace(networks=networks), "auto")
    check(None if best is None else best * 10.0**power, found)
