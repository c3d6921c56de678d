"""Signals and processes, with real ones: what is asked to end says what it has found, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import LONG, until, wait_until_it_searches

from dnnopt.base.children import Child
from dnnopt.base.interrupts import leave, stop_on_interrupt
from dnnopt.models.solvers.interface import Control

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to find processes in")
HARD = ["densenet121", "--platform", "pi4-lan-nano-nx-wan-t4", "-m", "pi=8MiB", "-m", "nano=8MiB", "-m", "nx=16MiB"]
HARD += ["-m", "t4=16MiB", "--formulation", "product", "--threads", "1"]


def parents():
    """Return the parent and the name of each process that runs."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        name, fields = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
        if fields[0] != "Z":
            found[int(entry.name)] = (int(fields[1]), name)
    return found


def below(process):
    """Return the processes below one, with their names."""
    known, found, last = parents(), {}, {process}
    while last:
        last = {number for number, (parent, _) in known.items() if parent in last}
        found |= {number: known[number][1] for number in last}
    return found


def gone(numbers):
    return not set(numbers) & set(parents())


@pytest.fixture
def start(tmp_path):
    """Start the command line with temporary files in a folder of its own."""
    (tmp_path / "tmp").mkdir()
    started = []

    def begin(*words):
        process = subprocess.Popen(
            [sys.executable, "-m", "dnnopt", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def running_cbc(process):
    found = until(lambda: (all_below := below(process.pid)) and "cbc" in all_below.values() and all_below)
    time.sleep(0.5)  # it reads its file
    return found


# Children


PARENT = """
import sys
from dnnopt.base.children import Child
program = "import os, signal, subprocess, sys\\n" + sys.argv[1] + "\\nprint(os.getpid(), flush=True)\\nsignal.pause()"
with Child([sys.executable, "-c", program], leftovers=sys.argv[2:]) as child:
    child.wait()
"""
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
WITH_CHILD = "print(subprocess.Popen(['sleep', '1000']).pid, flush=True)"


@pytest.mark.parametrize("program", ["", STUBBORN, WITH_CHILD])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_child_outlives_its_parent_and_what_it_leaves_is_removed(tmp_path, program, number):
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    (folder / "inside").write_text("")
    file.write_text("")
    words = [sys.executable, "-c", PARENT, program, str(folder), str(file), str(tmp_path / "none")]
    parent = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    numbers = [int(parent.stdout.readline()) for _ in range(2 if program == WITH_CHILD else 1)]
    guarded = set(below(parent.pid))
    assert set(numbers) < guarded
    parent.send_signal(number)
    parent.wait(LONG)
    until(lambda: gone(guarded))
    until(lambda: not folder.exists() and not file.exists())


def test_a_child_gets_signals_and_its_exit_code_or_signal_is_told():
    catches = (
        "import signal, sys; signal.signal(signal.SIGINT, lambda *_: sys.exit(7)); print(1, flush=True); signal.pause()"
    )
    with Child([sys.executable, "-c", catches], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait(LONG) == 7
    for number in (signal.SIGTERM, signal.SIGKILL):
        with Child(["sleep", "1000"]) as child:
            until(lambda child=child: "sleep" in below(child.pid).values())
            child.send_signal(number)
            assert child.wait(LONG) == -number
            child.kill()  # does nothing any more
    with Child([sys.executable, "-c", "import os; os.abort()"]) as child:
        assert child.wait(LONG) == -signal.SIGABRT


def test_a_program_that_is_not_there_ends_with_127_and_one_line():
    with Child(["/none/such"], stderr=subprocess.PIPE, text=True) as child:
        assert child.communicate(timeout=LONG)[1] == "/none/such: No such file or directory\n"
    assert child.returncode == 127


def test_where_the_guardian_alone_is_killed_its_program_is_too():
    with Child(["sleep", "1000"]) as child:
        numbers = until(lambda: "sleep" in below(child.pid).values() and below(child.pid))
        os.kill(child.pid, signal.SIGKILL)
        child.wait(LONG)
    until(lambda: gone(numbers))


# Interrupts


@pytest.fixture
def as_command_line():
    """Handle signals as the command line does."""
    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_stops_all_searches_a_second_one_leaves(as_command_line, number):
    outer, inner, later = Control(), Control(), Control()
    with stop_on_interrupt(outer):
        with stop_on_interrupt(inner):
            os.kill(os.getpid(), number)
            assert outer.stop.is_set()
            assert inner.stop.is_set()
        with stop_on_interrupt(later):
            assert later.stop.is_set()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
    with stop_on_interrupt(control := Control()):
        assert not control.stop.is_set()


def test_sigterm_stays_as_it_is_in_programs_that_do_not_ask_for_more():
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with stop_on_interrupt(Control()):
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) != signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_signals_that_are_ignored_stay_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_interrupt(control := Control()):
            os.kill(os.getpid(), signal.SIGINT)
        assert not control.stop.is_set()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


# Commands


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_solve_ends_with_its_best_plan_and_bound_and_leaves_nothing(start, tmp_path, number):
    out = tmp_path / "out.json"
    process = start("solve", *HARD, "--solver", "cbc", "--json", out)
    numbers = running_cbc(process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=LONG)
    result = json.loads(out.read_text(encoding="utf-8"))
    assert "Traceback" not in errors
    assert result["status"] in ("interrupted", "optimal")
    assert process.returncode == (130 if result["placement"] is None else 0), errors
    assert ("interrupted" if result["status"] == "interrupted" else "optimal") in output
    assert gone(numbers)
    assert not list((tmp_path / "tmp").iterdir())


def test_nothing_of_solve_is_left_after_kill_9(start, tmp_path):
    process = start("solve", *HARD, "--solver", "cbc")
    numbers = running_cbc(process)
    process.kill()
    until(lambda: gone(numbers))
    until(lambda: not list((tmp_path / "tmp").iterdir()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_processes_of_bench_end_with_it_and_leave_no_unfinished_results(start, tmp_path, number):
    words = ["bench", "hard/001", "hard/002", "--formulation", "product", "--solver", "cbc", "-t", "1000"]
    process = start(*words, "--jobs", "2", "--oversubscribe", "-o", tmp_path / "runs")
    numbers = running_cbc(process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=LONG)
    assert "Traceback" not in errors
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert errors == "dnnopt: interrupted\n"
    until(lambda: gone(numbers))
    until(lambda: not list((tmp_path / "tmp").iterdir()))
    until(lambda: not [file for file in (tmp_path / "runs").rglob("*") if file.is_file()])


@pytest.mark.parametrize(
    "words",
    [
        ["compare", *HARD[:-4], "--method", "local-search", "--heuristic-limit", "1000", "-t", "1000"],
        pytest.param(["pareto", *HARD[:-4], "-b", "latency", "-b", "energy"], marks=pytest.mark.slow),
        ["sweep", *HARD[:-4], "--vary", "bandwidth=0.1..10"],
        pytest.param(["formulations", *HARD[:-4], "-f", "product", "-t", "1000"], marks=pytest.mark.slow),
        pytest.param(["solve", *HARD[:-4], "--best", "3"], marks=pytest.mark.slow),
    ],
)
def test_other_commands_write_what_they_have_when_they_are_asked_to_end(start, tmp_path, words):
    out = tmp_path / "out.json"
    process = start(*words, "--json", out, "--threads", "1")
    wait_until_it_searches(process)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=LONG)
    assert "Traceback" not in errors
    assert process.returncode in (0, 1, 130), errors
    assert json.loads(out.read_text(encoding="utf-8"))
    assert output


def test_commands_that_search_nothing_end_at_once(start, tmp_path):
    process = start("best", "verify", "-v")
    assert process.stdout.readline()  # it has begun
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert errors == "dnnopt: interrupted\n"


def test_a_second_signal_leaves_at_once_and_leaves_nothing_behind(start, tmp_path):
    process = start("solve", *HARD, "--solver", "cbc")
    numbers = running_cbc(process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=LONG)
    assert "Traceback" not in errors
    assert process.returncode in (0, 130, -signal.SIGTERM)
    until(lambda: gone(numbers))
    until(lambda: not list((tmp_path / "tmp").iterdir()))
