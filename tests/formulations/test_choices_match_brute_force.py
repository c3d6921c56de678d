"""Modes, forms, reach and state: every formulation that knows them equals brute force, and the others refuse."""

import numpy as np
import pytest
from brute_force import brute_force, check_solved, judged_plans
from choices import problems_with_choices
from hypothesis import given, settings

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator

SOLVERS = {"product": "highs", "edgewise": "highs", "cp-assignment": "cpsat"}


@settings(max_examples=20)
@given(problem=problems_with_choices())
def test_the_evaluator_says_of_every_plan_what_the_referee_says(problem):
    compiled = compile_problem(problem)
    evaluator = Evaluator(compiled)
    judged = list(judged_plans(problem))
    placements = np.array([compiled.placement(plan) for plan, _ in judged])
    excess, objectives = evaluator.excess(placements), evaluator.objectives(placements)
    for (plan, seen), over, objective in zip(judged, excess, objectives, strict=True):
        assert (over == 0) == seen.feasible, (plan, seen.violations, over)
        if seen.feasible:
            assert objective == pytest.approx(seen.objective, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("formulation", SOLVERS)
@settings(max_examples=8)
@given(problem=problems_with_choices())
def test_a_formulation_finds_the_optimum_of_all_choices(formulation, problem):
    best = brute_force(problem)
    result = dp.solve(problem, formulation=formulation, solver=SOLVERS[formulation])
    check_solved(best, result.status, result.objective, result.bound)


@settings(max_examples=8)
@given(problem=problems_with_choices())
def test_auto_finds_the_optimum_of_all_choices(problem):
    best = brute_force(problem)
    result = dp.solve(problem)
    check_solved(best, result.status, result.objective, result.bound)
