"""What is shown of results and models at a prompt and in a notebook, and what is left of a pickled model."""

import pickle

import numpy as np
import pytest

import dnnopt as dp


@pytest.fixture(scope="module")
def problem():
    return dp.load("small/001")


@pytest.fixture(scope="module")
def result(problem):
    return dp.solve(problem, time_limit=20)


def test_a_result_is_one_line_and_its_text_the_report(result):
    line = repr(result)
    assert line.startswith("<Result small/001: proved optimal, ")
    assert line.endswith("s>")
    assert "\n" not in line
    assert len(line) < 200
    assert str(result).startswith("small/001: proved optimal\n")
    assert "What runs where" in str(result)
    assert "<td>proved optimal</td>" in result._repr_html_()


def test_a_result_without_a_plan_is_one_line(problem):
    impossible = problem.replace(subject_to=[dp.MaxDevices(limit=0)])
    line = repr(dp.solve(impossible, time_limit=20))
    assert line.startswith("<Result small/001: infeasible: no plan satisfies every constraint, in ")


def test_an_evaluation_is_one_line_that_says_what_a_plan_breaks(problem, result):
    sent = len(result.evaluation.transmissions)
    assert repr(result.evaluation) == f"<Evaluation objective 0.125: feasible, {sent} transmissions>"
    tight = problem.replace(subject_to=[dp.Deadline("1 us"), dp.MaxDevices(0)])
    name = problem.networks[0].name
    broken = dp.evaluate(tight, result.plan)
    assert f": breaks deadline({name}) and 1 more, " in repr(broken)


def test_studies_are_one_line_and_their_texts_the_reports(problem):
    limited = problem.replace(subject_to=[dp.Deadline("1 us")])
    found = {
        "<Explanation small/001: feasible: there is a plan that breaks nothing>": dp.explain_infeasibility(problem),
        "<Explanation small/001: infeasible; this alone allows no plan: deadline (subject_to[0])>": (
            dp.explain_infeasibility(limited)
        ),
        "<Front small/001: 1 point>": dp.pareto(problem, [dp.latency(), dp.latency()]),
        "<BestPlans small/001: 2 plans>": dp.best_plans(problem, 2),
        "<Sweep small/001: 2 points>": dp.sweep(problem, "deadline=1..2 s", points=2),
        "<SideBySide small/001: 1 formulation>": dp.compare_formulations(problem, ["edgewise"], time_limit=20),
    }
    assert [repr(study) for study in found.values()] == list(found)
    assert all("\n" in str(study) for study in list(found.values())[1:])


def test_the_latex_table_of_formulations_has_room_on_a_page(problem):
    found = dp.compare_formulations(problem, ["edgewise"], time_limit=20)
    heads = found.to_latex().splitlines()[2].removesuffix(r" \\").split(" & ")
    assert heads[:4] == ["formulation", "solver", "variables", "rows"]
    assert len(heads) == 8
    assert len(found.to_csv().splitlines()[0].split(",")) == 14


@pytest.mark.parametrize("kind", ["milp", "cp"])
def test_a_model_is_one_line(problem, kind):
    model = dp.formulate(problem, kind=kind)
    variables, constraints, _ = model.size()
    what = "row" if kind == "milp" else "constraint"
    assert repr(model) == f"<{type(model).__name__} {model.name}: {variables} variables, {constraints} {what}s>"
    assert f"<td>{variables} variables</td>" in model._repr_html_()


@pytest.mark.parametrize(
    ("execution", "formulation"),
    [("sequential", "edgewise"), ("pipelined", "boundary"), ("parallel", "product+paths"), ("scheduled", "product")],
)
def test_a_pickled_linear_model_is_the_same(problem, execution, formulation):
    model = dp.formulate(problem.replace(execution=execution), formulation)
    again = pickle.loads(pickle.dumps(model))
    for name, values in vars(model.arrays()).items():
        assert np.array_equal(getattr(again.arrays(), name), values), name
    assert again.column_names() == model.column_names()
    assert again.row_names() == model.row_names()
    labels = [block.labels() for block in model.variables]
    assert [block.labels() for block in again.variables] == labels
    assert again.describe() == model.describe()
    assert again.size() == model.size()


def test_a_pickled_constraint_model_is_written_alike(problem, tmp_path):
    model = dp.formulate(problem, kind="cp")
    model.write(tmp_path / "a.mzn")
    pickle.loads(pickle.dumps(model)).write(tmp_path / "b.mzn")
    assert (tmp_path / "a.mzn").read_text() == (tmp_path / "b.mzn").read_text()
