"""Every placement of a small problem, judged by the referee alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from strategies import placement_plan

from dnnopt.plan import Plan
from dnnopt.problem import Problem
from dnnopt.referee import Evaluation, evaluate

SAME = 1e-9  # relative; objectives that differ by less are equal


@dataclass(frozen=True)
class Best:
    """The optimum of a problem.

    Attributes
    ----------
    objective : float or None
        None: no placement is feasible.
    plans : tuple of Plan
        All that reach it.
    """

    objective: float | None
    plans: tuple[Plan, ...]


def judged_plans(problem: Problem) -> Iterator[tuple[Plan, Evaluation]]:
    """Yield every plan, with what the referee says of it."""
    layers = sum(len(network.layers) for network in problem.networks)
    for devices in product(problem.platform.device_names(), repeat=layers):
        plan = placement_plan(problem, devices)
        yield plan, evaluate(problem, plan)


def brute_force(problem: Problem) -> Best:
    """Return the best objective and all best plans."""
    feasible = [(judged.objective, plan) for plan, judged in judged_plans(problem) if judged.feasible]
    if not feasible:
        return Best(None, ())
    least = min(objective for objective, _ in feasible)
    return Best(least, tuple(plan for objective, plan in feasible if objective - least <= SAME * abs(least)))
