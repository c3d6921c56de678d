"""The command line as a process of its own."""

import subprocess
import sys


def dnnopt(*words, cwd=None):
    command = [sys.executable, "-m", "dnnopt", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, stdin=subprocess.DEVNULL)


def check_refused(run, *parts):
    """One clear message on the error stream that has all the parts, exit code 2, no traceback."""
    assert run.returncode == 2, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    for part in parts:
        assert part in run.stderr
    return run.stderr
