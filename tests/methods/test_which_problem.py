"""`solve`, `evaluate` and `compare` take a problem, a name of the library, or a file."""

import pytest

import dnnopt as dp


def test_a_name_a_file_and_a_problem_are_the_same(tmp_path):
    problem = dp.load("small/001")
    path = tmp_path / "one.json"
    dp.write_problem(problem, path)
    results = [dp.solve(one, time_limit=20) for one in (problem, "small/001", path, str(path))]
    assert len({result.objective for result in results}) == 1
    plan = results[0].plan
    assert dp.evaluate("small/001", plan) == dp.evaluate(path, plan) == dp.evaluate(problem, plan)
    assert dp.compare("small/001", methods=["greedy"], time_limit=5).problem == problem


@pytest.mark.parametrize("call", [dp.solve, dp.compare, lambda one: dp.evaluate(one, dp.Plan({}))])
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
