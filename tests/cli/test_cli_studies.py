"""`dnnopt pareto`, `formulations`, `sweep` and `compare` as a person uses them."""

import csv
import io
import json
import signal
import subprocess
import sys
import time

import pytest
from builders import layer, link, network, platform, problem, tensor
from commands import check_refused, dnnopt

from dnnopt.problem.constraints import Deadline, Memory
from dnnopt.problem.objectives import energy, latency
from dnnopt.problem.problem import write_problem
from dnnopt.studies.pareto import pareto


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


TWO = ("-b", "latency", "-b", "energy")


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
    assert run.returncode == 1
    data = json.loads(run.stdout)
    assert (data["points"], data["complete"], data["zones_left"]) == ([], False, [[None]])


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("-b", "latency"), ("objectives", "two or more")),
        (("-b", "latency", "-b", "speed"), ("--objective", "speed", "latency")),
        ((*TWO, "--heuristic", "--solver", "cbc"), ("--solver", "--heuristic")),
        ((*TWO, "--heuristic", "--tolerance", "0.1"), ("--tolerance", "--heuristic")),
        ((*TWO, "--iterations", "5"), ("--iterations", "--heuristic")),
        (("-b", "latency", "-b", "energy(fridge)"), ("fridge",)),
        ((*TWO, "--tolerance", "0"), ("tolerance", "1e-9")),
        ((*TWO, "--time-limit", "-1"), ("time_limit", "-1")),
        ((*TWO, "-f", "magic"), ("magic", "edgewise")),
        (("-b", "latency", "-b", "period", "-f", "edgewise+sum"), ("edgewise+sum", "period", "edgewise+period")),
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


VARY = ("--vary", "bandwidth=0.1..10", "--points", "3", "--threads", "1")


def moving():
    """The second layer goes to q where sending its byte takes less than 3 s."""
    net = network([layer("a", 3), layer("b", 3)], [tensor("t", "a", "b", 1)], source="p")
    on = platform("p q", [link("up"), link("down")], {"p>q": "up", "q>p": "down"})
    return problem(net, on, {"a": (1, 9), "b": (5, 2)})


def test_sweep_prints_a_table_and_writes_files(write, tmp_path):
    out, picture = tmp_path / "sweep.json", tmp_path / "sweep.svg"
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    run = dnnopt("sweep", write(moving()), *VARY, "--json", out, "--figure", picture, "--latex", tmp_path / "sweep.tex")
    assert run.returncode == 0, run.stderr
    for part in ("bandwidth from 0.1 to 10", "1 break point", "no other is possible", "PQ", "single-cut"):
        assert part in run.stdout
    [limit] = json.loads(out.read_text(encoding="utf-8"))["breaks"]
    assert limit["low"] == pytest.approx(1 / 3, rel=1e-5)
    assert "<svg" in picture.read_text(encoding="utf-8")
    assert "\\toprule" in (tmp_path / "sweep.tex").read_text(encoding="utf-8")


def test_sweep_prints_csv_alone_where_asked(write):
    run = dnnopt("sweep", write(moving()), *VARY, "--csv", "-", "--baseline", "greedy")
    rows = list(csv.DictReader(io.StringIO(run.stdout)))
    assert [float(row["bandwidth"]) for row in rows if row["asked"] == "True"] == [0.1, 1, 10]
    assert all(float(row["latency (s)"]) > 0 for row in rows)
    assert rows[0]["greedy (s)"]


def test_ctrl_c_ends_a_sweep_with_the_points_that_are_done_and_it_goes_on_later(tmp_path):
    words = ["sweep", "resnet50-pi4-wifi-nx-wan-t4", "--vary", "bandwidth(wan-up)=1MB/s..100MB/s", "--points", "30"]
    words += ["--threads", "1", "--output", str(tmp_path / "runs"), "--csv", "-"]
    with subprocess.Popen(
        [sys.executable, "-m", "dnnopt", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        end = time.monotonic() + 60
        while len(list((tmp_path / "runs").glob("*.json"))) < 3 and time.monotonic() < end:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        output, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    done = list(csv.DictReader(io.StringIO(output)))
    assert 2 <= len(done) < 30
    assert len(list((tmp_path / "runs").glob("*.json"))) == len(done) + 1


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--vary", "speed=1..2"), ("vary", "speed=1..2", "bandwidth")),
        (("--vary", "bandwidth(x)=1..2 B/s"), ("vary.bandwidth", "'x'", "up")),
        ((*VARY, "--scale", "square"), ("scale", "square", "log, linear")),
        ((*VARY, "--baseline", "magic"), ("baselines", "magic", "greedy")),
    ],
)
def test_sweep_refuses_bad_options(write, words, parts):
    check_refused(dnnopt("sweep", write(moving()), *words), *parts)


