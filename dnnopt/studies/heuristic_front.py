"""Pareto fronts by NSGA-II: many points soon, none of them proved.

Deb, Pratap, Agarwal, Meyarivan: A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE Transactions on
Evolutionary Computation 6(2), 2002, in the engine of pymoo. Limits and encoding are those of the genetic heuristic.
`pareto` proves what this only finds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.compiled.compiled import Index
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.metrics import Array
from dnnopt.compiled.scaling import all_on_one
from dnnopt.compiled.scheduling import plan_of
from dnnopt.methods.heuristics import Effort
from dnnopt.methods.heuristics.genetic import POPULATION, operators
from dnnopt.methods.heuristics.population import Genes, generations, pymoo_problem
from dnnopt.models.solvers.interface import Clock, Control, Limits, stop_on_interrupt
from dnnopt.problem.problem import Problem
from dnnopt.referee import evaluate
from dnnopt.studies.pareto import Front, Objective, Point, undominated, with_objectives


def heuristic_front(
    problem: Problem,
    objectives: Sequence[Objective],
    *,
    time_limit: float | None = None,
    iterations: int | None = None,
    seed: int = 0,
) -> Front:
    """Return points that none found dominates; the problem's own objective is left out.

    Parameters
    ----------
    problem : Problem
    objectives : sequence of Term or sums of them
    time_limit : float, optional
        Seconds.
    iterations : int, optional
        Generations. With it, and time enough, the same seed gives the same front.
    seed : int

    Returns
    -------
    Front
        The referee has passed every point; none is proved, and the front is not complete.

    Raises
    ------
    InputError
        For fewer than two objectives, without any limit, or if pymoo is not installed.
    UnsupportedError
        If a placement alone does not tell all of the problem.
    """
    if time_limit is None and iterations is None:
        raise InputError("seconds > 0, or a limit on iterations", field="time_limit", value=time_limit)
    Limits(time_limit, seed=seed)
    problem = with_objectives(problem, objectives)
    compiled = compile_problem(problem)
    reason = Evaluator.refuses(compiled)
    if reason:
        raise UnsupportedError("", problem=f"NSGA-II does not support {reason}")
    control = Control()
    effort = Effort(Clock(time_limit), iterations, seed, stop=control.stop)
    genes = Genes(Evaluator(compiled))
    engine = pymoo_problem(genes, len(compiled.objective))
    from pymoo.algorithms.moo.nsga2 import NSGA2

    simple = genes.vectors(all_on_one(compiled))
    first = np.concatenate([simple, genes.first(POPULATION, effort, np.random.default_rng(seed))])[:POPULATION]
    algorithm = NSGA2(POPULATION, sampling=first, **operators(genes))
    best = np.zeros((0, len(compiled.node_names)), dtype=np.int64)
    values = np.zeros((0, len(compiled.objective)))
    with stop_on_interrupt(control):
        for placements, excess, found in generations(genes, algorithm, engine, effort):
            kept = (excess == 0) & np.isfinite(found).all(axis=1)
            best, values = _undominated(np.concatenate([best, placements[kept]]), np.concatenate([values, found[kept]]))
        points = []
        for placement in best:
            plan = plan_of(compiled, placement)
            evaluation = evaluate(problem, plan)
            if evaluation.feasible:
                points.append(Point(plan, evaluation.objectives, proved=False))
    front = sorted(undominated(points), key=lambda point: point.objectives)
    everywhere = (math.inf,) * (len(compiled.objective) - 1)
    return Front(problem, tuple(front), 0.0, False, (everywhere,), effort.clock.elapsed(), control.stop.is_set())


def _undominated(placements: Index, values: Array) -> tuple[Index, Array]:
    """Return the placements and values that no other dominates, one of each value."""
    values, first = np.unique(values, axis=0, return_index=True)
    no_worse = (values[:, None] <= values[None]).all(axis=2)
    dominated = (no_worse & ~no_worse.T).any(axis=0)
    return placements[first[~dominated]], values[~dominated]
