"""The sets of problems: as their script writes them, with best known values that hold."""

import importlib.util
import json
from pathlib import Path

import pytest
from commands import dnnopt

import dnnopt as dp
from dnnopt.problem import library
from dnnopt.studies.best_known import read_table, verify

FOLDER = Path(str(library.folder("problems")))
KNOWN = read_table()
SIZES = {"small": 24, "core": 100, "hard": 40}


def members(name):
    return [problem for problem in library.names("problems") if problem.startswith(f"{name}/")]


def script(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", library.SETS)
def test_sets_have_their_fixed_sizes(name):
    assert len(members(name)) == SIZES[name]


@pytest.mark.parametrize("name", ["small", pytest.param("core", marks=pytest.mark.slow)])
def test_the_script_writes_the_files_that_are_there(name):
    written = {data["name"]: data for data in getattr(script("make_sets"), name)()}
    assert list(written) == members(name)
    for problem in members(name):
        assert_same(json.loads((FOLDER / f"{problem}.json").read_text("utf-8")), written[problem])


def assert_same(there, written):
    """Numbers may differ by what newer exports of the networks count besides, such as the scalars of operators."""
    if isinstance(there, dict):
        assert there.keys() == written.keys()
        for key in there:
            assert_same(there[key], written[key])
    elif isinstance(there, list):
        assert len(there) == len(written)
        for pair in zip(there, written, strict=True):
            assert_same(*pair)
    else:
        assert there == (pytest.approx(written, rel=1e-5) if isinstance(there, float) else written)


def test_every_best_known_value_holds():
    assert [(row.problem, wrong) for row, wrong in verify() if wrong] == []


def test_every_problem_of_the_sets_has_a_plan_and_all_small_ones_are_proved():
    for name in library.SETS:
        for problem in members(name):
            assert KNOWN[problem].objective is not None, problem
            assert name != "small" or KNOWN[problem].status == "proved", problem


@pytest.mark.parametrize("name", members("small"))
def test_small_problems_are_solved_to_their_best_known_values(name):
    result = dp.solve(dp.load(name), threads=1, time_limit=60)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(KNOWN[name].objective, rel=2e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("small/001", {"solver": "cbc"}),
        ("small/002", {"solver": "cpsat"}),
        ("small/008", {"formulation": "product", "solver": "highs"}),
        ("small/013", {"solver": "cbc"}),
        ("small/024", {"formulation": "boundary"}),
    ],
)
def test_other_solvers_and_formulations_prove_the_same(name, options):
    try:
        result = dp.solve(dp.load(name), threads=1, time_limit=60, **options)
    except dp.UnsupportedError as error:
        pytest.skip(str(error))
    assert result.status == "optimal"
    assert result.objective == pytest.approx(KNOWN[name].objective, rel=2e-6)


def test_show_says_what_kind_of_problem_it_is_and_what_is_known():
    run = dnnopt("show", "small/001")
    assert run.returncode == 0, run.output
    for part in ("alexnet (22 layers)", "treewidth", "best known", "proved"):
        assert part in run.output
    run = dnnopt("show", "small/001", "--json", "-")
    assert json.loads(run.output)["best_known"]["status"] == "proved"


@pytest.mark.slow
def test_the_page_has_the_table_that_its_script_prints():
    described = script("describe")
    text = described.table(
        {
            name: [(described.features(dp.load(member)), KNOWN.get(member)) for member in members(name)]
            for name in library.SETS
        }
    )
    assert text in (Path(__file__).parents[2] / "docs" / "problems.md").read_text("utf-8")
