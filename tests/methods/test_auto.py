"""`solve` without a formulation finds and proves the optimum that enumeration by the referee finds."""

from collections import Counter

import pytest
from brute_force import brute_force, check_solved
from builders import link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.methods import auto
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Limits, Outcome
from dnnopt.problem.constraints import Bandwidth, Deadline, MaxDevices
from dnnopt.problem.objectives import energy, latency, period, traffic


@pytest.mark.parametrize("execution", ["sequential", "parallel", "pipelined"])
def test_auto_matches_brute_force(execution):
    seen = Counter()

    @settings(max_examples=22)
    @given(problems(executions=(execution,)))
    def check(problem):
        result = solve(problem, threads=1)
        seen[check_solved(brute_force(problem), result.status, result.objective, result.bound)] += 1
        assert result.method == "auto"

    check_until(check, lambda: seen["optimal"] >= 5)


def test_auto_matches_brute_force_on_maxima():
    seen = Counter()
    objectives = st.sampled_from(((period(),), (latency(),), (0.5 * latency(), 2.0 * period())))

    @settings(max_examples=20)
    @given(problems(executions=("parallel",), most_constraints=1), objectives)
    def check(problem, objective):
        problem = problem.model_copy(update={"minimize": objective})
        result = solve(problem, threads=1)
        seen[check_solved(brute_force(problem), result.status, result.objective, result.bound)] += 1

    check_until(check, lambda: seen["optimal"] >= 5)


@pytest.mark.parametrize("formulation", [None, "product", "cp-assignment"])
def test_a_thread_for_each_core_changes_no_answer(formulation, monkeypatch):
    monkeypatch.setattr(Limits, "processors", property(lambda limits: limits.threads or 3))
    seen = Counter()

    @settings(max_examples=8)
    @given(problems(executions=("sequential", "pipelined"), most_placements=90, largest_spread=2))
    def check(problem):
        result = solve(problem, formulation=formulation)
        seen[check_solved(brute_force(problem), result.status, result.objective, result.bound)] += 1

    check_until(check, lambda: seen["optimal"] >= 4)


def test_numbers_of_any_size_are_scaled_for_the_solver():
    # 1e11 bytes, half a million times a second: in bytes this is more than solvers take.
    net = network("a b", [tensor("t", "a", "b", 1e11)], rate=5e5)
    on = platform("p q", [link("up", 5e11)], {"p>q": "up"})
    for times, best in (({"a": (1e-6, None), "b": (2e-6, 1e-6)}, 3e-6), ({"a": (1e-6, None), "b": (None, 1e-6)}, None)):
        one = problem(net, on, times, subject_to=[Bandwidth()])
        for formulation in (None, "product", "edgewise"):
            result = solve(one, formulation=formulation, threads=1)
            check_solved(brute_force(one), result.status, result.objective, result.bound)
            assert result.objective == (None if best is None else pytest.approx(best))


@pytest.mark.parametrize("formulation", [None, "edgewise"])
def test_a_sum_of_terms_that_hardly_compare_is_solved(formulation):
    # Megabytes and microseconds: a row that holds both is 1e13 of its limit, more than solvers take.
    nets = [
        network("a b c", [tensor("out", "c", "output", 5e6)], name="first", sink="p"),
        network("d e", [tensor("t", "d", "e", 0)], name="second"),
    ]
    times = {
        "first": {"a": (None, None, 0), "b": (2e-6, None, None), "c": (2e-6, 0, 0)},
        "second": {"d": (2e-6, 4e-6, 0), "e": (5e-6, 9e-6, None)},
    }
    on = platform("p q r", [link("r-q", 5e11)], {"r>q": "r-q"})
    one = problem(nets, on, times, minimize=(3.0 * traffic(), period()))
    result = solve(one, formulation=formulation, threads=1)
    check_solved(brute_force(one), result.status, result.objective, result.bound)
    assert result.objective == pytest.approx(9e-6)


def four_layers(execution, **fields):
    """Four layers in a row on two devices, every one faster on p."""
    tensors = [tensor(f"t{u}", u, v, 2) for u, v in ("ab", "bc", "cd")]
    on = platform("p q", [link("up"), link("down")], {"p>q": "up", "q>p": "down"})
    return problem(network("a b c d", tensors), on, dict.fromkeys("abcd", (3, 4)), execution, **fields)


@pytest.mark.parametrize(("execution", "minimize", "best"), [
    ("sequential", latency(), 12),
    ("parallel", latency(), 12),
    ("pipelined", period(), 8),  # two layers on each; three on p would be 9
])  # fmt: skip
def test_auto_solves_a_chain_worked_by_hand(execution, minimize, best):
    result = solve(four_layers(execution, minimize=minimize), threads=1)
    assert (result.status, result.objective, result.bound) == ("optimal", best, pytest.approx(best, rel=1e-12))


@pytest.mark.parametrize(
    ("execution", "constraint"),
    [
        ("sequential", Deadline(limit=11.9)),
        ("parallel", Deadline(limit=11.9)),
        ("pipelined", Deadline(limit=11.9)),
        ("sequential", MaxDevices(limit=0)),
    ],
)
def test_auto_says_infeasible_where_no_plan_is_within_the_limits(execution, constraint):
    result = solve(four_layers(execution, minimize=energy(), subject_to=[constraint]), threads=1)
    assert (result.status, result.plan, result.objective, result.bound) == ("infeasible", None, None, None)


def test_an_attempt_that_fails_is_not_the_end(monkeypatch):
    for attempt in ("_glance", "_propagation"):
        monkeypatch.setattr(auto._Auto, attempt, lambda run: Outcome("error", message="invalid model"))
    result = solve(four_layers("sequential", subject_to=[MaxDevices(limit=1)]), threads=1)
    assert (result.status, result.objective, result.message) == ("optimal", 12, "")
