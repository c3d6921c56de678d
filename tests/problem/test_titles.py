"""Problems without a name have a title wherever they are shown."""

import pytest
from commands import dnnopt

import dnnopt as dp
from dnnopt.problem.plan import write_plan
from dnnopt.problem.problem import write_problem

TITLE = "zfnet512@layer"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unnamed")
    one = dp.load("small/002")
    one = one.replace(name="", platform=one.platform.replace(name=""))
    write_problem(one, folder / "unnamed.json")
    write_plan(dp.solve(one, time_limit=20).plan, folder / "plan.json")
    return folder


@pytest.mark.parametrize(
    "words",
    [
        "solve unnamed.json",
        "solve unnamed.json --best 2",
        "show unnamed.json",
        "compare unnamed.json --method greedy",
        "formulations unnamed.json -f edgewise",
        "sweep unnamed.json --vary bandwidth=0.5..2 --points 2",
        "pareto unnamed.json -b latency -b period",
        "check unnamed.json plan.json",
        "explain unnamed.json",
        "export unnamed.json -o model.lp",
    ],
)
def test_every_report_of_an_unnamed_problem_begins_with_its_networks(folder, words):
    run = dnnopt(*words.split(), cwd=folder)
    assert run.returncode == 0, run.output
    first = run.stdout.splitlines()[0].removeprefix("model.lp: ")
    assert first.startswith(TITLE)
    assert "None" not in run.stdout


def test_models_and_files_of_an_unnamed_problem_have_its_title(folder):
    one = dp.read_problem(folder / "unnamed.json")
    model = dp.formulate(one)
    assert repr(model).startswith(f"<LinearModel {TITLE}: boundary+period: ")
    assert repr(dp.formulate(one, kind="cp")).startswith(f"<ConstraintModel {TITLE}: cp-assignment: ")
    model.write(folder / "other.lp")
    assert (folder / "other.lp").read_text(encoding="utf-8").startswith(f"\\ {TITLE}: boundary+period.")
