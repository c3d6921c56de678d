"""Result: what `solve` returns. Objectives, bounds and gaps in SI units; the objective is the referee's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dnnopt.plan import Plan
from dnnopt.referee import Evaluation

OPTIMAL_GAP = 1e-6


@dataclass(frozen=True)
class Event:
    """A point of the trace.

    Attributes
    ----------
    time : float
        Seconds since the start.
    objective, bound : float, optional
        Best known at that time.
    source : str
        Who found what is new.
    """

    time: float
    objective: float | None
    bound: float | None
    source: str


def relative_gap(objective: float | None, bound: float | None) -> float | None:
    """Return `(objective - bound) / |objective|`: 0 where both are 0, None where one is missing."""
    if objective is None or bound is None:
        return None
    if objective == bound:
        return 0.0
    return (objective - bound) / abs(objective) if objective else None


@dataclass(frozen=True)
class Result:
    """The outcome of a run.

    Attributes
    ----------
    problem : str
    status : str
        ``optimal`` (gap at most 1e-6), ``feasible``, ``infeasible``, ``unbounded``, ``no_solution``, ``interrupted``
        or ``error``.
    plan : Plan, optional
        The best plan; it has passed the referee.
    evaluation : Evaluation, optional
        What the referee says of it.
    bound : float, optional
        No plan is better than this.
    runtime : float
        Seconds.
    method, formulation, solver : str
    found_by, bound_by : str
        Where plan and bound came from.
    trace : tuple of Event
    seed : int
    message : str
    versions : mapping
    """

    problem: str
    status: str
    plan: Plan | None
    evaluation: Evaluation | None
    bound: float | None
    runtime: float
    method: str
    formulation: str | None = None
    solver: str | None = None
    found_by: str = ""
    bound_by: str = ""
    trace: tuple[Event, ...] = ()
    seed: int = 0
    message: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def objective(self) -> float | None:
        """The plan's objective (of the first priority)."""
        return None if self.evaluation is None else self.evaluation.objective

    @property
    def gap(self) -> float | None:
        """`(objective - bound) / |objective|`."""
        return relative_gap(self.objective, self.bound)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for a result file, which is also a plan file."""
        evaluation = self.evaluation
        return {
            "format": "dnnopt-result",
            "version": 1,
            "problem": self.problem,
            "status": self.status,
            "objective": self.objective,
            "bound": self.bound,
            "gap": self.gap,
            "runtime": self.runtime,
            "method": self.method,
            "formulation": self.formulation,
            "solver": self.solver,
            "found_by": self.found_by,
            "bound_by": self.bound_by,
            "seed": self.seed,
            "message": self.message,
            **(self.plan.to_data() if self.plan else {"placement": None}),
            "transmissions": [vars(t) | {"links": list(t.links)} for t in evaluation.transmissions]
            if evaluation
            else [],
            "metrics": dict(evaluation.metrics) if evaluation else {},
            "violations": [vars(violation) for violation in evaluation.violations] if evaluation else [],
            "trace": [vars(event) for event in self.trace],
            "versions": self.versions,
        }

    def __str__(self) -> str:
        from dnnopt.report import result_text

        return result_text(self)
