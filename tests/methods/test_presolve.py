"""Presolve forbids nothing that a feasible plan within the cap has, and says infeasible only where there is none."""

from collections import Counter

import numpy as np
import pytest
from brute_force import brute_force, judged_plans
from builders import layer, link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.presolve import presolve
from dnnopt.problem.constraints import Deadline, Energy, Memory
from dnnopt.problem.objectives import Term, energy, latency, period


def survives(compiled, placement):
    """Return whether a placement has nothing that is forbidden."""
    if not compiled.allowed[np.arange(len(placement)), placement].all():
        return False
    device = compiled.executor_device[placement]
    origin, destination = device[compiled.edge_producer], device[compiled.edge_consumer]
    pairs = zip(compiled.pair_origin.tolist(), compiled.pair_destination.tolist(), strict=True)
    number = {pair: p for p, pair in enumerate(pairs)}
    return not any(
        i != j and compiled.forbidden_moves[edge, number[i, j]]
        for edge, (i, j) in enumerate(zip(origin.tolist(), destination.tolist(), strict=True))
    )


def check_kept(problem, judged, compiled, cap, seen):
    """Assert that every feasible plan up to the cap is kept."""
    reduced = presolve(compiled, cap)
    kept = [plan for plan, evaluation in judged if evaluation.feasible and evaluation.objective <= cap]
    assert not (reduced.infeasible and kept)
    for plan in kept:
        assert survives(reduced.compiled, compiled.placement(plan))
    seen["infeasible, detected"] += reduced.infeasible
    seen["infeasible, missed"] += not kept and not reduced.infeasible
    seen["kept"] += len(kept)
    seen["placements"] += not reduced.infeasible and reduced.placements > 0
    seen["moves"] += not reduced.infeasible and reduced.moves > 0
    assert 0 <= reduced.placements <= 1
    assert 0 <= reduced.moves <= 1
    return reduced


def test_every_feasible_plan_within_the_cap_survives():
    seen = {"none": Counter(), "optimum": Counter(), "above": Counter(), "below": Counter()}

    @settings(max_examples=50)
    @given(problems(most_placements=90))
    def check(problem):
        judged = list(judged_plans(problem))
        best = min((evaluation.objective for _, evaluation in judged if evaluation.feasible), default=None)
        compiled = compile_problem(problem)
        check_kept(problem, judged, compiled, np.inf, seen["none"])
        if best is not None:
            check_kept(problem, judged, compiled, best, seen["optimum"])
            check_kept(problem, judged, compiled, best + 0.1 * abs(best), seen["above"])
            check_kept(problem, judged, compiled, best - 1e-3 * abs(best), seen["below"])

    kinds = [(caps, kind) for caps in ("none", "optimum", "above") for kind in ("kept", "placements", "moves")]
    kinds += [("none", "infeasible, detected"), ("below", "infeasible, detected")]
    check_until(check, lambda: all(seen[caps][kind] for caps, kind in kinds))
    assert seen["optimum"]["infeasible, detected"] == seen["above"]["infeasible, detected"] == 0


@pytest.mark.parametrize("execution", ["parallel", "pipelined", "sequential"])
def test_plans_of_several_terms_survive_at_the_optimum(execution):
    """Each term gets what the others leave of the cap: a difference that rounding may make too small."""
    seen = Counter()
    terms = [period(), 0.1 * latency(), 3.0 * energy(), Term(metric="latency", over="max", weight=0.7)]

    @settings(max_examples=20)
    @given(problems(executions=(execution,), most_placements=30, most_constraints=1))
    def check(problem):
        problem = problem.model_copy(update={"minimize": tuple(terms)})
        judged = list(judged_plans(problem))
        best = min((evaluation.objective for _, evaluation in judged if evaluation.feasible), default=None)
        if best is not None:
            check_kept(problem, judged, compile_problem(problem), best, seen)

    check_until(check, lambda: seen["kept"] >= 1)


def test_a_term_that_may_only_be_zero_at_the_optimum_is_not_cut_off_by_rounding():
    # Three times 0.1 J is a little above the 0.3 J that the optimum is: nothing, or less, is left for the period.
    on = platform("p q")
    both = problem(
        network("a b c"),
        on,
        dict.fromkeys("abc", (0, 1)),
        "pipelined",
        minimize=(period(), energy()),
        energies=dict.fromkeys("abc", (0.1, 0.1)),
    )
    compiled = compile_problem(both)
    best = brute_force(both)
    for cap in (0.1 + 0.1 + 0.1, 0.3, best.objective):
        reduced = presolve(compiled, cap)
        assert not reduced.infeasible
        assert survives(reduced.compiled, compiled.placement(best.plans[0]))


