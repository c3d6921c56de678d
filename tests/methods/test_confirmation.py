"""Solvers that lie: what they claim is refuted, kept as a contradiction, and the right answer found by others."""

import json
from dataclasses import replace

import numpy as np
import pytest
from brute_force import brute_force
from builders import link, network, platform, problem, tensor

from dnnopt.formulations.milp.formulation import MilpFormulation
from dnnopt.methods import confirmation, formulated
from dnnopt.methods.result import OWN
from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Outcome
from dnnopt.problem.constraints import Memory

SIZES = (1.0, 4.0, 2.0, 3.0, 5.0)


def knapsack(layers=5):
    """Return a problem of layers that all want the fast device, whose memory is too small for all of them."""
    names = [f"l{number}" for number in range(layers)]
    tensors = [tensor(f"t{number}", names[number], names[number + 1], 0.1) for number in range(layers - 1)]
    weights = {name: SIZES[number % 5] for number, name in enumerate(names)}
    net = network(" ".join(names), tensors)
    net = net.model_copy(
        update={"layers": tuple(one.model_copy(update={"weights": weights[one.name]}) for one in net.layers)}
    )
    on = platform("slow fast", [link("l", latency=0.2)], {"slow>fast": "l", "fast>slow": "l"})
    times = {name: (2.0 * weights[name] + 1.0, 1.0) for name in names}
    return problem(net, on, times, subject_to=[Memory(limits={"fast": 0.5 * sum(weights.values())})])


def everything_on_slow(model):
    """Return the values of a linear model in the plan that runs all layers on the first device."""
    return model.encode(np.zeros(model.variables[0].shape[0], dtype=np.int64))


@pytest.fixture(autouse=True)
def time_to_confirm(monkeypatch):
    """Give second engines enough time, however busy the machine is."""
    monkeypatch.setattr(confirmation, "_LEAST", 60.0)


@pytest.fixture
def lie(monkeypatch):
    """Return a function that has solvers tell something else than they found."""
    true_solver = formulated.solver_of

    def install(*names, how):
        def solver_of(name, kind):
            def lying(model, limits, start, control):
                quiet = replace(control, report=lambda objective, bound: None, found=None)
                return how(model, true_solver(name, kind)(model, limits, start, quiet))

            return lying if name in names else true_solver(name, kind)

        monkeypatch.setattr(formulated, "solver_of", solver_of)

    return install


def suboptimal(model, outcome):
    values = everything_on_slow(model)
    objective = float(model.arrays().cost @ values) + model.offset
    return Outcome("optimal", values, objective, objective)


def infeasible(model, outcome):
    return Outcome("infeasible")


@pytest.mark.parametrize("layers", [5, 16])
def test_a_suboptimal_plan_called_optimal_is_refuted_and_the_optimum_proved_by_others(lie, layers):
    lie("highs", how=suboptimal)
    right = solve(knapsack(layers), formulation="cp-assignment", threads=1)
    result = solve(knapsack(layers), formulation="edgewise", solver="highs", threads=1)
    assert (result.status, result.objective) == ("optimal", pytest.approx(right.objective))
    assert result.confirmed_by
    assert result.contradictions
    assert "highs" in result.contradictions[0]


@pytest.mark.parametrize("method", ["auto", "edgewise", "product"])
def test_the_optimum_is_found_whatever_one_solver_says(lie, method):
    for how in (suboptimal, infeasible):
        lie("highs", how=how)
        formulation = None if method == "auto" else method
        result = solve(knapsack(), formulation=formulation, threads=1)
        assert result.status == "optimal"
        assert result.objective == pytest.approx(brute_force(knapsack()).objective)


@pytest.mark.parametrize("layers", [5, 16])
def test_a_feasible_problem_called_infeasible_is_solved_and_the_contradiction_said(lie, layers):
    right = solve(knapsack(layers), formulation="cp-assignment", threads=1)
    lie("highs", how=infeasible)
    hard = knapsack(layers).replace(name="knapsack")
    result = solve(hard, formulation="edgewise", solver="highs", threads=1)
    assert (result.status, result.objective) == ("optimal", pytest.approx(right.objective))
    assert "infeasible" in " ".join(result.contradictions) or "no plan is below" in " ".join(result.contradictions)
    assert json.loads(json.dumps(result.to_data()))["contradictions"] == list(result.contradictions)


def test_a_proof_that_nothing_contradicts_is_confirmed_by_another_engine():
    few, many = (solve(knapsack(layers), formulation="edgewise", threads=1) for layers in (5, 16))
    assert (few.status, few.confirmed_by) == ("optimal", "scan")
    assert (many.status, many.confirmed_by) == ("optimal", "cp-assignment (cpsat)")
    other = solve(knapsack(16), formulation="cp-assignment", threads=1)
    assert (other.status, other.confirmed_by) == ("optimal", "edgewise+sum (highs)")
    assert not few.contradictions + many.contradictions + other.contradictions


def test_an_infeasible_problem_is_confirmed_too():
    base = knapsack(16)
    impossible = base.replace(subject_to=(Memory(limits={"slow": 20.0, "fast": 20.0}),))
    result = solve(impossible, formulation="product", threads=1)
    assert (result.status, result.plan) == ("infeasible", None)
    assert result.confirmed_by == "cp-assignment (cpsat)"


def test_methods_of_the_package_need_no_confirmation():
    assert solve(knapsack(), method="scan").confirmed_by == OWN
    chain = knapsack().replace(subject_to=())
    assert solve(chain).confirmed_by == OWN


def test_confirmation_can_be_left_out():
    result = solve(knapsack(16), formulation="edgewise", threads=1, confirm=False)
    assert (result.status, result.confirmed_by, result.confirming) == ("optimal", "", 0.0)


def test_nothing_is_confirmed_where_no_other_engine_answers_in_time(monkeypatch):
    monkeypatch.setattr(confirmation, "_engines", lambda compiled, without: iter(()))
    result = solve(knapsack(16), formulation="edgewise", threads=1)
    assert (result.status, result.confirmed_by) == ("optimal", "")


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_a_formulation_that_excludes_a_known_plan_is_an_error_that_names_the_row(monkeypatch, solver):
    build = MilpFormulation.build

    def wrong_build(self, compiled, units=None):
        model = build(self, compiled, units)
        model.add_rows("wrongly_slow", np.array([[2, 4]]), 1.0, lower=2.0)  # the first two layers, on the slow device
        return model

    monkeypatch.setattr(MilpFormulation, "build", wrong_build)
    hard = knapsack(16)
    best = solve(hard, formulation="cp-assignment", threads=1, confirm=False)
    monkeypatch.setattr(confirmation, "_engines", lambda compiled, without: iter(()))
    result = solve(hard, formulation="edgewise", solver=solver, threads=1, start=best.plan)
    assert result.status == "error"
    assert "wrongly_slow" in result.message
    assert result.objective == best.objective


def test_the_bound_of_a_formulation_that_only_reaches_plans_is_none_of_the_problem(lie):
    lie("highs", how=lambda model, outcome: replace(outcome, status="feasible", bound=outcome.objective))
    result = solve(knapsack(4).replace(execution="scheduled"), formulation="edgewise+time-indexed-plan", threads=1)
    assert (result.status, result.bound) == ("feasible", None)


def test_engines_that_cannot_take_the_numbers_confirm_nothing_and_lose_nothing(monkeypatch):
    refused = Outcome("refused", message="too far apart")
    monkeypatch.setattr(confirmation, "run_formulation", lambda *args: refused)
    result = solve(knapsack(16), formulation="edgewise", threads=1)
    assert (result.status, result.confirmed_by) == ("optimal", "")
