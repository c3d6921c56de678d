"""Exported .lp and .mps files mean the same to HiGHS, CBC, GLPK and SCIP as the model does to us."""

import gzip
import os
import subprocess
import sys

import highspy
import numpy as np
import pytest
from exporting import exportable, fork_problem, milp_models, nasty_problem, optimum
from hypothesis import given, settings
from readers import READERS

import dnnopt as dp
from dnnopt.methods.solutions import plan_from_file
from dnnopt.models.linear import LinearModel
from dnnopt.models.portable import safe_names

ENDINGS = (".lp", ".mps")


def check_readers_agree(model, folder, optimum, readers=READERS):
    for ending in ENDINGS:
        file = folder / f"model{ending}"
        model.write(file)
        for name in readers:
            found = READERS[name](file).objective
            assert found == (optimum if optimum is None else pytest.approx(optimum, rel=1e-6, abs=1e-6)), (name, ending)


@settings(max_examples=4)
@given(problem=exportable())
def test_every_formulation_has_the_direct_optimum_in_every_solver(problem, tmp_path_factory):
    folder = tmp_path_factory.mktemp("random")
    for model in milp_models(problem).values():
        check_readers_agree(model, folder, optimum(model))


def test_formulations_of_schedules_have_the_direct_optimum_in_every_solver(tmp_path):
    models = {name: model for name, model in milp_models(fork_problem()).items() if model.row_count < 1000}
    assert "edgewise+disjunctive" in models
    for model in models.values():
        check_readers_agree(model, tmp_path, optimum(model))


@pytest.fixture(scope="module")
def odd_model():
    """Every kind of row, bound and constant that a model may have, and names that are words of the formats."""
    model = LinearModel("odd: model")
    x = model.add_variables("x", (2, 3), axes=lambda: (["a", "b c"], ["p", "q", "7[x]"]), upper=1, integer=True)
    fixed = model.add_variables("fixed", (2,), axes=lambda: (["0", "2.5"],), lower=[0, 2.5], upper=[0, 2.5])
    free = model.add_variables("free", (), lower=-np.inf)
    n = model.add_variables(
        "n", (3,), axes=lambda: (["1", "2", "3"],), lower=[-3, 2, 0], upper=[7, np.inf, 9], integer=True
    )
    below = model.add_variables("below", (), lower=-np.inf, upper=-2)
    negative = model.add_variables("negative", (), lower=-8, upper=-0.5)
    digits = model.add_variables("e9", (), lower=0.1234567890123456, upper=0.30000000000000004)
    model.add_variables("unused", (2,), axes=lambda: (["1", "2"],), upper=5)
    model.add_rows("assign", x, 1.0, lower=1, upper=1, axes=lambda: (["a", "b c"],))
    model.add_rows("range", np.array([free, n[0]]), np.array([1.0, 2.0]), lower=-1, upper=7.5)
    model.add_rows("nothing", np.zeros(0, dtype=int), 1.0, lower=-1, upper=1)
    model.add_rows("no_side", np.array([free, n[1]]), np.array([1.0, 2.0]))
    model.add_rows("st", np.array([free, below]), np.array([1.0, -1 / 3]), lower=-2)
    model.add_rows("end", np.array([n[2], negative]), np.array([1.0, -2.0]), lower=3.3)
    model.minimize(x, np.array([[1, 2, 3], [4, 5, -6.1]]))
    model.minimize(np.array([free, below, negative, digits]), [1.0, -1.0, -0.1, 1 / 3])
    model.minimize(n, [-1, 1, 0.25])
    model.minimize(fixed, 1.0)
    model.offset = 12.5
    return model


def test_rows_bounds_and_constants_of_every_kind_are_read_alike(odd_model, tmp_path):
    check_readers_agree(odd_model, tmp_path, optimum(odd_model))


