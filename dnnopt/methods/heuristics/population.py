"""What the evolutionary heuristics share: placements as vectors, first populations, and pymoo where it is installed.

A vector has a gene for each layer with a choice: the position of its executor among those where it is allowed (as in
Lin et al.: Cost-driven offloading for DNN-based applications over cloud, edge and end devices, IEEE TII 16(8), 2020,
where a particle is the server of each layer). So every vector is allowed; other limits count as a violation, and of two
plans the one with less violation is better, then the one with the lower objective (Deb: An efficient constraint
handling method for genetic algorithms, 2000).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dnnopt.base.extras import optional
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Array, Index
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.incumbent import Incumbent
from dnnopt.methods.heuristics.random_plans import random_placements
from dnnopt.methods.heuristics.start import start


class Genes:
    """Placements as vectors (F,), F the layers with a choice.

    Parameters
    ----------
    evaluator : Evaluator

    Attributes
    ----------
    counts : array (F,)
        Choices of each gene.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        allowed = evaluator.compiled.allowed
        self._free = np.flatnonzero(allowed.sum(axis=1) > 1)
        self._first = allowed.argmax(axis=1)
        self.counts = allowed[self._free].sum(axis=1)
        self._executors = np.argsort(~allowed[self._free], axis=1, kind="stable")
        self._ranks = np.argsort(self._executors, axis=1)

    def placements(self, vectors: Index) -> Index:
        """Return the placements (B, N) of vectors (B, F)."""
        placements = np.tile(self._first, (len(vectors), 1))
        placements[:, self._free] = self._executors[np.arange(len(self._free)), vectors]
        return placements

    def vectors(self, placements: Index) -> Index:
        """Return the vectors (B, F) of placements (B, N)."""
        ranks: Index = self._ranks[np.arange(len(self._free)), placements[:, self._free]]
        return np.minimum(ranks, self.counts - 1)

    def first(self, count: int, effort: Effort, rng: np.random.Generator) -> Index:
        """Return a first population (count, F): where searches start, and random plans."""
        random = random_placements(self.evaluator.compiled, count - 1, rng)
        return self.vectors(np.concatenate([start(self.evaluator, effort)[None], random]))

    def judge(self, vectors: Index, priorities: Sequence[int] = (0,)) -> tuple[Index, Array, Array]:
        """Return the placements (B, N) of vectors (B, F), their excess (B,) and these objectives (B, priorities)."""
        placements = self.placements(vectors)
        objectives = [self.evaluator.objectives(placements, priority) for priority in priorities]
        return placements, self.evaluator.excess(placements), np.stack(objectives, axis=1)


def pymoo_problem(genes: Genes, objectives: int = 1) -> Any:
    """Return a pymoo problem of vectors, with the excess as its constraint; it is evaluated from outside.

    Raises
    ------
    InputError
        If pymoo is not installed.
    """
    pymoo = optional("pymoo.core.problem", "pymoo", "evolutionary")
    count = len(genes.counts)
    return pymoo.Problem(n_var=count, n_obj=objectives, n_ieq_constr=1, xl=np.zeros(count), xu=genes.counts - 1)


def generations(genes: Genes, algorithm: Any, problem: Any, effort: Effort) -> Iterator[tuple[Index, Array, Array]]:
    """Run a pymoo algorithm; yield what each generation tries: placements (B, N), excess (B,), objectives (B, M).

    Parameters
    ----------
    genes : Genes
    algorithm : pymoo.core.algorithm.Algorithm
    problem : pymoo.core.problem.Problem
    effort : Effort
    """
    from pymoo.core.termination import NoTermination

    priorities = range(problem.n_obj)
    if not len(genes.counts):
        yield genes.judge(np.zeros((1, 0), dtype=np.int64), priorities)
        return
    algorithm.setup(problem, termination=NoTermination(), seed=effort.seed, verbose=False)
    generation = 0
    while generation == 0 or not effort.spent(generation):
        population = algorithm.ask()
        if population is None or not len(population):
            return
        placements, excess, objectives = genes.judge(np.asarray(population.get("X")).astype(np.int64), priorities)
        endless = ~np.isfinite(
            objectives
        )  # calls that wait for each other, which is in the excess: pymoo wants numbers
        population.set("F", np.where(endless, 0.0, objectives), "G", excess[:, None])
        for individual in population:
            individual.evaluated.update(("F", "G"))
        algorithm.tell(infills=population)
        generation += 1
        yield placements, excess, objectives


def evolve(name: str, genes: Genes, algorithm: Any, problem: Any, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield better and better placements of a pymoo algorithm, under a name. An iteration is a generation."""
    incumbent = Incumbent(name)
    for placements, excess, objectives in generations(genes, algorithm, problem, effort):
        incumbent.offer_best(placements, excess, objectives[:, 0])
        yield from incumbent.news()
    yield from incumbent.last()
