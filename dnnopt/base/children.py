"""Processes that this one starts: none of them outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_TIMES, _PAUSE = 10, 0.5  # how often a process is asked to end, and how many seconds it is waited for
_GUARDIAN = Path(__file__).with_name("guardian.py")


class Child(subprocess.Popen[Any]):
    """A process in a session of its own, that no Ctrl-C reaches but through this one, and that ends when this one does.

    That holds whatever ends this one, as a guardian stands between the two (see `dnnopt.base.guardian`), but for
    systems that have no processes of this kind (Windows). As a context manager, it waits for the end.

    Parameters
    ----------
    words : sequence of str
        Program and arguments.
    leftovers : sequence of path
        Files and folders to remove where this process has no time to.
    **options
        Of `subprocess.Popen`.
    """

    def __init__(self, words: Sequence[str], *, leftovers: Sequence[str | Path] = (), **options: Any) -> None:
        self._lifeline: int | None = None
        if not hasattr(os, "fork") or not sys.executable:
            super().__init__(words, **options)
            return
        reader, self._lifeline = os.pipe()
        try:
            guardian = [sys.executable, "-I", "-S", str(_GUARDIAN), str(reader), *map(str, leftovers), "--"]
            super().__init__([*guardian, *words], pass_fds=(reader,), start_new_session=True, **options)
        except BaseException:
            self._let_go()
            raise
        finally:
            os.close(reader)

    def send_signal(self, sig: int) -> None:
        """Send a signal to the process; SIGKILL goes to all that it has started, too."""
        if self._lifeline is None:
            super().send_signal(sig)
        elif self.poll() is None:
            with suppress(OSError):  # it has just ended
                if sig == signal.SIGKILL:
                    os.killpg(self.pid, sig)
                else:
                    os.write(self._lifeline, bytes([sig]))

    def end(self) -> None:
        """Ask the process to end, so that it clears away what it has made; kill it where that does not help."""
        for _ in range(_TIMES):
            if self.poll() is not None:
                return
            self.terminate()
            try:
                self.wait(_PAUSE)
            except subprocess.TimeoutExpired:
                continue
        self.kill()

    def __exit__(self, *error: Any) -> None:
        try:
            super().__exit__(*error)
            if self._lifeline is not None and self.returncode and self.returncode < 0:
                with suppress(OSError):  # where the guardian alone was killed, the rest of its group is still there
                    os.killpg(self.pid, signal.SIGKILL)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
