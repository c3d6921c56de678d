"""The hunt notices wrong answers, goes on, and makes problems smaller."""

from dataclasses import replace

import hunt_checks
import pytest
from builders import link, network, plan, platform, problem, tensor
from hunt import draw
from hunt_checks import ask, features, ways
from hunt_shrink import shrink
from hunt_studies import check_ranking
from hunt_truth import Mismatch, Truth

from dnnopt.methods.solving import solve
from dnnopt.problem.constraints import Deadline, MaxDevices
from dnnopt.problem.forms import Form
from dnnopt.problem.modes import Mode
from dnnopt.problem.platforms import Device
from dnnopt.problem.scenarios import Scenario
from dnnopt.referee import evaluate
from dnnopt.studies.ranking import best_plans

Q = Device(name="q")


def three_layers(**fields):
    tensors = [tensor("t", "a", "b", 2), tensor("u", "b", "c", 1)]
    on = platform("p q", [link("up"), link("down")], {"p>q": "up", "q>p": "down"})
    return problem(network("a b c", tensors, source="p"), on, {"a": (3, 4), "b": (5, 1), "c": (4, 2)}, **fields)


def test_right_answers_of_every_way_pass():
    one = three_layers(subject_to=[MaxDevices(limit=2)])
    answers = {name: ask(way, one, Truth(one)) for name, way in ways(one)}
    assert {said for said, _ in answers.values()} <= {"the same", "optimal", "feasible", "refused"}
    assert answers["auto"] == ("optimal", "")


def test_right_answers_to_a_problem_with_choices_pass_and_a_plan_is_the_same_whatever_is_not_sent():
    plain = three_layers()
    modes = [Mode(name="full"), Mode(name="half", output_bytes=0.5, loss=0.1)]
    net = plain.networks[0]
    formed = net.tensors[0].replace(forms=[Form(name="jpeg", bytes=1.0, encode={"p": 0.5})])
    one = plain.replace(
        networks=net.replace(tensors=[formed, net.tensors[1]]),
        platform=plain.platform.replace(devices=[plain.platform.devices[0].replace(modes=modes), Q]),
    )
    truth = Truth(one)
    answers = {name: ask(way, one, truth) for name, way in ways(one)}
    assert {said for said, _ in answers.values()} <= {"the same", "optimal", "feasible", "refused"}
    assert list(features(one))[2:4] == ["choice modes", "choice forms"]
    at_once = plan("a:q b:q c:q")
    assert truth.choice(at_once) == truth.choice(at_once.replace(forms={"net": {"t": "jpeg"}})) == ("q", "q", "q", "")


def test_wrong_answers_are_noticed():
    one = three_layers()
    truth, right = Truth(one), solve(one)
    worse = solve(one, method="all-on-one")
    assert truth.check(right) == "optimal"
    for wrong, words in (
        (replace(worse, status="optimal", plan=None), "without a plan"),
        (replace(right, status="infeasible"), "infeasible, but the best is"),
        (replace(right, bounds=(right.objective + 1,)), "bound"),
        (replace(right, status="error", message="oh"), "oh"),
        (replace(right, evaluation=replace(right.evaluation, objectives=(1.0,))), "the plan's objectives are"),
    ):
        with pytest.raises(Mismatch, match=words):
            truth.check(wrong)
    free = three_layers(minimize=right.problem.minimize, subject_to=[Deadline(limit=1)])
    with pytest.raises(Mismatch, match="no plan is feasible"):
        Truth(free).check(right)


def test_a_worse_plan_is_no_optimum():
    one = three_layers()
    worse = plan("a:p b:p c:p")
    claimed = replace(solve(one), plan=worse, evaluation=evaluate(one, worse), bounds=(12.0,))
    for bound in (7.0, 12.0):
        with pytest.raises(Mismatch, match="but the best is 7"):
            Truth(one).check(replace(claimed, bounds=(bound,)))
    assert Truth(one).check(replace(claimed, status="feasible", bounds=(7.0,))) == "unproved early"


def test_a_missing_plan_of_a_ranking_is_noticed():
    one = three_layers()
    truth, found = Truth(one), best_plans(one, 20)
    assert check_ranking(truth, found) == "optimal"
    with pytest.raises(Mismatch, match="is missing"):
        check_ranking(truth, replace(found, plans=found.plans[1:]))


def test_errors_are_mismatches_and_the_problem_is_made_smaller(monkeypatch):
    def fails_with_deadlines(one, truth):
        return 1 / 0 if any(entry.constraint == "deadline" for entry in one.subject_to) else "optimal"

    monkeypatch.setattr(hunt_checks, "_by_auto", fails_with_deadlines)
    one = three_layers(subject_to=[MaxDevices(limit=2), Deadline(limit=20.0)])
    one = one.replace(
        networks=one.networks[0].replace(
            tensors=[one.networks[0].tensors[0].replace(forms=[Form(name="jpeg", bytes=1.0, encode={"p": 0.5})])]
        ),
        scenarios=[Scenario(name="slow", probability=1.0, speed={"q": 0.5})],
    )
    said, wrong = ask(dict(ways(one))["auto"], one, Truth(one))
    assert said == "MISMATCH"
    assert "ZeroDivisionError" in wrong
    small = shrink(one, "auto")
    assert [entry.constraint for entry in small.subject_to] == ["deadline"]
    assert (len(small.networks[0].layers), len(small.platform.devices)) == (1, 1)


def test_the_same_number_draws_the_same_problems():
    first, second = draw(5, 4), draw(5, 4)
    assert first == second
    assert len(first) == 4
    assert first != draw(6, 4)
