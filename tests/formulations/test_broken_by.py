"""Models name what values break; plans that the referee accepts break nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import problems

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.formulations import registry
from dnnopt.methods.heuristics import BASELINES, Effort
from dnnopt.methods.pool import Pool
from dnnopt.models.constraint import ConstraintModel
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers.interface import Clock


def linear_model():
    model = LinearModel("two rows")
    x = model.add_variables("x", (3,), axes=lambda: (("a", "b", "c"),), upper=1.0, integer=True)
    model.add_rows(
        "sums", np.stack([x[:2], x[1:]]), [1.0, 10.0], axes=lambda: (("first", "second"),), upper=[10.0, 20.0]
    )
    return model


@pytest.mark.parametrize(
    ("values", "broken"),
    [
        ([0.0, 1.0, 0.0], ""),
        ([1.0, 1.0, 1.0], "row sums(first) (by 1 of 11)"),
        ([1e-9, 1.0, 0.0], ""),  # within 1e-9 of the row's entries
        ([0.0, 0.0, 2.0], "bounds of x(c) (at 2)"),
        ([0.0, -0.5, 0.0], "bounds of x(b) (at -0.5)"),
    ],
)
def test_linear_models_name_the_row_or_the_variable(values, broken):
    assert linear_model().broken_by(np.array(values)) == broken


def constraint_model():
    model = ConstraintModel("one of each")
    x = model.add_variables("x", (4,))
    start = model.add_variables("start", (2,), upper=10)
    model.add_exactly_one(x[None, :2])
    model.add_clauses("not_both", x[None, 2:], (False, False))
    model.add_whole_row("sum", start, [1, 1], upper=15)
    model.add_rows("late", start[None, :1], [[1]], lower=[3], literals=x[None, 2:3])
    model.add_no_overlap("machine", model.add_intervals("task", start, np.array([4, 4]), x[[2, 3]]))
    other = model.add_intervals("always", start, np.array([2, 2]))
    model.add_no_overlap("other", other)
    return model


@pytest.mark.parametrize(
    ("x", "start", "broken"),
    [
        ([1, 0, 0, 0], [0, 2], ""),
        ([1, 1, 0, 0], [0, 2], "exactly one"),
        ([1, 0, 1, 1], [3, 8], "clause not_both"),
        ([1, 0, 0, 0], [9, 7], "row sum"),
        ([1, 0, 1, 0], [2, 8], "row late"),
        ([1, 0, 1, 0], [3, 4], "no-overlap other"),
        ([1, 0, 0, 0], [3, 11], "bounds of start (at 11)"),
        ([1, 0, 0.5, 0], [0, 2], "bounds of x (at 0.5)"),
    ],
)
def test_constraint_models_name_the_constraint(x, start, broken):
    assert constraint_model().broken_by(np.array([*x, *start], dtype=float)) == broken


@settings(max_examples=25)
@given(problems(executions=("sequential", "pipelined", "parallel", "scheduled", "call")))
def test_plans_that_the_referee_accepts_break_nothing_in_any_formulation(problem):
    compiled = compile_problem(problem)
    pool = Pool(problem, compiled)
    if Evaluator.refuses(compiled) is None:
        for name in ("all-on-one", "single-cut", "greedy", "heft"):
            for source, placement in BASELINES[name].run(Evaluator(compiled), Effort(Clock())):
                pool.offer_placement(placement, source)
    for name in registry.supporting(compiled):
        formulation = registry.formulation(name, compiled)
        try:
            model = formulation.build(compiled)
        except UnsupportedError:  # numbers that are too far apart
            continue
        for known in pool.known:
            values = formulation.encode(compiled, model, known.placement, known.times)
            assert not model.broken_by(values), (name, known.objective)
