"""Pyomo and PuLP objects: the same model, with names that a person can use, and plans that come back."""

import sys

import pytest
from builders import layer, link, network, platform, problem, tensor
from exporting import exportable, milp_models, nasty_problem, optimum
from hypothesis import given, settings
from linear_models import linear_models

import dnnopt as dp
from dnnopt.base.programs import find_cbc
from dnnopt.models.linear import LinearModel

pyo = pytest.importorskip("pyomo.environ", reason="pyomo is not installed")
pulp = pytest.importorskip("pulp", reason="pulp is not installed")


@pytest.fixture
def two_layers():
    """Two layers on two devices; best on t4 for conv1, whose input is cheap to send, and then for all."""
    return problem(
        network(
            [layer("conv1", weights=1, activations=2), layer("fc/2", weights=1, activations=3)],
            [tensor("in", "input", "conv1", 5), tensor("t", "conv1", "fc/2", 10)],
            source="pi",
        ),
        platform("pi t4", [link("up"), link("down")], {"pi>t4": "up", "t4>pi": "down"}),
        {"conv1": (3, 1), "fc/2": (30, 1)},
        subject_to=[dp.memory("weights+largest_activation", limits={"pi": 9, "t4": 9})],
    )


def solve_pyomo(model):
    # Of the two, Pyomo's newer interface to HiGHS keeps infeasibility apart from unboundedness.
    result = pyo.SolverFactory("highs").solve(model, load_solutions=False, raise_exception_on_nonoptimal_result=False)
    if result.solver.termination_condition != pyo.TerminationCondition.optimal:
        return None
    model.solutions.load_from(result)
    return pyo.value(model.objective)


def solve_pulp(model):
    cbc = find_cbc()
    assert cbc is not None
    solver = pulp.COIN_CMD(path=cbc.path, msg=False, gapRel=0, gapAbs=0, options=["increment 1e-12"])
    return pulp.value(model.objective) if pulp.LpStatus[model.solve(solver)] == "Optimal" else None


@pytest.mark.parametrize(
    ("layer_of", "solve", "plan_of"),
    [
        (LinearModel.to_pyomo, solve_pyomo, dp.plan_from_pyomo),
        (LinearModel.to_pulp, solve_pulp, dp.plan_from_pulp),
    ],
    ids=["pyomo", "pulp"],
)
def test_every_formulation_has_the_direct_optimum(layer_of, solve, plan_of):
    @settings(max_examples=3)
    @given(problem=exportable())
    def check(problem):
        for name, model in milp_models(problem).items():
            best, other = optimum(model), layer_of(model)
            found = solve(other)
            assert found == (best if best is None else pytest.approx(best, rel=1e-6, abs=1e-6)), name
            if best is not None and not model.task_starts:
                evaluation = dp.evaluate(problem, plan_of(other, problem))
                assert evaluation.objective == pytest.approx(best * model.objective_unit, rel=1e-6, abs=1e-12), name

    check()


@settings(max_examples=8)
@given(model=linear_models())
def test_any_model_has_the_direct_optimum(model):
    best = optimum(model)
    for found in (solve_pyomo(model.to_pyomo()), solve_pulp(model.to_pulp())):
        assert found == (best if best is None else pytest.approx(best, rel=1e-6, abs=1e-6))


# Pyomo


def test_pyomo_variables_are_indexed_by_raw_labels(two_layers):
    m = dp.formulate(two_layers, "edgewise").to_pyomo()
    assert set(m.x.index_set()) == {(v, i) for v in ("input", "conv1", "fc/2") for i in ("pi", "t4")}
    assert m.x["fc/2", "t4"].is_binary()
    assert m.x["input", "t4"].ub == 0
    assert ("t", "fc/2", "pi", "t4") in m.y
    assert set(m.peak) == {"pi", "t4"}
    assert set(m.assign) == {"input", "conv1", "fc/2"}
    assert ("pi", "conv1") in m.peak_of
    assert str(m.memory["pi"].body.args[0]).endswith("x[conv1,pi]")


