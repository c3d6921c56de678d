"""Folders of models: two other solvers read them, find what the folder says, and take its solutions for plans."""

import csv
import gzip
from dataclasses import replace

import highspy
import pytest
import readers
from commands import check_refused, dnnopt

import dnnopt as dp
from dnnopt.methods.solutions import plan_from_file
from dnnopt.studies import model_sets
from dnnopt.studies.best_known import best_known
from dnnopt.studies.model_sets import export_set

SAMPLE = ("small/002", "small/003", "small/023", "small/024")  # a period, a latency, priorities, identical devices


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    export_set(SAMPLE, place)
    return place


@pytest.fixture(scope="module")
def unpacked(folder, tmp_path_factory):
    """The models as they are for HiGHS, whose wheel reads no .gz, and for solvers that write beside them."""
    place = tmp_path_factory.mktemp("unpacked")
    for path in folder.glob("*.mps.gz"):
        (place / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return place


def table(folder):
    with open(folder / "names.csv", encoding="utf-8", newline="") as stream:
        return {row["problem"]: row for row in csv.DictReader(stream)}


def values(folder):
    lines = [line.split() for line in (folder / "values.solu").read_text("utf-8").splitlines()]
    return {(word, name): float(number) for word, name, number in lines}


def test_there_is_a_row_for_each_problem_with_its_sizes(folder, unpacked):
    rows = table(folder)
    assert list(rows) == list(SAMPLE)
    for problem, row in rows.items():
        reading = highspy.Highs()
        reading.silent()
        reading.readModel(str(unpacked / f"{row['name']}.mps"))
        assert (reading.getNumCol(), reading.getNumRow(), reading.getNumNz()) == tuple(
            int(row[key]) for key in ("columns", "rows", "nonzeros")
        )
        assert f"\nNAME {row['name']} FREE\n" in (unpacked / f"{row['name']}.mps").read_text("utf-8")
        assert row["status"] == "optimal"
        assert float(row["objective"]) * float(row["unit"]) == pytest.approx(best_known(problem).objective, rel=1e-12)
    assert rows["small/023"]["priorities"] == "2"


@pytest.mark.parametrize("reader", [readers.highs, readers.cbc])
@pytest.mark.parametrize("name", ["small-002", "small-003"])
def test_two_solvers_find_the_optimum_that_the_folder_says(folder, unpacked, name, reader):
    assert reader(unpacked / f"{name}.mps").objective == pytest.approx(values(folder)["=opt=", name], rel=1e-6)


@pytest.mark.parametrize("problem", SAMPLE)
def test_highs_takes_the_best_known_solution_for_a_plan_of_that_value(folder, unpacked, problem):
    name = problem.replace("/", "-")
    solver = highspy.Highs()
    solver.silent()
    solver.readModel(str(unpacked / f"{name}.mps"))
    assert solver.readSolution(str(folder / f"{name}.sol"), 0) == highspy.HighsStatus.kOk
    primal = solver.getSolution().col_value
    lp = solver.getLp()
    activity = dict.fromkeys(range(lp.num_row_), 0.0)
    matrix = lp.a_matrix_
    for column in range(lp.num_col_):
        assert lp.col_lower_[column] - 1e-9 <= primal[column] <= lp.col_upper_[column] + 1e-9
        for entry in range(matrix.start_[column], matrix.start_[column + 1]):
            activity[matrix.index_[entry]] += matrix.value_[entry] * primal[column]
    for row, value in activity.items():
        room = 1e-7 * max(1.0, abs(value))
        assert lp.row_lower_[row] - room <= value <= lp.row_upper_[row] + room
    objective = sum(cost * value for cost, value in zip(lp.col_cost_, primal, strict=True))
    assert objective == pytest.approx(values(folder)["=opt=", name], rel=1e-9)


def test_scip_takes_the_best_known_solution(folder):
    pyscipopt = pytest.importorskip("pyscipopt")
    for name in ("small-002", "small-024"):
        model = pyscipopt.Model()
        model.hideOutput()
        model.readProblem(str(folder / f"{name}.mps.gz"))
        solution = model.readSolFile(str(folder / f"{name}.sol"))
        assert model.checkSol(solution, printreason=False)
        assert model.getSolObjVal(solution) == pytest.approx(values(folder)["=opt=", name], rel=1e-9)


@pytest.mark.parametrize("problem", ["small/002", "small/024"])
def test_a_solution_of_the_folder_is_the_best_known_plan(folder, problem):
    stated, name = dp.load(problem), problem.replace("/", "-")
    plan = plan_from_file(folder / f"{name}.mps.gz", folder / f"{name}.sol", stated)
    found = dp.evaluate(stated, plan)
    assert found.feasible
    assert found.objective == pytest.approx(best_known(problem).objective, rel=1e-9)


def test_what_is_open_infeasible_or_not_known_is_said(tmp_path, monkeypatch):
    real = model_sets.best_known

    def known(problem):
        row = real(problem)
        if problem.name == "small/001":
            return None
        if problem.name == "small/002":
            return replace(row, status="open", bound=row.objective / 2)
        return replace(row, status="infeasible", objective=None, bound=None, plan="")

    monkeypatch.setattr(model_sets, "best_known", known)
    export_set(["small/001", "small/002", "small/003"], tmp_path)
    lines = (tmp_path / "values.solu").read_text("utf-8").splitlines()
    best = float(lines[1].split()[2])
    assert [line.split()[:2] for line in lines] == [
        ["=unkn=", "small-001"], ["=best=", "small-002"], ["=bestdual=", "small-002"], ["=inf=", "small-003"],
    ]  # fmt: skip
    assert float(lines[2].split()[2]) == pytest.approx(best / 2)
    assert sorted(path.name for path in tmp_path.glob("*.sol")) == ["small-002.sol"]


def test_a_plan_that_is_none_of_the_model_is_an_error(tmp_path, monkeypatch):
    real = model_sets.best_known
    monkeypatch.setattr(model_sets, "best_known", lambda problem: replace(real(problem), objective=1.0))
    with pytest.raises(RuntimeError, match="small/002"):
        export_set("small/002", tmp_path)


def test_what_a_formulation_does_not_support_is_left_out_and_told(tmp_path):
    rows = export_set(["small/002", "small/003"], tmp_path, "edgewise+period")
    left = [row for row in rows if row.unit is None]
    assert [row.problem for row in left] == ["small/003"]
    assert not (tmp_path / "small-003.mps.gz").exists()
    assert f"- small/003: {left[0].why}" in (tmp_path / "README.md").read_text("utf-8")


def test_a_folder_that_is_ended_early_says_what_there_is(tmp_path):
    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_set(["small/002", "small/003"], tmp_path, watch=stop)
    assert list(table(tmp_path)) == ["small/002"]
    assert "1 mixed-integer linear model " in (tmp_path / "README.md").read_text("utf-8")


def test_the_same_set_makes_the_same_files(folder, tmp_path):
    export_set(SAMPLE, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_the_command_takes_a_set(tmp_path, monkeypatch):
    from dnnopt.problem import library

    monkeypatch.setattr(library, "SETS", ("small",))
    monkeypatch.setattr(
        "dnnopt.studies.model_sets.library.members", lambda names: ["small/002"] if names == ["small"] else []
    )
    run = dnnopt("export", "small", "--formulation", "edgewise", "-o", tmp_path / "mps")
    assert run.returncode == 0
    assert "1 model, 1 best known solution" in run.stdout
    assert {path.name for path in (tmp_path / "mps").iterdir()} == {
        "README.md", "names.csv", "values.solu", "small-002.mps.gz", "small-002.sol",
    }  # fmt: skip


def test_the_command_refuses_what_goes_with_one_problem(tmp_path):
    check_refused(dnnopt("export", "small", "-o", tmp_path, "--solve"), "--solve", "does not go with a set")
    check_refused(dnnopt("export", "small", "-o", tmp_path, "--platform", "pi4-lte-t4"), "--platform", "set")
    check_refused(dnnopt("export", "small/002", "-o", tmp_path), "--output", "folder")
    check_refused(dnnopt("export", "small", "-o", tmp_path, "-f", "cp-assignment"), "MILP", "cp-assignment")
    check_refused(dnnopt("export", "small", "-o", tmp_path, "-f", "nonsense"), "nonsense")
