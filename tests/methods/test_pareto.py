"""Pareto fronts are the sets of plans that no other beats, as enumeration by the referee finds them."""

import math
from collections import Counter

import pytest
from brute_force import feasible_plans, judged_plans
from builders import link, network, platform, problem, tensor
from examples import check_until
from hard_problem import hard_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.solving import Search
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.constraints import Deadline
from dnnopt.problem.objectives import cost, energy, latency, leakage, period, traffic, worst_leakage
from dnnopt.problem.platforms import Device
from dnnopt.problem.problem import Problem
from dnnopt.referee import evaluate
from dnnopt.studies.pareto import pareto

TOLERANCE = 1e-6
CHOICES = (latency(), period(), energy(), cost(), leakage(), worst_leakage(), traffic(), (latency(), 2.0 * cost()))


def with_objectives(problem, objectives):
    """Return the problem with these objectives as priorities."""
    terms = [
        term.model_copy(update={"priority": priority})
        for priority, objective in enumerate(objectives)
        for term in (objective if isinstance(objective, tuple) else (objective,))
    ]
    return Problem(**(dict(problem) | {"minimize": tuple(terms)}))


def as_good(mine, theirs, slack=2 * TOLERANCE):
    """Return whether a point is at least as good as another in every objective."""
    return all(a <= b + slack * abs(b) for a, b in zip(mine, theirs, strict=True))


def nondominated(problem, objectives):
    """Return the objective vectors that no other beats; those that differ by the tolerance are one."""
    found = {values for values, _ in feasible_plans(with_objectives(problem, objectives))}
    kept = []
    for point in sorted(found):
        if not any(as_good(other, point) for other in kept):
            kept = [other for other in kept if not as_good(point, other)] + [point]
    return sorted(kept)


def check_front(front, expected):
    """Assert that a front is complete and has these points."""
    assert front.complete
    assert front.zones_left == ()
    points = [point.objectives for point in front.points]
    assert points == sorted(points)
    assert len(points) == len(expected)
    for point in expected:
        assert any(as_good(other, point) for other in points)
        assert any(as_good(point, other) for other in points)
    for point in front.points:
        assert point.proved
        judged = evaluate(front.problem, point.plan)
        assert judged.feasible
        assert judged.objectives == point.objectives


def test_fronts_of_two_and_three_objectives_match_brute_force():
    seen = Counter()
    choices = st.lists(st.sampled_from(CHOICES), min_size=2, max_size=3, unique=True)

    # Numbers that spread little, so that points are either the same or further apart than the tolerance.
    @settings(max_examples=12)
    @given(problems(most_placements=81, largest_spread=0, most_constraints=2), choices)
    def check(problem, objectives):
        expected = nondominated(problem, objectives)
        check_front(pareto(problem, objectives, threads=1), expected)
        seen["none"] += not expected
        seen["one"] += len(expected) == 1
        seen[f"several of {len(objectives)}"] += len(expected) > 1

    check_until(check, lambda: seen["several of 2"] + seen["several of 3"] >= 1)


def chain(**fields):
    """Four layers; p is slow and free, q fast and dear, r in between; sending takes time alone."""
    pairs = {f"{i}>{j}": "link" for i in "pqr" for j in "pqr" if i != j}
    sizes = {"ab": 3, "bc": 1, "cd": 2}
    net = network("a b c d", [tensor(f"t{u}", u, v, size) for (u, v), size in sizes.items()])
    times = {"a": (9, 2, 4), "b": (5, 1, 2), "c": (7, 2, 5), "d": (3, 1, 1)}
    joules = {"a": (1, 9, 5), "b": (2, 8, 4), "c": (1, 7, 3), "d": (1, 3, 2)}
    return problem(net, platform("p q r", [link("link")], pairs), times, energies=joules, **fields)


@pytest.mark.parametrize("formulation", [None, "edgewise", "cp-assignment"])
def test_every_formulation_finds_the_front_of_a_chain(formulation):
    expected = nondominated(chain(), (latency(), energy()))
    assert len(expected) >= 5
    check_front(pareto(chain(), (latency(), energy()), formulation=formulation, threads=1), expected)


def test_front_of_three_objectives_of_a_chain():
    objectives = (latency(), energy(), period())
    fast = chain(subject_to=[Deadline(limit=12)])
    expected = nondominated(fast, objectives)
    assert len(expected) > len(nondominated(fast, objectives[:2])) > 1
    check_front(pareto(fast, objectives, threads=1), expected)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_fronts_go_on_below_an_idle_energy_of_zero(order):
    # A latency of weight 0 leaves what idle energy saves while a device is busy: 3 W for 2 s or 4 s, 4 W for 4 s.
    devices = [
        Device(name=name, idle_power=watts, price=usd) for name, watts, usd in (("p", 3, 1), ("q", 3, 0), ("r", 4, 0.1))
    ]
    one = problem(network("a", weight=0.0), platform(devices), {"a": (2, 4, 4)})
    objectives = [(cost(), energy(idle=True), energy("p", idle=True))[index] for index in order]
    points = [(2, -6, -6), (0, -12, 0), (0.4, -16, 0)]
    expected = sorted(tuple(point[index] for index in order) for point in points)
    check_front(pareto(one, objectives, threads=1), expected)