def test_pyomo_model_can_be_extended(two_layers):
    m = dp.formulate(two_layers, "edgewise").to_pyomo()
    free = solve_pyomo(m)
    m.x["conv1", "pi"].fix(1)
    m.together = pyo.Constraint(expr=m.x["conv1", "pi"] == m.x["fc/2", "pi"])
    assert solve_pyomo(m) > free
    assert dp.plan_from_pyomo(m, two_layers).placement == {"net": {"conv1": "pi", "fc/2": "pi"}}


def test_pyomo_names_that_are_taken_get_a_number(two_layers):
    pipelined = two_layers.model_copy(update={"execution": "pipelined", "minimize": (dp.period(),)})
    m = dp.formulate(pipelined, "edgewise").to_pyomo()
    assert set(m.load_2) == {"pi", "t4", "up", "down"}  # Pyomo's models have a method `load`
    assert m.period.lb == 0


def test_plan_from_pyomo_needs_a_solution(two_layers):
    m = dp.formulate(two_layers, "edgewise").to_pyomo()
    with pytest.raises(dp.InputError, match="solve it first"):
        dp.plan_from_pyomo(m, two_layers)


def test_plan_from_pyomo_needs_whole_placements(two_layers):
    m = dp.formulate(two_layers, "edgewise").to_pyomo()
    for variable in m.x.values():
        variable.value = 0.5
    with pytest.raises(dp.InputError, match=r"x\(conv1,\.\.\.\).*0\.5.*1 for one device"):
        dp.plan_from_pyomo(m, two_layers)


def test_plan_from_pyomo_refuses_the_model_of_another_problem(two_layers):
    with pytest.raises(dp.InputError, match=r"x has no index \('input', 'pi 4'\)"):
        dp.plan_from_pyomo(dp.formulate(two_layers, "edgewise").to_pyomo(), nasty_problem())


# PuLP


def test_pulp_variables_have_the_names_of_exported_files_and_raw_labels(two_layers):
    lp = dp.formulate(two_layers, "edgewise").to_pulp()
    assert lp.blocks["x"]["fc/2", "t4"].name == "x(fc_2,t4)"
    assert lp.blocks["y"]["t", "fc/2", "pi", "t4"] in lp.variables()
    assert lp.variablesDict()["x(conv1,pi)"] is lp.blocks["x"]["conv1", "pi"]
    assert lp.get_constraint_by_name("assign(conv1)") is not None


def test_pulp_model_can_be_extended(two_layers):
    lp = dp.formulate(two_layers, "edgewise").to_pulp()
    free = solve_pulp(lp)
    extra = lp.add_variable("mine", 0, 1)
    lp += lp.blocks["x"]["conv1", "pi"] + extra >= 2
    assert solve_pulp(lp) > free
    assert dp.plan_from_pulp(lp, two_layers).placement["net"]["conv1"] == "pi"


def test_plan_from_pulp_needs_a_solution(two_layers):
    lp = dp.formulate(two_layers, "edgewise").to_pulp()
    with pytest.raises(dp.InputError, match="solve it first"):
        dp.plan_from_pulp(lp, two_layers)


def test_plan_from_pulp_refuses_the_model_of_another_problem(two_layers):
    with pytest.raises(dp.InputError, match="lacks the column"):
        dp.plan_from_pulp(dp.formulate(two_layers, "edgewise").to_pulp(), nasty_problem())


def test_nasty_names_come_back_from_both():
    problem = nasty_problem()
    model = dp.formulate(problem, "edgewise")
    best = optimum(model)
    m, lp = model.to_pyomo(), model.to_pulp()
    assert solve_pyomo(m) == pytest.approx(best)
    assert solve_pulp(lp) == pytest.approx(best)
    for plan in (dp.plan_from_pyomo(m, problem), dp.plan_from_pulp(lp, problem)):
        assert dp.evaluate(problem, plan).objective == pytest.approx(best * model.objective_unit)


@pytest.mark.parametrize(("name", "make"), [("pyomo", LinearModel.to_pyomo), ("pulp", LinearModel.to_pulp)])
def test_missing_layer_is_said_with_how_to_get_it(two_layers, monkeypatch, name, make):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, f"{name}.environ", None)
    with pytest.raises(dp.InputError, match=r'pip install "dnnopt\[modelling\]"'):
        make(dp.formulate(two_layers, "edgewise"))
