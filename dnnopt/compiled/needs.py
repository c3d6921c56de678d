"""What a problem needs of a formulation."""

from __future__ import annotations

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import DeadlineLimit, LatencyTerm, PeriodTerm


def needs_critical_path(c: CompiledProblem) -> bool:
    """Return whether the problem has a latency that is not a linear metric."""
    deadlines = any(isinstance(constraint, DeadlineLimit) for constraint in c.constraints)
    return deadlines or any(isinstance(term, LatencyTerm) for term in c.terms())


def needs_period(c: CompiledProblem) -> bool:
    """Return whether the period is in the objective."""
    return any(isinstance(term, PeriodTerm) for term in c.terms())
