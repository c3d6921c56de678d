"""Simulated annealing on placements, for every execution and constraint that the evaluator knows.

The changes are those of `neighbours.py`. Many from one plan are evaluated at once, and the first that is accepted is
made, so the chain is the usual one (Kirkpatrick, Gelatt, Vecchi: Optimization by simulated annealing, Science 220,
1983). What a plan breaks of its limits counts as a cost that grows while the temperature falls.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import numpy as np

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.moves import MovingPlan
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.incumbent import Incumbent
from dnnopt.methods.heuristics.neighbours import Neighbours
from dnnopt.methods.heuristics.start import start

# Temperatures, as shares of the start's objective; geometric in between.
_HOT, _COLD = 0.03, 1e-5
# What an excess of 1 (twice a limit) costs, as a multiple of the start's objective: at first, at last.
_PENALTY = (1.0, 100.0)
_LEAST_BATCH, _MOST_BATCH = 32, 128


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield better and better placements. An iteration is one change that is accepted or not."""
    yield from anneal(evaluator, start(evaluator, effort), effort)


BASELINE = Baseline(
    name="annealing",
    summary="moves that improve, and some that do not, fewer and fewer of them",
    source="Kirkpatrick, Gelatt, Vecchi: Optimization by simulated annealing, Science 220, 1983",
    order=130,
    searches=True,
    run=placements,
)


def anneal(evaluator: Evaluator, first: Index, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Improve a placement.

    Parameters
    ----------
    evaluator : Evaluator
    first : array (N,)
    effort : Effort
        With a limit on time or iterations: the temperature follows it.

    Yields
    ------
    name and array (N,)
        Better and better placements; one that is infeasible only at the end, where no other was found.
    """
    rng = random.Random(effort.seed)
    neighbours = Neighbours(evaluator.compiled, rng)
    plan = MovingPlan(evaluator, first)
    incumbent = Incumbent("annealing")
    incumbent.offer(plan.placement, plan.excess, plan.objective)
    size = abs(plan.objective) if math.isfinite(plan.objective) and plan.objective else 1.0
    batch, accepted, iteration = _LEAST_BATCH, 0.1, 0
    while not effort.spent(iteration):
        yield from incumbent.news()
        progress = effort.progress(iteration)
        temperature = size * _HOT * (_COLD / _HOT) ** progress
        penalty = size * _PENALTY[0] * (_PENALTY[1] / _PENALTY[0]) ** progress
        changes = [neighbours.draw(plan.placement) for _ in range(batch)]
        excess, objectives = plan.judge(changes)
        rises = _difference(objectives, plan.objective) + penalty * (excess - plan.excess)
        chosen = next((k for k, rise in enumerate(rises.tolist()) if _accepts(rise, temperature, rng)), None)
        tried = batch if chosen is None else chosen + 1
        iteration += tried
        best = np.lexsort((objectives, excess))[0]
        if (excess[best], objectives[best]) < (incumbent.excess, incumbent.objective):
            better = np.array(plan.placement)
            better[list(changes[best][0])] = changes[best][1]
            incumbent.offer(better, excess[best], objectives[best])
        if chosen is not None:
            plan.move(*changes[chosen])
        # About as many proposals as it takes until one is accepted.
        accepted += 0.1 * ((1.0 / tried if chosen is not None else 0.5 / batch) - accepted)
        batch = int(min(max(1.5 / accepted, _LEAST_BATCH), _MOST_BATCH))
    yield from incumbent.last()


def _difference(values: Array, value: float) -> Array:
    """Return by how much values exceed another; those that are infinite exceed none that is."""
    if math.isinf(value):
        return np.where(np.isinf(values), 0.0, -np.inf)
    return values - value


def _accepts(rise: float, temperature: float, rng: random.Random) -> bool:
    return rise <= 0 or rng.random() < math.exp(-rise / temperature)
