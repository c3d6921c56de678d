"""SCIP: the same optima, a trace while it runs, and a word on how to get it."""

import sys
from importlib.util import find_spec

import pytest
from exporting import exportable, milp_models, optimum
from hard_problem import hard_problem
from hypothesis import given, settings

import dnnopt as dp
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers import solver as solver_of
from dnnopt.models.solvers.interface import Control, Limits

needs_scip = pytest.mark.skipif(find_spec("pyscipopt") is None, reason="pyscipopt is not installed")


def test_missing_scip_is_said_with_how_to_get_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "dnnopt.models.solvers.scip", raising=False)
    monkeypatch.setitem(sys.modules, "pyscipopt", None)
    with pytest.raises(dp.InputError, match=r'pip install "dnnopt\[scip\]"'):
        solver_of("scip", "milp")


@needs_scip
@settings(max_examples=5)
@given(problem=exportable())
def test_every_formulation_has_the_optimum_that_highs_finds(problem):
    for name, model in milp_models(problem).items():
        outcome = solver_of("scip", "milp")(model, Limits(time_limit=60, gap=0.0, threads=1), None, Control())
        best = optimum(model)
        assert outcome.objective == (best if best is None else pytest.approx(best, rel=1e-6, abs=1e-6)), name
        assert (outcome.status == "infeasible") == (best is None)


@needs_scip
def test_incumbents_get_better_and_bounds_closer_while_it_runs():
    events = []
    dp.solve(hard_problem(), formulation="product", solver="scip", time_limit=3, threads=1, watch=events.append)
    objectives = [event.objective for event in events if event.objective is not None]
    bounds = [event.bound for event in events if event.bound is not None]
    assert len(bounds) > 1
    assert objectives == sorted(objectives, reverse=True)
    assert bounds == sorted(bounds)
    assert bounds[-1] <= objectives[-1]


@needs_scip
def test_constant_in_the_objective_counts():
    model = LinearModel("constant")
    x = model.add_variables("x", (2,), axes=lambda: (["a", "b"],), upper=1, integer=True)
    model.add_rows("one", x, 1.0, lower=1)
    model.minimize(x, [3.0, 2.0])
    model.offset = 10.0
    outcome = solver_of("scip", "milp")(model, Limits(gap=0.0), None, Control())
    assert (outcome.objective, outcome.bound, outcome.values.tolist()) == (12.0, 12.0, [0.0, 1.0])
