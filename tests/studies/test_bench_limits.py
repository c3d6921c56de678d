"""What a bench is asked for, how far it is, and what it does where there is no room: on the disk, or on processors."""

import errno
import os
import shutil
import subprocess
from contextlib import suppress

import pytest
from commands import dnnopt

import dnnopt as dp
from dnnopt.base import machine
from dnnopt.base.machine import check_cores
from dnnopt.studies import bench_progress, bench_task
from dnnopt.studies.bench import run_all, tasks
from dnnopt.studies.bench_progress import BenchProgress
from dnnopt.studies.bench_task import BenchTask, run_task
from dnnopt.studies.run_folders import read_runs

COMMON = ("--method", "greedy", "-t", "5")


# What is run


def test_each_problem_is_run_by_each_method_formulation_and_seed(tmp_path):
    work = tasks(["small/001", "small/002"], tmp_path, method=["greedy", "heft"], formulation="edgewise", seed=[0, 3])
    labels = ["greedy", "greedy+seed=3", "heft", "heft+seed=3", "edgewise", "edgewise+seed=3"]
    assert [(task.problem, task.label) for task in work] == [
        (name, label) for name in ("small/001", "small/002") for label in labels
    ]
    assert len({task.output for task in work}) == len(work)
    assert [" ".join(task.options) for task in work[3:5]] == [
        "--method heft --threads 1 --seed 3",
        "--method auto --formulation edgewise --threads 1 --seed 0",
    ]


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "auto"),
        ({"formulation": "product"}, "product"),
        ({"formulation": ["product", "product"], "solver": "cbc"}, "product+cbc"),
        ({"method": "auto", "seed": 7}, "auto+seed=7"),
        ({"seed": ()}, "auto"),
    ],
)
def test_results_of_one_way_are_in_one_folder(tmp_path, options, label):
    (task,) = tasks(["small/001"], tmp_path, **options)
    assert (task.label, task.output) == (label, str(tmp_path / label / "small" / "001.json"))


def test_seeds_and_methods_have_results_beside_each_other_and_rows_of_their_own(tmp_path):
    words = ("bench", "small/001", "--method", "greedy", "--method", "heft", "-t", "5", "-o", tmp_path / "runs")
    run = dnnopt(*words, "--seed", "0", "--seed", "1")
    assert run.returncode == 0, run.output
    assert "[4/4] small/001 by heft+seed=1: feasible" in run.stdout
    rows = [line.split()[0] for line in run.stdout.splitlines() if " sequential " in line]
    assert rows == ["greedy", "greedy+seed=1", "heft", "heft+seed=1"]
    assert sorted(one.method for one in read_runs(tmp_path / "runs")) == rows  # the report has them beside each other
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert dnnopt(*words, "--seed", "1").returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}


# Processors


def test_more_threads_than_processors_are_refused_with_what_fits(monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: 8)
    check_cores(8, 1)
    check_cores(2, 4)
    check_cores(100, 100, oversubscribe=True)
    with pytest.raises(dp.InputError, match=r"^jobs: got 9, expected at most 8 with 1 thread each, as 8 of"):
        check_cores(9, 1)
    with pytest.raises(dp.InputError, match=r"^jobs: got 4, expected at most 2 with 3 threads each, as 8 of"):
        check_cores(4, 3)
    with pytest.raises(dp.InputError, match=r"^threads: got 9, expected at most 8, as 8 of the machine's processors"):
        check_cores(1, 9)


def test_all_commands_with_jobs_refuse_too_many_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    runs = tmp_path / "runs"
    for words in (
        ("bench", "small/001", *COMMON, "-o", runs),
        ("compare", "--over", "small/001", "--method", "greedy", "-o", runs),
        ("formulations", "--over", "small/001", "-f", "edgewise", "-o", runs),
        ("approaches", "small/001", "--approach", "neurosurgeon", "-o", runs),
    ):
        run = dnnopt(*words, "--jobs", "3")
        assert run.returncode == 2, run.output
        assert run.stderr.startswith("dnnopt: jobs: got 3, expected at most 2 with 1 thread each")
        assert not list(runs.rglob("*.json"))
    with pytest.raises(dp.InputError, match="oversubscribe"):
        dp.bench("small/001", runs, jobs=3, method="greedy")
    assert "threads: got 3" in dnnopt("bench", "small/001", *COMMON, "--threads", "3", "-o", runs).stderr


# How far it is


def test_progress_says_what_runs_what_failed_and_how_long_the_rest_takes(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(bench_progress.time, "monotonic", lambda: now[0])
    work = [BenchTask(f"p{number}", (), 60.0, "") for number in range(10)]
    progress = BenchProgress()
    progress.expects(work)
    progress.slots = 2
    progress.ends(work[0], {"status": "optimal"})  # it was there
    assert (progress.done, progress.tasks, progress.seconds_left(), str(progress)) == (1, 10, None, "")
    progress.starts(work[1])
    progress.starts(work[2])
    assert str(progress) == "2 running"
    now[0] = 30.0
    progress.ends(work[1], {"status": "error"})
    assert progress.seconds_left() == 0.5 * 8 * 60 / 2
    assert str(progress) == "1 running, 1 failed, about 2 min left"
    progress.stops(work[2])  # its worker died
    assert str(progress) == "1 failed, about 2 min left"
    for task in work[2:]:
        progress.starts(task)
        progress.ends(task, {"status": "optimal"})
    assert (progress.done, progress.seconds_left(), str(progress)) == (10, 0.0, "1 failed")


# A full disk


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_ends_a_bench_and_nothing_is_lost(tmp_path, monkeypatch):
    work = tasks(["small/001", "small/002"], tmp_path, method="greedy", time_limit=5.0)
    results = run_all(work)
    first, _ = next(results)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(dp.InputError, match="cannot be written: No space left on device"):
        list(results)
    monkeypatch.undo()
    assert [str(path) for path in tmp_path.rglob("*") if path.is_file()] == [first.output]
    kept = os.stat(first.output).st_mtime_ns
    assert [data["status"] for _, data in run_all(work)] == ["feasible"] * 2
    assert os.stat(first.output).st_mtime_ns == kept


def test_a_process_without_room_for_its_result_is_no_outcome_of_a_problem(tmp_path, monkeypatch):
    words = f"dnnopt: x: cannot be written: {os.strerror(errno.ENOSPC)}"
    monkeypatch.setattr(bench_task, "_PROGRAM", f"import sys; print({words!r}, file=sys.stderr); sys.exit(2)")
    task = BenchTask("p", (), 5.0, str(tmp_path / "p.json"))
    with pytest.raises(dp.InputError, match=r"p\.json: no result: x: cannot be written: No space left"):
        run_task(task)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a few pages, where one can be had."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True).returncode
    ):
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_fills_up_is_told_and_the_bench_goes_on_when_there_is_room(small_disk):
    filler = small_disk / "filler"
    words = ("bench", "small/001", "small/002", *COMMON, "-o", small_disk / "runs")
    (small_disk / "runs" / "greedy" / "small").mkdir(parents=True)
    with open(filler, "wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))
    run = dnnopt(*words)
    assert run.returncode == 2
    assert "No space left on device" in run.stderr
    assert [path for path in small_disk.rglob("*") if path.is_file()] == [filler]
    filler.unlink()
    assert dnnopt(*words).returncode == 0
    assert len([path for path in small_disk.rglob("*") if path.is_file()]) == 2
