"""Every exact method finds and proves the optimum of enumeration where it accepts a problem, and refuses by reason."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from brute_force import brute_force, check_solved, feasible_plans
from builders import link, network, platform, problem, tensor
from choice_problems import problems_with_choices
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import CONSTRAINTS
from special import FEW, LINEAR, chains, followed, in_memory, linear, pipelines, two_sides
from strategies import problems

import dnnopt as dp
from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.methods.bounds.contiguous import relaxations
from dnnopt.methods.exact import EXACT, ideals
from dnnopt.methods.exact.chain import k_best
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs import pipelines as pipelines_of_ideals
from dnnopt.methods.programs.items import Items
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem import constraints
from dnnopt.problem.objectives import period
from dnnopt.studies.best_known import read_table


def proved(one, name, best):
    """Solve by a method that accepts the problem; return the status, which is right."""
    result = solve(one, method=name, threads=1)
    assert result.method == name
    return check_solved(best, result.status, result.objective, result.bound)


def test_methods_match_brute_force_where_they_accept_a_problem_and_refuse_it_by_reason_elsewhere():
    seen = Counter()

    @settings(max_examples=60)
    @given(problems(most_placements=FEW, largest_spread=2), st.none() | LINEAR, st.booleans())
    def check(one, objective, free):
        if objective is not None:
            one = one.replace(minimize=objective)
        if free:
            one = one.replace(subject_to=())
        best = brute_force(one)
        for name, method in EXACT.items():
            reason = method.refuses(compile_problem(one))
            if reason is None:
                seen[name, proved(one, name, best)] += 1
            else:
                seen[name, "refused"] += 1
                with pytest.raises(UnsupportedError) as caught:
                    solve(one, method=name)
                assert str(caught.value) == f"the method '{name}' does not support {reason}"

    check_until(
        check, lambda: seen["tree", "optimal"] >= 5 and all(seen[name, "refused"] for name in EXACT if name != "scan")
    )


# Problems of each method's own class

CLASSES = {
    "ideals": pipelines(),
    "labels": followed(),
    "groups": in_memory(),
    "chain": chains(),
    "min-cut": two_sides(),
    "tree": linear(),
    "blocks": problems_with_choices(kinds=("blocks",), always=("blocks",), executions=("sequential",)),
    "scan": problems(most_placements=FEW, largest_spread=2),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_method_matches_brute_force_on_problems_of_its_class(name):
    seen = Counter()

    @settings(max_examples=40)
    @given(CLASSES[name])
    def check(one):
        if EXACT[name].refuses(compile_problem(one)) is not None:
            seen["refused"] += 1
            return
        seen[proved(one, name, brute_force(one))] += 1

    check_until(check, lambda: seen["optimal"] >= 10)


def test_the_k_best_placements_of_chains_are_those_of_enumeration_in_order():
    seen = Counter()

    @settings(max_examples=25)
    @given(chains(), st.integers(1, 12))
    def check(one, k):
        c = compile_problem(one)
        values = {tuple(c.placement(plan)): objective for (objective,), plan in feasible_plans(one)}
        found = list(k_best(c, k))
        assert len(found) == min(k, len(values))
        assert len({tuple(placement) for _, placement in found}) == len(found)
        for (value, placement), expected in zip(found, sorted(values.values()), strict=False):
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)
            assert values[tuple(placement)] == pytest.approx(expected, rel=1e-9, abs=1e-12)
        seen[len(found) == k] += 1

    check_until(check, lambda: seen[True] and seen[False])


def test_relaxations_of_contiguous_stages_are_bounds_and_infeasible_only_where_the_problem_is():
    seen = Counter()

    @settings(max_examples=60)
    @given(pipelines(), st.data())
    def check(one, data):
        if data.draw(st.booleans()):
            one = one.replace(subject_to=[*one.subject_to, data.draw(CONSTRAINTS["traffic"](one))])
        c, best = compile_problem(one), brute_force(one).objective
        for relaxed in relaxations(c):
            pool = Pool(one, c)
            outcome = ideals.search(pool, relaxed, Limits(), Control(), "relaxation")
            seen["infeasible"] += outcome.status == "infeasible"
            if best is None:
                continue
            assert outcome.status == "optimal"
            assert pool.bound <= best + 1e-9 * abs(best)
            seen["tight"] += pool.bound >= best - 1e-6 * abs(best)

    check_until(check, lambda: seen["infeasible"] and seen["tight"])


ON = platform("p q r", [link("w")], {"p>q": "w", "q>p": "w", "p>r": "w", "r>p": "w", "q>r": "w", "r>q": "w"})


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ([tensor("t", "a", "b c", 1)], "a sends a tensor to several places"),
        ([tensor("t", "a", "b", 1), tensor("u", "a", "c", 1)], "a sends tensors to several layers"),
        ([tensor("t", "a", "c", 1), tensor("u", "b", "c", 1)], "c gets tensors from several layers"),
    ],
)
def test_what_is_no_chain_is_refused_by_its_first_layer(tensors, words):
    one = problem(network("a b c", tensors), ON, dict.fromkeys("abc", (1, 1, 1)))
    assert EXACT["chain"].refuses(compile_problem(one)) == f"what is no chain: {words}"


def test_a_choice_among_three_is_no_cut_but_one_between_two_of_them_is():
    one = problem(network("a b", [tensor("t", "a", "b", 1)]), ON, {"a": (1, 1, 1), "b": (1, 1, 1)})
    words = "a choice among more than two executors (p, q, r)"
    assert EXACT["min-cut"].refuses(compile_problem(one)) == words
    one = problem(network("a b", [tensor("t", "a", "b", 1)]), ON, {"a": (3, None, 1), "b": (None, 1, None)})
    assert solve(one, method="min-cut").objective == 3


def test_costs_that_are_far_apart_do_not_blur_the_cut():
    # Keeping b on p costs a million million times what the choice of a is about.
    net = network("a b", [tensor("t", "a", "b", 1e-6)])
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    one = problem(net, on, {"a": (1e-6, 1.5e-6), "b": (1e6, 0)})
    result = solve(one, method="min-cut")
    assert result.objective == pytest.approx(1.5e-6, rel=1e-12)
    assert result.bound == pytest.approx(1.5e-6, rel=1e-9)


def test_many_ideals_are_refused_and_blocks_of_pairs_change_nothing(monkeypatch):
    words = [f"l{v}" for v in range(20)]
    hub = platform(
        "p q r",
        [link(f"{device}-{way}", 2.0) for device in "pqr" for way in ("up", "down")],
        {f"{i}>{j}": f"{i}-up {j}-down" for i in "pqr" for j in "pqr" if i != j},
    )
    apart = problem(network(" ".join(words)), hub, dict.fromkeys(words, (1, 1, 1)), "pipelined", period())
    apart = apart.replace(subject_to=[constraints.Contiguous()])
    assert EXACT["ideals"].refuses(compile_problem(apart)) == "more than 100,000 ideals"
    ladder = [tensor(f"t{v}", f"l{v}", " ".join(words[v + 2 : v + 4]), 1 + v % 3) for v in range(18)]
    seconds = {word: (1 + v % 4, 2, 3 - v % 3) for v, word in enumerate(words)}
    one = problem(network(" ".join(words), ladder), hub, seconds, "pipelined", period(), transport="multicast")
    one = one.replace(subject_to=[constraints.Contiguous()])
    result = solve(one, method="ideals")
    assert result.status == "optimal"
    assert solve(one, threads=1, time_limit=60).objective == pytest.approx(result.objective, rel=1e-6)
    monkeypatch.setattr(pipelines_of_ideals, "_BLOCK", 7)
    monkeypatch.setattr(pipelines_of_ideals, "_LEAST_BLOCK", 1)
    assert solve(one, method="ideals").objective == result.objective


def test_ideals_of_random_pipelines_are_the_best_in_blocks_of_one_pair(monkeypatch):
    monkeypatch.setattr(pipelines_of_ideals, "_BLOCK", 1)
    monkeypatch.setattr(pipelines_of_ideals, "_LEAST_BLOCK", 1)
    seen = Counter()

    @settings(max_examples=30)
    @given(pipelines())
    def check(one):
        if EXACT["ideals"].refuses(compile_problem(one)) is None:
            seen[proved(one, "ideals", brute_force(one))] += 1

    check_until(check, lambda: seen["optimal"] >= 10)


@given(st.integers(1, 8), st.data())
@settings(max_examples=100)
def test_ideals_are_all_sets_that_hold_what_comes_before(count, data):
    order = data.draw(st.permutations(range(count)))
    pairs = [(order[i], order[j]) for i in range(count) for j in range(i + 1, count) if data.draw(st.booleans())]
    before = np.zeros((count, count), dtype=bool)
    for u, v in pairs:
        before[u, v] = True
    for middle in range(count):
        before |= before[:, middle, None] & before[middle]
    sets = np.array(list(product((False, True), repeat=count)), dtype=bool).reshape(2**count, count)
    expected = {tuple(one) for one in sets.tolist() if not any(one[v] and not one[u] for u, v in pairs)}
    found = Items(np.arange(count), before).ideals(len(expected))
    assert len(found) == len(expected)
    assert {tuple(one) for one in found.tolist()} == expected
    assert (np.diff(found.sum(axis=1)) >= 0).all()
    assert Items(np.arange(count), before).ideals(len(expected) - 1) is None


def test_scans_refuse_schedules_and_what_is_too_much():
    one = problem(network("a"), ON, {"a": (1, 1, 1)}, "scheduled")
    assert EXACT["scan"].refuses(compile_problem(one)).startswith("scheduled execution")
    words = " ".join(f"l{v}" for v in range(12))
    one = problem(network(words), ON, dict.fromkeys(words.split(), (1, 1, 1)))
    assert EXACT["scan"].refuses(compile_problem(one)) == "more than 200,000 placements"


ENDING = [name for name in EXACT if name not in ("labels", "groups")]  # which may have to leave labels out
SMALL = [row for row in read_table().values() if row.problem.startswith("small/")]


def test_small_problems_have_their_best_known_values():
    accepted = Counter()
    for row in SMALL:
        one = dp.load(row.problem)
        compiled = compile_problem(one)
        for name in ENDING:
            if len(compiled.objective) == 1 and EXACT[name].refuses(compiled) is None:
                result = solve(one, method=name)
                assert result.status == "optimal"
                assert result.objective == pytest.approx(row.objective, rel=2e-6)
                accepted[name] += 1
    assert accepted["scan"]


def test_methods_agree_on_small_problems_without_their_limits():
    accepted = Counter()
    for row in SMALL:
        one = dp.load(row.problem).replace(subject_to=())
        compiled = compile_problem(one)
        if len(compiled.objective) > 1:
            continue
        results = {name: solve(one, method=name) for name in ENDING if EXACT[name].refuses(compiled) is None}
        for name, result in results.items():
            assert result.status == "optimal"
            assert result.objective <= row.objective * (1 + 1e-9)
            assert result.objective == pytest.approx(min(other.objective for other in results.values()), rel=1e-9)
            accepted[name] += 1
    assert min(accepted[name] for name in ("chain", "min-cut", "tree")) >= 1
