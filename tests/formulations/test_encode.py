"""Models say of every plan what the referee says: the same objective, and whether it is feasible."""

from collections import Counter

import numpy as np
import pytest
from brute_force import judged_plans
from choice_problems import problems_with_choices
from examples import check_until
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry

CLOSE = 1e-9


def test_linear_models_hold_exactly_the_feasible_plans_at_their_objective():
    seen = Counter()

    @settings(max_examples=30)
    @given(st.one_of(problems(most_placements=90), problems_with_choices()))
    def check(problem):
        compiled = compile_problem(problem)
        seen["choices"] += compiled.has_choices
        models = []
        for name in registry.supporting(compiled, "milp"):
            formulation = registry.formulation(name, compiled)
            models.append((formulation, formulation.build(compiled)))
        for plan, judged in judged_plans(problem):
            for formulation, model in models:
                values = formulation.encode(compiled, model, compiled.placement(plan))
                arrays = model.arrays()
                broken = model.broken_by(values)
                seen[judged.feasible] += 1
                if not judged.feasible:
                    assert broken
                    continue
                assert not broken
                assert (values[arrays.integer == 1] == np.round(values[arrays.integer == 1])).all()
                size = np.abs(arrays.cost * values).sum() * model.objective_unit
                objective = (arrays.cost @ values + arrays.offset) * model.objective_unit
                assert objective == pytest.approx(judged.objective, rel=CLOSE, abs=CLOSE * size)
                assert (formulation.read(compiled, model, values) == compiled.placement(plan)).all()

    check_until(check, lambda: min(seen[True], seen[False]) >= 100 and seen["choices"])


@settings(max_examples=12)
@given(problem=problems_with_choices())
def test_models_hold_plans_that_choose_more_than_devices(problem):
    compiled = compile_problem(problem)
    feasible = [(plan, judged) for plan, judged in judged_plans(problem) if judged.feasible]
    for name in registry.supporting(compiled):
        formulation = registry.formulation(name, compiled)
        model = formulation.build(compiled)
        for plan, _ in feasible[:: max(1, len(feasible) // 5)]:
            placement = compiled.placement(plan)
            values = formulation.encode(compiled, model, placement)
            assert not model.broken_by(values)
            assert (formulation.read(compiled, model, values) == placement).all()


def test_constraint_models_hold_the_feasible_plans_at_no_more_than_their_objective():
    seen = Counter()

    @settings(max_examples=40)
    @given(problems(most_placements=90, largest_spread=2, executions=("sequential", "pipelined")))
    def check(problem):
        compiled = compile_problem(problem)
        formulation = registry.formulation("cp-assignment", compiled)
        model = formulation.build(compiled)
        columns = np.concatenate([np.zeros(0, dtype=np.int64), *model.objective_columns])
        coefficients = np.concatenate([np.zeros(0, dtype=np.int64), *model.objective_coefficients])
        for plan, judged in judged_plans(problem):
            values = formulation.encode(compiled, model, compiled.placement(plan))
            broken = model.broken_by(values)
            seen[judged.feasible] += 1
            # Limits are rounded such that plans which break one by less than the rounding are let through.
            if not judged.feasible:
                worst = max(violation.amount for violation in judged.violations)
                seen["let through"] += not broken
                assert broken or worst < np.inf
                continue
            assert not broken
            objective = float(coefficients @ values[columns]) * model.objective_unit
            close = CLOSE * abs(judged.objective)
            rounding = len(values) * model.objective_unit
            assert judged.objective - rounding - close <= objective <= judged.objective + close
            assert (formulation.read(compiled, model, values) == compiled.placement(plan)).all()

    check_until(check, lambda: min(seen[True], seen[False]) >= 100 and seen["let through"] <= seen[False] / 100)


def test_names_of_columns_and_rows_are_as_many_as_there_are_columns_and_rows():
    seen = Counter()

    @settings(max_examples=30)
    @given(problems(most_placements=90))
    def check(problem):
        compiled = compile_problem(problem)
        for name in registry.supporting(compiled, "milp"):
            model = registry.formulation(name, compiled).build(compiled)
            assert len(model.column_names()) == len(model.arrays().lower) == model.column_count
            assert len(model.row_names()) == len(model.arrays().row_lower) == model.row_count
            for block in model.variables:
                assert len(set(block.names())) == block.size
            seen[name] += 1

    check_until(check, lambda: len(seen) >= 4)
