"""Heuristics give plans that the referee accepts, or none; no better than the best, and the same for the same seed."""

import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from brute_force import brute_force
from builders import layer, link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import page
from scheduled_optimum import scheduled
from strategies import problems

from dnnopt.base.errors import InputError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.methods import heuristics
from dnnopt.methods.heuristics import BASELINES, Effort, discovered
from dnnopt.methods.heuristics.population import Genes
from dnnopt.methods.pool import Pool
from dnnopt.methods.solving import methods, solve
from dnnopt.models.solvers.interface import Clock
from dnnopt.problem.constraints import memory
from dnnopt.problem.objectives import energy, latency
from dnnopt.problem.problem import load
from dnnopt.referee import evaluate
from dnnopt.studies.pareto import heuristic_front, pareto

INSTALLED = [name for name, baseline in BASELINES.items() if baseline.installed]
SEARCHES = [name for name in INSTALLED if BASELINES[name].searches]
QUICK = [name for name in INSTALLED if not BASELINES[name].searches]
ITERATIONS = {"random": 200, "local-search": 500, "annealing": 500}  # others: 3 generations or neighbourhoods


def run(one, name, compiled=None, **effort):
    """Return the pool of a heuristic's run, and all that it yielded."""
    compiled = compile_problem(one) if compiled is None else compiled
    pool = Pool(one, compiled)
    told = list(BASELINES[name].run(Evaluator(compiled), Effort(**effort)))
    for source, placement in told:
        pool.offer_placement(placement, source)
    return pool, told


def test_no_heuristic_has_the_name_of_another_method():
    assert len(methods()) == len(set(methods()))


def effort_of(name, seed=0):
    return {"iterations": ITERATIONS.get(name, 3), "seed": seed}


def chain():
    """Ten layers that are fast on either of two devices, in turn by halves; the memory of one holds six of them."""
    names = "abcdefghij"
    tensors = [tensor(u, u, v, 1) for u, v in pairwise(names)]
    on = platform("p q", [link("up"), link("down")], {"p>q": "up", "q>p": "down"})
    times = {name: (1, 5) if name < "f" else (5, 1) for name in names}
    net = network([layer(name, 1) for name in names], tensors)
    return problem(net, on, times, subject_to=[memory(limits={"p": 6.0, "q": 6.0})])


def test_plans_are_those_of_the_referee_and_never_better_than_the_best():
    seen = Counter()

    @settings(max_examples=10)
    @given(problems(), st.integers(0, 1000))
    def check(one, seed):
        best, compiled = brute_force(one), compile_problem(one)
        for name in INSTALLED:
            pool, told = run(one, name, compiled, **effort_of(name, seed))
            assert told, name
            if pool.plan is None:
                seen[name, "none" if best.objective is None else "missed"] += 1
                continue
            judged = evaluate(one, pool.plan)
            assert judged.feasible
            assert best.objective is not None, name
            assert judged.objective >= best.objective * (1 - 1e-9) - 1e-300, name
            seen[name, "best" if judged.objective <= best.objective * (1 + 1e-9) else "worse"] += 1

    check_until(
        check, lambda: all(seen[name, "best"] + seen[name, "worse"] > seen[name, "missed"] for name in INSTALLED)
    )


@settings(max_examples=6)
@given(scheduled(most_placements=100), st.integers(0, 1000))
def test_schedules_are_found_under_scheduled_execution(one, seed):
    compiled = compile_problem(one)
    for name in INSTALLED:
        pool, told = run(one, name, compiled, **effort_of(name, seed))
        assert told
        assert pool.plan is None or (evaluate(one, pool.plan).feasible and pool.plan.schedule is not None)


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_end_no_worse_than_they_start_and_find_the_cut_of_a_chain(name):
    pool, told = run(chain(), name, **effort_of(name))
    assert pool.objective == 11.0
    evaluator = Evaluator(pool.compiled)
    values = [evaluator.objectives(placement[None])[0] for _, placement in told]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("name", SEARCHES)
def test_same_seed_and_iterations_give_the_same_plans(name):
    one = load("small/017")
    compiled = compile_problem(one)
    first, again = (run(one, name, compiled, **effort_of(name, seed=3))[1] for _ in range(2))
    assert [source for source, _ in first] == [source for source, _ in again]
    for (_, placement), (_, other) in zip(first, again, strict=True):
        np.testing.assert_array_equal(placement, other)


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_end_with_their_time(name):
    one = load("core/060")
    assert list(BASELINES[name].run(Evaluator(compile_problem(one)), Effort(Clock(0.3))))  # and it ended


@pytest.mark.parametrize("name", INSTALLED)
def test_without_time_or_when_stopped_there_is_a_placement_soon(name):
    effort = Effort(Clock(0.0), iterations=10**9)
    effort.stop.set()
    compiled = compile_problem(load("small/003"))
    told = list(BASELINES[name].run(Evaluator(compiled), effort))
    assert [placement.shape for _, placement in told][:1] == [(len(compiled.node_names),)]


