"""`dp.bench`: problems in processes of their own, with a result file for each."""

import json
import os
import sys
from datetime import UTC, datetime, timedelta

import pytest

import dnnopt as dp
from dnnopt.base import machine as machine_module
from dnnopt.base.machine import usable_cores
from dnnopt.studies import bench_task
from dnnopt.studies.bench_task import BenchTask, fair_share, run_task


def test_problems_are_solved_and_what_is_there_is_not_redone(tmp_path):
    seen = []
    options = {
        "method": "greedy",
        "time_limit": 20,
        "watch": lambda reached, task, data: seen.append((reached.done, reached.tasks, task.problem)),
    }
    first = dp.bench(["small/001", "small/002"], tmp_path, jobs=2, oversubscribe=True, **options)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert sorted(name for _, _, name in seen) == ["small/001", "small/002"]
    assert [one[:2] for one in seen] == [(1, 2), (2, 2)]
    assert len(files) == 2
    assert sum(row["problems"] for row in first.to_rows()) == 2
    assert dp.bench("small/001", tmp_path, **options).to_rows()[0]["problems"] == 1
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}


@pytest.mark.parametrize(
    ("problems", "options"), [("smal", {}), ("small", {"method": "magic"}), ("small", {"threads": 0})]
)
def test_bad_names_and_options_are_refused_before_anything_runs(tmp_path, problems, options):
    with pytest.raises(dp.InputError):
        dp.bench(problems, tmp_path / "runs", **options)
    assert not (tmp_path / "runs").exists()


def dying(folder, times, number=9):
    """Return a program for a task's process that a signal ends so many times; then it writes a result."""
    count = folder / "count"
    result = {"format": "dnnopt-result", "version": 1, "problem": "p", "status": "feasible"}
    return f"""
import json, os, pathlib, sys
count = pathlib.Path({str(count)!r})
seen = int(count.read_text()) if count.exists() else 0
count.write_text(str(seen + 1))
if seen < {times}:
    os.kill(os.getpid(), {number})
pathlib.Path(sys.argv[-1]).write_text(json.dumps({result!r}))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("times", "status", "runs"), [(0, "feasible", 1), (1, "feasible", 2), (5, "error", 2)])
def test_a_process_that_a_signal_ends_is_tried_again_at_once(tmp_path, monkeypatch, times, status, runs):
    monkeypatch.setattr(bench_task, "_PROGRAM", dying(tmp_path, times))
    task = BenchTask("p", ("--method", "greedy"), 5.0, str(tmp_path / "runs" / "p.json"))
    data = run_task(task)
    assert data["status"] == status
    assert (tmp_path / "count").read_text() == str(runs)
    assert data["task"] == {"time_limit": 5.0, "method": "greedy"}
    if status == "error":
        assert "signal 9" in data["message"]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["p.json"]


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A folder in the place of that of cgroups."""
    monkeypatch.setattr(machine_module, "_GROUPS", str(tmp_path / "cgroup"))
    monkeypatch.setattr(machine_module, "_OWN_GROUPS", str(tmp_path / "own"))

    def write(place, text):
        path = tmp_path / "cgroup" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


def test_the_limit_of_a_container_counts(groups):
    whole = fair_share(1)
    groups("memory.max", "max\n")
    assert fair_share(1) == whole
    groups("memory.max", "1000000\n")
    assert fair_share(4) == 250000
    groups("memory/memory.limit_in_bytes", "800000\n")
    assert fair_share(4) == 200000
    groups("memory/memory.limit_in_bytes", "9223372036854771712\n")  # as cgroups of version 1 say that there is none
    assert fair_share(4) == 250000


def test_the_processors_of_a_container_count(groups, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(8), raising=False)
    assert usable_cores() == 8
    for quota, cores in (("max", 8), ("250000", 3), ("1000", 1)):
        groups("cpu.max", f"{quota} 100000\n")
        assert usable_cores() == cores
    groups("cpu.max", "max 100000\n")
    groups("cpu/cpu.cfs_period_us", "100000\n")
    for quota, cores in (("-1", 8), ("400000", 4)):
        groups("cpu/cpu.cfs_quota_us", f"{quota}\n")
        assert usable_cores() == cores


@pytest.mark.parametrize(
    ("own", "memory", "processors"),
    [
        ("0::/slurm/job_7/step_0\n", "slurm/job_7/memory.max", "slurm/job_7/step_0/cpu.max"),
        (
            "9:cpu,cpuacct:/job_7\n4:memory:/job_7/s\n",
            "memory/job_7/memory.limit_in_bytes",
            "cpu,cpuacct/job_7/cpu.max",
        ),
    ],
)
def test_the_limits_of_all_groups_above_a_process_count(groups, monkeypatch, tmp_path, own, memory, processors):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(8), raising=False)
    (tmp_path / "own").write_text(own)
    groups(memory, "500000\n")
    groups(processors, "200000 100000\n")
    groups("other/memory.max", "1\n")
    assert fair_share(1) == 500000
    assert usable_cores() == 2


@pytest.mark.skipif(os.name != "posix", reason="Windows does not say how much memory a process took")
def test_a_result_says_when_on_what_and_with_how_much_memory_it_was_made(tmp_path):
    dp.bench(["small/001"], tmp_path, method="greedy", time_limit=20)
    run = json.loads((tmp_path / "greedy" / "small" / "001.json").read_text("utf-8"))["run"]
    assert 1e7 < run["peak_memory"] < 1e10
    assert run["machine"]["cores"] >= 1
    assert run["machine"]["processor"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(run["started"])) < timedelta(minutes=5)


@pytest.mark.skipif(sys.platform == "win32", reason="two processes at once")
def test_two_benches_in_one_folder_agree(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    def once(_):
        return dp.bench(["small/001", "small/002"], tmp_path, method="greedy", time_limit=20).to_rows()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(once, range(2))
    assert first == second
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [path.name for path in files] == ["001.json", "002.json"]
    assert all(json.loads(path.read_text("utf-8"))["status"] == "feasible" for path in files)
