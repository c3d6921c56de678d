"""Random restarts: plans drawn independently of each other, the best of them kept. The floor for all that search.

Half of them give every layer any executor; the others cut a topological order into a few segments on random executors,
without which hardly any would be near a sensible plan.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.incumbent import Incumbent

_BATCH = 128
_LOOKAHEAD = 1_000_000  # layers that are drawn at once, at most


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield better and better placements. An iteration is one random plan."""
    rng = np.random.default_rng(effort.seed)
    incumbent = Incumbent("random")
    drawn = 0
    most = max(2, min(_BATCH, _LOOKAHEAD // evaluator.compiled.time.size))
    while not effort.spent(drawn) or drawn == 0:
        count = most if effort.iterations is None else min(most, effort.iterations - drawn)
        found = random_placements(evaluator.compiled, count, rng)
        drawn += count
        incumbent.offer_best(found, evaluator.excess(found), evaluator.objectives(found))
        yield from incumbent.news()
    yield from incumbent.last()


BASELINE = Baseline(
    name="random",
    summary="random plans, the best of them: the floor for all that search",
    order=110,
    searches=True,
    run=placements,
)


def random_placements(c: CompiledProblem, count: int, rng: np.random.Generator) -> Index:
    """Return random placements (count, N), where nodes are allowed; every second one in segments."""
    nodes, executors = c.time.shape
    wanted = rng.integers(0, executors, (count, nodes))
    layers = np.flatnonzero(c.is_layer)
    for row in range(1, count, 2):
        cuts = np.sort(rng.integers(0, len(layers) + 1, rng.integers(0, 2 * executors)))
        segment = np.searchsorted(cuts, np.arange(len(layers)), side="right")
        wanted[row, layers] = rng.integers(0, executors, len(cuts) + 1)[segment]
    return repair_choices(c, wanted, rng)


def repair_choices(c: CompiledProblem, wanted: Index, rng: np.random.Generator) -> Index:
    """Return the placements (B, N) with random allowed executors where a node is not allowed."""
    keys = np.where(c.allowed, rng.random((len(wanted), *c.allowed.shape)), -1.0)
    return np.where(c.allowed[np.arange(wanted.shape[1]), wanted], wanted, keys.argmax(axis=2))
