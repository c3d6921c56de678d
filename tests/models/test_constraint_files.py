"""Constraint models as files: .pb.txt for CP-SAT and .mzn for MiniZinc, solved by somebody else and read back."""

import re
from functools import partial

import numpy as np
import pytest
from commands import dnnopt
from exporting import fork_problem, nasty_problem
from hypothesis import given, settings
from readers import program, run, solve_proto
from strategies import problems

import dnnopt as dp
from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.solutions import plan_from_file
from dnnopt.models.constraint import ConstraintModel
from dnnopt.models.minizinc import minizinc_texts
from dnnopt.models.solvers import cpsat
from dnnopt.models.solvers.interface import Control, Limits

SMALL = 2.0**28


def optimum(model):
    outcome = cpsat.solve(model, Limits(time_limit=60, gap=0.0, threads=1), None, Control())
    assert outcome.status in ("optimal", "infeasible")
    return outcome.objective


def solve_minizinc(path):
    """Solve a file by the solver that MiniZinc takes; return the solution that it prints (None: there is none)."""
    printed = run(program("minizinc", "minizinc"), path, path.with_suffix(".dzn"))
    assert "----------" in printed or "UNSATISFIABLE" in printed, printed
    solution = path.with_name("minizinc.sol")
    solution.write_text(printed, encoding="utf-8")
    return None if "UNSATISFIABLE" in printed else solution


@settings(max_examples=6)
@given(problem=problems(executions=("sequential", "pipelined", "scheduled"), most_placements=100))
def test_exported_models_have_the_direct_optimum_in_cp_sat(problem, tmp_path_factory):
    folder = tmp_path_factory.mktemp("random")
    for name in registry.supporting(compile_problem(problem), "cp"):
        model = dp.formulate(problem, name)
        file = folder / "model.pb.txt"
        model.write(file)
        best, (found, solution) = optimum(model), solve_proto(file)
        assert found == (best if best is None else pytest.approx(best, rel=1e-9)), name
        if best is not None:
            objective = dp.evaluate(problem, plan_from_file(file, solution, problem)).objective
            bound = best * model.objective_unit
            assert objective >= bound * (1 - 1e-9), name
            if name == "cp-assignment":  # times of schedules are rounded to coarser units than the objective
                assert objective == pytest.approx(bound, rel=1e-6, abs=1e-12), name


@settings(max_examples=6)
@given(problem=problems(executions=("sequential", "pipelined"), most_placements=100))
def test_exported_models_have_the_same_optimum_in_minizinc(problem, tmp_path_factory):
    folder = tmp_path_factory.mktemp("random")
    for name in registry.supporting(compile_problem(problem), "cp"):
        model = dp.formulate(problem, name, largest_sum=SMALL)
        file = folder / "model.mzn"
        model.write(file)
        best, solution = optimum(model), solve_minizinc(file)
        assert (solution is None) == (best is None), name
        if best is not None:
            # The numbers are rounded down, each by less than one unit.
            room = len(model.lower) * model.objective_unit
            objective = dp.evaluate(problem, plan_from_file(file, solution, problem)).objective
            assert best * model.objective_unit <= objective * (1 + 1e-9)
            assert objective <= best * model.objective_unit * (1 + 1e-9) + room


@pytest.mark.parametrize("ending", [".pb.txt", ".mzn"])
@pytest.mark.parametrize("make", [fork_problem, partial(nasty_problem, layers=9)])
def test_plans_come_back(tmp_path, ending, make):
    problem = make()
    file = tmp_path / f"model{ending}"
    dp.formulate(problem, kind="cp", largest_sum=SMALL if ending == ".mzn" else None).write(file)
    solution = solve_minizinc(file) if ending == ".mzn" else solve_proto(file)[1]
    evaluation = dp.evaluate(problem, plan_from_file(file, solution, problem))
    assert evaluation.feasible
    assert evaluation.objective == pytest.approx(dp.solve(problem).objective, rel=1e-4)


def test_minizinc_model_is_short_and_named_by_blocks_and_families(tmp_path):
    file = tmp_path / "model.mzn"
    dp.formulate(dp.load("resnet50-pi4-wifi-nx-wan-t4"), "cp-assignment", largest_sum=SMALL).write(file)
    text, data = file.read_text(encoding="utf-8"), file.with_suffix(".dzn").read_text(encoding="utf-8")
    assert text.startswith("% resnet50-pi4-wifi-nx-wan-t4: cp-assignment. Whole numbers: sums below 2^28, 1 of the")
    assert "array[1..178, 1..3] of var 0..1: x;" in text
    assert "% send: in each row, at least one" in text
    assert len(text) < 8000
    assert '"x(conv1,pi)"' in data
    assert all(
        abs(int(number)) < SMALL for number in re.findall(r"(?<![\w(.-])-?\d+(?![\w)])", data.partition("];")[2])
    )


