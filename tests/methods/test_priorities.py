"""Objectives in lexicographic order, and maxima over networks, devices and links, are what brute force says."""

from collections import Counter

import pytest
from brute_force import brute_force, check_solved, lexicographic_optimum
from builders import link, network, platform, problem, tensor
from examples import check_until
from hard_problem import hard_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.methods.solving import solve
from dnnopt.problem.constraints import Deadline
from dnnopt.problem.objectives import Term, cost, energy, largest, latency, period, traffic

WAYS = {
    "highs": ("edgewise", ("sequential", "parallel", "pipelined")),
    "cpsat": ("cp-assignment", ("sequential", "pipelined")),
}


@pytest.mark.parametrize("solver", WAYS)
@pytest.mark.parametrize("priorities", [2, 3])
def test_lexicographic_optimum_matches_brute_force(solver, priorities):
    formulation, executions = WAYS[solver]
    seen = Counter()

    # Numbers that spread little: objectives of two plans are the same, or clearly not.
    @settings(max_examples=12)
    @given(problems(executions, 81, most_constraints=2, largest_spread=0, priorities=priorities))
    def check(problem):
        expected = lexicographic_optimum(problem)
        result = solve(problem, formulation=formulation, solver=solver, threads=1)
        if expected is None:
            assert (result.status, result.plan) == ("infeasible", None)
            seen["infeasible"] += 1
            return
        assert result.evaluation.objectives == pytest.approx(expected, rel=2e-6, abs=1e-15)
        assert len(result.bounds) == priorities
        seen[result.status] += 1
        if result.status == "optimal":
            assert result.bounds == pytest.approx(expected, rel=2e-6, abs=1e-15)
        else:
            # Of seconds plus bytes the whole numbers of CP-SAT hold the seconds only roughly: the bound is lowered.
            assert (solver, result.status) == ("cpsat", "feasible")
            assert all(b is None or b <= e * (1 + 1e-9) for b, e in zip(result.bounds, expected, strict=True))

    check_until(check, lambda: seen["optimal"] >= 4)


def two_ways(scale, *terms):
    """Return a problem with two plans of equal latency, of which q costs less, and a third one, slower and free."""
    return problem(
        network("a"),
        platform("p q r"),
        {"a": (2 * scale, 2 * scale, 3 * scale)},
        energies={"a": (5, 3, 0)},
        minimize=[term.model_copy(update={"priority": priority}) for priority, term in enumerate(terms)],
    )


@pytest.mark.parametrize("solver", WAYS)
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
def test_the_second_priority_chooses_among_the_best_plans_of_the_first(solver, scale):
    result = solve(two_ways(scale, latency(), energy()), formulation=WAYS[solver][0], solver=solver)
    assert result.plan.placement == {"net": {"a": "q"}}
    assert result.evaluation.objectives == (2 * scale, 3)
    other = solve(two_ways(scale, energy(), latency()), formulation=WAYS[solver][0], solver=solver)
    assert other.plan.placement == {"net": {"a": "r"}}
    assert other.evaluation.objectives == (0, 3 * scale)


@pytest.mark.parametrize("solver", WAYS)
def test_an_optimum_of_zero_stays_zero_however_small_the_numbers_are(solver):
    # 3 µs is more than nothing, though a solver's tolerances are as large.
    net = network("a b c")
    times = dict.fromkeys("abc", (0, 3e-6, 1e-9))
    joules = dict.fromkeys("abc", (7, 1, 2))
    first, second = latency(), energy().model_copy(update={"priority": 1})
    one = problem(net, platform("p q r"), times, energies=joules, minimize=[first, second])
    result = solve(one, formulation=WAYS[solver][0], solver=solver)
    assert (result.status, result.evaluation.objectives) == ("optimal", (0, 21))


def test_priorities_may_be_any_numbers_and_terms_of_one_are_summed():
    terms = [
        Term(metric="energy", priority=30),
        Term(metric="latency", priority=-2),
        Term(metric="energy", devices=("q",), weight=3, priority=30),
    ]
    one = two_ways(1.0, latency()).model_copy(update={"minimize": tuple(terms)})
    result = solve(one, formulation="edgewise")
    assert result.evaluation.objectives == lexicographic_optimum(one) == (2, 5)


def test_an_infeasible_problem_has_no_bounds_of_later_priorities():
    one = two_ways(1.0, latency(), energy()).model_copy(update={"subject_to": (Deadline(limit=1),)})
    result = solve(one)
    assert (result.status, result.plan) == ("infeasible", None)
    assert len(result.bounds) == 1


