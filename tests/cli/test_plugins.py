"""Modules of a user's own on the command line: what they register, also in other processes, and how they fail."""

import json
import sys

import pytest
from commands import check_refused, dnnopt, dnnopt_process

from dnnopt.base.errors import InputError
from dnnopt.base.plugins import load_plugin
from dnnopt.formulations.milp.communication import COMMUNICATIONS
from dnnopt.methods.heuristics import BASELINES
from dnnopt.studies.bench import tasks

LAST = """
from dnnopt.compiled.scaling import all_on_one
from dnnopt.formulations.milp.communication import COMMUNICATIONS
from dnnopt.methods.heuristics import BASELINES, Baseline


def placements(evaluator, effort):
    yield "all on the last", all_on_one(evaluator.compiled)[-1]


BASELINES["last"] = Baseline(name="last", summary="everything on the last device", order=200, run=placements)
COMMUNICATIONS["mine"] = COMMUNICATIONS["edgewise"]
"""


@pytest.fixture(autouse=True)
def _what_is_registered_does_not_stay():
    kept = [(registry, dict(registry)) for registry in (BASELINES, COMMUNICATIONS)]
    modules, path = set(sys.modules), list(sys.path)
    yield
    for registry, before in kept:
        registry.clear()
        registry.update(before)
    for name in set(sys.modules) - modules:
        if name.startswith("dnnopt_plugin_") or name.startswith("own_"):
            del sys.modules[name]
    sys.path[:] = path


@pytest.fixture
def last(tmp_path):
    path = tmp_path / "own_last.py"
    path.write_text(LAST, encoding="utf-8")
    return path


def test_a_heuristic_of_a_file_is_compared_and_listed(last):
    run = dnnopt("compare", "small/002", "--plugin", last, "--method", "last", "--method", "auto", "-t", "20")
    assert run.returncode == 0, run.output
    assert "all on the last" in run.stdout
    assert "last " in dnnopt("list", "heuristics", "--plugin", last).stdout


def test_a_formulation_of_a_module_in_this_folder_solves(last):
    run = dnnopt("solve", "small/002", "--plugin", "own_last", "-f", "mine", cwd=last.parent)
    assert run.returncode == 0, run.output
    assert "found by mine+period (highs)" in run.stdout or "bound by mine+period (highs)" in run.stdout


def test_several_plugins_are_all_imported(last, tmp_path):
    other = tmp_path / "own_other.py"
    other.write_text(
        "import own_last\nfrom dnnopt.methods.heuristics import BASELINES\nBASELINES['other'] = BASELINES['last']",
        encoding="utf-8",
    )
    run = dnnopt("list", "methods", "--plugin", last, "--plugin", other)
    assert {"last", "other"} <= set(run.stdout.split())


def test_bench_and_compare_over_a_set_have_it_in_their_processes(last, tmp_path):
    run = dnnopt(
        "bench", "small/002", "--method", "last", "--plugin", "own_last.py", "-o", tmp_path / "runs", cwd=last.parent
    )
    assert run.returncode == 0, run.output
    data = json.loads((tmp_path / "runs" / "last" / "small" / "002.json").read_text(encoding="utf-8"))
    assert (data["status"], data["method"]) == ("feasible", "last")
    words = (
        "--over",
        "small/002",
        "--method",
        "last",
        "--plugin",
        last,
        "--output",
        tmp_path / "other",
        "--jobs",
        "2",
        "--oversubscribe",
    )
    run = dnnopt("compare", *words)
    assert run.returncode == 0, run.output
    assert (tmp_path / "other" / "last" / "small" / "002.json").is_file()


def test_tasks_name_files_so_that_any_folder_finds_them(last, monkeypatch):
    monkeypatch.chdir(last.parent)
    (task,) = tasks(["small/002"], last.parent, method="last", plugins=["own_last.py"])
    assert task.options[-2:] == ("--plugin", str(last))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x = 1\nraise ValueError('no such thing')\n", ("own_bad.py, line 2: ValueError: no such thing",)),
        ("x = (\n", ("own_bad.py, line 1: SyntaxError: '(' was never closed",)),
        ("import no_such_module\n", ("own_bad.py, line 1: ModuleNotFoundError: No module named 'no_such_module'",)),
        ("\nimport sys\nsys.exit(0)\n", ("own_bad.py, line 3: it ends the program",)),
        ("import dnnopt\ndnnopt.load('nothing')\n", ("own_bad.py, line 2: InputError: ", "nothing")),
    ],
)
def test_a_module_that_fails_says_where_and_why_without_a_traceback_unless_asked(tmp_path, text, parts):
    path = tmp_path / "own_bad.py"
    path.write_text(text, encoding="utf-8")
    for name in (path, "own_bad"):
        check_refused(dnnopt("list", "methods", "--plugin", name, cwd=tmp_path), f"--plugin: {name} failed: ", *parts)
    run = dnnopt("list", "methods", "-v", "--plugin", path)
    assert run.returncode == 2
    assert "Traceback" in run.stderr


def test_a_plugin_that_there_is_not_is_refused():
    check_refused(
        dnnopt("list", "methods", "--plugin", "own_missing"), "--plugin: got 'own_missing', expected a module"
    )
    check_refused(dnnopt("list", "methods", "--plugin", "no/own.py"), "--plugin: got 'no/own.py', expected a .py file")


def test_a_plugin_is_imported_once(tmp_path):
    path = tmp_path / "own_count.py"
    path.write_text("import sys\nsys.own_count = getattr(sys, 'own_count', 0) + 1\n", encoding="utf-8")
    load_plugin(str(path))
    load_plugin(str(path))
    assert sys.own_count == 1
    del sys.own_count
    with pytest.raises(InputError):
        load_plugin(str(tmp_path / "none.py"))


def test_the_program_itself_takes_plugins(last):
    run = dnnopt_process("list", "methods", "--plugin", "own_last", cwd=last.parent)
    assert "last" in run.stdout.split(), run.output
