"""Modes, forms, reach and state: every formulation that knows them equals brute force, and the others refuse."""

import numpy as np
import pytest
from brute_force import brute_force, check_solved, judged_plans
from builders import link, network, platform, problem, tensor
from choice_problems import problems_with_choices
from hypothesis import given, settings

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.formulations import registry
from dnnopt.models.solvers import solver as solver_of
from dnnopt.models.solvers.interface import Control, Limits

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


def there_and_back(**fields):
    """Return a chain that is quickest if the first and the last layer are on p and the second on q.

    What the first makes is smaller in one of its modes, and may be sent in a form.
    """
    sent = tensor("t", "a", "b", 2, forms=[dp.Form(name="jpeg", bytes=1)])
    modes = [dp.Mode(name="full"), dp.Mode(name="half", output_bytes=0.5)]
    on = platform(
        [dp.Device(name="p", modes=modes), dp.Device(name="q")],
        [link("up"), link("down")],
        {"p>q": "up", "q>p": "down"},
    )
    net = network("a b c", [sent, tensor("u", "b", "c", 1)])
    return problem(net, on, {"a": (1, 30), "b": (20, 1), "c": (1, 20)}, **fields)


@pytest.mark.parametrize("formulation", SOLVERS)
def test_contiguity_is_of_all_sizes_of_a_tensor(formulation):
    one = there_and_back(subject_to=[dp.Contiguous()])
    assert brute_force(one.replace(subject_to=[])).objective == 5
    best = brute_force(one)
    result = dp.solve(one, formulation=formulation, solver=SOLVERS[formulation])
    assert result.trace[-1].objective == 22  # no other plan was taken for one on the way
    assert check_solved(best, result.status, result.objective, result.bound) == "optimal"


@pytest.mark.parametrize("formulation", SOLVERS)
def test_a_plan_that_is_forbidden_does_not_come_back_in_forms_that_are_not_sent(formulation):
    compiled = compile_problem(there_and_back())
    made = registry.formulation(formulation, compiled)
    model = made.build(compiled)
    run, found = solver_of(SOLVERS[formulation], made.kind), set()
    for _ in range(9):
        placement = made.read(compiled, model, run(model, Limits(10.0, threads=1), None, Control()).values)
        found.add(str(compiled.plan(placement).to_data()))
        made.forbid(compiled, model, placement)
    assert len(found) == 9


def test_an_input_with_forms_that_is_left_out_of_values_is_sent_as_it_is():
    raw = tensor("x", "input", "a", 2, forms=[dp.Form(name="jpeg", bytes=1)])
    on = platform("p q", [link("up")], {"p>q": "up"})
    one = problem(network("a", [raw], source="p"), on, {"a": (9, 1)})
    assert dp.plan_from_values({"x(a,q)": 1}, one, "edgewise").to_data() == {"placement": {"net": {"a": "q"}}}
    coded = dp.plan_from_values({"x(a,q)": 1, "x(input,p/1)": 1}, one, "edgewise")
    assert coded.forms == {"net": {"x": "jpeg"}}
