"""Every placement of a small problem, judged by the referee alone, and what a solver must say of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from limits import placement_plan

from dnnopt.problem.blocks import NamedBlock
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.referee import Evaluation, evaluate, objectives_if_feasible

SAME = 1e-9  # relative; objectives that differ by less are equal
OPTIMAL = 1e-6  # relative gap at which a plan counts as optimal
ROUNDING = 1e-7  # of bounds: reduced costs below a solver's tolerance are none to it


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


def plans(problem: Problem) -> Iterator[Plan]:
    """Yield every plan: all executors, all forms of tensors, all cuts into blocks."""
    layers = sum(len(network.layers) for network in problem.networks)
    executors = [executor.name for executor in problem.platform.executors()]
    formed = [(n.name, tensor) for n in problem.networks for tensor in n.tensors if tensor.forms]
    options = [(None, *(form.name for form in tensor.forms)) for _, tensor in formed]
    for devices in product(executors, repeat=layers):
        plan = placement_plan(problem, devices)
        for chosen in product(*options):
            forms: dict[str, dict[str, str]] = {}
            for (network, tensor), form in zip(formed, chosen, strict=True):
                if form is not None:
                    forms.setdefault(network, {})[tensor.name] = form
            found = plan.replace(forms=forms) if forms else plan
            for blocks in cuts(problem, plan):
                yield found.replace(blocks=blocks) if blocks else found


def cuts(problem: Problem, plan: Plan) -> Iterator[dict[str, list[str]]]:
    """Yield every choice of blocks without layers in common, each on one executor."""

    def chosen(blocks: tuple[NamedBlock, ...]) -> Iterator[tuple[NamedBlock, ...]]:
        yield ()
        for place, block in enumerate(blocks):
            layers = {layer.name for layer in block.layers}
            if len({plan.placement[block.network][name] for name in layers}) == 1:
                apart = tuple(
                    one
                    for one in blocks[place + 1 :]
                    if one.network != block.network or layers.isdisjoint(layer.name for layer in one.layers)
                )
                yield from ((block, *others) for others in chosen(apart))

    for some in chosen(problem.blocks):
        stated: dict[str, list[str]] = {}
        for block in some:
            stated.setdefault(block.network, []).append(block.name)
        yield stated


def judged_plans(problem: Problem) -> Iterator[tuple[Plan, Evaluation]]:
    """Yield every plan, with all that the referee says of it."""
    for plan in plans(problem):
        yield plan, evaluate(problem, plan)


def feasible_plans(problem: Problem) -> Iterator[tuple[tuple[float, ...], Plan]]:
    """Yield the objectives of every plan that the referee accepts, and the plan."""
    for plan in plans(problem):
        found = objectives_if_feasible(problem, plan)
        if found is not None:
            yield found, plan


def brute_force(problem: Problem) -> Best:
    """Return the best objective and all best plans."""
    feasible = [(objectives[0], plan) for objectives, plan in feasible_plans(problem)]
    if not feasible:
        return Best(None, ())
    least = min(objective for objective, _ in feasible)
    return Best(least, tuple(plan for objective, plan in feasible if objective - least <= SAME * abs(least)))


def lexicographic_optimum(problem: Problem) -> tuple[float, ...] | None:
    """Return the objectives of the best plans, the earlier priorities first; None: no placement is feasible."""
    found = [objectives for objectives, _ in feasible_plans(problem)]
    if not found:
        return None
    for priority in range(len(found[0])):
        least = min(objectives[priority] for objectives in found)
        found = [objectives for objectives in found if objectives[priority] - least <= SAME * abs(least)]
    return found[0]


def check_solved(best: Best, status: str, objective: float | None, bound: float | None, noise: float = 0.0) -> str:
    """Assert that a solver proved the optimum, or that there is none; return the status.

    `noise` is what the solver's tolerances come to, beside the objective.
    """
    if best.objective is None:
        assert (status, objective) == ("infeasible", None)
        return status
    assert status == "optimal"
    size = abs(best.objective)
    assert objective is not None
    assert abs(objective - best.objective) <= OPTIMAL * size
    assert bound is not None
    assert best.objective - 2 * OPTIMAL * size - noise <= bound <= best.objective + ROUNDING * size + noise
    return status
