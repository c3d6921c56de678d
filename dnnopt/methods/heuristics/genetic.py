"""Genetic algorithm, by pymoo: vectors of executors, crossover at two points, genes drawn anew.

Holland: Adaptation in Natural and Artificial Systems, 1975; for the engine Blank, Deb: pymoo: Multi-objective
optimization in Python, IEEE Access 8, 2020. Tournaments between two, and the better half of parents and children stays.
Crossover at two points of the topological order keeps segments together. For limits see `population.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Index, Mask
from dnnopt.methods.heuristics.baseline import Baseline
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.heuristics.population import Genes, evolve, pymoo_problem

POPULATION = 100
_SEGMENT = 0.5  # how often a whole window of genes is drawn anew instead of single ones
_LONGEST = 12


def placements(evaluator: Evaluator, effort: Effort) -> Iterator[tuple[str, Index]]:
    """Yield better and better placements. An iteration is a generation."""
    genes = Genes(evaluator)
    problem = pymoo_problem(genes)
    from pymoo.algorithms.soo.nonconvex.ga import GA

    first = genes.first(POPULATION, effort, np.random.default_rng(effort.seed))
    yield from evolve("genetic", genes, GA(POPULATION, sampling=first, **operators(genes)), problem, effort)


BASELINE = Baseline(
    name="genetic",
    summary="vectors of executors, crossed at two points and mutated (needs the extra 'evolutionary')",
    source="Holland: Adaptation in Natural and Artificial Systems, 1975; Blank, Deb: pymoo, IEEE Access 8, 2020",
    order=160,
    searches=True,
    needs="pymoo",
    run=placements,
)


def operators(genes: Genes) -> dict[str, Any]:
    """Return crossover, mutation and comparison of vectors, for pymoo."""
    from pymoo.core.duplicate import DuplicateElimination
    from pymoo.core.mutation import Mutation
    from pymoo.operators.crossover.pntx import TwoPointCrossover

    class Redraw(Mutation):
        """Draws genes anew: each with the chance of one in a vector, or a window that gets the choice of one."""

        def _do(self, problem: Any, X: Index, *args: Any, random_state: Any = None, **kwargs: Any) -> Index:
            drawn = random_state.integers(0, genes.counts, X.shape)
            single = random_state.random(X.shape) < 1.0 / max(X.shape[1], 1)
            first = random_state.integers(0, max(X.shape[1], 1), len(X))
            length = random_state.integers(1, _LONGEST + 1, len(X))
            position = np.arange(X.shape[1])
            window = (position >= first[:, None]) & (position < (first + length)[:, None])
            same = np.minimum(drawn[np.arange(len(X)), first][:, None], genes.counts - 1)
            in_windows = random_state.random(len(X)) < _SEGMENT
            changed = np.where(in_windows[:, None], np.where(window, same, X), np.where(single, drawn, X))
            return changed.astype(np.int64)

    class Same(DuplicateElimination):
        """Finds vectors that have been there, without the distances between all of them."""

        def _do(self, pop: Any, other: Any, is_duplicate: Mask) -> Mask:
            seen = set() if other is None else set(map(_key, other.get("X")))
            for position, key in enumerate(map(_key, pop.get("X"))):
                is_duplicate[position] |= key in seen
                seen.add(key)
            return is_duplicate

    return {"crossover": TwoPointCrossover(), "mutation": Redraw(), "eliminate_duplicates": Same()}


def _key(vector: Index) -> bytes:
    return np.asarray(vector, dtype=np.int64).tobytes()