@pytest.mark.parametrize("number", range(1, 25))
def test_the_library_has_plans_by_quick_heuristics(number):
    one = load(f"small/{number:03}")
    compiled = compile_problem(one)
    if Evaluator.refuses(compiled):
        pytest.skip(f"no placement alone tells {Evaluator.refuses(compiled)}")
    found = [pool for name in QUICK if (pool := run(one, name, compiled)[0]).plan is not None]
    assert found
    assert all(evaluate(one, pool.plan).feasible for pool in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("number", range(1, 25))
def test_the_library_has_plans_by_searches(number, name):
    one = load(f"small/{number:03}")
    result = solve(one, method=name, time_limit=0.5)
    assert (result.status, result.plan is None) in [("feasible", False), ("no_solution", True)]
    assert result.plan is None or evaluate(one, result.plan).feasible


def test_a_problem_without_a_plan_has_none():
    one = chain().model_copy(update={"subject_to": (memory(limits={"p": 4.0, "q": 4.0}),)})
    for name in INSTALLED:
        pool, told = run(one, name, **effort_of(name))
        assert told
        assert pool.plan is None


def test_a_search_starts_from_the_plan_that_is_given():
    one = chain()
    start = compile_problem(one).plan([0] * 5 + [1] * 5)
    for name in SEARCHES:
        if name not in ("random", "genetic", "particle-swarm", "pso-ga"):
            assert solve(one, method=name, iterations=1, start=start).evaluation.objective == 11.0


def test_vectors_are_placements():
    one = load("small/005")
    genes, draw = Genes(Evaluator(compile_problem(one))), np.random.default_rng(0)
    vectors = draw.integers(0, genes.counts, (20, len(genes.counts)))
    placements = genes.placements(vectors)
    allowed = genes.evaluator.compiled.allowed
    assert allowed[np.arange(placements.shape[1]), placements].all()
    np.testing.assert_array_equal(genes.vectors(placements), vectors)


# Options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "annealing"}, "limit on iterations"),
        ({"method": "greedy", "iterations": 5}, "no iterations"),
        ({"iterations": 5}, "no iterations"),
        ({"method": "annealing", "iterations": 0}, ">= 1"),
        ({"method": "magic", "iterations": 5}, "local-search"),
    ],
)
def test_limits_that_do_not_go_with_the_method_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        solve(chain(), **options)


@pytest.mark.parametrize("name", ["genetic", "particle-swarm"])
def test_a_missing_extra_is_named(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "pymoo", None)
    monkeypatch.setitem(sys.modules, "pymoo.core.problem", None)
    with pytest.raises(InputError, match=r'pip install "dnnopt\[evolutionary\]"'):
        solve(chain(), method=name, iterations=1)


# Fronts


@pytest.mark.skipif(not BASELINES["genetic"].installed, reason="pymoo is not installed")
def test_a_heuristic_front_has_no_point_that_the_proved_front_does_not_dominate():
    one = load("small/005")
    objectives = [latency(), energy()]
    found = heuristic_front(one, objectives, iterations=20, seed=1)
    again = heuristic_front(one, objectives, iterations=20, seed=1)
    proved = pareto(one, objectives)
    assert [point.objectives for point in found.points] == [point.objectives for point in again.points]
    assert found.points
    assert not found.complete
    assert proved.complete
    for point in found.points:
        assert evaluate(found.problem, point.plan).objectives == point.objectives
        assert any(
            all(a <= b * (1 + 1e-6) for a, b in zip(other.objectives, point.objectives, strict=True))
            for other in proved.points
        )


@pytest.mark.parametrize(("options", "count"), [({}, 2), ({"iterations": 3}, 1), ({"time_limit": -1.0}, 2)])
def test_fronts_without_limits_or_objectives_are_refused(options, count):
    with pytest.raises(InputError):
        heuristic_front(chain(), [latency(), energy()][:count], **options)


def test_a_heuristic_is_a_file(tmp_path, monkeypatch):
    text = """
from dnnopt.methods.heuristics.baseline import Baseline


def placements(evaluator, effort):
    yield "last ones", evaluator.compiled.allowed.cumsum(axis=1).argmax(axis=1)


BASELINE = Baseline(name="last", summary="all on the last executor", order=15, run=placements)
"""
    (tmp_path / "last_executor.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(heuristics, "__path__", [*heuristics.__path__, str(tmp_path)])
    found = discovered()
    assert list(found) == [*list(BASELINES)[:1], "last", *list(BASELINES)[1:]]
    one = problem(network("a b"), platform("p q"), {"a": (1, 2), "b": (1, 2)})
    [(source, placement)] = found["last"].run(Evaluator(compile_problem(one)), Effort())
    assert (source, placement.tolist()) == ("last ones", [1, 1])


@pytest.mark.parametrize("name", BASELINES)
def test_the_page_of_methods_describes_every_heuristic(name):
    assert f"| `{name}` |" in page("methods.md")
