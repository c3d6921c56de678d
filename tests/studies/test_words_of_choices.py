"""What reports, tables and files say of plans with modes, forms, early exits and scenarios."""

import json

import pytest
from builders import layer, link, network, platform, problem, tensor
from commands import dnnopt

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.problem.parameters import parse_setting
from dnnopt.problem.plan import read_plan

ZIP = dp.Form(name="zip", bytes=1, encode={"p": 0.5}, decode={"q": 0.25}, loss=0.02)
SLOW = dp.Scenario(name="slow", probability=0.5, bandwidth={"w": 0.25})
FAST = dp.Scenario(name="fast", probability=0.5, bandwidth={"w": 4.0})


def chosen(scenarios=(), reach=1.0, **fields):
    """The second layer takes 10 s on p, 4 s on q and 1 s there in int8; its input is 8 bytes, or 1 as zip."""
    layers = [layer("a", 4), layer("b", 4).replace(reach=reach)]
    net = network(layers, [tensor("t", "a", "b", 8, forms=(ZIP,))], source="p")
    q = dp.Device(name="q", modes=(dp.Mode(name="fp32"), dp.Mode(name="int8", loss=0.01)))
    on = platform([dp.Device(name="p"), q], [link("w")], {"p>q": "w"})
    subject_to = fields.pop("subject_to", ())
    one = problem(net, on, {"a": (1, 20), "b": (10, 4)}, **fields)
    times = {"net": {**one.profile.time["net"], "b": {"p": 10, "q": 4, "q:int8": 1}}}
    return one.replace(profile=dp.Profile(time=times), scenarios=scenarios, subject_to=subject_to)


def said(one, **options):
    return str(dp.solve(one, threads=1, **options))


def test_reports_name_modes_and_forms_and_say_that_losses_are_a_proxy():
    text = said(chosen())
    assert "b in int8" in text
    assert "t as zip" in text
    assert "accuracy loss 0.03 (losses added up: a proxy)" in text
    assert "expected" not in text
    assert "What is sent\n" in text


def test_tensors_of_several_networks_are_sent_under_their_names():
    net = chosen().networks[0]
    times = dict.fromkeys(("net", "other"), chosen().profile.time["net"])
    text = said(chosen().replace(networks=[net, net.replace(name="other")], profile=dp.Profile(time=times)))
    assert "net: t as zip" in text
    assert "other: t as zip" in text


def test_reports_say_what_is_expected_over_scenarios_and_exits():
    text = said(chosen((SLOW, FAST)))
    assert "What is sent (times without scenarios)" in text
    assert "Metrics  expected: latency" in text
    text = said(chosen(reach=0.5))
    assert "What is sent (where an input gets there)" in text
    assert "Metrics  expected: latency" in text


def test_an_objective_and_a_limit_of_lost_accuracy_are_called_a_proxy():
    lossy = chosen(minimize=dp.latency() + 10 * dp.accuracy_loss())
    assert "latency + 10 x accuracy_loss (a proxy)" in said(lossy)
    front = dp.pareto(chosen(), (dp.latency(), dp.accuracy_loss()), threads=1)
    assert "accuracy_loss (a proxy)" in str(front)
    limited = chosen(subject_to=[dp.AccuracyLoss(0.01)])
    (broken,) = dp.evaluate(limited, dp.solve(chosen(), threads=1)).violations
    assert broken.message == "accuracy loss (a proxy): 0.03, 0.01 allowed"


def test_tables_of_several_plans_tell_modes_and_forms_apart():
    found = dp.best_plans(chosen(), 2, threads=1)
    assert "p 1, q:int8 1; t as zip" in str(found)


def test_a_plan_at_a_prompt_says_how_many_tensors_are_in_a_form():
    assert repr(dp.solve(chosen(), threads=1).plan) == "<Plan net: p 1, q:int8 1, 1 tensor in a form>"


def test_values_of_a_model_are_read_back_with_modes_and_forms():
    one = chosen()
    plan, compiled = dp.solve(one, threads=1).plan, compile_problem(one)
    for name in registry.supporting(compiled, "milp"):
        formulation = registry.formulation(name, compiled)
        model = formulation.build(compiled)
        values = formulation.encode(compiled, model, compiled.placement(plan))
        named = dict(zip(model.column_names(), values.tolist(), strict=True))
        assert dp.plan_from_values(named, one, name) == plan


@pytest.fixture
def file(tmp_path):
    dp.write_problem(chosen((SLOW, FAST), subject_to=[dp.worst(dp.latency()) <= 20.0]), tmp_path / "one.json")
    return tmp_path / "one.json"


def test_a_result_file_keeps_modes_and_forms_and_check_reads_it(file, tmp_path):
    out = tmp_path / "out.json"
    assert dnnopt("solve", file, "--json", out).returncode == 0
    data = json.loads(out.read_text(encoding="utf-8"))
    assert (data["placement"], data["forms"]) == ({"net": {"a": "p", "b": "q:int8"}}, {"net": {"t": "zip"}})
    again = dp.evaluate(file, read_plan(out, dp.read_problem(file)))
    assert (again.feasible, again.objective) == (True, data["objective"])
    run = dnnopt("check", file, out)
    assert (run.returncode, "feasible: every constraint holds" in run.stdout) == (0, True)
    assert "expected: latency" in run.stdout


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("compare", "--heuristic-limit", "0.05"), "layers elsewhere"),
        (("explain",), "there is a plan that breaks nothing"),
        (("formulations", "-t", "5"), "edgewise"),
        (("pareto", "-b", "latency", "-b", "accuracy_loss"), "t as zip"),
        (("sweep", "--vary", "bandwidth(w)=0.1..10 B/s", "--points", "2"), "q:int8 1; t as zip"),
        (("export", "-o", "model.lp"), "model.lp"),
        (("scenarios",), "for each scenario its own"),
        (("solve", "--best", "2"), "t as zip"),
    ],
)
def test_every_command_takes_a_problem_with_choices(file, tmp_path, words, part):
    run = dnnopt(words[0], file, *words[1:], cwd=tmp_path)
    assert run.returncode == 0, run.output
    assert part in run.stdout


def test_a_sweep_over_bandwidth_varies_what_scenarios_have_factors_on():
    plain = chosen((SLOW, FAST)).networks[0]
    one = chosen((SLOW, FAST)).replace(networks=plain.replace(tensors=[plain.tensors[0].replace(forms=())]))
    found = dp.sweep(one, "bandwidth(w)=0.5..8 B/s", points=2, threads=1)
    (limit,) = found.breaks  # 8 / bandwidth x (0.5 / 0.25 + 0.5 / 4) + 1 = 10
    assert limit.low == pytest.approx(17 / 9, rel=1e-5)
    assert [found.plans[plan].placement["net"]["b"] for *_, plan in found.segments] == ["p", "q:int8"]


def test_another_deadline_looks_across_scenarios_as_the_one_before():
    one = chosen((SLOW, FAST), subject_to=[dp.worst(dp.latency()) <= 20.0, dp.period() <= 9.0])
    for text in ("deadline=5 s", "period=5 s"):
        parameter, value = parse_setting(text)
        changed = parameter.at(one, value).subject_to
        assert [entry.limit for entry in changed] == ([5, 9] if "deadline" in text else [20, 5])
        assert changed[0].across == "worst"
