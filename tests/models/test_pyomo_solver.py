"""``pyomo:NAME``: any solver that Pyomo knows."""

import sys
import threading

import pytest
from builders import link, network, platform, problem, tensor
from commands import dnnopt
from exporting import exportable, milp_models, optimum
from hard_problem import hard_problem
from hypothesis import given, settings
from readers import program

import dnnopt as dp
from dnnopt.models.solvers import solver as solver_of
from dnnopt.models.solvers.interface import Control, Limits

pytest.importorskip("pyomo", reason="pyomo is not installed")
HERE = ["appsi_highs", "highs", "cbc"]  # with no more than what dnnopt itself needs


@pytest.fixture
def small():
    """A chain of three layers on two devices: the optimum is a:p b:q c:q, 1 + 2 + 3 + 1 seconds."""
    net = network("a b c", [tensor("t", "a", "b", 2), tensor("u", "b", "c", 5)], source="p")
    on = platform("p q", [link("w")], {"p>q": "w", "q>p": "w"})
    return problem(net, on, {"a": (1, 9), "b": (9, 3), "c": (9, 1)})


@pytest.mark.parametrize("name", [*HERE, "glpk", "scip_direct"])
def test_small_problem_is_proved_optimal(small, name):
    if name == "glpk":
        program("glpsol", "glpk-utils")
    if name == "scip_direct":
        pytest.importorskip("pyscipopt", reason="pyscipopt is not installed")
    result = dp.solve(small, solver=f"pyomo:{name}", time_limit=60, threads=1)
    assert (result.status, result.objective, result.solver) == ("optimal", 7, f"pyomo:{name}")
    assert result.bound == pytest.approx(7, rel=1e-6)


@settings(max_examples=2)
@given(problem=exportable(most_placements=60))
def test_random_problems_have_the_optimum_that_highs_finds(problem):
    name, model = next(iter(milp_models(problem).items()))
    for other in ("highs", "cbc"):
        outcome = solver_of(f"pyomo:{other}", "milp")(model, Limits(60, 0.0, 1), None, Control())
        best = optimum(model)
        assert outcome.objective == (best if best is None else pytest.approx(best, rel=1e-6, abs=1e-6)), name
        assert (outcome.status == "infeasible") == (best is None)


def test_time_limit_is_kept_and_the_bound_holds():
    result = dp.solve(hard_problem(), formulation="product", solver="pyomo:highs", time_limit=4, threads=1)
    assert result.status == "feasible"
    assert result.bound is None or 0 <= result.bound < result.objective


def test_search_that_is_to_stop_is_ended_whatever_the_solver_is():
    control = Control()
    threading.Timer(2.0, control.stop.set).start()
    model = dp.formulate(hard_problem(), "product")
    outcome = solver_of("pyomo:appsi_highs", "milp")(model, Limits(threads=1), None, control)
    assert (outcome.status, outcome.values) == ("interrupted", None)


@pytest.mark.parametrize("name", ["highs", "cbc"])
def test_log_goes_to_the_file_asked_for_and_not_to_the_screen(small, name, tmp_path, capfd):
    log = tmp_path / "solver.log"
    dp.solve(small, formulation="edgewise", solver=f"pyomo:{name}", log=str(log))
    assert log.stat().st_size > 100
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pyomo:nosuch", "'nosuch' is not a solver that Pyomo knows: .*glpk"),
        ("pyomo:xpress_direct", "is not installed here"),
        ("pyomo:", "expected one of highs, cbc, scip, cpsat, .*or pyomo:NAME"),
    ],
)
def test_solver_that_is_not_there_is_refused(small, name, words):
    with pytest.raises(dp.InputError, match=words):
        dp.solve(small, solver=name)


def test_formulation_for_another_kind_of_solver_is_refused(small):
    with pytest.raises(dp.InputError, match=r"pyomo:cbc.*cp models"):
        dp.solve(small, solver="pyomo:cbc", formulation="cp-assignment")


def test_interface_without_a_log_says_so(small, tmp_path):
    with pytest.raises(dp.InputError, match=r"log: .*'appsi_highs' writes no log"):
        dp.solve(small, formulation="edgewise", solver="pyomo:appsi_highs", log=str(tmp_path / "log"))


def test_missing_pyomo_is_said_with_how_to_get_it(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyomo", None)
    monkeypatch.setitem(sys.modules, "pyomo.environ", None)
    with pytest.raises(dp.InputError, match=r'pip install "dnnopt\[modelling\]"'):
        dp.solve(small, solver="pyomo:cbc")


def test_command_line_takes_such_a_solver():
    words = ["solve", "squeezenet", "-p", "pi4-lte-t4", "--solver", "pyomo:cbc", "-f", "edgewise"]
    done = dnnopt(*words)
    assert done.returncode == 0, done.stderr
    assert "edgewise+sum (pyomo:cbc)" in done.stdout
    assert "proved optimal" in done.stdout
