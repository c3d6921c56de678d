"""What a report says of how its runs were made: when, on what machine, by which versions, with how much memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dnnopt.base.numbers import format_quantity
from dnnopt.studies.run_columns import run_row
from dnnopt.studies.run_folders import BenchRun

_VERSIONS = ("dnnopt", "python", "highspy", "ortools")


def what_ran(runs: Iterable[BenchRun]) -> list[dict[str, Any]]:
    """Return a row for each method, and for each machine, limit and set of versions that it ran with.

    Its keys: ``method``, ``runs``, ``first`` and ``last`` (when they started, or the days where the files say no more),
    ``limit`` (seconds), ``threads``, ``machine``, ``versions`` and ``memory`` (the most bytes that a run took); None or
    empty where the files do not say.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for run in runs:
        row = run_row(run.method, "", run.data)
        key = (run.method, _machine(row), row["time_limit"], row["threads"], _versions(run.data))
        groups.setdefault(key, []).append(row)
    found = []
    for (method, machine, limit, threads, versions), rows in groups.items():
        times = sorted(filter(None, (row["started"] or row["date"] for row in rows)))
        about = {"machine": machine, "limit": limit, "threads": threads, "versions": versions}
        about |= {"first": times[0] if times else "", "last": times[-1] if times else ""}
        most = max((row["peak_memory"] for row in rows if row["peak_memory"] is not None), default=None)
        found.append({"method": method, "runs": len(rows), **about, "memory": most})
    return found


def _machine(row: Mapping[str, Any]) -> str:
    """Return processor, cores and memory in words."""
    cores = "" if row["cores"] is None else f"{row['cores']} core{'' if row['cores'] == 1 else 's'}"
    memory = "" if row["memory"] is None else format_quantity(row["memory"], "bytes", 3)
    return ", ".join(filter(None, (row["processor"], cores, memory)))


def _versions(data: Mapping[str, Any]) -> str:
    listed = data["versions"]
    return ", ".join(f"{name} {listed[name]}" for name in _VERSIONS if name in listed)