def test_a_maximum_without_weight_limits_nothing():
    free = problem(
        network("a b", [tensor("t", "a", "b", 3)]),
        platform("p q", [link("up"), link("down")], {"p>q": "up", "q>p": "down"}),
        {"a": (1, 2), "b": (2, 1)},
        minimize=Term(metric="latency", over="max", weight=0.0),
    )
    reduced = presolve(compile_problem(free), 0.0)
    assert (reduced.infeasible, reduced.placements, reduced.moves) == (False, 0.0, 0.0)


# Groups of layers, by hand


def pair_of_layers(size, resources=None):
    """Two layers of 3 s on two devices, a tensor of `size` seconds between them."""
    links = {"p>q": "up", "q>p": "down"}
    return problem(
        network("a b", [tensor("t", "a", "b", size)]),
        platform("p q", [link("up"), link("down")], links, resources),
        {"a": (3, 3), "b": (3, 3)},
        "pipelined",
        minimize=period(),
    )


def test_layers_that_no_move_can_separate_are_one_load():
    heavy = pair_of_layers(10)
    assert brute_force(heavy).objective == 6
    assert presolve(compile_problem(heavy), 5.9).infeasible
    assert not presolve(compile_problem(heavy), 6.0).infeasible
    # A tensor that may be sent leaves both layers where they like.
    assert not presolve(compile_problem(pair_of_layers(5)), 5.9).infeasible


def test_a_move_and_what_both_its_ends_compute_are_one_load():
    blocking = pair_of_layers(3, {"p alone": "p up down", "q alone": "q up down"})
    assert brute_force(blocking).objective == 6
    assert presolve(compile_problem(blocking), 5.9).infeasible
    assert not presolve(compile_problem(blocking), 6.0).infeasible
    assert not presolve(compile_problem(pair_of_layers(3)), 5.9).infeasible


def test_layers_that_must_stay_together_fit_together_or_not_at_all():
    def with_memory(limit):
        # No route: both layers are on one device.
        return problem(
            network([layer("a", 4), layer("b", 5)], [tensor("t", "a", "b", 1)]),
            platform("p q"),
            {"a": (1, 1), "b": (1, 1)},
            subject_to=[Memory(limits={"p": limit, "q": 100})],
        )

    compiled = compile_problem(with_memory(8.9))
    assert presolve(compiled).compiled.allowed.tolist() == [[False, True]] * 2
    assert presolve(compile_problem(with_memory(9))).compiled.allowed.all()


def test_period_caps_just_below_the_optimum_are_often_refuted():
    seen = Counter()

    @settings(max_examples=60)
    @given(problems(executions=("pipelined",), most_placements=90, most_constraints=0))
    def check(problem):
        problem = problem.model_copy(update={"minimize": (period(),)})
        best = brute_force(problem).objective
        if best:
            seen[presolve(compile_problem(problem), best * (1 - 1e-3)).infeasible] += 1

    check_until(check, lambda: seen.total() >= 10 and seen[True] >= 0.2 * seen[False])


# Limits, by hand


def test_placements_and_moves_that_alone_break_a_limit_are_forbidden():
    net = network("a b", [tensor("t", "a", "b", 3)])
    on = platform("p q", [link("up"), link("down", bandwidth=0.5)], {"p>q": "up", "q>p": "down"})
    times = {"a": (1, 9), "b": (1, 1)}
    limited = problem(net, on, times, "parallel", minimize=energy(), subject_to=[Deadline(limit=6)])
    reduced = presolve(compile_problem(limited))
    # a on q takes 9 s. From p, t takes 3 s, and 1 + 3 + 1 <= 6; at 4.9 s no move is left, and b stays with a.
    assert reduced.compiled.allowed.tolist() == [[True, False], [True, True]]
    assert reduced.compiled.forbidden_moves.tolist() == [[False, True]]
    tight = problem(net, on, times, "parallel", minimize=energy(), subject_to=[Deadline(limit=4.9)])
    assert presolve(compile_problem(tight)).compiled.allowed.tolist() == [[True, False]] * 2
    budget = problem(
        net, on, times, subject_to=[Energy(limit=5)], energies={"a": (2, 3), "b": (2, 4)}, minimize=latency()
    )
    assert presolve(compile_problem(budget)).compiled.allowed.tolist() == [[True, True], [True, False]]
    assert presolve(compile_problem(budget)).placements == pytest.approx(1 / 4)