def test_compare_writes_its_table_in_every_format(write, tmp_path):
    files = {kind: tmp_path / f"table.{kind}" for kind in ("csv", "markdown", "latex", "json")}
    options = [word for kind, path in files.items() for word in (f"--{kind}", path)]
    run = dnnopt("compare", write(small()), "--method", "single-cut", "--method", "greedy", *options)
    assert run.returncode == 0, run.stderr
    assert "Along the network" in run.stdout
    rows = list(csv.DictReader(io.StringIO(files["csv"].read_text(encoding="utf-8"))))
    assert [row["method"] for row in rows] == ["best single cut", "greedy", "edgewise+sum (highs)"]
    assert files["markdown"].read_text(encoding="utf-8").startswith("| method | status | latency (s) |")
    assert files["latex"].read_text(encoding="utf-8").startswith("\\begin{tabular}")
    assert json.loads(files["json"].read_text(encoding="utf-8"))["rows"][0]["placement"]["net"]


def test_compare_with_auto_alone_runs_just_what_solve_does(write):
    run = dnnopt("compare", write(small()), "--method", "auto", "--csv", "-")
    assert run.returncode == 0, run.stderr
    assert [row["status"] for row in csv.DictReader(io.StringIO(run.stdout))] == ["optimal"]


def test_compare_over_a_set_says_why_a_method_failed(tmp_path):
    run = dnnopt("compare", "--over", "small/001", "--method", "chain", "--output", tmp_path / "runs")
    assert run.returncode == 0, run.stderr
    assert (
        "chain failed first at small/001: the method 'chain' does not support the constraint memory(pi)" in run.stderr
    )


def test_a_folder_of_another_problems_sweep_is_refused(write, tmp_path):
    assert dnnopt("sweep", write(moving()), *VARY, "--output", tmp_path / "runs").returncode == 0
    other = write(moving().model_copy(update={"transport": "multicast"}))
    check_refused(dnnopt("sweep", other, *VARY, "--output", tmp_path / "runs"), "sweep.json", "is another one than")


def test_compare_over_a_set_prints_gaps_and_keeps_results(tmp_path):
    words = ("compare", "--over", "small/002", "--method", "single-cut", "--output", tmp_path / "runs")
    run = dnnopt(*words, "--json", tmp_path / "table.json")
    assert run.returncode == 0, run.stderr
    assert "within 1 %" in run.stdout
    assert "pipelined" in run.stdout
    [gap] = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))["gaps"]["single-cut"].values()
    assert gap >= 0
    assert (tmp_path / "runs" / "single-cut" / "small" / "002.json").is_file()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((), ("TARGET", "missing")),
        (("--over", "small"), ("--output", "missing")),
        (("--over", "corr", "--output", "runs"), ("corr", "core")),
        (("--over", "small", "--output", "runs", "--by", "size"), ("by", "size", "execution")),
        (("--over", "small", "--output", "runs", "--memory-limit", "much"), ("--memory-limit", "much")),
        (("--over", "small", "--output", "runs", "--platform", "pi4-lte-t4"), ("TARGET", "need one")),
        (("small/001", "--over", "small", "--output", "runs"), ("TARGET", "--over")),
        (("small/001", "--output", "runs"), ("--output", "--over")),
        (("small/001", "--method", "magic"), ("methods", "magic", "greedy")),
        (("small/001", "--heuristic-limit", "0"), ("heuristic_limit", "0.0")),
        (("small/001", "--jobs", "2"), ("--jobs", "--over")),
        (("small/001", "--by", "all"), ("--by", "--over")),
        (("--over", "small", "--output", "runs", "--gap", "0.1"), ("--gap", "--over")),
        (("--over", "small", "--output", "runs", "--time-limit", "0"), ("time_limit", "0.0")),
        (("--over", "small", "--output", "runs", "--threads", "0"), ("threads", "0")),
        (("--over", "small", "--output", "runs", "--heuristic-limit", "0"), ("heuristic_limit", "0.0")),
        (("small/001", "--csv", "-", "--json", "-"), ("--json", "'--csv'")),
    ],
)
def test_compare_refuses_bad_options(words, parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_refused(dnnopt("compare", *words), *parts)
    assert not (tmp_path / "runs").exists()