def test_infeasible_row_without_entries_stays_infeasible(tmp_path):
    model = LinearModel("infeasible")
    x = model.add_variables("x", (1,), axes=lambda: (["a"],), upper=1, integer=True)
    model.minimize(x, 1.0)
    model.add_rows("nothing", np.zeros(0, dtype=int), 1.0, lower=1)
    check_readers_agree(model, tmp_path, None, ("highs", "cbc", "scip"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_numbers_are_read_back_to_the_last_digit(odd_model, tmp_path, ending):
    file = tmp_path / f"model{ending}"
    odd_model.write(file)
    solver = highspy.Highs()
    solver.silent()
    solver.readModel(str(file))
    arrays, found = odd_model.arrays(), solver.getLp()
    named = dict(
        zip(found.col_names_, zip(found.col_cost_, found.col_lower_, found.col_upper_, strict=True), strict=True)
    )
    own = safe_names(odd_model.column_names())
    for name, *expected in zip(own, arrays.cost, arrays.lower, arrays.upper, strict=True):
        assert named[name] == tuple(expected)
    assert named["constant_1"] == (12.5, 1.0, 1.0)
    assert set(found.a_matrix_.value_) >= set(arrays.value)


# Names


def test_names_are_readable(tmp_path):
    file = tmp_path / "model.lp"
    dp.formulate(dp.load("resnet50-pi4-wifi-nx-wan-t4"), "edgewise").write(file)
    text = file.read_text(encoding="utf-8")
    assert text.startswith("\\ resnet50-pi4-wifi-nx-wan-t4: edgewise+sum. Units: 1 of time = 0.001 s")
    assert " assign(conv1): + x(conv1,pi) + x(conv1,nx) + x(conv1,t4) = 1\n" in text


@pytest.mark.parametrize("ending", ENDINGS)
def test_nasty_names_change_nothing_on_the_way_out_and_back(tmp_path, ending):
    problem = nasty_problem()
    model = dp.formulate(problem, "edgewise")
    file = tmp_path / f"model{ending}"
    model.write(file)
    best = optimum(model)
    for name, reader in READERS.items():
        reading = reader(file)
        assert reading.objective == pytest.approx(best), name
        plan = plan_from_file(file, reading.solution, problem)
        evaluation = dp.evaluate(problem, plan)
        assert evaluation.feasible, name
        assert evaluation.objective == pytest.approx(best * model.objective_unit), name
    assert len(set(plan.placement["net: x. Units"].values())) > 1


def test_safe_names_differ_whatever_the_names_are():
    names = [
        "x(a b)",
        "x(a_b)",
        "x(a_b)..2",
        "x(a:b)",
        "free",
        "Free",
        "x" * 300,
        "x" * 299 + "y",
        "y" * 98,
        "y" * 98,
        "7",
        "",
        "e1",
        "é",
    ]
    safe = safe_names(names)
    assert len(set(safe)) == len(names)
    assert all(name[0].isalpha() or name[0] == "_" for name in safe)
    assert max(map(len, safe)) <= 100  # with longer ones CBC reads other names, or other models
    assert safe_names(["x(conv1,pi)", "assign(conv1)"]) == ["x(conv1,pi)", "assign(conv1)"]


def test_files_are_the_same_in_every_process(tmp_path):
    code = (
        "import sys, dnnopt as dp; m = dp.formulate(dp.load('resnet50-pi4-wifi-nx-wan-t4'), 'product');"
        "m.write(sys.argv[1] + '.lp'); m.write(sys.argv[1] + '.mps.gz')"
    )
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / seed)], env=environment, check=True)
    for ending in (".lp", ".mps.gz"):
        assert (tmp_path / f"1{ending}").read_bytes() == (tmp_path / f"2{ending}").read_bytes()


def test_compressed_file_is_the_plain_one_without_a_time_stamp(odd_model, tmp_path):
    plain, packed = tmp_path / "model.mps", tmp_path / "model.mps.gz"
    odd_model.write(plain)
    odd_model.write(packed)
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert packed.read_bytes()[4:8] == bytes(4)
    for name in ("cbc", "glpk", "scip"):
        assert READERS[name](packed).objective == pytest.approx(optimum(odd_model))


# Mistakes


@pytest.mark.parametrize("name", ["model.txt", "model", "model.gz", "model.pb"])
def test_unknown_ending_is_refused_with_those_known(odd_model, tmp_path, name):
    with pytest.raises(dp.InputError, match=r"\.lp, \.mps, \.mps\.gz, \.pb\.txt or \.mzn"):
        odd_model.write(tmp_path / name)


def test_model_of_the_other_kind_is_refused(odd_model, tmp_path):
    with pytest.raises(dp.InputError, match="linear model"):
        odd_model.write(tmp_path / "model.mzn")


def test_folder_that_does_not_exist_is_refused(odd_model, tmp_path):
    with pytest.raises(dp.InputError, match="cannot be written"):
        odd_model.write(tmp_path / "none" / "model.lp")