def test_bounds_of_later_priorities_are_given_only_where_the_earlier_ones_are_proved():
    terms = latency(), energy().model_copy(update={"priority": 1})
    hard = hard_problem().model_copy(update={"minimize": terms})
    result = solve(hard, formulation="product", time_limit=3, threads=1)
    assert result.status == "feasible"
    assert result.plan is not None
    assert result.bounds[0] is not None
    assert result.bounds[0] < result.objective * (1 - 1e-6)
    assert result.bounds[1] is None
    easy = hard.model_copy(update={"subject_to": ()})
    result = solve(easy, time_limit=60, threads=1)
    assert result.status == "optimal"
    assert all(bound is not None for bound in result.bounds)


# Maxima over networks, devices and links


def two_networks(execution, minimize):
    """Two chains on two devices with two links."""
    first = [tensor("in", "input", "a", 1), tensor("t", "a", "b", 2), tensor("out", "b", "output", 1)]
    second = [tensor("in", "input", "c", 3), tensor("s", "c", "d", 2), tensor("out", "d", "output", 2)]
    nets = [
        network("a b", first, name="first", source="p", sink="q"),
        network("c d", second, name="second", source="q", sink="p"),
    ]
    links = [link("up", receive_energy_per_byte=1, receiver="q"), link("down", send_energy_per_byte=2, sender="q")]
    on = platform("p q", links, {"p>q": "up", "q>p": "down"})
    times = {"first": {"a": (3, 1), "b": (4, 2)}, "second": {"c": (5, 2), "d": (2, 2)}}
    joules = {"first": {"a": (1, 4), "b": (2, 3)}, "second": {"c": (2, 3), "d": (1, 1)}}
    return problem(nets, on, times, execution, energies=joules, minimize=minimize)


@pytest.mark.parametrize(("solver", "execution"), [(s, e) for s, (_, many) in WAYS.items() for e in many])
@pytest.mark.parametrize("metric", [latency(), energy(), traffic(), energy("p", "q")])
def test_the_largest_part_is_minimised_not_the_sum(solver, execution, metric):
    one = two_networks(execution, largest(metric))
    best = brute_force(one)
    result = solve(one, formulation=WAYS[solver][0], solver=solver, threads=1)
    check_solved(best, result.status, result.objective, result.bound)
    assert 0 < best.objective < brute_force(two_networks(execution, metric)).objective


@pytest.mark.parametrize("solver", WAYS)
def test_random_maxima_match_brute_force(solver):
    formulation, executions = WAYS[solver]
    seen = Counter()
    kinds = (largest(latency()), largest(energy()), 0.5 * largest(traffic()), 3.0 * largest(latency()), cost())
    most = 1 if solver == "cpsat" else 2  # sums of seconds and bytes are too much for its whole numbers
    terms = st.lists(st.sampled_from(kinds), min_size=1, max_size=most, unique_by=lambda term: term.metric)

    @settings(max_examples=15)
    @given(problems(executions, 81, most_constraints=1, largest_spread=2), terms)
    def check(problem, minimize):
        problem = problem.model_copy(update={"minimize": tuple(minimize)})
        result = solve(problem, formulation=formulation, solver=solver, threads=1)
        status = check_solved(brute_force(problem), result.status, result.objective, result.bound)
        for term in minimize:
            seen[status, term.metric] += term.over == "max" and (len(problem.networks) > 1 or term.metric != "latency")

    check_until(check, lambda: any(seen["optimal", metric] for metric in ("energy", "traffic", "latency")))


@pytest.mark.parametrize("solver", WAYS)
def test_the_largest_traffic_of_no_links_is_nothing_whatever_its_priority(solver):
    terms = [largest(traffic()), latency(), largest(traffic()), energy()]
    one = two_ways(1.0, *terms)
    result = solve(one, formulation=WAYS[solver][0], solver=solver)
    assert (result.status, result.evaluation.objectives) == ("optimal", (0, 2, 0, 3))


@pytest.mark.parametrize("solver", WAYS)
def test_a_maximum_may_be_an_earlier_priority(solver):
    second = period().model_copy(update={"priority": 1})
    one = two_networks("sequential", (largest(latency()), second))
    result = solve(one, formulation=WAYS[solver][0], solver=solver, threads=1)
    assert result.status == "optimal"
    assert result.evaluation.objectives == pytest.approx(lexicographic_optimum(one))