def test_points_closer_than_the_tolerance_count_as_one():
    whole, coarse = (pareto(chain(), (latency(), energy()), tolerance=t, threads=1) for t in (1e-6, 0.2))
    assert coarse.complete
    assert len(coarse.points) < len(whole.points)
    # Whatever is left out is better in some objective by at most the tolerance.
    for left_out in whole.points:
        assert any(as_good(point.objectives, left_out.objectives, 0.2 / 0.8) for point in coarse.points)


def test_the_front_is_of_plans_within_the_constraints_and_empty_where_there_are_none():
    tight = chain(subject_to=[Deadline(limit=12)])
    front = pareto(tight, (latency(), energy()), threads=1)
    check_front(front, nondominated(tight, (latency(), energy())))
    assert 0 < len(front.points) < len(nondominated(chain(), (latency(), energy())))
    nothing = pareto(chain(subject_to=[Deadline(limit=1)]), (latency(), energy()), threads=1)
    assert (nothing.points, nothing.complete, nothing.zones_left) == ((), True, ())


@pytest.mark.parametrize("formulation", [None, "edgewise", "cp-assignment"])
def test_a_search_within_a_zone_finds_its_best_plan_or_says_that_it_is_empty(formulation):
    objectives = (latency(), energy(), traffic())
    one = with_objectives(chain(), objectives)
    judged = [judged.objectives for _, judged in judged_plans(one)]
    for zone in ((30, math.inf), (15, math.inf), (15, 2), (27, 0), (4.9, math.inf)):
        inside = [point for point in judged if all(a <= b for a, b in zip(point[1:], zone, strict=True))]
        caps = {index + 1: float(bound) for index, bound in enumerate(zone) if bound < math.inf}
        search = Search(one, compile_problem(one), Limits(threads=1), Control(), formulation=formulation)
        result = search.run(range(3), caps)
        if inside:
            assert result.status == "optimal"
            assert result.evaluation.objectives == min(inside)
        else:
            assert result.status == "infeasible"
            assert zone == (4.9, math.inf)


def test_each_point_is_told_when_it_is_found():
    told = []
    front = pareto(chain(), (latency(), energy()), watch=told.append, threads=1)
    assert all(point in told for point in front.points)


def test_plain_data_of_a_front_has_its_points_and_plans():
    data = pareto(chain(), (latency(), energy()), threads=1).to_data()
    assert (data["format"], data["version"], data["complete"], data["zones_left"]) == ("dnnopt-front", 1, True, [])
    for point in data["points"]:
        assert point["proved"] is True
        assert set(point["placement"]["net"]) == set("abcd")
        assert len(point["objectives"]) == 2


def test_a_time_limit_that_is_over_at_once_leaves_the_whole_zone():
    front = pareto(chain(), (latency(), energy(), traffic()), time_limit=1e-9)
    assert (front.points, front.complete, front.zones_left) == ((), False, ((math.inf, math.inf),))
    assert front.to_data()["zones_left"] == [[None, None]]


def test_a_time_limit_in_the_middle_leaves_zones_or_points_that_are_not_proved():
    front = pareto(hard_problem(), (latency(), energy()), time_limit=2, threads=1)
    assert not front.complete
    assert front.zones_left or not all(point.proved for point in front.points)
    assert front.runtime < 10


@pytest.mark.parametrize(
    ("objectives", "options", "part"),
    [
        ((), {}, "objectives: got 0"),
        ((latency(),), {}, "objectives: got 1"),
        ((latency(), energy()), {"tolerance": 1e-10}, "tolerance: got 1e-10"),
        ((latency(), energy()), {"tolerance": 0}, "tolerance: got 0"),
        ((latency(), energy()), {"tolerance": 1.0}, "tolerance: got 1.0"),
        ((latency(), energy()), {"time_limit": -1}, "time_limit"),
        ((latency(), energy()), {"formulation": "magic"}, "magic"),
        ((latency(), energy()), {"solver": "gurobi"}, "gurobi"),
        ((latency(), energy("fridge")), {}, "fridge"),
    ],
)
def test_bad_input_is_refused(objectives, options, part):
    with pytest.raises(InputError) as refused:
        pareto(chain(), objectives, **options)
    assert part in str(refused.value)


def test_a_formulation_that_does_not_support_the_problem_is_refused():
    with pytest.raises(UnsupportedError):
        pareto(chain(), (latency(), period()), formulation="edgewise+sum")
