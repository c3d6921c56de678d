"""A plan that moves has the objective and the excess that evaluating it anew gives."""

from collections import Counter

import numpy as np
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.moves import MovingPlan


def test_a_random_walk_keeps_objective_and_excess():
    seen = Counter()

    @settings(max_examples=50)
    @given(problems(largest_spread=2), st.integers(0, 10**6))
    def check(one, seed):
        c = compile_problem(one)
        evaluator, draw = Evaluator(c), np.random.default_rng(seed)
        nodes, executors = c.time.shape
        plan = MovingPlan(evaluator, draw.integers(0, executors, nodes))
        for _ in range(6):
            changes = []
            for _ in range(3):
                moved = draw.choice(nodes, draw.integers(1, nodes + 1), replace=False).tolist()
                changes.append((moved, draw.integers(0, executors, len(moved)).tolist()))
            before = plan.placement.copy(), plan.excess, plan.objective
            excess, objective = plan.judge(changes)
            assert (plan.placement, plan.excess, plan.objective) == before
            chosen = int(draw.integers(3))
            expected = np.array(plan.placement)
            expected[changes[chosen][0]] = changes[chosen][1]
            plan.move(*changes[chosen])
            assert plan.placement == expected.tolist()
            np.testing.assert_allclose((plan.excess, plan.objective), (excess[chosen], objective[chosen]), rtol=1e-12)
            anew = evaluator.excess(expected[None])[0], evaluator.objectives(expected[None])[0]
            assert (plan.excess, plan.objective) == anew
            seen["feasible" if plan.excess == 0 else "infeasible"] += 1

    check_until(check, lambda: min(seen["feasible"], seen["infeasible"]) >= 30)
