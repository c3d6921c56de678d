"""Faults of solvers that the code steers around; `highspy.Highs` and CP-SAT are asked as the package asks them."""

from dataclasses import replace
from pathlib import Path

import highspy
import numpy as np
import pytest
from hard_problem import hard_problem
from ortools.sat.python import cp_model

from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.solving import solve
from dnnopt.models.constraint import ConstraintModel
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers import cpsat, highs
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.problem import read_problem

TRAPS = Path(__file__).parents[1] / "data" / "traps"
OPTIMA = {
    "highs_presolve_period": 1875.0,
    "highs_presolve_latency": 1.0,
    "cpsat_probing": 1.0,
    "cpsat_precedences": 3.0,
}


@pytest.mark.parametrize("name", OPTIMA)
def test_every_formulation_proves_the_optimum_of_problems_whose_models_solvers_got_wrong(name):
    problem = read_problem(TRAPS / f"{name}.json")
    for formulation in registry.supporting(compile_problem(problem)):
        result = solve(problem, formulation=formulation, threads=1)
        assert (result.status, result.objective) == ("optimal", pytest.approx(OPTIMA[name])), formulation


def test_an_optimum_of_highs_that_breaks_a_row_by_a_little_is_no_error():
    problem = read_problem(TRAPS / "highs_tight_tolerance.json")
    result = solve(problem, formulation="product+time-indexed-plan", solver="highs", threads=1, confirm=False)
    assert result.status == "feasible"
    assert result.evaluation.feasible


def test_presolve_of_highs_cuts_an_optimum_off_and_is_left_out_for_small_models():
    compiled = compile_problem(read_problem(TRAPS / "highs_presolve_latency.json"))
    model = registry.formulation("edgewise+potentials", compiled).build(compiled)
    presolving = highs.pass_model(model.arrays())
    highs.set_options(presolving, Limits(threads=1), highs.tolerance_for(model.arrays()))
    presolving.run()
    # Once HiGHS finds 100 here, small models may have its presolve again.
    assert presolving.getInfo().objective_function_value == pytest.approx(110.0)
    for run in (highs.solve, highs.solve_unpresolved):
        assert run(model, Limits(threads=1), None, Control()).objective == pytest.approx(100.0)


def test_highs_has_room_for_the_rounding_of_sums_in_rows_that_just_hold():
    compiled = compile_problem(read_problem(TRAPS / "highs_rounded_sum.json"))
    for name in registry.supporting(compiled, "milp"):
        model = registry.formulation(name, compiled).build(compiled)
        outcome = highs.solve(model, Limits(threads=1), None, Control())
        assert outcome.status == "optimal", name
        assert outcome.objective * model.objective_unit == pytest.approx(50.918), name


def test_highs_calls_no_maximum_without_a_bound_of_its_own_unbounded():
    compiled = compile_problem(read_problem(TRAPS / "highs_unbounded.json"))
    model = registry.formulation("product", compiled).build(compiled)
    arrays = model.arrays()
    free = np.array([name.startswith("largest") for name in model.column_names()])
    assert (arrays.lower[free] == 0).all()
    for lower in (arrays.lower, np.where(free, -np.inf, arrays.lower)):
        outcome = highs.solve_arrays(replace(arrays, lower=lower), Limits(threads=1), None, Control())
        assert (outcome.status, outcome.objective) == ("optimal", pytest.approx(249.9999882))


def test_scip_has_room_for_the_rounding_of_sums_in_rows_that_just_hold():
    scip = pytest.importorskip("dnnopt.models.solvers.scip", exc_type=ImportError)
    compiled = compile_problem(read_problem(TRAPS / "scip_rounded_sum.json"))
    for name in registry.supporting(compiled, "milp"):
        model = registry.formulation(name, compiled).build(compiled)
        outcome = scip.solve(model, Limits(threads=1), None, Control())
        assert (outcome.status, outcome.objective) == ("optimal", 0.0), name


def test_scip_has_a_tolerance_above_its_epsilon():
    pytest.importorskip("pyscipopt")
    problem = read_problem(TRAPS / "scip_tight_tolerance.json")
    result = solve(problem, formulation="product+period", solver="scip", threads=1, confirm=False)
    assert (result.status, result.objective) == ("optimal", pytest.approx(208321.09266666666, rel=1e-9))


