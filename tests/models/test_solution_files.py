"""Solutions of other programs come back as plans: every solution file that each of them writes."""

import gzip
import json
from functools import partial

import pytest
from builders import layer, link, network, plan, platform, problem, tensor
from commands import dnnopt
from readers import cbc, glpk, highs, lp_solve, scip
from shared_data import shared_case
from solution_texts import TEXTS

import dnnopt as dp
from dnnopt.methods.solutions import plan_from_file
from dnnopt.models.columns import read_columns
from dnnopt.models.solution_files import read_solution

PROGRAMS = {
    "highs raw": highs,
    "highs pretty": partial(highs, style=1),
    "highs glpsol raw": partial(highs, style=2),
    "highs glpsol pretty": partial(highs, style=3),
    "highs sparse": partial(highs, style=4),
    "cbc": cbc,
    "glpsol --write": glpk,
    "glpsol --output": partial(glpk, option="--output"),
    "scip": scip,
    "lp_solve": lp_solve,
}
LONG = "a_layer_with_a_name_that_does_not_fit_into_a_column"
BEST = plan({"net": f"conv1:pi {LONG}:t4 fc:t4"})


def make_problem(memory=20.0):
    """Three layers on two devices; memory splits them."""
    return problem(
        network(
            [layer("conv1", weights=6), layer(LONG, weights=6), layer("fc", weights=6)],
            [
                tensor("in", "input", "conv1", 50),
                tensor("t", "conv1", LONG, 10),
                tensor("u", LONG, "fc", 10),
            ],
            source="pi",
        ),
        platform("pi t4", [link("up"), link("down")], {"pi>t4": "up", "t4>pi": "down"}),
        {"conv1": (30, 10), LONG: (30, 10), "fc": (30, 10)},
        subject_to=[dp.memory("weights", limits={"pi": memory, "t4": 13.0})],
    )


def two_in_parallel():
    """A fork on two devices, each of which does one thing at a time."""
    return problem(
        network("a b c", [tensor("s", "a", "b c", 3)], source="pi"),
        platform("pi t4", [link("up"), link("down")], {"pi>t4": "up", "t4>pi": "down"}),
        {"a": (3, 2), "b": (9, 6), "c": (8, 5)},
        execution="scheduled",
    )


@pytest.fixture
def problem_file(tmp_path):
    path = tmp_path / "problem.json"
    dp.write_problem(make_problem().model_copy(update={"name": "three"}), path)
    return path


@pytest.fixture(params=[".lp", ".mps"])
def model_file(request, tmp_path):
    path = tmp_path / f"model{request.param}"
    dp.formulate(make_problem(), "edgewise").write(path)
    return path


@pytest.mark.parametrize("solve", PROGRAMS.values(), ids=PROGRAMS)
def test_solution_file_of_every_program_gives_the_plan(solve, model_file):
    assert plan_from_file(model_file, solve(model_file).solution, make_problem()) == BEST


@pytest.mark.parametrize(
    "solve", [p for name, p in PROGRAMS.items() if "glpsol" not in name] + [glpk], ids=lambda solve: str(solve)[:20]
)
def test_solution_file_without_a_solution_is_refused(solve, tmp_path):
    file = tmp_path / "model.lp"
    dp.formulate(make_problem(memory=1.0), "edgewise").write(file)
    with pytest.raises(dp.InputError, match=r"\.sol: the file holds no"):
        plan_from_file(file, solve(file).solution, make_problem(memory=1.0))


def best_values(model_file):
    """Return the value of every column of the model in the best plan, in the order of the columns."""
    found = read_solution(cbc(model_file).solution, read_columns(model_file)[0])
    return {name: float(round(found.get(name, 0.0), 6)) for name in read_columns(model_file)[0]}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_solution_file_as_other_programs_write_it_gives_the_plan(text, model_file, tmp_path):
    solution = tmp_path / "solution"  # what it is shows in the text alone
    solution.write_text(text(best_values(model_file)), encoding="utf-8")
    assert plan_from_file(model_file, solution, make_problem()) == BEST


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_solution_with_a_name_that_is_no_column_is_refused_with_the_first(text, model_file, tmp_path):
    values = best_values(model_file) | {"x(other,pi)": 1.0, "x(another,pi)": 1.0}
    solution = tmp_path / "solution"
    solution.write_text(text(values), encoding="utf-8")
    with pytest.raises(dp.InputError, match=r"solution: got 'x\(other,pi\)', expected the name of a column"):
        plan_from_file(model_file, solution, make_problem())


