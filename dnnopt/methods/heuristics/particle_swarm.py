"""Particle swarm, by pymoo: positions in the space of executors, cut down to whole numbers.

Kennedy, Eberhart: Particle swarm optimization, ICNN 1995, with weights that adapt (Zhan, Zhang, Li, Chung: Adaptive
particle swarm optimization, IEEE Trans. SMC B 39(6), 2009), in the engine of Blank, Deb: pymoo: Multi-objective
optimization in Python, IEEE Access 8, 2020. A gene is a real number whose whole part is the executor, the usual
encoding for placements. For limits see `population.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.population import Genes, evolve, pymoo_problem

_SWARM = 25  # pymoo measures all distances in it at every move
_BELOW = 1e-6


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield better and better placements. An iteration moves every particle once."""
    genes = Genes(evaluator)
    problem = pymoo_problem(genes)
    from pymoo.algorithms.soo.nonconvex.pso import PSO

    problem.xu = genes.counts - _BELOW
    first = genes.first(_SWARM, effort, np.random.default_rng(effort.seed)) + 0.5
    yield from evolve("particle swarm", genes, PSO(_SWARM, sampling=first), problem, effort)


BASELINE = Baseline(
    name="particle-swarm",
    summary="positions whose whole parts are executors (needs the extra 'evolutionary')",
    source="Kennedy, Eberhart: Particle swarm optimization, ICNN 1995; Blank, Deb: pymoo, IEEE Access 8, 2020",
    order=170,
    searches=True,
    needs="pymoo",
    run=placements,
)
