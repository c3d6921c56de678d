"""PSO-GA: a discrete particle swarm that moves by the operators of genetic algorithms.

Lin, Huang, Li, Chen, Xiong: Cost-driven offloading for DNN-based applications over cloud, edge and end devices, IEEE
Transactions on Industrial Informatics 16(8), 2020. A particle is the executor of each layer. It is mutated (inertia),
then gets a segment of its own best position (cognition) and one of the swarm's (society). The inertia falls with the
distance to the swarm's best, cognition gives way to society over time. The constants are the usual ones of such swarms,
not those of the paper's experiments. For limits see `population.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.incumbent import Incumbent
from dnnopt.methods.heuristics.population import Genes

_SWARM = 100
_INERTIA = 0.4, 0.9  # of a particle that is the swarm's best, and of one that shares no gene with it
_COGNITION = 0.9, 0.2  # at first, at last
_SOCIETY = 0.4, 0.9


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield better and better placements. An iteration moves every particle once."""
    rng = np.random.default_rng(effort.seed)
    genes = Genes(evaluator)
    incumbent = Incumbent("PSO-GA")
    swarm = genes.first(_SWARM, effort, rng)
    placed, excess, objectives = _judged(genes, swarm)
    own, own_excess, own_objectives = swarm.copy(), excess, objectives
    incumbent.offer_best(placed, excess, objectives)
    iteration = 0
    while not effort.spent(iteration) and swarm.shape[1]:
        yield from incumbent.news()
        progress = effort.progress(iteration)
        best = own[np.lexsort((own_objectives, own_excess))[0]]
        distance = (swarm != best).mean(axis=1)
        inertia = _INERTIA[0] + (_INERTIA[1] - _INERTIA[0]) * distance
        swarm = _mutated(swarm, genes.counts, inertia, rng)
        swarm = _crossed(swarm, own, _between(_COGNITION, progress), rng)
        swarm = _crossed(swarm, np.broadcast_to(best, swarm.shape), _between(_SOCIETY, progress), rng)
        placed, excess, objectives = _judged(genes, swarm)
        better = (excess < own_excess) | ((excess == own_excess) & (objectives < own_objectives))
        own = np.where(better[:, None], swarm, own)
        own_excess, own_objectives = np.where(better, excess, own_excess), np.where(better, objectives, own_objectives)
        incumbent.offer_best(placed, excess, objectives)
        iteration += 1
    yield from incumbent.last()


BASELINE = Baseline(
    name="pso-ga",
    summary="a discrete particle swarm that moves by mutation and crossover",
    source="Lin et al.: Cost-driven offloading for DNN-based applications over cloud, edge and end devices, IEEE "
    "TII 16(8), 2020",
    order=180,
    searches=True,
    run=placements,
)


def _judged(genes: Genes, swarm: Index) -> tuple[Index, Array, Array]:
    placements, excess, objectives = genes.judge(swarm)
    return placements, excess, objectives[:, 0]


def _between(ends: tuple[float, float], progress: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * progress


def _mutated(swarm: Index, counts: Index, chance: Array, rng: np.random.Generator) -> Index:
    """Return the particles with one gene drawn anew, each with its chance."""
    mutated, each = swarm.copy(), np.arange(len(swarm))
    gene = rng.integers(0, swarm.shape[1], len(swarm))
    drawn = rng.integers(0, counts[gene])
    mutated[each, gene] = np.where(rng.random(len(swarm)) < chance, drawn, swarm[each, gene])
    return mutated


def _crossed(swarm: Index, others: Index, chance: float, rng: np.random.Generator) -> Index:
    """Return the particles with a random segment of others, each with a chance."""
    ends = np.sort(rng.integers(0, swarm.shape[1] + 1, (len(swarm), 2)), axis=1)
    position = np.arange(swarm.shape[1])
    segment: Mask = (position >= ends[:, :1]) & (position < ends[:, 1:])
    segment &= (rng.random(len(swarm)) < chance)[:, None]
    return np.where(segment, others, swarm)
