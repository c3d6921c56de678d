"""`solve`, `evaluate` and `compare` take a problem, a name of the library, or a file."""

import pytest

import dnnopt as dp

CHAIN = dp.Problem(
    dp.Network(
        "net",
        [dp.Layer("a", flops=2e9, bytes=1e6), dp.Layer("b", flops=1e9, bytes=1e6)],
        [dp.Tensor("t", "a", ["b"], bytes=1.0)],
    ),
    dp.line(["pi5", "rtx4060"], "wifi"),
    "sequential",
    dp.latency(),
)


def test_a_name_a_file_and_a_problem_are_the_same(tmp_path):
    problem = dp.load("small/001")
    path = tmp_path / "one.json"
    dp.write_problem(problem, path)
    results = [dp.solve(one, time_limit=20) for one in (problem, "small/001", path, str(path))]
    assert len({result.objective for result in results}) == 1
    plan = results[0].plan
    assert dp.evaluate("small/001", plan) == dp.evaluate(path, plan) == dp.evaluate(problem, plan)
    assert dp.compare("small/001", methods=["greedy"], time_limit=5).problem == problem


def test_studies_and_models_take_a_name(tmp_path):
    path = tmp_path / "small.json"
    dp.write_problem(CHAIN, path)
    assert len(dp.pareto(path, [dp.latency(), dp.energy()]).points) >= 1
    assert dp.sweep(path, "bandwidth=0.5..2", points=2, baselines=[]).problem == CHAIN
    assert dp.best_plans(str(path), 2).problem == CHAIN
    assert [row.status for row in dp.compare_formulations(path, ["product"]).rows] == ["optimal"]
    assert dp.explain_infeasibility(path).status == "feasible"
    assert dp.formulate(path, "product").name == dp.formulate(CHAIN, "product").name


def test_a_plan_may_be_a_result_a_file_or_a_placement(tmp_path):
    result = dp.solve(CHAIN)
    path = tmp_path / "plan.json"
    dp.write_plan(result.plan, path)
    told = result.placement["net"]
    expected = dp.evaluate(CHAIN, result.plan)
    for plan in (result, path, str(path), {"net": told}, dict(told)):
        assert dp.evaluate(CHAIN, plan) == expected
        assert dp.solve(CHAIN, start=plan).is_optimal
    with pytest.raises(dp.InputError, match=r"^plan: got None, expected a Plan, a Result with one"):
        dp.evaluate(CHAIN, None)
    with pytest.raises(dp.InputError, match=r"placement\.net: got 'z', expected the name of a layer"):
        dp.evaluate(CHAIN, {"z": "p"})


@pytest.mark.parametrize(
    "call",
    [
        dp.solve,
        dp.compare,
        dp.formulate,
        dp.compare_formulations,
        dp.explain_infeasibility,
        lambda one: dp.evaluate(one, dp.Plan({})),
        lambda one: dp.pareto(one, [dp.latency(), dp.energy()]),
        lambda one: dp.sweep(one, "bandwidth=0.5..2"),
        lambda one: dp.best_plans(one, 2),
    ],
)
@pytest.mark.parametrize(
    ("given", "part"),
    [
        (3, "problem: got 3, expected a Problem, the name of one in the library, or a file's"),
        (None, "problem: got None"),
        ("small/01", "no problem named 'small/01' in the library; did you mean small/"),
        ("nowhere.json", "nowhere.json"),
    ],
)
def test_anything_else_is_an_input_error(call, given, part):
    with pytest.raises(dp.InputError) as refused:
        call(given)
    assert part in str(refused.value)
