"""The commands about the library's problems, as a person uses them."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from builders import network, platform, problem, tensor
from commands import dnnopt

import dnnopt as dp
from dnnopt.studies.bench import summary
from dnnopt.studies.bench_task import BenchTask

SOLVED = {"problem": "small/001", "status": "optimal", "objective": 1.0, "gap": 0.0, "runtime": 1.0}


def refused(*words):
    """Return the one line that a mistake gives."""
    run = dnnopt(*words)
    assert run.returncode == 2, run.output
    [line] = run.output.strip().splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such-problem"], "no problem or set named 'no-such-problem'"),
        (["small/1"], "did you mean small/0"),
        (["small/001", "--time-limit", "-1"], "expected seconds > 0"),
        (["small/001", "--time-limit", "nan"], "expected seconds > 0"),
        (["small/001", "--threads", "0"], "threads: got 0"),
        (["small/001", "--seed", "-1"], "seed: got -1"),
        (["small/001", "--method", "none"], "method: got 'none'"),
        (["small/001", "--formulation", "none"], "formulation: got 'none'"),
        (["small/001", "--solver", "none"], "solver: got 'none'"),
        (["small/001", "--formulation", "edgewise", "--solver", "cpsat"], "a solver for milp models"),
        (["small/001", "--method", "single-cut", "--solver", "cbc"], "auto, where a formulation or a solver is named"),
    ],
)
def test_mistakes_in_the_options_of_bench_are_told_before_anything_is_run(tmp_path, words, message):
    assert message in refused("bench", *words, "--output", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_bench_says_which_folder_it_cannot_make(tmp_path):
    (tmp_path / "file").write_text("")
    assert "the folder cannot be made" in refused("bench", "small/001", "--output", tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "expected 'dnnopt-result'"),
        (json.dumps({"format": "dnnopt-result", "version": 1, "problem": "small/001"}), "status: got None"),
        (json.dumps({"format": "dnnopt-result", "version": 1, **SOLVED, "gap": "0"}), "gap: got '0'"),
    ],
)
def test_a_damaged_result_is_named_and_left(tmp_path, text, message):
    file = tmp_path / "auto" / "small" / "001.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    line = refused("bench", "small/001", "--output", tmp_path)
    assert str(file) in line
    assert message in line
    assert file.read_text() == text


def test_a_cut_result_is_put_aside_and_done_again(tmp_path):
    words = ("bench", "small/001", "small/002", "--method", "greedy", "-t", "5", "--output", tmp_path)
    dnnopt(*words)
    cut, whole = tmp_path / "greedy" / "small" / "001.json", tmp_path / "greedy" / "small" / "002.json"
    text, other = cut.read_text("utf-8"), whole.stat().st_mtime_ns
    cut.write_text(text[:100], "utf-8")
    assert dnnopt(*words).returncode == 0
    assert json.loads(cut.read_text("utf-8"))["objective"] == json.loads(text)["objective"]
    assert cut.with_name("001.json.damaged").read_text("utf-8") == text[:100]
    assert whole.stat().st_mtime_ns == other


def test_old_results_of_other_limits_are_never_shown_as_new(tmp_path):
    common = ("bench", "small/001", "--method", "greedy", "--output", tmp_path)
    assert dnnopt(*common, "-t", "5").returncode == 0
    file = tmp_path / "greedy" / "small" / "001.json"
    before = file.read_bytes()
    for words, message in (
        (("-t", "6"), "time limit 5.0, not 6.0"),
        (("-t", "5", "--threads", "2", "--oversubscribe"), "threads 1, not 2"),
    ):
        assert message in refused(*common, *words)
        assert file.read_bytes() == before
    more = ("--jobs", "2", "--oversubscribe", "--memory-limit", "1 GiB")
    assert dnnopt(*common, "-t", "5", *more).returncode == 0
    old = json.loads(before)
    old["versions"]["dnnopt"] = "0.0.1"
    file.write_text(json.dumps(old), "utf-8")
    assert "dnnopt 0.0.1, not " in refused(*common, "-t", "5")


def test_what_goes_wrong_with_one_problem_is_said(tmp_path):
    file = tmp_path / "cp-schedule" / "small" / "001.json"
    times = []
    for more in ((), (), ("--again",)):  # the second time from the file
        run = dnnopt("bench", "small/001", "-t", "5", "-f", "cp-schedule", "--output", tmp_path, *more)
        assert run.returncode == 1
        times.append(file.stat().st_mtime_ns)
        assert "[1/1] small/001: error: formulation 'cp-schedule' does not support" in run.output
    assert times[0] == times[1] < times[2]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_bench_and_its_processes_and_leaves_no_half_result(tmp_path):
    command = [sys.executable, "-m", "dnnopt", "bench", "hard/003", "-t", "60", "-f", "product", "--output", tmp_path]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(4)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=50)
    assert (process.returncode, errors) == (130, "dnnopt: interrupted\n")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_bench_that_is_killed_keeps_what_is_done_and_goes_on_from_there(tmp_path):
    common = ("bench", "small/001", "small/002", "--method", "local-search", "-t", "1", "--output", tmp_path)
    command = [sys.executable, "-m", "dnnopt", *common]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    first, second = (tmp_path / "local-search" / "small" / f"{name}.json" for name in ("001", "002"))
    end = time.monotonic() + 60
    while not first.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.3)  # the second has begun
    process.kill()
    process.wait(30)
    assert not second.exists()
    text = first.read_bytes()
    assert dnnopt(*common).returncode == 0
    assert first.read_bytes() == text
    assert json.loads(second.read_text("utf-8"))["status"] == "feasible"
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == [first, second]


def test_features_are_json_where_nothing_is_sent(tmp_path):
    net = network("a b", [tensor("t", "a", "b", 2)])
    dp.write_problem(problem(net, platform("p", [], {}), {"a": (2,), "b": (1,)}), tmp_path / "one.json")
    run = dnnopt("show", tmp_path / "one.json", "--json", "-")
    assert json.loads(run.output)["compute_communication"] is None


def test_folders_that_are_not_there_are_told_before_a_long_run(tmp_path):
    for option in ("--json", "--log"):
        run = dnnopt("solve", "small/001", option, tmp_path / "none" / "out")
        assert run.returncode == 2
        assert f"cannot be written: there is no folder '{tmp_path / 'none'}'" in " ".join(run.output.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--witness", "none/plan.json"], "cannot be written: there is no folder"),
        (["--witness", "-"], "got '-', expected the name of a file"),
        (["--witness", "chain.json"], "got 'chain.json', expected another place than that of '--output'"),
        (["--witness", "."], ".: cannot be written: Is a directory"),
    ],
)
def test_generate_writes_nothing_where_the_witness_cannot_be_written(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    run = dnnopt("generate", "chain", "-o", "chain.json", *words)
    assert run.returncode == 2
    assert message in " ".join(run.output.split())
    assert not list(tmp_path.iterdir())


def test_one_of_a_thing_is_counted_as_one(tmp_path):
    made = dnnopt("generate", "chain", "-o", tmp_path / "one.json", "--size", "1", "--devices", "1")
    assert "1 layer, 1 device\n" in made.output
    assert "chain (1 layer)" in dnnopt("show", tmp_path / "one.json").output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": [{"name": "two words"}]}, "metrics[0].name: got 'two words'"),
        ({"metrics": [{"name": "2nd"}]}, "digits and underscores, no digit first"),
        ({"metrics": [{"name": "energy"}]}, "a name that no standard metric has"),
        ({"metrics": [{"name": "own"}] * 2}, "metrics[1]: got 'own'"),
        ({"metrics": [{"name": "own", "links": {"w": {}}}]}, "metrics[0].links: got 'w'"),
        ({"metrics": [{"name": "own", "layers": {"net": {"a": {"p": -1}}}}]}, "metrics[0].layers.net.a.p: got -1"),
        ({"minimize": [{"metric": "own"}]}, "minimize[0].metric: got 'own'"),
        (
            {"metrics": [{"name": "own"}], "subject_to": [{"constraint": "metric", "metric": "own", "limit": -1}]},
            "subject_to[0].limit: got -1",
        ),
        (
            {"metrics": [{"name": "own"}], "subject_to": [{"constraint": "metric", "metric": 3, "limit": 1}]},
            "subject_to[0].metric: got 3",
        ),
    ],
)
def test_mistakes_in_own_metrics_of_a_problem_file_are_named_by_field(tmp_path, changes, message):
    net = network("a b", [tensor("t", "a", "b", 2)])
    data = problem(net, platform("p", [], {}), {"a": (2,), "b": (1,)}).to_data() | changes
    file = tmp_path / "one.json"
    file.write_text(json.dumps({"format": "dnnopt-problem", "version": 1, **data}), encoding="utf-8")
    assert f"{file}: " in refused("show", file)
    assert message in refused("show", file)


def test_bench_ends_with_a_table_by_execution(tmp_path):
    run = dnnopt("bench", "small/001", "small/006", "-t", "20", "--output", tmp_path)
    lines = run.stdout.splitlines()
    assert "execution   problems     proved  gap at most 1 %  gap at most 15 %" in lines
    rows = [line.split() for line in lines if re.match(r"\w+ +\d", line)]
    assert sum(int(row[1]) for row in rows) == 2
    assert all(row[3] == "(100" for row in rows)
    assert re.fullmatch(r"[012] of 2 proofs confirmed, in [\d.]+ m?s, \d+ % of the time to the proofs", lines[-1])
    again = dnnopt("bench", "small/001", "small/006", "-t", "20", "--output", tmp_path, "--markdown", "-")
    assert again.stdout.splitlines()[0] == "| execution | problems | proved | gap at most 1 % | gap at most 15 % |"
    assert again.stderr.startswith("[1/2] small/001: optimal, ")


def test_the_table_of_bench_counts_gaps():
    name = "small/001"
    data = [{"status": "optimal", "gap": 0.0}, {"status": "feasible", "gap": 0.0}, {"status": "feasible", "gap": 0.1}]
    data += [{"status": "feasible", "gap": 0.5}, {"status": "no_solution", "gap": None}]
    task = BenchTask(name, (), 1.0, "", label="auto")
    found = summary([(task, one | {"runtime": 1.0}) for one in data])
    (row,) = found.to_rows()
    assert (row["problems"], row["proved"]) == (5, 1)
    assert (row["gap at most 1 %"], row["gap at most 15 %"]) == (2, 3)
    assert " ".join(str(found).splitlines()[1].split()) == "sequential 5 1 (20 %) 2 (40 %) 3 (60 %)"
