"""What a plot of a plan is of."""

from __future__ import annotations

from dnnopt.base.errors import InputError
from dnnopt.base.numbers import format_quantity
from dnnopt.methods.result import Result
from dnnopt.plot.fitting import short_title
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.problem.words import objective_name
from dnnopt.referee import Evaluation, evaluate


def planned(subject: Result | Problem, plan: Plan | None) -> tuple[Problem, Plan, Evaluation]:
    """Return problem, plan and what the referee says of it, from a result, or from a problem and a plan.

    Raises
    ------
    InputError
        For a result without a plan, and a problem without one.
    """
    if isinstance(subject, Problem):
        if plan is None:
            raise InputError("a plan, as the first argument is a problem", field="plan", value=None)
        return subject, plan, evaluate(subject, plan)
    if plan is not None:
        return subject.problem, plan, evaluate(subject.problem, plan)
    if subject.plan is None or subject.evaluation is None:
        raise InputError("a result with a plan", field="result.status", value=subject.status)
    return subject.problem, subject.plan, subject.evaluation


def headline(problem: Problem, evaluation: Evaluation) -> str:
    """Return the name of a problem with a plan's objective: ``core/017: latency 39.04 ms``."""
    name, unit = objective_name(problem)
    return f"{short_title(problem.title)}: {name} {format_quantity(evaluation.objective, unit)}"


def shown_times(problem: Problem) -> str:
    """Return of which times a picture is that shows when things happen, where the objective is of others."""
    if problem.scenarios:
        return "; times without scenarios"
    return "; expected times" if any(network.has_exits for network in problem.networks) else ""
