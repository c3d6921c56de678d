"""Exact formulations, and `solve`, find the optimum of scheduled execution that enumeration finds."""

from collections import Counter
from itertools import permutations

import pytest
from brute_force import brute_force
from builders import link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduled_optimum import scheduled, scheduled_optimum
from strategies import problems

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.constraints import MulticastTrees
from dnnopt.formulations import registry
from dnnopt.formulations.hops import not_a_tree
from dnnopt.methods.formulated import default_solver, run_formulation
from dnnopt.methods.pool import Pool
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem import constraints as c
from dnnopt.problem.objectives import energy, largest, latency, period, traffic

# Rounding times down may cost this much of a bound.
ROUNDING = 1e-5


def solve_without_start(given_problem, name):
    compiled = compile_problem(given_problem)
    formulation = registry.formulation(name, compiled)
    pool = Pool(given_problem, compiled)
    outcome = run_formulation(pool, formulation, default_solver(formulation), Limits(threads=1), Control())
    return outcome.status, pool.objective, pool.bound


def check(best, status, objective, bound):
    """Assert that the optimum was found and bounded; return the status."""
    if best is None:
        assert (status, objective) == ("infeasible", None)
    else:
        assert objective == pytest.approx(best, rel=1e-6, abs=1e-15)
        assert best - ROUNDING * abs(best) - 1e-12 <= bound <= best + 1e-6 * abs(best)
    return status


@pytest.mark.parametrize("name", ["cp-schedule", "edgewise+disjunctive", "product+disjunctive"])
def test_exact_formulations_match_enumeration(name):
    seen = Counter()

    @settings(max_examples=60)
    @given(scheduled(most_placements=100, largest_spread=2))
    def matches(drawn):
        if name in registry.supporting(compile_problem(drawn)):
            seen[check(scheduled_optimum(drawn), *solve_without_start(drawn, name))] += 1

    check_until(matches, lambda: seen["optimal"] and seen["infeasible"])


def test_solve_matches_enumeration():
    @settings(max_examples=25)
    @given(scheduled(most_placements=100, largest_spread=2))
    def matches(drawn):
        if not_a_tree(compile_problem(drawn)):
            return
        result = solve(drawn, threads=1, time_limit=100)
        check(scheduled_optimum(drawn), result.status, result.objective, result.bound)

    matches()


def test_cp_schedule_matches_brute_force_on_critical_paths():
    @settings(max_examples=60)
    @given(problems(executions=("parallel",), most_placements=100, largest_spread=2))
    def matches(drawn):
        check(brute_force(drawn).objective, *solve_without_start(drawn, "cp-schedule"))

    matches()


# A fork-join: two branches on two devices, each a hop away from where the answer is wanted.
FORK = network(
    "s a b j",
    [
        tensor("sa", "s", "a b", 2),
        tensor("aj", "a", "j", 1),
        tensor("bj", "b", "j", 1),
        tensor("answer", "j", "output", 0),
    ],
    sink="pi",
)
TIMES = {"s": (1, 9, 9), "a": (20, 5, 4), "b": (20, 5, 4), "j": (1, 9, 9)}
LINKS = [link("up"), link("down"), link("wire"), link("back")]
HUB = platform(
    "pi nx t4",
    LINKS,
    {"pi>nx": "up", "nx>pi": "down", "pi>t4": "up wire", "t4>pi": "back down", "nx>t4": "wire", "t4>nx": "back"},
)
EXACT = ["cp-schedule", "edgewise+disjunctive"]


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(
    ("transport", "resources", "optimum"),
    [
        # b on t4: s 1, up 2, wire 2, b 4, back 1. Its copy goes first; a has its own at 5, is ready at 10 as well, so
        # that one result waits for the other: down 2, j 1. With both branches on nx it would be 15.
        ("unicast", {}, 13),
        ("per_edge", {}, 13),
        ("unicast", {"radio": "up down"}, 13),
        # One copy is enough for "up": a starts at 3, and is ready long before b.
        ("multicast", {}, 12),
        # The second copy waits for both hops of the first.
        ("unicast", {"medium": "up wire back down"}, 14),
    ],
)
def test_a_fork_join_over_several_hops(name, transport, resources, optimum):
    on = platform(
        "pi nx t4", LINKS, {"pi>nx": "up", "nx>pi": "down", "pi>t4": "up wire", "t4>pi": "back down"}, resources
    )
    fork = problem(FORK, on, TIMES, "scheduled", transport=transport)
    assert scheduled_optimum(fork) == optimum
    assert solve_without_start(fork, name)[:2] == ("optimal", pytest.approx(optimum, rel=1e-6))