def test_export_command_writes_both_kinds_of_constraint_files(tmp_path, capsys):

    for ending in (".pb.txt", ".mzn"):
        file = tmp_path / f"model{ending}"
        done = dnnopt("export", "resnet50-pi4-wifi-nx-wan-t4", "-o", file)
        assert done.returncode == 0, done.output
        assert "cp-assignment" in done.output
        assert file.exists()
    for words in (
        ["-o", "model.mzn", "-f", "edgewise"],
        ["-o", "model.mzn", "--si"],
        ["-o", "m.lp", "-f", "cp-assignment"],
    ):
        done = dnnopt("export", "resnet50-pi4-wifi-nx-wan-t4", *words)
        assert done.returncode == 2


# MiniZinc, by hand


def tiny_model():
    model = ConstraintModel("tiny: model")
    x = model.add_variables("x", (2,), axes=lambda: (["a", "b"],))
    model.add_variables("var", (), lower=-3, upper=5)
    model.add_variables("no such", (0,), axes=lambda: ([],))
    model.add_clauses("at least", x[None], (True, True))
    model.minimize(x, np.array([2, 3]))
    return model


def test_minizinc_keeps_reserved_words_empty_blocks_and_odd_names_apart(tmp_path):
    file = tmp_path / "model.mzn"
    tiny_model().write(file)
    solution = solve_minizinc(file).read_text(encoding="utf-8")
    assert "x(a) 1\n" in solution
    assert "x(b)" not in solution


def test_minizinc_without_an_objective_is_satisfied(tmp_path):
    model = tiny_model()
    model.objective_columns, model.objective_coefficients = [], []
    file = tmp_path / "model.mzn"
    model.write(file)
    assert "x(" in solve_minizinc(file).read_text(encoding="utf-8")


def test_minizinc_refuses_by_name_what_it_does_not_know():
    model = tiny_model()
    model.circuits = [[0, 1]]
    with pytest.raises(dp.UnsupportedError, match="circuits"):
        minizinc_texts(model)


@pytest.mark.parametrize("ending", [".pb.txt", ".mzn"])
@pytest.mark.parametrize("family", ["clauses", "exactly one"])
def test_rows_without_anything_in_them_cannot_hold(tmp_path, ending, family):
    model = tiny_model()
    nothing = np.zeros((2, 0), dtype=np.int64)
    if family == "clauses":
        model.add_clauses("nothing", nothing, ())
    else:
        model.add_exactly_one(nothing)
    file = tmp_path / f"model{ending}"
    model.write(file)
    assert (solve_minizinc(file) if ending == ".mzn" else solve_proto(file)[1]) is None


@pytest.mark.parametrize("ending", [".pb.txt", ".mzn"])
def test_intervals_may_be_there_always_or_not(tmp_path, ending):
    model = ConstraintModel("three tasks")
    start = model.add_variables("start", (3,), upper=20)
    there = model.add_variables("there", (3,))
    size = np.array([4, 3, 5])
    tasks = [
        model.add_intervals("always", start[:2], size[:2]),
        model.add_intervals("maybe", start[2:], size[2:], there[2:]),
    ]
    model.add_no_overlap("machine", np.concatenate(tasks))
    end = model.add_variables("last", (), upper=30)
    columns = np.stack([np.broadcast_to(end, 2), start[:2]], axis=1)
    model.add_rows("ends", columns, [1, -1], lower=size[:2])
    model.add_rows("end", np.array([[end, start[2]]]), [1, -1], lower=[5], literals=there[2:, None])
    model.minimize(np.array([end, there[2]]), np.array([1, -3]))
    file = tmp_path / f"model{ending}"
    model.write(file)
    solution = solve_minizinc(file) if ending == ".mzn" else solve_proto(file)[1]
    values = dict(line.split() for line in solution.read_text(encoding="utf-8").splitlines() if line[:1].isalpha())
    assert values["last"] == "7"  # the third would end at 12, for 3 less
    assert values.get("there(2)", "0") == "0"