@pytest.mark.parametrize("text", [text for name, text in TEXTS.items() if name not in ("lp_solve", "MiniZinc")])
def test_values_that_are_off_by_a_tolerance_are_rounded(text, model_file, tmp_path):
    values = {name: value + (-1e-7 if value else 2e-8) for name, value in best_values(model_file).items()}
    solution = tmp_path / "solution"
    solution.write_text(text(values), encoding="utf-8")
    assert plan_from_file(model_file, solution, make_problem()) == BEST


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_placements_that_are_not_whole_are_refused(text, model_file, tmp_path):
    values = best_values(model_file) | {"x(fc,t4)": 0.5, "x(fc,pi)": 0.5}
    solution = tmp_path / "solution"
    solution.write_text(text(values), encoding="utf-8")
    with pytest.raises(dp.InputError, match=r"solution: x\(fc,\.\.\.\): got .*0\.5"):
        plan_from_file(model_file, solution, make_problem())


def test_other_integer_columns_must_be_whole_too(tmp_path):
    file, scheduled = tmp_path / "model.lp", two_in_parallel()
    dp.formulate(scheduled, "edgewise+disjunctive").write(file)
    columns = read_columns(file)[0]
    values = read_solution(highs(file).solution, columns)
    order = next(name for name in columns if name.startswith("order"))
    listed = tmp_path / "list.sol"
    for wrong, refused in ((1e-6, False), (0.5, True)):
        changed = values | {order: abs(values.get(order, 0.0) - wrong)}
        listed.write_text("".join(f"{name} {value!r}\n" for name, value in changed.items()), encoding="utf-8")
        if refused:
            with pytest.raises(dp.InputError, match=r"list\.sol: order.*: got 0\.5, expected a whole number"):
                plan_from_file(file, listed, scheduled)
        else:
            found = dp.evaluate(scheduled, plan_from_file(file, listed, scheduled))
            assert found.objective == pytest.approx(dp.solve(scheduled).objective)


@pytest.mark.parametrize("name", ["cplex.sol", "xpress.slx", "python-mip.sol", "cbc-all.sol"])
def test_files_that_other_programs_have_written_come_back(name, tmp_path):
    solution = shared_case(f"input/small-001.{name}")
    one, file = dp.load("small/001"), tmp_path / "model.mps"
    dp.formulate(one, "boundary+sum").write(file)
    assert dp.evaluate(one, plan_from_file(file, solution, one)).objective == pytest.approx(0.12501465904761)


def test_list_of_names_and_values_gives_the_plan(model_file, tmp_path):
    listed = tmp_path / "gurobi.sol"
    listed.write_text(
        "# Solution for model obj\n# Objective value = 100\nx(input,pi) 1\nx(conv1,pi) 9.9999999e-01\n"
        f"x({LONG},t4) = 1\n\nx(fc,t4) 1\ny(t,{LONG},pi,t4) 1\n",
        encoding="utf-8",
    )
    assert plan_from_file(model_file, listed, make_problem()) == BEST


def test_header_says_which_formulation_and_units_it_is(tmp_path):
    file = tmp_path / "model.lp"
    scheduled = make_problem().model_copy(update={"execution": "scheduled"})
    model = dp.formulate(scheduled, kind="milp")
    model.write(file)
    found = plan_from_file(file, highs(file).solution, scheduled)
    assert found.schedule is not None
    assert dp.evaluate(scheduled, found).objective == pytest.approx(dp.solve(scheduled).objective)


def test_model_file_without_a_header_is_recognised_by_its_columns(tmp_path):
    file = tmp_path / "model.lp"
    dp.formulate(make_problem(), "product").write(file)
    text = file.read_text(encoding="utf-8")
    file.write_text(text.partition("\n")[2], encoding="utf-8")
    assert plan_from_file(file, cbc(file).solution, make_problem()) == BEST
    assert plan_from_file(file, cbc(file).solution, make_problem(), "product") == BEST
    with pytest.raises(dp.InputError, match=r"by the formulation edgewise.sum, it lacks the column 'stay"):
        plan_from_file(file, cbc(file).solution, make_problem(), "edgewise")


