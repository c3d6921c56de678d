"""The command line: in this process, and as a process of its own."""

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from typer import testing

from dnnopt.cli import app

# The runner makes all commands anew for each run, which takes longer than many of them.
testing._get_command = cache(testing._get_command)

LONG = 120  # seconds until something that must happen is taken for what never does, on a machine however busy


@dataclass(frozen=True)
class Run:
    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self):
        return self.stdout + self.stderr


def dnnopt(*words, cwd="."):
    """Run a command in this process, which takes a tenth of the time to start."""
    with contextlib.chdir(cwd):
        run = testing.CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    return Run(run.exit_code, run.stdout, run.stderr)


def dnnopt_process(*words, cwd=None):
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "dnnopt", *map(str, words)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, stdin=subprocess.DEVNULL)
    return Run(run.returncode, run.stdout, run.stderr)


def until(happens):
    """Wait until a function returns something that is true, and return it."""
    end = time.monotonic() + LONG
    while not (found := happens()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)
    return found


def wait_until_it_searches(process, seconds=2.5):
    """Wait until a process that was started has computed for so long, which is beyond its start."""
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():
        time.sleep(2 * seconds)
        return
    end = time.monotonic() + 60
    while int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[11]) < seconds * os.sysconf("SC_CLK_TCK"):
        assert time.monotonic() < end, "it computes nothing"
        time.sleep(0.05)


def check_refused(run, *parts):
    """One clear message on the error stream that has all the parts, exit code 2, no traceback."""
    assert run.returncode == 2, run.output
    assert "Traceback" not in run.stderr
    for part in parts:
        assert part in run.stderr
    return run.stderr
