"""A bench on the workers of a Dask scheduler: whatever dies or hangs, no task is lost and none is counted twice.

Scheduler and workers are processes of their own that talk over TCP, as on a cluster.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from commands import LONG, dnnopt, until
from pages import DOCS, page

import dnnopt as dp
from dnnopt.problem import library
from dnnopt.studies import bench_cluster
from dnnopt.studies.bench import run_all
from dnnopt.studies.bench_progress import BenchProgress
from dnnopt.studies.bench_task import BenchTask

pytest.importorskip("distributed", reason="Dask's distributed is not installed")
psutil = pytest.importorskip("psutil")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")

NAMES = [f"small/{number:03}" for number in range(1, 5)]
SETTINGS = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "6s",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "9",  # a busy machine's workers may seem to hang
    "DASK_DISTRIBUTED__ADMIN__LOG_FORMAT": "%(message)s",
}
SOON_GIVES_UP = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
# What ends the worker that a task runs on: above the process of a task is its guardian, and above that the worker.
DEADLY = """
import os, signal
def parent(number):
    return int(open(f"/proc/{number}/stat").read().rpartition(")")[2].split()[1])
if os.getenv("DEADLY"):
    os.kill(parent(os.getppid()), signal.SIGKILL)
"""


class Machines:
    """A scheduler, and workers that run one task at a time, each a process."""

    def __init__(self, folder, **settings):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{taken.getsockname()[1]}"
        self.folder, self.settings = folder, settings
        self.processes = []
        self.start_scheduler()

    def _start(self, module, *words, **settings):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *words]
        env = os.environ | SETTINGS | {"TMPDIR": str(self.folder)} | self.settings | settings
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)
        self.processes.append(process)
        return process

    def start_scheduler(self):
        host, _, port = self.address.partition(":")
        self.file = self.folder / "scheduler.json"
        self.file.unlink(missing_ok=True)
        words = ("--host", host, "--port", port, "--no-dashboard", "--no-show", "--scheduler-file", str(self.file))
        self.scheduler = self._start("dask_scheduler", *words)

    def start_worker(self, threads=1, **settings):
        words = ("--nthreads", str(threads), "--no-nanny", "--no-dashboard", "--memory-limit", "0")
        return self._start("dask_worker", f"tcp://{self.address}", *words, "--death-timeout", "60", **settings)

    def end(self):
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(LONG)


@pytest.fixture
def machines(tmp_path, request):
    folder = tmp_path / "machines"
    folder.mkdir()
    made = Machines(folder, **getattr(request, "param", {}))
    until(made.file.exists)
    yield made
    made.end()


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """Machines of which nothing is stopped, with a worker."""
    made = Machines(tmp_path_factory.mktemp("calm"))
    until(made.file.exists)
    made.worker = made.start_worker()
    yield made
    made.end()


def searches(folder, names=NAMES, seconds=0.5):
    """Return tasks of so many seconds each."""
    options = ("--method", "local-search", "--threads", "1", "--seed", "0")
    return [BenchTask(name, options, seconds, str(folder / f"{name}.json"), label="local-search") for name in names]


class Run:
    """A bench that goes on step by step: what it has found, and what it said."""

    def __init__(self, work, machines):
        self.work, self.said, self.progress, self.found = work, [], BenchProgress(), Counter()
        self.results = run_all(
            work, scheduler=machines.address, oversubscribe=True, progress=self.progress, log=self.said.append
        )

    def step(self, count=1):
        for _ in range(count):
            task, data = next(self.results)
            assert data["status"] == "feasible", data["message"]
            self.found[task.problem] += 1

    def finish(self):
        self.step(len(self.work) - self.found.total())
        assert next(self.results, None) is None
        assert self.found == Counter([task.problem for task in self.work])
        assert self.progress.done == self.progress.tasks == len(self.work)
        assert (self.progress.running, self.progress.failed, str(self.progress)) == (0, 0, "")
        for task in self.work:
            assert json.loads(Path(task.output).read_text("utf-8"))["task"]["time_limit"] == task.time_limit


def test_a_worker_that_dies_and_one_that_hangs_lose_no_task(tmp_path, machines):
    first, second, _ = [machines.start_worker() for _ in range(3)]
    run = Run(searches(tmp_path / "runs"), machines)
    run.step()
    first.kill()
    second.send_signal(signal.SIGSTOP)  # it looks alive, and answers nothing
    run.finish()
    second.send_signal(signal.SIGCONT)
    again = Run(run.work, machines)
    again.finish()


@pytest.mark.slow
def test_a_result_that_its_worker_takes_with_it_is_found_again(tmp_path, machines):
    workers = [machines.start_worker() for _ in range(2)]
    run = Run(searches(tmp_path / "runs", NAMES[:3]), machines)
    run.step()
    until(lambda: not any(psutil.Process(worker.pid).children() for worker in workers))
    time.sleep(1.0)  # the other one has said that it is done
    for worker in workers:
        worker.kill()
    machines.start_worker()
    run.finish()
    assert not [text for text in run.said if "gone away" in text]


def test_a_scheduler_that_is_restarted_loses_no_task(tmp_path, machines):
    worker = machines.start_worker()
    run = Run(searches(tmp_path / "runs", NAMES[:3]), machines)
    run.step()
    machines.scheduler.kill()
    machines.scheduler.wait(LONG)
    worker.wait(LONG)  # as Dask's workers do
    machines.start_scheduler()
    machines.start_worker()
    run.finish()
    assert [text for text in run.said if "gone away" in text]
    assert [text for text in run.said if "there again" in text]


@pytest.mark.slow
def test_a_scheduler_that_does_not_come_back_is_told_with_what_is_left(tmp_path, machines, monkeypatch):
    machines.start_worker()
    run = Run(searches(tmp_path / "runs", NAMES[:2]), machines)
    run.step()
    monkeypatch.setattr(bench_cluster, "_PATIENCE", 0.0)
    monkeypatch.setattr(bench_cluster, "_CONNECT", 1.0)
    machines.scheduler.kill()
    with pytest.raises(dp.InputError, match=r"^scheduler: .*; 1 task left: the same command goes on from there$"):
        run.finish()
    kept = [task for task in run.work if Path(task.output).exists()]
    assert len(kept) == 1


@pytest.mark.slow
def test_a_scheduler_that_hangs_is_waited_for(tmp_path, machines, monkeypatch):
    machines.start_worker()
    run = Run(searches(tmp_path / "runs", NAMES[:2]), machines)
    run.step()
    monkeypatch.setattr(bench_cluster, "_ANSWER", 1.0)
    monkeypatch.setattr(bench_cluster, "_CONNECT", 2.0)
    machines.scheduler.send_signal(signal.SIGSTOP)
    thread = threading.Thread(target=run.finish)
    thread.start()
    until(lambda: [text for text in run.said if "gone away" in text])
    machines.scheduler.send_signal(signal.SIGCONT)
    thread.join(LONG)
    assert run.progress.done == 2


@pytest.mark.slow
@pytest.mark.parametrize("machines", [SOON_GIVES_UP], indirect=True, ids=[""])
def test_a_task_that_kills_its_workers_fails_and_the_others_do_not(tmp_path, machines):
    plugin = tmp_path / "deadly.py"
    plugin.write_text(DEADLY, "utf-8")
    for _ in range(2):
        machines.start_worker(DEADLY="1")
    well, task = searches(tmp_path / "runs", NAMES[:2])
    deadly = replace(task, options=(*task.options, "--plugin", str(plugin)))
    found = dict(run_all([well, deadly], scheduler=machines.address, oversubscribe=True))
    assert found[well]["status"] == "feasible"
    assert found[deadly]["status"] == "error"
    assert found[deadly]["message"] == "no worker could run it: all that tried died"
    assert json.loads(Path(task.output).read_text("utf-8"))["message"] == found[deadly]["message"]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL]
)
def test_remote_processes_end_with_the_bench(tmp_path, calm, number):
    worker = psutil.Process(calm.worker.pid)
    words = ["bench", "hard/003", "-t", "1000", "-f", "product", "--oversubscribe", "-o", tmp_path / "runs"]
    command = [sys.executable, "-m", "dnnopt", *words, "--scheduler", calm.file]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started = until(lambda: worker.children(recursive=True))
    process.send_signal(number)
    _, errors = process.communicate(timeout=LONG)
    if number != signal.SIGKILL:
        assert (process.returncode, errors.splitlines()[-1:]) == (130, ["dnnopt: interrupted"])
    until(lambda: not any(child.is_running() for child in started))
    assert worker.is_running()
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert not list(calm.folder.glob("dnnopt-bench-*"))


def test_results_are_written_by_the_bench_and_files_of_problems_go_to_the_workers(tmp_path, calm):
    file = tmp_path / "mine.json"
    shutil.copy(str(library.folder("problems") / "small" / "001.json"), file)
    task = BenchTask(str(file), ("--method", "greedy", "--threads", "1"), 5.0, str(tmp_path / "runs" / "mine.json"))
    bad = BenchTask("small/002", ("--no-such-option",), 5.0, str(tmp_path / "runs" / "bad.json"))
    found = dict(run_all([task, bad], scheduler=f"tcp://{calm.address}", oversubscribe=True))
    assert (found[task]["status"], found[bad]["status"]) == ("feasible", "error")
    assert "No such option" in found[bad]["message"]
    assert found[task]["run"]["peak_memory"] > 1e7
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["bad.json", "mine.json"]


def refused(tmp_path, scheduler, *more):
    run = dnnopt("bench", "small/001", "-t", "5", "--scheduler", scheduler, "-o", tmp_path / "runs", *more)
    assert run.returncode == 2, run.output
    assert not list((tmp_path / "runs").rglob("*.json"))
    return run.stderr.splitlines()[-1]


def test_mistakes_about_schedulers_are_one_clear_message(tmp_path, calm, monkeypatch):
    monkeypatch.setattr(bench_cluster, "_CONNECT", 1.0)
    assert "expected HOST:PORT, a file that" in refused(tmp_path, "here")
    assert "--jobs: does not go with --scheduler" in refused(tmp_path, calm.address, "--jobs", "2")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        assert f"no Dask scheduler answers at 127.0.0.1:{port}" in refused(tmp_path, f"127.0.0.1:{port}")
        silent.listen()
        assert f"no Dask scheduler answers at 127.0.0.1:{port}" in refused(tmp_path, f"127.0.0.1:{port}")
    file = tmp_path / "scheduler.json"
    file.write_text("[]", "utf-8")
    assert f"{file} is no file that a Dask scheduler has written" in refused(tmp_path, file)


def test_workers_with_other_versions_are_refused(tmp_path, calm, monkeypatch):
    monkeypatch.setattr(bench_cluster, "__version__", "9.9")
    assert "has dnnopt 0.1.0, not 9.9 as here" in refused(tmp_path, calm.address)
    monkeypatch.setattr(bench_cluster, "_python", lambda: "3.99")
    monkeypatch.setattr(bench_cluster, "__version__", "0.1.0")
    assert "not 3.99 as here" in refused(tmp_path, calm.address)


@pytest.mark.slow
def test_workers_that_cannot_import_dnnopt_are_refused(tmp_path, machines):
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import sys\nsys.modules['dnnopt'] = None\n", "utf-8")
    machines.start_worker(PYTHONPATH=str(site))
    line = refused(tmp_path, machines.address)
    assert "cannot run dnnopt: " in line
    assert "ModuleNotFoundError" in line


def test_more_threads_than_a_worker_has_processors_are_refused(tmp_path, calm):
    line = refused(tmp_path, calm.address, "--threads", "500")
    assert "run 1 task at once, of 500 threads each, and may use" in line
    assert line.endswith("none fits; or oversubscribe")


@pytest.mark.slow
def test_a_bench_that_finds_no_workers_says_that_it_waits(tmp_path, machines):
    said, found = [], []

    def run():
        work = searches(tmp_path / "runs", NAMES[:1])
        found.extend(run_all(work, scheduler=machines.address, oversubscribe=True, log=said.append))

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: said)
    machines.start_worker()
    thread.join(LONG)
    assert [text.partition(" ")[2].partition(" ")[2] for text in said] == [
        f"at {machines.address} has no workers yet: waiting for them",
        f"at {machines.address} has workers",
    ]
    assert len(found) == 1


# The page


COMMANDS = re.findall(r"^dnnopt bench (.*?)(?: +#.*)?$", page("clusters.md"), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda text: "local" if "local" in text else "")
def test_commands_of_the_page_run(tmp_path, calm, command):
    given = {"hard": "small/001", "core": "small/001", "60": "1", "120": "1", "HOST:8786": calm.address}
    words = [given.get(word, word) for word in shlex.split(command)]
    run = dnnopt("bench", *words, "--oversubscribe", cwd=tmp_path)
    assert run.returncode == 0, run.output
    assert len(list((tmp_path / "runs").rglob("*.json"))) == (4 if "--seed" in words else 1)


def test_programs_of_dask_that_end_at_once_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__DEFAULT_SCHEME", "none")  # of addresses: there are no such
    words = ("bench", "small/001", "-t", "5", "-o", tmp_path, "--scheduler", "local")
    run = dnnopt(*words)
    assert run.returncode == 2, run.output
    assert re.search("scheduler: (a program of Dask ended|Dask's scheduler does not start): 1", run.stderr)


def test_options_of_dask_on_the_page_are_those_of_its_programs():
    from distributed.cli import dask_scheduler, dask_worker

    for name, program in (("scheduler", dask_scheduler.main), ("worker", dask_worker.main)):
        known = {option for parameter in program.params for option in parameter.opts}
        lines = re.findall(rf"dask {name} ([^\n`#]*)", page("clusters.md"))
        assert lines
        assert {word for line in lines for word in line.split() if word.startswith("--")} <= known


# What dask-jobqueue has for the script: the jobs are the workers that are there.
JOBS = """
class SLURMCluster:
    def __init__(self, **options):
        print(options)
        self.scheduler_address = {address!r}
    def __enter__(self):
        return self
    def __exit__(self, *error):
        pass
    def adapt(self, minimum_jobs, maximum_jobs):
        print(minimum_jobs, maximum_jobs, flush=True)
"""


def test_the_script_for_slurm_asks_for_jobs_and_runs_the_bench_on_them(tmp_path, calm):
    (tmp_path / "dask_jobqueue").mkdir()
    (tmp_path / "dask_jobqueue" / "__init__.py").touch()
    (tmp_path / "dask_jobqueue" / "slurm.py").write_text(JOBS.format(address=f"tcp://{calm.address}"), "utf-8")
    words = ["--jobs", "3", "--memory", "2 GiB", "--partition", "short", "small/001", "--method", "greedy", "-t", "5"]
    command = [sys.executable, DOCS / "slurm_bench.py", *words, "-o", tmp_path / "runs", "--oversubscribe"]
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=env, timeout=LONG)
    assert run.returncode == 0, run.stderr
    options, jobs, line = run.stdout.splitlines()[:3]
    assert "'memory': '3.00 GiB'" in options
    assert "'queue': 'short'" in options
    assert (jobs, line[:16]) == ("3 3", "[1/1] small/001:")
    assert (tmp_path / "runs" / "greedy" / "small" / "001.json").exists()