# From Python


def test_plan_from_values_takes_names_of_files_and_raw_ones():
    odd = problem(network("a/1 b"), platform("p q"), {"a/1": (1, 2), "b": (1, 2)})
    for name in ("x(a/1,q)", "x(a_1,q)"):
        assert dp.plan_from_values({name: 1, "x(b,p)": 1.0}, odd) == plan({"net": "a/1:q b:p"})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"x(conv1,pi)": 1, "X(fc,pi)": 1}, r"no variable 'X\(fc,pi\)'"),
        ({"x(conv1,pi)": 1}, r"x\(a_layer.*expected 1 for one device"),
        ({"x(conv1,pi)": 0.5, "x(conv1,t4)": 0.5}, r"x\(conv1,\.\.\.\): got .*0\.5"),
        ({"x(conv1,pi)": 1, "x(conv1,t4)": 1}, r"x\(conv1,\.\.\.\)"),
        ({}, r"x\(conv1,\.\.\.\)"),
    ],
)
def test_plan_from_values_refuses_what_is_no_placement(values, words):
    with pytest.raises(dp.InputError, match=words):
        dp.plan_from_values(values, make_problem())


# Mistakes in files


def test_model_of_another_problem_is_refused(model_file):
    solution = cbc(model_file).solution
    other = problem(network("conv1 fc"), platform("pi t4"), {"conv1": (1, 1), "fc": (1, 1)})
    with pytest.raises(dp.InputError, match=r"model\.(lp|mps): not a model of the problem .*column"):
        plan_from_file(model_file, solution, other)


def test_solution_of_another_model_is_refused(model_file, tmp_path):
    other = tmp_path / "other.lp"
    dp.formulate(make_problem(), "product").write(other)
    with pytest.raises(dp.InputError, match=r"glpk\.sol: got .*columns"):
        plan_from_file(model_file, glpk(other).solution, make_problem())
    listed = tmp_path / "list.sol"
    listed.write_text("x(conv1,pi) 1\nz(9) 1\n", encoding="utf-8")
    with pytest.raises(dp.InputError, match=r"list\.sol: got 'z\(9\)'"):
        plan_from_file(model_file, listed, make_problem())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no text"),
        ("\n\n", "no text"),
        ("# Solution\n", "no solution"),
        ("this is\nnot a solution file at all\n", "a number after the name"),
        ("x(conv1,pi)\n", "a name and a value"),
        ("=====UNSATISFIABLE=====\n", "UNSATISFIABLE"),
        ("Infeasible - objective value 3.0\n 0 x(conv1,pi) 1 0\n", "Infeasible"),
        ("Stopped on time (no integer solution - continuous used) - objective value 3\n 0 x 0.5 0\n", "no integer"),
        ("Optimal - objective value 3.0\n 0 x(conv1,pi)\n", "index, name and value"),
        ("solution status: infeasible\nno solution available\n", "infeasible"),
        ("Model status\nInfeasible\n\n# Primal solution values\nNone\n", "Infeasible"),
        ("c Status: INTEGER EMPTY\ns mip 3 99 n 0\ne o f\n", "99 columns"),
        ("c Status: INTEGER EMPTY\ns mip 3 2 n 0\nj 1 0\nj 2 0\ne o f\n", "status n"),
        ("s mip 3 2 o 0\nj 7 0\n", "column from 1 to 2"),
        ("s mip 3 2 o 0\nj one 0\n", "cut off"),
        ("s mip 3 2 o 0\nj 1\n", "cut off"),
        ("Columns\n    Index Status\n", "cut off"),
        ("Problem: x\nColumn name\n---\n1 x(conv1,pi)\n", "number, name and value"),
        ("x(conv1,pi) 1\nx(conv1,pi) 0\n", r"two values for 'x\(conv1,pi\)': 1 and 0"),
        ("x(conv1,pi) nan\n", "finite number"),
        ("x(conv1,pi) 1e999\n", "finite number"),
        ('<CPLEXSolution><variables><variable name="x(conv1,pi)"', "not XML, or cut off"),
        ('<CPLEXSolution><variables><variable name="x(conv1,pi)"/></variables></CPLEXSolution>', "without a name or a"),
        ("<html><body/></html>", "got 'html', expected a solution file of CPLEX"),
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]><CPLEXSolution>&a;</CPLEXSolution>', "document type"),
        ('<CPLEXSolution><header solutionStatusString="integer infeasible"/></CPLEXSolution>', "integer infeasible"),
        ('{"SolutionInfo": {"Status": 3, "SolCount": 0}}', "no solution"),
        ('{"SolutionInfo": {}, "Vars": [{"VarName": "x(conv1,pi)"}]}', "Vars: got .*VarName and X"),
        ('{"SolutionInfo": {}, "Vars": [{"VarName": "x(conv1,pi)", "X": true}]}', "a number after the name"),
        ('{"placement": {}}', "no SolutionInfo"),
        ('{"SolutionInfo": {}, "Vars": [{"VarN', "not JSON"),
        ("NAME  x\n  C x(conv1,pi)  1\n", "cut off"),
        ("NAME  x\n  C x(conv1,pi)\nENDATA\n", "C, name and value"),
        ('  1,"x(conv1,pi)","C"\n', "cut off"),
        ('  1,"x(conv1,pi)"?,"C"\n', "cut off"),
        ('  1,"x(conv1,pi)","C","SB",1,"', "cut off"),
        ("\nThis problem is infeasible", "This problem is infeasible"),
        ("\nThis problem is unbounded", "This problem is unbounded"),
        ("Infeasible - objective 0\n", "Infeasible"),
    ],
)
def test_broken_solution_file_is_refused(tmp_path, text, words):
    path = tmp_path / "broken.sol"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(dp.InputError, match=words) as refused:
        read_solution(path, ["x(conv1,pi)", "x(conv1,t4)"])
    assert "broken.sol" in str(refused.value)


