"""Blocks with costs of their own: every formulation that knows them equals brute force, and the others refuse."""

import pytest
from block_problems import MIXED
from brute_force import brute_force, check_solved
from choice_problems import problems_with_choices
from hypothesis import given, settings

import dnnopt as dp

SOLVERS = {"product": "highs", "edgewise": "highs", "segments": "highs", "cp-assignment": "cpsat"}


@pytest.mark.parametrize("formulation", SOLVERS)
@settings(max_examples=12)
@given(problem=problems_with_choices(MIXED, always=("blocks",)))
def test_a_formulation_finds_the_optimum_of_all_cuts(formulation, problem):
    best = brute_force(problem)
    result = dp.solve(problem, formulation=formulation, solver=SOLVERS[formulation])
    check_solved(best, result.status, result.objective, result.bound)


@settings(max_examples=20)
@given(problem=problems_with_choices(MIXED, always=("blocks",)))
def test_auto_finds_the_optimum_of_all_cuts(problem):
    best = brute_force(problem)
    result = dp.solve(problem)
    check_solved(best, result.status, result.objective, result.bound)
