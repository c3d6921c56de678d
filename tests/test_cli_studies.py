"""`dnnopt pareto` and `dnnopt formulations` as a person uses them: in a process of their own."""

import json
import subprocess
import sys

import pytest
from builders import layer, link, network, platform, problem, tensor

from dnnopt.constraints import Deadline, Memory
from dnnopt.formats.files import write_problem
from dnnopt.objectives import energy, latency
from dnnopt.pareto import pareto


def dnnopt(*words):
    command = [sys.executable, "-m", "dnnopt", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def small(**fields):
    """Two layers on two devices: q is fast and dear."""
    net = network([layer("a", 3), layer("b", 3)], [tensor("t", "a", "b", 1)])
    on = platform("p q", [link("up"), link("down")], {"p>q": "up", "q>p": "down"})
    return problem(net, on, {"a": (5, 1), "b": (4, 2)}, energies={"a": (1, 6), "b": (2, 3)}, **fields)


@pytest.fixture
def write(tmp_path):
    def write_file(one):
        path = tmp_path / "problem.json"
        write_problem(one, path)
        return path

    return write_file


def check_refused(run, *parts):
    assert run.returncode == 2, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    for part in parts:
        assert part in run.stderr


TWO = ("-o", "latency", "-o", "energy")


def test_pareto_prints_the_front_as_json(write):
    run = dnnopt("pareto", write(small()), *TWO, "--json", "-")
    assert run.returncode == 0, run.stderr
    data = json.loads(run.stdout)
    front = pareto(small(), (latency(), energy()))
    assert data["complete"] is True
    assert [point["objectives"] for point in data["points"]] == [list(point.objectives) for point in front.points]
    assert len(data["points"]) == 4
    assert data["points"][0]["placement"] == {"net": {"a": "q", "b": "q"}}


def test_pareto_prints_a_table_and_writes_a_file(write, tmp_path):
    out = tmp_path / "front.json"
    run = dnnopt("pareto", write(small()), *TWO, "--json", out, "-v", "-f", "edgewise", "--solver", "cbc")
    assert run.returncode == 0, run.stderr
    for part in ("4 points", "complete", "latency", "energy", "p 2", "q 2"):
        assert part in run.stdout
    assert run.stderr.count("found") == 4
    assert len(json.loads(out.read_text(encoding="utf-8"))["points"]) == 4


def test_pareto_of_an_infeasible_problem_exits_1_with_an_empty_front(write):
    run = dnnopt("pareto", write(small(subject_to=[Deadline(limit=1)])), *TWO, "--json", "-")
    assert run.returncode == 1
    data = json.loads(run.stdout)
    assert (data["points"], data["complete"]) == ([], True)


def test_pareto_out_of_time_is_not_complete(write):
    run = dnnopt("pareto", write(small()), *TWO, "--time-limit", "1e-9", "--json", "-")
    assert run.returncode == 130
    data = json.loads(run.stdout)
    assert (data["points"], data["complete"], data["zones_left"]) == ([], False, [[None]])


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("-o", "latency"), ("objectives", "two or more")),
        (("-o", "latency", "-o", "speed"), ("speed", "latency")),
        (("-o", "latency", "-o", "energy(fridge)"), ("fridge",)),
        ((*TWO, "--tolerance", "0"), ("tolerance", "1e-9")),
        ((*TWO, "--time-limit", "-1"), ("time_limit", "-1")),
        ((*TWO, "-f", "magic"), ("magic", "edgewise")),
        (("-o", "latency", "-o", "period", "-f", "edgewise+sum"), ("edgewise+sum", "period", "edgewise+period")),
    ],
)
def test_pareto_refuses_bad_options(write, words, parts):
    check_refused(dnnopt("pareto", write(small()), *words), *parts)


def test_formulations_prints_every_one_as_json(write):
    run = dnnopt("formulations", write(small(subject_to=[Memory(limits={"q": 5})])), "--json", "-", "--threads", "1")
    assert run.returncode == 0, run.stderr
    data = json.loads(run.stdout)
    rows = {row["formulation"]: row for row in data["rows"]}
    assert {"product+sum", "edgewise+sum", "boundary+sum", "treewise+sum", "cp-assignment"} <= set(rows)
    for row in rows.values():
        assert (row["status"], row["objective"]) == ("optimal", 6)
    assert rows["product+sum"]["relaxation"] <= rows["edgewise+sum"]["relaxation"] + 1e-9 <= 6 + 2e-9


def test_formulations_prints_a_table_of_those_named(write, tmp_path):
    out = tmp_path / "rows.json"
    run = dnnopt("formulations", write(small()), "-f", "product", "-f", "cp-assignment", "--json", out, "-v")
    assert run.returncode == 0, run.stderr
    for part in ("product+sum (highs)", "cp-assignment (cpsat)", "LP bound", "optimal"):
        assert part in run.stdout
    assert "product+sum: optimal" in run.stderr
    assert len(json.loads(out.read_text(encoding="utf-8"))["rows"]) == 2


def test_formulations_of_an_infeasible_problem_say_so(write):
    one = write(small(subject_to=[Deadline(limit=1)]))
    run = dnnopt("formulations", one, "-f", "edgewise", "-f", "cp-assignment", "--json", "-")
    assert run.returncode == 0, run.stderr
    assert [row["status"] for row in json.loads(run.stdout)["rows"]] == ["infeasible", "infeasible"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("-f", "magic"), ("magic", "edgewise")),
        (("-f", "product", "-f", "edgewise+disjunctive"), ("edgewise+disjunctive", "parallel", "edgewise+paths")),
        (("--time-limit", "0"), ("time_limit",)),
    ],
)
def test_formulations_refuses_bad_options(write, words, parts):
    check_refused(dnnopt("formulations", write(small(execution="parallel")), *words), *parts)


@pytest.mark.parametrize("command", [("pareto", *TWO), ("formulations",)])
def test_a_problem_file_that_is_cut_off_is_refused(write, command):
    path = write(small())
    path.write_text(path.read_text(encoding="utf-8")[:200], encoding="utf-8")
    check_refused(dnnopt(command[0], path, *command[1:]), "problem.json", "not JSON")
