"""What is said of a run in a table: its columns, each with a type and a meaning, which stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from dnnopt.problem import library
from dnnopt.problem.problem import load
from dnnopt.problem.words import objective_name

TEXT, WHOLE, NUMBER, TIME = "VARCHAR", "BIGINT", "DOUBLE", "TIMESTAMPTZ"


class RunColumn(NamedTuple):
    """A column: its type in SQL, and what it holds."""

    kind: str
    meaning: str


RUN_COLUMNS = {
    "method": RunColumn(TEXT, "what the way is called: the folder of its results"),
    "problem": RunColumn(TEXT, "name in the library"),
    "checksum": RunColumn(TEXT, "of the problem's data"),
    "execution": RunColumn(TEXT, "of the problem, such as `sequential`"),
    "networks": RunColumn(WHOLE, "how many the problem has"),
    "layers": RunColumn(WHOLE, "of all its networks"),
    "devices": RunColumn(WHOLE, "of its platform"),
    "quantity": RunColumn(TEXT, "what its objective is, such as `latency`"),
    "unit": RunColumn(TEXT, "of the objective, such as `s`"),
    "algorithm": RunColumn(TEXT, "that was asked for, such as `auto` or `heft`"),
    "formulation": RunColumn(TEXT, "that was asked for, or that the method chose"),
    "solver": RunColumn(TEXT, "likewise"),
    "seed": RunColumn(WHOLE, "of everything random"),
    "time_limit": RunColumn(NUMBER, "seconds that it was given"),
    "threads": RunColumn(WHOLE, "that it was given"),
    "status": RunColumn(TEXT, "`optimal` (proved), `feasible`, `infeasible`, `no_solution`, `error`, ..."),
    "objective": RunColumn(NUMBER, "of the plan, SI, first priority; nothing: there is no plan"),
    "bound": RunColumn(NUMBER, "what no plan is better than"),
    "gap": RunColumn(NUMBER, "`(objective - bound) / |objective|`"),
    "runtime": RunColumn(NUMBER, "seconds"),
    "found_by": RunColumn(TEXT, "where the plan came from"),
    "bound_by": RunColumn(TEXT, "where the bound came from"),
    "confirmed_by": RunColumn(TEXT, "the second engine that confirmed a proof"),
    "message": RunColumn(TEXT, "why it failed, and the like"),
    "started": RunColumn(TIME, "when, UTC; nothing: the file has no more than a date"),
    "date": RunColumn(TEXT, "`YYYY-MM-DD`, UTC"),
    "processor": RunColumn(TEXT, "of the machine"),
    "cores": RunColumn(WHOLE, "that it could use"),
    "memory": RunColumn(WHOLE, "bytes of the machine, or its container"),
    "peak_memory": RunColumn(WHOLE, "bytes that its process took at most"),
    "dnnopt": RunColumn(TEXT, "version"),
    "python": RunColumn(TEXT, "version"),
    "highspy": RunColumn(TEXT, "version"),
    "ortools": RunColumn(TEXT, "version"),
    "file": RunColumn(TEXT, "its result file, within the folder; no two runs have the same"),
}
_MOST = 2**63  # of whole numbers in such files
_VERSIONS = ("dnnopt", "python", "highspy", "ortools")


def run_row(method: str, place: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a run, all of them; None where its result file does not say.

    Parameters
    ----------
    method : str
        What the way is called.
    place : str
        Of the result file, within its folder.
    data : mapping
        Of the result file, with what `read_result` adds.
    """
    task, run = part_of(data, "task"), part_of(data, "run")
    machine = part_of(run, "machine")
    found = {
        **{key: data.get(key) for key in ("problem", "checksum", "status", "objective", "bound", "gap", "runtime")},
        **{key: data.get(key) or None for key in ("formulation", "solver", "found_by", "bound_by", "confirmed_by")},
        **{key: data.get(key) or None for key in ("message", "date")},
        **_about(data["problem"], data.get("checksum"), data.get("placement")),
        **{key: data["versions"].get(key) for key in _VERSIONS},
        **{key: machine.get(key) for key in ("processor", "cores", "memory")},
        "algorithm": data.get("method") or task.get("method") or task.get("formulation"),
        "seed": data.get("seed", task.get("seed")),
        "time_limit": task.get("time_limit"),
        "threads": task.get("threads"),
        "started": run.get("started"),
        "peak_memory": run.get("peak_memory"),
        "method": method,
        "file": place,
    }
    return {name: _typed(found[name], column.kind) for name, column in RUN_COLUMNS.items()}


def part_of(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object in an object; an empty one where there is none."""
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def _typed(value: Any, kind: str) -> Any:
    """Return a value as its column has it; None where it is no such value."""
    if value is None or isinstance(value, bool):
        return None
    if kind in (TEXT, TIME):
        return value if isinstance(value, str) else None
    try:
        number = int(value) if kind == WHOLE else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < _MOST else None


def _about(name: str, checksum: str | None, placement: Any) -> dict[str, Any]:
    """Return what is known of a run's problem: of the library's if it is that one, else what its plan shows."""
    found = _of_library(name)
    if found is not None and checksum in (None, found["checksum"]):
        return {key: value for key, value in found.items() if key != "checksum"}
    nothing: dict[str, Any] = dict.fromkeys(("execution", "networks", "layers", "devices", "quantity", "unit"))
    if isinstance(placement, dict) and all(isinstance(layers, dict) for layers in placement.values()):
        nothing |= {"networks": len(placement), "layers": sum(map(len, placement.values()))}
    return nothing


@cache
def _of_library(name: str) -> dict[str, Any] | None:
    if name not in library.names("problems"):
        return None
    problem = load(name)
    quantity, unit = objective_name(problem)
    return {
        "checksum": problem.checksum if problem.is_data else None,
        "execution": problem.execution,
        "networks": len(problem.networks),
        "layers": sum(len(network.layers) for network in problem.networks),
        "devices": len(problem.platform.devices),
        "quantity": quantity,
        "unit": unit,
    }
