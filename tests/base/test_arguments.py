"""Arguments of public functions are checked before they run."""

import contextlib
import inspect
import pickle
from pathlib import Path

import numpy as np
import pytest

import dnnopt as dp
from dnnopt.base.arguments import checked

PROBLEM = dp.load("small/001")
RESULT = dp.solve(PROBLEM, method="greedy")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dp.solve(PROBLEM, timelimit=3), "timelimit: no argument of solve; did you mean 'time_limit'?"),
        (lambda: dp.solve(PROBLEM, colour=3), "colour: no argument of solve; it takes problem, method, formulation"),
        (lambda: dp.solve(), "solve: missing a required argument: 'problem'"),
        (lambda: dp.solve(PROBLEM, 3), "solve: too many positional arguments"),
        (lambda: dp.solve(PROBLEM, time_limit="60"), "time_limit: got '60', expected a unit: 60 s, or 60 ms?"),
        (lambda: dp.solve(PROBLEM, time_limit="5 J"), "time_limit: got '5 J', expected time such as '30 ms'"),
        (lambda: dp.solve(PROBLEM, time_limit=[5]), "time_limit: got [5], expected a number, or a text such as '30 s'"),
        (lambda: dp.solve(PROBLEM, time_limit="0 s"), "time_limit: got 0.0, expected seconds > 0"),
        (lambda: dp.solve(PROBLEM, gap="0.01"), "gap: got '0.01', expected a number"),
        (lambda: PROBLEM.replace(3), "replace: too many positional arguments; it takes NAME=VALUE"),
        (lambda: RESULT.to_latex(3), "to_latex: too many positional arguments; it takes none"),
        (lambda: RESULT.to_frame(index=3), "index: no argument of to_frame; it takes none"),
        (lambda: dp.solve(PROBLEM, seed=1.5), "seed: got 1.5, expected a whole number"),
        (lambda: dp.solve(PROBLEM, threads=True), "threads: got True, expected a whole number"),
        (lambda: dp.solve(PROBLEM, method=3), "method: got 3, expected a text"),
        (lambda: dp.solve(PROBLEM, watch=3), "watch: got 3, expected a function"),
        (lambda: dp.solve(PROBLEM, log=3), "log: got 3, expected a text"),
        (lambda: dp.compare(PROBLEM, methods="greedy"), "methods: got 'greedy', expected a list, each a text"),
        (lambda: dp.compare(PROBLEM, methods=["greedy", 3]), "methods: got ['greedy', 3], expected a list, each a te"),
        (lambda: dp.energy("pi", 3), "devices: got 3, expected a text"),
        (lambda: dp.largest("latency"), "term: got 'latency', expected a Term"),
        (lambda: dp.read_problem(3), "path: got 3, expected a text or a path"),
        (lambda: dp.write_plan(None, "x.json"), "plan: got None, expected a Plan"),
        (lambda: dp.load(None), "name: got None, expected a text"),
        (lambda: dp.load([]), "name: got [], expected a text"),
        (lambda: dp.sweep(PROBLEM, 3), "vary: got 3, expected a text"),
        (lambda: dp.plan_from_values([1], PROBLEM), "values: got [1], expected a mapping"),
        (lambda: dp.generate("chain"), "recipe: got 'chain', expected a Recipe"),
        (lambda: dp.solve(PROBLEM).plan[[]], "plan: got '[]', expected the name of a layer"),
    ],
)
def test_a_wrong_argument_is_named_with_what_was_expected(call, message):
    with pytest.raises(dp.InputError) as refused:
        call()
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    "study",
    [
        lambda **limits: dp.solve(PROBLEM, gap="1 %", **limits),
        lambda **limits: dp.compare(PROBLEM, methods=["greedy"], heuristic_limit="10 ms", gap="1 %", **limits),
        lambda **limits: dp.compare_formulations(PROBLEM, ["edgewise"], **limits),
        lambda **limits: dp.best_plans(PROBLEM, 1, **limits),
        lambda **limits: dp.pareto(PROBLEM, [dp.latency(), dp.energy()], tolerance="10 %", **limits),
        lambda **limits: dp.sweep(PROBLEM, "deadline=1..2 s", points=2, tolerance="10 %", **limits),
        lambda **limits: dp.explain_infeasibility(PROBLEM, seconds_each="1 s", **limits),
    ],
)
def test_times_and_shares_may_be_texts_with_units(study):
    assert study(time_limit="10 s") is not None
    with pytest.raises(dp.InputError, match=r"^time_limit: got 'ten'"):
        study(time_limit="ten")


def test_numbers_of_numpy_and_paths_are_taken(tmp_path):
    result = dp.solve(PROBLEM, method="annealing", iterations=np.int64(3), seed=np.int32(1), time_limit=np.float32(5))
    dp.write_plan(result.plan, tmp_path / "plan.json")
    assert dp.read_plan(str(tmp_path / "plan.json")) == dp.read_plan(Path(tmp_path / "plan.json")) == result.plan


WRONG = [None, 3, -1, 1.5, float("nan"), True, "x", b"x", [], [1], {}, {"a": 1}, (), object(), PROBLEM, dp.latency()]
FUNCTIONS = [name for name in dp.__all__ if inspect.isfunction(getattr(dp, name)) and name != "show_versions"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_public_function_lets_an_error_from_inside_out(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function = getattr(dp, name)
    needed = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    for wrong in WRONG:
        if needed and not (wrong is PROBLEM and needed[0].name == "problem"):
            with contextlib.suppress(dp.InputError):
                function(*[wrong] * len(needed))


def test_public_functions_pickle():
    for name in FUNCTIONS:
        assert pickle.loads(pickle.dumps(getattr(dp, name))) is getattr(dp, name)


def test_annotations_whose_names_are_for_type_checkers_alone_are_not_checked():
    def draw(axes: "Axes | None" = None, *, name: str = ""):  # noqa: F821
        return name

    draw.__annotations__ = {"axes": "Axes | None", "name": "str"}
    assert checked(draw)(3, name="x") == "x"
    with pytest.raises(dp.InputError):
        checked(draw)(3, name=3)