@pytest.mark.parametrize(
    ("x_upper", "cost", "row_lower", "row_upper", "optimum"),
    [
        # min 2 x + 3 z, x + z >= 4.5, z whole: x = 4.5. HiGHS 1.14 takes z = 5 (ERGO-Code/HiGHS #3043).
        (10.0, (2.0, 3.0), 4.5, np.inf, 9.0),
    ],
)
def test_highs_minimises_a_row_of_a_whole_and_a_continuous_variable(x_upper, cost, row_lower, row_upper, optimum):
    model = LinearModel("two variables")
    x = model.add_variables("x", (), upper=x_upper)
    z = model.add_variables("z", (), upper=10.0, integer=True)
    both = np.array([int(x), int(z)])
    model.add_rows("row", both, 1.0, lower=row_lower, upper=row_upper)
    model.minimize(both, np.array(cost))
    assert highs.solve(model, Limits(threads=1), None, Control()).objective == pytest.approx(optimum)


def test_highs_finds_the_optimum_of_a_product_model_with_a_fixed_placement():
    model = LinearModel("input and one layer on p or q; the input is on p")
    x_in = model.add_variables("input", (2,), upper=[1.0, 0.0], integer=True)
    x = model.add_variables("a", (2,), upper=1.0, integer=True)
    y = model.add_variables("y", (2,), upper=1.0)
    model.add_rows("assign", np.stack([x_in, x]), 1.0, lower=1.0, upper=1.0)
    columns = np.array([[y[0], x_in[0], x[1]], [y[1], x_in[1], x[0]]])
    model.add_rows("product", columns, np.array([1.0, -1.0, -1.0]), lower=-1.0)
    model.minimize(np.concatenate([x, y]), np.array([450.0, 35.0, 10.0, 500.0]))
    assert highs.solve(model, Limits(threads=1), None, Control()).objective == pytest.approx(45.0)


def test_cp_sat_finds_the_optimum_of_a_maximum_over_an_exactly_one():
    # CP-SAT 9.15 proves 16106127360 with its own settings (google/or-tools #5293).
    model = ConstraintModel("largest of two rows")
    a2, a3, a4, a5, b12, b13, b18, b19 = model.add_variables("a", (8,)).tolist()
    largest = model.add_variables("largest", (1,), upper=60418110259)
    model.add_exactly_one(np.array([[a4, a5]]))
    for row in ((b18, b12, a2), (b19, b13, a3), (b18, b13, a4), (b19, b12, a5)):
        model.add_whole_row("marginal", np.array(row), [1, 1, -1], lower=0, upper=0)
    model.add_whole_row("largest", np.array([*largest, a2, a4]), [1, -13421772800, -2684354560], lower=0)
    model.add_whole_row("largest", np.array([*largest, a5]), [1, -60397977600], lower=0)
    model.minimize(largest, np.ones(1, dtype=np.int64))
    for threads in (1, 2):
        outcome = cpsat.solve(model, Limits(threads=threads), None, Control())
        assert (outcome.status, outcome.objective) == ("optimal", 2684354560)


def test_cp_sat_with_one_worker_derives_wrong_bounds_from_rows_of_a_maximum_and_is_kept_from_it():
    compiled = compile_problem(read_problem(TRAPS / "cpsat_precedences.json"))
    model = registry.formulation("cp-assignment", compiled).build(compiled)
    assert cpsat.solve(model, Limits(threads=1), None, Control()).status == "optimal"
    deriving = cp_model.CpSolver()
    deriving.parameters.num_workers = 1
    deriving.parameters.linearization_level = 2
    deriving.parameters.cp_model_probing_level = 0
    # Once CP-SAT finds a plan here, it may derive bounds from at least one of several rows again.
    assert deriving.solve(cpsat.to_cp_sat(model)[0]) == cp_model.INFEASIBLE


def test_highs_without_an_incumbent_has_no_values():
    compiled = compile_problem(hard_problem())
    model = registry.formulation("product", compiled).build(compiled)
    outcome = highs.solve(model, Limits(time_limit=1e-6, threads=1), None, Control())
    assert (outcome.status, outcome.values, outcome.objective) == ("no_solution", None, None)


def test_highs_can_be_given_another_number_of_threads_in_the_same_process():
    model = LinearModel("one variable")
    x = model.add_variables("x", (1,), lower=0.5, upper=3, integer=True)
    model.minimize(x, 1.0)
    for threads in (1, 2, 1, 3):
        assert highs.solve(model, Limits(threads=threads), None, Control()).objective == 1


def test_tolerances_of_highs_are_those_asked_for():
    model = LinearModel("one variable")
    x = model.add_variables("x", (1,), upper=1, integer=True)
    model.add_rows("row", x[:, None], 1.0, upper=0.5)
    solver = highs.pass_model(model.arrays())
    highs.set_options(solver, Limits(threads=1, gap=0.125), highs.tolerance_for(model.arrays()))
    for option, value in (("mip_abs_gap", 0.0), ("mip_rel_gap", 0.125), ("mip_feasibility_tolerance", 1e-9)):
        assert solver.getOptionValue(option) == (highspy.HighsStatus.kOk, value)
