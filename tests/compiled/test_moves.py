"""A plan that moves has the objective and the excess that evaluating it whole gives."""

from collections import Counter

import numpy as np
import pytest
from builders import layer, link, network, platform, problem, tensor
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.moves import MovingPlan
from dnnopt.problem.constraints import Deadline, MaxCuts, Memory, MonotoneTiers
from dnnopt.problem.objectives import latency
from dnnopt.problem.platforms import Device

CLOSE = 1e-9


def compare(evaluator, plan):
    """Hold a moving plan against the whole evaluation; numbers of no plan may cancel, up to rounding of their size."""
    placement = np.array([plan.placement])
    objective, excess = evaluator.objectives(placement)[0], evaluator.excess(placement)[0]
    c = evaluator.compiled
    size = np.where(np.isfinite(c.time), c.time, 0.0).sum()
    assert plan.objective == pytest.approx(objective, rel=CLOSE, abs=CLOSE * size)
    assert plan.excess == pytest.approx(excess, rel=CLOSE, abs=CLOSE)
    assert (plan.excess == 0) == (excess == 0)


def test_a_random_walk_keeps_objective_and_excess():
    seen = Counter()

    @settings(max_examples=150)
    @given(problems(largest_spread=2), st.integers(0, 10**6))
    def check(one, seed):
        c = compile_problem(one)
        assert MovingPlan.refuses(c) is None
        evaluator, draw = Evaluator(c), np.random.default_rng(seed)
        nodes, executors = c.time.shape
        plan = MovingPlan(evaluator, draw.integers(0, executors, nodes))
        compare(evaluator, plan)
        for _ in range(12):
            changes = []
            for _ in range(3):
                moved = draw.choice(nodes, draw.integers(1, nodes + 1), replace=False).tolist()
                changes.append((moved, draw.integers(0, executors, len(moved)).tolist()))
            before = plan.placement.copy(), plan.excess, plan.objective
            excess, objective = plan.judge(changes)
            assert (plan.placement, plan.excess, plan.objective) == before
            chosen = int(draw.integers(3))
            plan.move(*changes[chosen])
            assert (plan.excess, plan.objective) == pytest.approx((excess[chosen], objective[chosen]), rel=1e-12)
            compare(evaluator, plan)
            seen["feasible" if plan.excess == 0 else "infeasible"] += 1
        seen[c.execution] += 1

    check_until(
        check,
        lambda: (
            min(seen["feasible"], seen["infeasible"]) >= 100
            and all(seen[name] for name in ("sequential", "parallel", "pipelined"))
        ),
    )


def test_a_constraint_that_is_listed_twice_counts_twice():
    devices = [Device(name=name, tier=tier, memory=1.0) for name, tier in (("p", "edge"), ("q", "end"))]
    net = network([layer("a", 3), layer("b", 3)], [tensor("t", "a", "b", 2)])
    on = platform(devices, [link("w")], {"p>q": "w", "q>p": "w"})
    twice = [limit for limit in (MonotoneTiers(), Memory(), MaxCuts(limit=0), Deadline(limit=1)) for _ in range(2)]
    evaluator = Evaluator(compile_problem(problem(net, on, {"a": (1, 1), "b": (1, 1)}, subject_to=twice)))
    for placement in ([0, 1], [1, 0], [0, 0]):
        compare(evaluator, MovingPlan(evaluator, np.array(placement)))


def test_rounding_does_not_pile_up_over_many_moves():
    net = network([layer(name) for name in "abcdef"])
    one = problem(net, platform("p q"), {name: (0.1 * k, 1e5 / (k + 3)) for k, name in enumerate("abcdef")})
    evaluator, draw = Evaluator(compile_problem(one)), np.random.default_rng(0)
    plan = MovingPlan(evaluator, np.zeros(6, dtype=int))
    for _ in range(2000):
        plan.move([int(draw.integers(6))], [int(draw.integers(2))])
    plan.move(range(6), [0] * 6)
    assert plan.objective == pytest.approx(1.5, rel=CLOSE)


def test_schedules_are_evaluated_whole():
    net = network([layer("a"), layer("b")])
    times = {"a": (1, 2), "b": (2, 1)}
    one = problem(net, platform("p q"), times, "scheduled", minimize=latency())
    assert "scheduled" in MovingPlan.refuses(compile_problem(one))