def test_binary_and_missing_files_are_refused(tmp_path):
    binary = tmp_path / "binary.sol"
    binary.write_bytes(b"\x00\xff\x13")
    for path in (binary, tmp_path / "none.sol"):
        with pytest.raises(dp.InputError, match=path.name):
            read_solution(path, ["x"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.txt", b"", "ends in .lp"),
        ("model.lp", b"this is no model", "model.lp"),
        ("model.mps", b"", "model.mps"),
        ("model.mps.gz", b"not packed", "not a gzip file"),
        ("model.mps.gz", gzip.compress(b"NAME x\n" * 99, mtime=0)[:-9], "damaged"),
        ("model.mps.gz", b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 40, "damaged"),
        ("model.pb.txt", b"nothing", "no variables"),
        ("none.mzn", None, "No such file"),
    ],
)
def test_broken_model_file_is_refused(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(dp.InputError, match=words):
        plan_from_file(path, path, make_problem())


# The command


def test_command_prints_the_check_and_writes_the_plan(problem_file, tmp_path):
    model, out = tmp_path / "model.mps.gz", tmp_path / "plan.json"
    assert dnnopt("export", problem_file, "-o", model).returncode == 0
    done = dnnopt("import-solution", model, cbc(model).solution, "--problem", problem_file, "-o", out)
    assert done.returncode == 0, done.stderr
    assert "feasible: every constraint holds" in done.stdout
    assert json.loads(out.read_text(encoding="utf-8"))["placement"] == BEST.placement
    assert dnnopt("check", problem_file, out).stdout == done.stdout


def test_command_exits_1_for_a_plan_that_breaks_a_constraint(problem_file, tmp_path):
    model, listed = tmp_path / "model.lp", tmp_path / "list.sol"
    assert dnnopt("export", problem_file, "-o", model).returncode == 0
    names = ("input", "conv1", LONG, "fc")
    listed.write_text("".join(f"x({name},pi) 1\n" for name in names), encoding="utf-8")
    assert dnnopt("import-solution", model, listed, "--problem", problem_file).returncode == 0
    listed.write_text("x(input,pi) 1\n" + "".join(f"x({name},t4) 1\n" for name in names[1:]), encoding="utf-8")
    done = dnnopt("import-solution", model, listed, "--problem", problem_file)
    assert done.returncode == 1
    assert "memory(t4)" in done.stdout


def test_command_exits_2_for_bad_input(problem_file, tmp_path):
    done = dnnopt("import-solution", tmp_path / "none.lp", tmp_path / "none.sol", "--problem", problem_file)
    assert done.returncode == 2
    assert "none.lp" in done.stderr
    assert "Traceback" not in done.stderr
