"""`compare`: baselines and exact methods side by side, with gaps to the best bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dnnopt.compiler import compile_problem
from dnnopt.errors import UnsupportedError
from dnnopt.evaluator import Evaluator
from dnnopt.methods.heuristics import BASELINES, Effort
from dnnopt.pool import Pool
from dnnopt.problem import Problem
from dnnopt.referee import Evaluation, Violation
from dnnopt.result import OPTIMAL_GAP, Event, Result, relative_gap
from dnnopt.solvers.interface import Clock
from dnnopt.solving import solve


@dataclass(frozen=True)
class Row:
    """One method on the problem.

    Attributes
    ----------
    name : str
    status : str
        That of a result; for baselines ``feasible`` or ``infeasible`` (the plan breaks a constraint).
    objective : float
        Of its plan; infinite where there is none.
    gap : float, optional
        To the best bound of all methods.
    seconds : float
    violations : sequence of Violation
    """

    name: str
    status: str
    objective: float
    gap: float | None
    seconds: float
    violations: Sequence[Violation]


@dataclass(frozen=True)
class Comparison:
    """Methods on one problem, the best plan's objective and the best bound."""

    problem: Problem
    rows: tuple[Row, ...]
    best: float | None
    bound: float | None
    results: tuple[Result, ...]

    def to_data(self) -> dict[str, Any]:
        """Return plain data."""
        rows = [
            {
                "method": row.name,
                "status": row.status,
                "objective": row.objective if math.isfinite(row.objective) else None,
                "gap": row.gap,
                "seconds": row.seconds,
                "violations": [vars(violation) for violation in row.violations],
            }
            for row in self.rows
        ]
        return {
            "format": "dnnopt-comparison",
            "version": 1,
            "problem": self.problem.name,
            "best": self.best,
            "bound": self.bound,
            "rows": rows,
        }

    def __str__(self) -> str:
        from dnnopt.report import as_text
        from dnnopt.study_report import print_comparison

        return as_text(lambda console: print_comparison(console, self))


def compare(
    problem: Problem,
    *,
    formulations: Sequence[str] = (),
    time_limit: float | None = 60.0,
    gap: float = OPTIMAL_GAP,
    threads: int | None = None,
    seed: int = 0,
    watch: Callable[[Event], None] | None = None,
) -> Comparison:
    """Run every baseline that ends by itself, `auto`, and the formulations named, each with the time limit.

    Raises
    ------
    InputError, UnsupportedError
        As `solve` does.
    """
    outcomes: list[tuple[str, str, Evaluation | None, float]] = []
    compiled = compile_problem(problem)
    if Evaluator.refuses(compiled) is None:
        for baseline in (baseline for baseline in BASELINES.values() if not baseline.searches):
            pool = Pool(problem, compiled)
            evaluator, clock = Evaluator(compiled), Clock(time_limit)
            for name, placement in baseline.run(evaluator, Effort(clock, seed=seed)):
                evaluation = pool.offer_placement(placement, name)
                status = "feasible" if evaluation.feasible else "infeasible"
                outcomes.append((name, status, evaluation, clock.elapsed()))
    results = []
    for formulation in dict.fromkeys([None, *formulations]):
        result = solve(
            problem, formulation=formulation, time_limit=time_limit, gap=gap, threads=threads, seed=seed, watch=watch
        )
        results.append(result)
        label = f"{result.formulation} ({result.solver})"
        outcomes.append((label, result.status, result.evaluation, result.runtime))
        if result.status == "interrupted":
            break
    if not outcomes:
        raise UnsupportedError("", problem="no method supports this problem")
    best = min((e.objective for _, _, e, _ in outcomes if e and e.feasible), default=None)
    bound = max((result.bound for result in results if result.bound is not None), default=None)
    rows = [
        Row(
            name=name,
            status=status,
            objective=math.inf if evaluation is None else evaluation.objective,
            gap=relative_gap(evaluation.objective, bound) if evaluation and evaluation.feasible else None,
            seconds=seconds,
            violations=() if evaluation is None else evaluation.violations,
        )
        for name, status, evaluation, seconds in outcomes
    ]
    return Comparison(problem, tuple(rows), best, bound, tuple(results))
