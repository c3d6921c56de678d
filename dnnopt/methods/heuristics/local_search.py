"""Local search: changes that improve are made; where none does any more, a kick, and again from there.

Iterated local search (Lourenço, Martin, Stützle: Iterated local search, Handbook of Metaheuristics, 2003) with the
moves of `neighbours.py`: one layer, swap, block, cut shift. Less violation is better than a lower objective, so
infeasible starts are repaired first. Every kick is of the best placement so far.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.moves import MovingPlan
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.incumbent import Incumbent
from dnnopt.methods.heuristics.neighbours import Neighbours
from dnnopt.methods.heuristics.start import start
from dnnopt.models.solvers.interface import Clock

_BATCH = 64
_PATIENCE = 8  # changes without success, for each free layer, before a kick
_KICK = 3
_REPAIR_TRIES = 60  # for each free layer
_REPAIR_SECONDS = 2.0


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield better and better placements. An iteration is one change that is judged."""
    rng = random.Random(effort.seed)
    incumbent = Incumbent("local search")
    plan = MovingPlan(evaluator, start(evaluator, effort))
    neighbours = Neighbours(evaluator.compiled, rng)
    incumbent.offer(plan.placement, plan.excess, plan.objective)
    yield from incumbent.news()
    tried = failed = 0
    while not effort.spent(tried):
        count = _BATCH if effort.iterations is None else min(_BATCH, effort.iterations - tried)
        improved = _improve(plan, neighbours, count)
        tried += count
        failed = 0 if improved else failed + count
        if incumbent.offer(plan.placement, plan.excess, plan.objective):
            yield from incumbent.news()
        if failed > _PATIENCE * max(len(neighbours.free), 1):
            failed = 0
            if incumbent.placement is not None:
                plan.reset(incumbent.placement)
            for _ in range(_KICK):
                plan.move(*neighbours.draw(plan.placement))
    yield from incumbent.last()


BASELINE = Baseline(
    name="local-search",
    summary="moves that improve (one layer, swap, block, cut shift), then a kick, and again",
    source="Lourenço, Martin, Stützle: Iterated local search, Handbook of Metaheuristics, 2003",
    order=120,
    searches=True,
    run=placements,
)


def repaired(evaluator: Evaluator, placement: Index, effort: Effort) -> Index:
    """Return a placement (N,) with less violation, feasible if it can be found by improving changes soon."""
    plan = MovingPlan(evaluator, placement)
    neighbours = Neighbours(evaluator.compiled, random.Random(effort.seed))
    left = effort.clock.left()
    clock = Clock(_REPAIR_SECONDS if left is None else min(_REPAIR_SECONDS, left))
    tries = 0
    while plan.excess > 0 and tries < _REPAIR_TRIES * len(neighbours.free) and not clock.expired():
        _improve(plan, neighbours, _BATCH)
        tries += _BATCH
    return np.array(plan.placement)


def _improve(plan: MovingPlan, neighbours: Neighbours, count: int) -> bool:
    """Judge some changes and make the best of them if the plan is better for it; return whether it is."""
    changes = [neighbours.draw(plan.placement) for _ in range(count)]
    excess, objective = plan.judge(changes)
    chosen = np.lexsort((objective, excess))[0]
    if (excess[chosen], objective[chosen]) >= (plan.excess, plan.objective):
        return False
    plan.move(*changes[chosen])
    return True
