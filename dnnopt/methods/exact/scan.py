"""Exact method `scan`: every placement is evaluated. For small problems of any kind.

Not for schedules, where the best placement does not tell the best order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import MulticastTrees
from dnnopt.compiled.evaluator import SCOPE as EVALUATED
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.metrics import Index
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome

_SCHEDULED = {"scheduled"}
SCOPE = replace(
    EVALUATED,
    enforces=EVALUATED.enforces - {MulticastTrees},
    latencies=EVALUATED.latencies - _SCHEDULED,
    executions=EVALUATED.executions - _SCHEDULED,
    priorities=False,
)
MOST_PLACEMENTS = 200_000
_BATCH = 4096


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why the placements cannot be scanned, or None."""
    reason = SCOPE.refuses(compiled)
    if reason is None and math.prod(compiled.allowed.sum(axis=1).tolist()) > MOST_PLACEMENTS:
        return f"more than {MOST_PLACEMENTS:,} placements"
    return reason


def run(pool: Pool, limits: Limits, control: Control) -> Outcome:
    """Solve the pool's problem."""
    evaluator, clock = evaluator_of(pool.compiled), Clock(limits.time_limit)
    for batch in _placements(pool.compiled):
        if clock.expired() or control.stop.is_set():
            return Outcome("no_solution" if pool.plan is None else "feasible")
        objectives = np.where(evaluator.excess(batch) == 0.0, evaluator.objectives(batch), np.inf)
        for candidate in objectives.argsort(kind="stable"):
            known = math.inf if pool.objective is None else pool.objective
            if objectives[candidate] >= known or pool.accepts(pool.offer_placement(batch[candidate], "scan")):
                break
    if pool.objective is None:
        return Outcome("infeasible")
    pool.add_bound(pool.objective, "scan")
    return Outcome("optimal")


def _placements(c: CompiledProblem) -> Iterator[Index]:
    """Yield all placements in batches (B, N), in the order in which the last node changes first."""
    choices = [np.flatnonzero(row) for row in c.allowed]
    sizes = [len(row) for row in choices]
    for start in range(0, math.prod(sizes), _BATCH):
        number = np.arange(start, min(start + _BATCH, math.prod(sizes)))
        digits = np.unravel_index(number, sizes)
        yield np.stack([row[digit] for row, digit in zip(choices, digits, strict=True)], axis=1)
