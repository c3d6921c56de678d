"""The times of solutions and of starts, where a formulation has such. Shared by MILP and CP."""

from __future__ import annotations

from collections.abc import Callable

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scheduling import Tasks, Times, list_times, scheduler_of
from dnnopt.models.arrays import Values

# Starts of a placement's tasks in a solution, in any unit; None: the solution has no order of tasks.
TaskStarts = Callable[[Values, Tasks], list[float]] | None


def times_in(c: CompiledProblem, placement: Index, values: Values, task_starts: TaskStarts) -> Times | None:
    """Return the times of a placement, in seconds, in a solution's order; None: it has no schedule, or no order."""
    if c.execution != "scheduled" or task_starts is None:
        return None
    tasks = scheduler_of(c).tasks(placement)
    return tasks.in_order_of(task_starts(values, tasks))


def times_for(c: CompiledProblem, placement: Index, times: Times | None) -> Times | None:
    """Return the times to start from, under executions where a formulation may have start times."""
    if c.execution not in ("parallel", "scheduled"):
        return None
    return list_times(c, placement) if times is None else times
