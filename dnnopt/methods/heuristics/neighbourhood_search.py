"""Large neighbourhood search: some layers are freed, a MILP places them best, all others stay.

Shaw: Using constraint programming and local search methods to solve vehicle routing problems, CP 1998; with MILP as
Fischetti, Lodi: Local branching, Mathematical Programming 98, 2003. What is freed: a window of the topological order, a
ball in the graph, or windows around two cuts. The MILP (see `restricted.py`) knows every constraint; the other layers
are fixed. An infeasible start is repaired by local search first. Where nothing better was found, more is freed the next
time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index
from dnnopt.formulations.formulation import Formulation
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.incumbent import Incumbent
from dnnopt.methods.heuristics.local_search import repaired
from dnnopt.methods.heuristics.neighbours import Neighbours
from dnnopt.methods.heuristics.restricted import placed, placing
from dnnopt.methods.heuristics.start import start

# Free layers times the executors that they may go to: at least, at first as a share of all, at most; and how it changes
# where nothing better was found, and where the MILP was not solved in its time.
_LEAST_CHOICES, _FIRST_SHARE, _MOST_CHOICES = 40.0, 0.05, 400.0
_GROWTH, _SHRINKING = 1.1, 0.7


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield better and better placements. An iteration frees some layers once."""
    c = evaluator.compiled
    rng = random.Random(effort.seed)
    neighbours = Neighbours(c, rng)
    formulation = placing(c)
    incumbent = Incumbent("neighbourhood search")
    incumbent.judge(evaluator, start(evaluator, effort))
    choices = max(_LEAST_CHOICES, min(_FIRST_SHARE * c.allowed[neighbours.free].sum(), _MOST_CHOICES))
    iteration, took = 0, 0.0
    while not effort.spent(iteration) and incumbent.placement is not None:
        yield from incumbent.news()
        began, left = effort.clock.elapsed(), effort.clock.left()
        if effort.iterations is None and left is not None and took > left:
            break
        current = incumbent.placement
        if incumbent.excess > 0 or formulation is None:
            found: Index | None = repaired(evaluator, current, replace(effort, seed=effort.seed + iteration))
        else:
            freed = _freed(neighbours, current.tolist(), choices)
            found, solved = _replaced(c, formulation, incumbent, freed, effort)
            choices *= 1.0 if solved else _SHRINKING
        if found is None or not incumbent.judge(evaluator, found):
            choices *= _GROWTH
        choices = max(_LEAST_CHOICES, min(choices, _MOST_CHOICES))
        took = effort.clock.elapsed() - began
        iteration += 1
    yield from incumbent.last()


BASELINE = Baseline(
    name="neighbourhood-search",
    summary="some layers are freed and placed best by a MILP, all others stay, again and again",
    source="Shaw: Using constraint programming and local search methods to solve vehicle routing problems, CP 1998",
    order=140,
    searches=True,
    run=placements,
)


def _freed(neighbours: Neighbours, placement: list[int], choices: float) -> list[int]:
    """Return the layers that are free this time."""
    rng, free = neighbours.rng, neighbours.free
    if not free:
        return []
    count = max(2, round(choices / max(len(neighbours.choices[node]) for node in free)))
    kind = rng.random()
    if kind < 0.4:
        return free[(first := rng.randrange(len(free))) : first + count]
    if kind < 0.7:
        return _ball(neighbours, rng.choice(free), count)
    cuts = [k for k in range(1, len(free)) if placement[free[k]] != placement[free[k - 1]]] or [0]
    half = max(1, count // 4)
    return sorted(
        {node for cut in (rng.choice(cuts), rng.choice(cuts)) for node in free[max(cut - half, 0) : cut + half]}
    )


def _ball(neighbours: Neighbours, center: int, count: int) -> list[int]:
    """Return the layers that are nearest to one in the graph."""
    free, reached, queue = set(neighbours.free), {center: None}, [center]
    for node in queue:
        for other in neighbours.beside[node]:
            if other not in reached and other in free and len(reached) < count:
                reached[other] = None
                queue.append(other)
    return list(reached)


def _replaced(
    c: CompiledProblem, formulation: Formulation, incumbent: Incumbent, freed: list[int], effort: Effort
) -> tuple[Index | None, bool]:
    """Return the placement in which the MILP places the freed layers, if it finds one; and whether it was solved."""
    assert incumbent.placement is not None
    fixed = np.arange(c.time.shape[1]) == incumbent.placement[:, None]
    allowed = fixed & c.allowed
    allowed[freed] = c.allowed[freed]
    return placed(replace(c, allowed=allowed, cap=incumbent.objective), formulation, incumbent.placement, effort)
