"""Runs a program that does not outlive the process that wants it, whatever ends that one, be it ``kill -9``.

``python guardian.py LIFELINE LEFTOVER... -- PROGRAM ARGUMENT...``, where LIFELINE is the reading end of a pipe that the
other process holds. What comes through it are signals for the program. When it ends, so does the program: it is asked
to, killed some seconds later, and what it leaves behind is removed. This file is run on its own, and starts quickly.
"""

from __future__ import annotations

import os
import select
import signal
import sys

GRACE = 3.0  # seconds for a program to end by itself
_THROUGH_THE_PIPE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def guard(lifeline: int, leftovers: list[str], program: list[str]) -> None:
    """Run a program to its end, or to that of the lifeline; this process ends as it does."""
    os.set_inheritable(lifeline, False)
    ended, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for name in _THROUGH_THE_PIPE:
        signal.signal(name, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        _become(program)
    while True:
        ready, _, _ = select.select([lifeline, ended], [], [])
        if ended in ready:
            os.read(ended, 100)
            which, status = os.waitpid(child, os.WNOHANG)
            if which:
                _end_like(status)
        if lifeline in ready:
            signals = os.read(lifeline, 100)
            if not signals:
                _end(child, ended, leftovers)
            for number in signals:
                os.kill(child, number)


def _become(program: list[str]) -> None:
    """Run the program in place of this process, with the signals that programs expect."""
    for number in (*_THROUGH_THE_PIPE, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(program[0], program)
    except OSError as error:
        print(f"{program[0]}: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(127)


def _end_like(status: int) -> None:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


def _end(child: int, ended: int, leftovers: list[str]) -> None:
    """End the program and what it has started, and remove what it leaves."""
    os.kill(child, signal.SIGTERM)
    select.select([ended], [], [], GRACE)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if leftovers:
        import shutil

        for path in leftovers:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            elif os.path.lexists(path):
                os.unlink(path)
    os.killpg(0, signal.SIGKILL)  # this process leads the group of all that the program has started


if __name__ == "__main__":
    split = sys.argv.index("--")
    guard(int(sys.argv[1]), sys.argv[2:split], sys.argv[split + 1 :])