@pytest.mark.parametrize("name", EXACT)
def test_networks_that_share_devices_wait_for_each_other(name):
    first = network("a b", [tensor("ab", "a", "b", 1)], name="first")
    second = network("c d", [tensor("cd", "c", "d", 1)], name="second", weight=2.0)
    on = platform("pi t4", [link("up"), link("down")], {"pi>t4": "up", "t4>pi": "down"})
    times = {"first": {"a": (2, None), "b": (3, 1)}, "second": {"c": (2, None), "d": (3, 1)}}
    weighted = problem([first, second], on, times, "scheduled")
    assert solve_without_start(weighted, name)[1] == pytest.approx(scheduled_optimum(weighted))
    last = problem([first, second], on, times, "scheduled", minimize=largest(latency()))
    assert solve_without_start(last, name)[1] == pytest.approx(scheduled_optimum(last))
    late = problem([first, second], on, times, "scheduled", subject_to=[c.Deadline(network="first", limit=4.0)])
    assert solve_without_start(late, name)[1] == pytest.approx(scheduled_optimum(late))
    never = problem([first, second], on, times, "scheduled", subject_to=[c.Deadline(limit=4.0)])
    assert scheduled_optimum(never) is None
    assert solve_without_start(never, name)[0] == "infeasible"


def test_multicast_over_routes_that_form_no_tree_is_refused_by_name():
    routes = {"pi>nx": "up wire", "pi>t4": "wire"}
    on = platform("pi nx t4", LINKS[:3], routes)
    fork = problem(FORK.model_copy(update={"sink": None}), on, TIMES, "scheduled", transport="multicast")
    with pytest.raises(UnsupportedError, match=r"the constraint multicast_tree \(the routes from pi form no tree\)"):
        solve(fork, formulation="cp-schedule")


@st.composite
def joined(draw):
    """Draw a problem in which tensors go to several devices over routes that meet again."""
    amounts = st.sampled_from((0, 1, 2, 5))
    ways = st.sampled_from(("u", "v", "w", "u v", "v w", "w v", "w u v"))
    tensors = [
        tensor(f"t{word}", word, " ".join(later), draw(amounts))
        for word, others in (("a", "bcd"), ("b", "cd"), ("c", "d"))
        if (later := [other for other in others if draw(st.integers(0, 3))])
    ]
    on = platform("p q r", [link(word) for word in "uvw"], {f"{i}>{j}": draw(ways) for i, j in permutations("pqr", 2)})
    times = {word: [draw(amounts) for _ in "pqr"] for word in "abcd"}
    return problem(
        network("a b c d", tensors),
        on,
        times,
        "scheduled",
        draw(st.sampled_from((energy(), traffic("u"), period()))),
        transport="multicast",
        energies=times,
    )


def test_multicast_over_routes_that_form_no_tree_matches_enumeration_where_no_latency_is_asked_for():
    seen = Counter()

    @settings(max_examples=15)
    @given(joined())
    def matches(one):
        compiled = compile_problem(one)
        best, able = scheduled_optimum(one), registry.supporting(compiled)
        assert {"edgewise+period", "cp-assignment"} <= set(able)
        for name in (None, "edgewise+period", "cp-assignment"):
            result = solve(one, formulation=name, threads=1)
            check(best, result.status, result.objective, result.bound)
        seen["no tree"] += any(isinstance(limit, MulticastTrees) for limit in compiled.constraints)

    matches()
    assert seen["no tree"] >= 5


def test_energy_under_scheduled_execution_needs_no_order_but_gets_a_schedule():
    fork = problem(FORK, HUB, TIMES, "scheduled", minimize=energy())
    result = solve(fork, threads=1)
    assert result.status == "optimal"
    assert result.plan.schedule is not None
