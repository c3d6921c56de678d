"""Plans from the values of a solution, and the times of plans that are encoded. Shared by MILP and CP."""

from __future__ import annotations

from collections.abc import Callable

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scheduling import Tasks, Times, scheduler_of, times_of
from dnnopt.models.arrays import Values
from dnnopt.problem.plan import Plan

# Starts of a placement's tasks in a solution, in any unit; None: the solution has no order of tasks.
TaskStarts = Callable[[Values, Tasks], list[float]] | None


def read_plan(c: CompiledProblem, placement: Index, values: Values, task_starts: TaskStarts) -> Plan:
    """Return the plan of a placement; a schedule is timed anew, in seconds, from the solution's order."""
    if c.execution != "scheduled":
        return c.plan(placement)
    tasks = scheduler_of(c).tasks(placement)
    if task_starts is None:
        return tasks.plan(tasks.list_schedule())
    return tasks.plan(tasks.retime(tasks.order_of(task_starts(values, tasks))))


def times_in(c: CompiledProblem, plan: Plan) -> Times | None:
    """Return the times of a plan, under executions where a formulation may have start times."""
    return times_of(c, plan) if c.execution in ("parallel", "scheduled") else None
