"""The sets of problems: as their script writes them, with best known values that hold."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from commands import dnnopt

import dnnopt as dp
from dnnopt.base.files import read_data
from dnnopt.problem import library
from dnnopt.studies.best_known import read_table, verify
from dnnopt.studies.features import features

FOLDER = Path(str(library.folder("problems")))
KNOWN = read_table()
SIZES = {"small": 24, "core": 100, "hard": 40, "papers": 23, "core@2": 50, "hard@2": 20, "hard@3": 12}
INFEASIBLE = ("papers/edgent-exit3", "core@2/029")  # on purpose, as their provenance says
CHOICES = {"modes", "one mode", "forms", "reach", "state", "scenarios"}
SCRIPTS = {
    "small": ["make_sets"],
    "core": ["make_sets"],
    "papers": ["make_papers", "make_granular"],
    "core@2": ["make_choices", "make_granular"],
    "hard@3": ["make_operators"],
}


def members(name):
    return [problem for problem in library.names("problems") if problem.startswith(f"{name}/")]


def script(name):
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))  # for what the scripts share
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", library.SETS)
def test_sets_have_their_fixed_sizes(name):
    assert len(members(name)) == SIZES[name]


@pytest.mark.parametrize(
    "name", ["small", "papers", *(pytest.param(n, marks=pytest.mark.slow) for n in ("core", "core@2", "hard@3"))]
)
def test_the_script_writes_the_files_that_are_there(name):
    makers = [getattr(script(one), name.partition("@")[0]) for one in SCRIPTS[name]]
    written = {data["name"]: data for make in makers for data in make()}
    assert sorted(written) == members(name)
    for problem in members(name):
        [file] = [
            FOLDER / f"{problem}{ending}" for ending in library.ENDINGS if (FOLDER / f"{problem}{ending}").exists()
        ]
        there = read_data(file, "problem")
        assert_same(there, {key: written[problem][key] for key in written[problem] if key not in ("format", "version")})


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


def test_the_first_version_of_a_set_is_the_set_without_a_version():
    assert library.members(["core@1", "hard@1"]) == library.members(["core", "hard"])
    assert library.members(["core@2"]) == members("core@2")
    with pytest.raises(dp.InputError, match=r"no problem or set named 'core@3'.*core@2"):
        library.members(["core@3"])


@pytest.mark.slow
def test_the_second_version_has_every_choice_under_sequential_and_pipelined_execution_and_not_only_small_networks():
    found = [(features(dp.load(name)), name) for name in members("core@2")[:30]]  # the others are about granularity
    for execution in ("sequential", "pipelined"):
        assert {choice for one, _ in found if one.execution == execution for choice in one.choices} == CHOICES
    assert all(one.choices for one, _ in found)
    assert sum(one.layers < 60 for one, _ in found) <= len(found) / 2


def test_the_variants_of_edgent_are_problems_of_the_library_of_which_the_second_exit_is_best():
    found = dp.best_of(Path(str(library.folder("variants"))) / "edgent-branchynet.json", threads=1)
    assert (found.status, found.variant, found.objective) == ("optimal", "exit2", 0.26)
    assert found.results["exit3"].placement is None


@pytest.mark.parametrize("name", ["jalad-resnet50", "robust-worst", "branchynet-latency"])
@pytest.mark.parametrize(("formulation", "solver"), [("edgewise", "highs"), ("cp-assignment", "cpsat")])
def test_problems_of_papers_are_proved_by_mixed_integer_and_by_constraint_programming(name, formulation, solver):
    result = dp.solve(dp.load(f"papers/{name}"), formulation=formulation, solver=solver, threads=1, time_limit=60)
    assert result.status == "optimal"
    assert result.objective == pytest.approx(KNOWN[f"papers/{name}"].objective, rel=2e-6)


def test_every_best_known_value_holds():
    assert [(row.problem, wrong) for row, wrong in verify() if wrong] == []


def test_every_problem_of_the_sets_has_a_plan_or_says_why_not_and_those_that_should_be_are_proved():
    for name in library.SETS:
        for problem in members(name):
            if problem in INFEASIBLE:
                assert KNOWN[problem].status == "infeasible", problem
                continue
            assert KNOWN[problem].objective is not None, problem
            is_open = dp.load(problem).execution == "scheduled"  # parts of layers, whose schedules are hard
            assert name not in ("small", "papers") or is_open or KNOWN[problem].status == "proved", problem


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
    for part in ("alexnet (22 layers)", "a device for each layer", "treewidth", "best known", "proved"):
        assert part in run.output
    assert "3 modes of tx2, one for all" in dnnopt("show", "papers/dvfs-latency").output
    run = dnnopt("show", "small/001", "--json", "-")
    assert json.loads(run.output)["best_known"]["status"] == "proved"


@pytest.mark.slow
def test_the_page_has_the_table_that_its_script_prints():
    described = script("describe")
    texts = described.tables(
        {
            name: [(described.features(dp.load(member)), KNOWN.get(member)) for member in members(name)]
            for name in library.SETS
        }
    )
    page = (Path(__file__).parents[2] / "docs" / "problems.md").read_text("utf-8")
    assert [text in page for text in texts] == [True, True]
