"""The command line within limits: how a bench runs it."""

from __future__ import annotations

import math
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from dnnopt.base.machine import PEAK_FILE, peak_memory
from dnnopt.cli import main


def limited() -> None:
    """Run the command line, without its first word: the bytes of memory that this process may take.

    How many it has taken goes to a file in the folder for temporary files, which the bench has made for this process.
    """
    limit_memory(float(sys.argv.pop(1)))
    try:
        main()
    finally:
        with suppress(OSError):
            Path(tempfile.gettempdir(), PEAK_FILE).write_text(f"{peak_memory() or ''}", encoding="ascii")


def limit_memory(most: float) -> None:
    """Have requests of this process and its children for more than so many bytes refused, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    if math.isfinite(most):
        kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
        hard = resource.getrlimit(kind)[1]
        allowed = int(most) if hard == resource.RLIM_INFINITY else min(int(most), hard)
        resource.setrlimit(kind, (allowed, hard))
