"""Weights that layers share: every formulation, solver and method finds what enumeration by the referee finds."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from brute_force import ROUNDING, brute_force, check_solved, judged_plans
from builders import layer, link, network, platform, problem, shared, shared_across, tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduled_optimum import scheduled_optimum
from strategies import tied_problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.presolve import presolve
from dnnopt.formulations import registry
from dnnopt.methods.bounds.escapes import escapes
from dnnopt.methods.exact import EXACT
from dnnopt.methods.formulated import run_formulation
from dnnopt.methods.heuristics import BASELINES
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.label_search import LabelSearch
from dnnopt.methods.programs.lagrangian import Lagrangian
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Clock, Control, Limits
from dnnopt.problem.constraints import memory
from dnnopt.problem.objectives import energy, latency, period, traffic

FEW = {"most_placements": 90, "largest_spread": 2}
SUMS = st.sampled_from((latency(), energy(), traffic(), period()))


# Everything that judges or solves


@settings(max_examples=60)
@given(tied_problems(**FEW))
def test_the_evaluator_says_what_the_referee_says(one):
    c = compile_problem(one)
    judged = list(judged_plans(one))
    placements = np.array([c.placement(plan) for plan, _ in judged])
    assert (Evaluator(c).excess(placements) == 0).tolist() == [evaluation.feasible for _, evaluation in judged]


def test_every_formulation_matches_brute_force_without_a_start_plan():
    seen, used = Counter(), Counter()

    @settings(max_examples=25)
    @given(tied_problems(**FEW))
    def check(one):
        best, c = brute_force(one), compile_problem(one)
        for name in registry.supporting(c):
            pool, formulation = Pool(one, c), registry.formulation(name, c)
            solver = "highs" if formulation.kind == "milp" else "cpsat"
            outcome = run_formulation(pool, formulation, solver, Limits(threads=1), Control())
            seen[check_solved(best, outcome.status, pool.objective, pool.bound, pool.resolution)] += 1
            used[name.partition("+")[0]] += 1

    check()
    assert min(seen["optimal"], seen["infeasible"]) >= 10
    assert set(used) == {"product", "edgewise", "segments", "boundary", "treewise", "cp-assignment", "cp-schedule"}


@pytest.mark.parametrize("solver", ["cbc", "scip"])
def test_other_linear_solvers_match_brute_force(solver):
    if solver == "scip":
        pytest.importorskip("pyscipopt")

    @settings(max_examples=20)
    @given(tied_problems(**FEW), st.data())
    def check(one, data):
        name = data.draw(st.sampled_from(registry.supporting(compile_problem(one), "milp")))
        result = solve(one, formulation=name, solver=solver, threads=1)
        check_solved(brute_force(one), result.status, result.objective, result.bound)

    check()


def test_auto_and_exact_methods_match_brute_force_where_they_accept_a_problem():
    seen = Counter()

    @settings(max_examples=35)
    @given(tied_problems(**FEW), st.none() | SUMS)
    def check(one, objective):
        one = one if objective is None else one.replace(minimize=objective)
        best = brute_force(one)
        for name in ("auto", *EXACT):
            if name == "auto" or EXACT[name].refuses(compile_problem(one)) is None:
                result = solve(one, method=name, threads=1)
                seen[name, check_solved(best, result.status, result.objective, result.bound)] += 1

    check()
    assert {name for name, _ in seen} >= {"auto", "scan", "labels"}
    assert min(seen["auto", "optimal"], seen["auto", "infeasible"], seen["labels", "optimal"]) >= 5


def test_schedules_match_enumeration():
    @settings(max_examples=15)
    @given(tied_problems(executions=("parallel",), most_placements=40, largest_spread=2, most_constraints=0))
    def check(one):
        one = one.replace(execution="scheduled", minimize=latency())
        best = scheduled_optimum(one)
        for name in registry.supporting(compile_problem(one)):
            if name in ("cp-schedule", "edgewise+disjunctive"):
                result = solve(one, formulation=name, threads=1)
                assert (result.status, result.objective) == (
                    ("infeasible", None) if best is None else ("optimal", pytest.approx(best, rel=1e-6, abs=1e-15))
                )

    check()


# Bounds and reductions


def test_bounds_of_prices_and_labels_are_below_the_optimum():
    seen = Counter()

    @settings(max_examples=35)
    @given(tied_problems(**FEW), SUMS)
    def check(one, objective):
        one = one.replace(minimize=objective)
        c, best = compile_problem(one), brute_force(one).objective
        if best is None or Lagrangian.refuses(c) is not None or LabelSearch.refuses(c) is not None:
            return
        prices = Lagrangian(c)
        prices.maximize(Limits(1.0, threads=1), Control())
        assert prices.bound <= best + ROUNDING * abs(best)
        for width in (1, 2, 1000):
            found = LabelSearch(c, prices.around(4, 0)).run(width, np.inf, Clock(), Control())
            plans = [Pool(one, c).offer_placement(placement, "labels") for placement in found.placements]
            reached = min((plan.objective for plan in plans if plan.feasible), default=np.inf)
            assert min(found.bound, reached) <= best + ROUNDING * abs(best)
            seen[width, bool(np.isfinite(found.bound))] += 1

    check()
    assert min(seen[1, True], seen[1000, False]) >= 3


def test_mean_bytes_of_shared_weights_raise_the_bound_of_prices():
    # Of 500 bytes, p has room for 300: a layer counts as 100 and a quarter of what all share. Without that, it were 13.
    one = four_layers(tied=100, room=300)
    c = compile_problem(one)
    prices = Lagrangian(c)
    prices.maximize(Limits(), Control())
    assert prices.bound == pytest.approx(4 * 1 + (500 - 300) / 125 * 9, rel=1e-4)
    assert brute_force(one).objective == 22


def four_layers(tied, room):
    """Four layers of 100 bytes, faster on p, that share weights."""
    net = network([layer(word, 100) for word in "abcd"], shared_weights=[shared("tied", tied, "a b c d")])
    limits = [memory(limits={"p": room})]
    return problem(net, platform("p q"), dict.fromkeys("abcd", (1, 10)), subject_to=limits)


@settings(max_examples=60)
@given(tied_problems(**FEW))
def test_presolve_and_escapes_keep_every_feasible_plan(one):
    c = compile_problem(one)
    reduced, found = presolve(c), escapes(c)
    for plan, judged in judged_plans(one):
        if not judged.feasible:
            continue
        placement = c.placement(plan)
        assert reduced.compiled.allowed[np.arange(len(placement)), placement].all()
        device = c.executor_device[placement]
        for escape in found:
            leaves = device[c.edge_producer[escape.edges]] != device[c.edge_consumer[escape.edges]]
            assert leaves.any() or device[escape.node] != escape.device


def test_presolve_forbids_layers_whose_weights_do_not_fit_beside_what_they_share():
    net = network([layer("a", 60), layer("b", 20), layer("c", 60)], shared_weights=[shared("tied", 50, "a b")])
    one = problem(net, platform("p q"), dict.fromkeys("abc", (1, 1)), subject_to=[memory(limits={"p": 100})])
    assert presolve(compile_problem(one)).compiled.allowed[:, 0].tolist() == [False, True, True]


# What a person sees, and what is refused


def test_a_shared_weight_keeps_the_layers_that_read_it_together():
    # Apart, both devices would hold the 100 bytes: q, which is faster, has room for one of the layers and not for it.
    net = network([layer("embed", 10), layer("head", 10)], [tensor("t", "embed", "head", 1)])
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    times = {"embed": (5, 1), "head": (5, 4)}
    limits = [memory(limits={"p": 200, "q": 110})]
    free = problem(net, on, times, subject_to=limits)
    tied = problem(net.replace(shared_weights=[shared("wte", 100, "embed head")]), on, times, subject_to=limits)
    assert solve(free).objective == 5
    assert solve(tied).objective == 1 + 1 + 5
    assert solve(tied.replace(subject_to=[memory(limits={"p": 200, "q": 109})])).objective == 10


def test_models_name_the_weights_and_the_layers_that_read_them():
    other = network([layer("u", 1)], name="other")
    net = network([layer("a", 1), layer("b", 1)], shared_weights=[shared("wte", 9, "a b")])
    across = [shared_across("backbone", 5, "net.b other.u"), shared_across("alone", 7, "net.a")]
    times = {"net": dict.fromkeys("ab", (1, 2)), "other": {"u": (1, 2)}}
    one = problem([net, other], platform("p q"), times, subject_to=[memory(limits={"p": 20})], shared_weights=across)
    model = registry.formulation("edgewise", c := compile_problem(one)).build(c)
    columns = [name for name in model.column_names() if name.startswith("holds")]
    assert columns == ["holds(net.wte,p)", "holds(net.wte,q)", "holds(backbone,p)", "holds(backbone,q)"]
    assert [name for name in model.row_names() if name.startswith("reads") and name.endswith("p)")] == [
        "reads(net.wte,net.a,p)", "reads(net.wte,net.b,p)", "reads(backbone,net.b,p)", "reads(backbone,other.u,p)",
    ]  # fmt: skip
    assert c.constraints[0].resident.tolist() == [1 + 7, 1, 1]  # what one layer reads alone is its own


def test_shared_weights_do_nothing_where_memory_is_not_limited():
    one = four_layers(tied=100, room=300).replace(subject_to=[])
    for name in ("chain", "min-cut", "tree", "labels", "scan", "auto"):
        assert solve(one, method=name).objective == 4


@pytest.mark.parametrize("name", [name for name, baseline in BASELINES.items() if not baseline.searches])
def test_heuristics_keep_to_memory_with_shared_weights(name):
    # p is faster and has room for two layers and what they share; one more layer would fit if this were not counted.
    one = four_layers(tied=100, room=300)
    pool = Pool(one, compile_problem(one))
    for source, placement in BASELINES[name].run(Evaluator(pool.compiled), Effort(Clock(5.0))):
        pool.offer_placement(placement, source)
    assert pool.objective == {"all-on-one": 40, "repaired-min-cut": 40}.get(name, 22)  # all on q needs no repair


def test_label_search_refuses_more_shared_weights_than_labels_can_keep():
    words = [f"l{v}" for v in range(52)]
    ties = [shared(f"w{v}", 1, f"{u} {w}") for v, (u, w) in enumerate(pairwise(words))]
    net = network([layer(word, 1) for word in words], shared_weights=ties)
    limits = [memory(limits={"p": 60, "q": 60})]
    one = problem(net, platform("p q"), dict.fromkeys(words, (1, 2)), subject_to=limits)
    reason = "more than 100 shared weights and largest activations in limits (102)"
    assert EXACT["labels"].refuses(compile_problem(one)) == reason
    assert solve(one, threads=1, time_limit=20).status == "optimal"
