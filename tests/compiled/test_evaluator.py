"""The vectorised evaluator says of every placement what the referee says."""

from collections import Counter

import numpy as np
import pytest
from brute_force import feasible_plans, judged_plans
from builders import layer, network, plan, platform, problem
from examples import check_until
from hypothesis import given, settings
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.problem.constraints import Energy, Memory
from dnnopt.referee import evaluate

CLOSE = 1e-9


def test_evaluator_and_referee_agree_on_every_placement():
    seen = Counter()

    @settings(max_examples=80)
    @given(problems())
    def check(problem):
        compiled = compile_problem(problem)
        evaluator = Evaluator(compiled)
        assert Evaluator.refuses(compiled) is None
        judged = list(judged_plans(problem))
        placements = np.array([compiled.placement(plan) for plan, _ in judged])
        feasible = evaluator.excess(placements) == 0
        objectives = evaluator.objectives(placements)
        assert feasible.tolist() == [evaluation.feasible for _, evaluation in judged]
        accepted = [(evaluation.objectives, plan) for plan, evaluation in judged if evaluation.feasible]
        assert list(feasible_plans(problem)) == accepted
        for value, (_, evaluation) in zip(objectives[feasible], np.array(judged, dtype=object)[feasible], strict=True):
            size = sum(abs(term.weight) * evaluation.metrics["latency"] for term in problem.minimize if term.idle)
            assert value == pytest.approx(evaluation.objective, rel=CLOSE, abs=CLOSE * 10 * size)
        seen["feasible"] += int(feasible.sum())
        seen["infeasible"] += int((~feasible).sum())

    check_until(check, lambda: min(seen["feasible"], seen["infeasible"]) >= 1000)


@settings(max_examples=30)
@given(problems())
def test_batches_give_the_same_as_one_by_one(problem):
    compiled = compile_problem(problem)
    evaluator = Evaluator(compiled)
    placements = np.array([compiled.placement(plan) for plan, _ in judged_plans(problem)])[:50]
    together = evaluator.objectives(placements), evaluator.excess(placements)
    single = np.array([(evaluator.objectives(p[None])[0], evaluator.excess(p[None])[0]) for p in placements])
    np.testing.assert_allclose(together[0], single[:, 0], rtol=1e-12)
    np.testing.assert_allclose(together[1], single[:, 1], rtol=1e-12)


def both_say(subject_to, energies=None, weights=0):
    """Return whether evaluator and referee find the only plan feasible."""
    net = network([layer("a", weights)])
    one = problem(net, platform("pi"), {"a": (1,)}, subject_to=[subject_to], energies=energies)
    compiled = compile_problem(one)
    placed = plan("a:pi")
    evaluated = Evaluator(compiled).excess(compiled.placement(placed)[None])[0] == 0
    return evaluated, evaluate(one, placed).feasible


def test_one_byte_too_many_is_too_many_even_where_it_is_a_billionth_of_the_memory():
    assert both_say(Memory(limits={"pi": 1e12}), weights=1e12) == (True, True)
    assert both_say(Memory(limits={"pi": 1e12}), weights=1e12 + 1) == (False, False)


def test_a_limit_of_zero_allows_nothing():
    assert both_say(Energy(limit=0.0), energies={"a": (0.0,)}) == (True, True)
    assert both_say(Energy(limit=0.0), energies={"a": (1e-12,)}) == (False, False)
