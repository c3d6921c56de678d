"""What this process may use of the machine or container that it runs on."""

from __future__ import annotations

import math
import os
import platform
import sys
from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.base.numbers import counted

# Where the limits of a container, or of a job of a batch system, are: of both versions of cgroups.
_GROUPS, _OWN_GROUPS = "/sys/fs/cgroup", "/proc/self/cgroup"
_MEMORY_LIMITS = ("memory.max", "memory.limit_in_bytes")
_PROCESSOR_LIMITS = (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us"))

PEAK_FILE = "peak-memory"  # where a process of a bench says how much it has taken


def usable_memory() -> int | None:
    """Return the bytes of memory of the machine or its container; None: not known."""
    known = []
    with suppress(AttributeError, ValueError, OSError):
        known.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for group in _own_groups():
        for name in _MEMORY_LIMITS:
            with suppress(OSError, ValueError):  # there is none, or it says "max"
                known.append(int((group / name).read_text(encoding="ascii")))
    return min(known, default=None)


def _own_groups() -> list[Path]:
    """Return the folders of all cgroups that this process is in."""
    roots = [Path(_GROUPS), Path(_GROUPS, "memory"), Path(_GROUPS, "cpu")]  # as a container sees its own
    found = dict.fromkeys(roots)
    with suppress(OSError):
        for line in Path(_OWN_GROUPS).read_text(encoding="utf-8", errors="replace").splitlines():
            _, controllers, path = line.split(":", 2)
            parts = Path(path.lstrip("/")).parts
            root = Path(_GROUPS, controllers)
            found |= dict.fromkeys(root.joinpath(*parts[:length]) for length in range(len(parts) + 1))
    return list(found)


def core_numbers() -> list[int]:
    """Return the numbers of the processors that this process may run on; none where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def usable_cores() -> int:
    """Return how many processors this process may run on, at least 1: of the machine, its share and its container."""
    cores = len(core_numbers()) or os.cpu_count() or 1
    for group, names in product(_own_groups(), _PROCESSOR_LIMITS):
        with suppress(OSError, ValueError):  # there is none, or it says "max"
            quota, period = map(int, " ".join((group / name).read_text(encoding="ascii") for name in names).split())
            if quota > 0 and period > 0:
                cores = min(cores, math.ceil(quota / period))
    return max(cores, 1)


def check_cores(jobs: int, threads: int, *, oversubscribe: bool = False) -> None:
    """Refuse more threads in all than there are processors: they would spoil each other's times.

    Parameters
    ----------
    jobs, threads : int
        Processes at a time, and threads of each.
    oversubscribe : bool
        Whether that is wanted.

    Raises
    ------
    InputError
        That says what would fit.
    """
    cores = usable_cores()
    if oversubscribe or jobs * threads <= cores:
        return
    there = f"as {cores:,} of the machine's processors may be used; or oversubscribe"
    if threads > cores:
        raise InputError(f"at most {cores:,}, {there}", field="threads", value=threads)
    each = counted(threads, "thread")
    raise InputError(f"at most {cores // threads:,} with {each} each, {there}", field="jobs", value=jobs)


def machine() -> dict[str, Any]:
    """Return what times depend on, for records of runs: processor, cores, bytes of memory."""
    return {"processor": _processor(), "cores": usable_cores(), "memory": usable_memory()}


@cache
def _processor() -> str:
    """Return what the processor is called, as far as the system says."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def peak_memory() -> int | None:
    """Return the most bytes that this process, or one that it has waited for, has held at once; None: not known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak if sys.platform == "darwin" else 1024 * peak
