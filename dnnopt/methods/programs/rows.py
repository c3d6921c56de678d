"""Rows: a problem as sums over placements and copies. The objective is the largest of some, the others have limits.

    objective(x) = max_o Σ_vi α_ovi x_vi + Σ_τℓ β_oτℓ w_τℓ + κ_o |copies|,     the same sums <= limit_m for every m

What walks along a network and adds up (label search) and what prices limits (Lagrangian bounds) reads these. Exposure
of tensors, and constraints that are no such sums, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import (
    LinearLimit,
    LinearTerm,
    MaxTerm,
    MemoryLimit,
    ObjectiveLimit,
    ObjectiveTerm,
    PeriodTerm,
)
from dnnopt.compiled.logical import CutCount
from dnnopt.compiled.metrics import Array, LinearMetric


@dataclass(frozen=True, eq=False)
class PlanSum:
    """A sum over a plan.

    Attributes
    ----------
    alpha : array (N, k)
        What a placement adds.
    beta : array (T, L)
        What a copy of a tensor over a link adds.
    copy : float
        What a copy adds for each device that it reaches.
    limit : float
        1, 0 or -1: their size is divided out. Infinite for rows of the objective.
    device : int
        Of a memory limit or a load; -1: of no device.
    peaks : array (P, N), optional
        The largest of each row's on `device` counts too.
    buffers : float
        How often the bytes of each tensor that `device` sends or receives count too.
    memory : MemoryLimit, optional
        Whose row it is.
    per_edge : array (E, P), optional
        What each edge adds that goes over a pair of devices, whether a copy is there already or not.
    """

    alpha: Array
    beta: Array
    copy: float = 0.0
    limit: float = np.inf
    device: int = -1
    peaks: Array | None = None
    buffers: float = 0.0
    memory: MemoryLimit | None = None
    per_edge: Array | None = None

    def within(self, limit: float) -> PlanSum:
        """Return the row with a limit on it, both divided by its size."""
        size = abs(limit) or 1.0
        return replace(
            self,
            alpha=self.alpha / size,
            beta=self.beta / size,
            copy=self.copy / size,
            limit=limit / size,
            peaks=None if self.peaks is None else self.peaks / size,
            buffers=self.buffers / size,
            per_edge=None if self.per_edge is None else self.per_edge / size,
        )

    def plus(self, other: PlanSum, weight: float = 1.0) -> PlanSum:
        """Return the sum of this row and `weight` times another's coefficients; the device is the other's."""
        alpha, beta = self.alpha + weight * other.alpha, self.beta + weight * other.beta
        return replace(self, alpha=alpha, beta=beta, device=other.device)


@dataclass(frozen=True)
class PlanSums:
    """The rows of a problem's objective, and of its limits."""

    objective: tuple[PlanSum, ...]
    limits: tuple[PlanSum, ...]


def first_memory_limits(compiled: CompiledProblem) -> dict[int, MemoryLimit]:
    """Return the first limit above 0 on the memory of each device that has one."""
    found: dict[int, MemoryLimit] = {}
    for one in compiled.constraints:
        if isinstance(one, MemoryLimit) and one.limit > 0:
            found.setdefault(one.device, one)
    return found


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why the objective (of the first priority) is not the largest of some sums, or None."""
    return refuses_terms(compiled.objective[0])


def rows_of(compiled: CompiledProblem) -> PlanSums:
    """Return the rows of the objective (`refuses` must not refuse it), and of all limits that are such sums."""
    limits: list[PlanSum] = []
    for constraint in compiled.constraints:
        match constraint:
            case LinearLimit():
                limits.append(_metric(compiled, constraint.metric).within(constraint.limit))
            case MemoryLimit():
                limits.append(_memory(compiled, constraint))
            case ObjectiveLimit() if refuses_terms(constraint.terms) is None:
                limits += [row.within(constraint.limit) for row in _largest(compiled, constraint.terms)]
            case CutCount():
                limits.append(replace(_zero(compiled), copy=1.0).within(constraint.limit))
    return PlanSums(tuple(_largest(compiled, compiled.objective[0])), tuple(limits))


def refuses_terms(terms: tuple[ObjectiveTerm, ...]) -> str | None:
    """Return why a sum of objective terms is not the largest of some sums, or None."""
    maxima = [term for term in terms if not isinstance(term, LinearTerm)]
    if len(maxima) > 1:
        return "a sum of several maxima"
    for term in maxima:
        parts = term.parts if isinstance(term, MaxTerm) else ()
        if not isinstance(term, PeriodTerm) and not (parts and all(isinstance(part, LinearTerm) for part in parts)):
            return "an objective that is not linear, nor the largest of linear ones"
    return None


def _zero(c: CompiledProblem) -> PlanSum:
    return PlanSum(np.zeros(c.time.shape), np.zeros((len(c.tensor_names), len(c.link_names))))


def _metric(c: CompiledProblem, metric: LinearMetric) -> PlanSum:
    return PlanSum(metric.alpha, metric.link_charges(c.tensor_bytes))


def _memory(c: CompiledProblem, limit: MemoryLimit) -> PlanSum:
    here = c.executor_device == limit.device
    row = replace(
        _zero(c),
        alpha=limit.resident[:, None] * here,
        device=limit.device,
        peaks=limit.peaks if len(limit.peaks) else None,
        buffers=float(limit.buffers),
        memory=limit,
    )
    return row.within(limit.limit)


def _largest(c: CompiledProblem, terms: tuple[ObjectiveTerm, ...]) -> list[PlanSum]:
    """Return rows of which the largest is the sum of the terms."""
    common = _zero(c)
    parts: list[PlanSum] = []
    for term in terms:
        match term:
            case LinearTerm():
                common = common.plus(_metric(c, term.metric), term.weight)
            case PeriodTerm():
                parts = [_zero(c).plus(load, term.weight) for load in loads_of(c)]
            case MaxTerm():
                linear = [part for part in term.parts if isinstance(part, LinearTerm)]
                parts = [_zero(c).plus(_metric(c, part.metric), term.weight * part.weight) for part in linear]
    return [common.plus(part) for part in parts] or [common]


def loads_of(c: CompiledProblem) -> list[PlanSum]:
    """Return the load of each resource (SI)."""
    rows = []
    for load, devices, links in zip(c.loads, c.resource_devices, c.resource_links, strict=True):
        held = np.flatnonzero(devices)
        device = int(held[0]) if len(held) == 1 and not links.any() else -1
        rows.append(replace(_metric(c, load), device=device))
    return rows


def event_costs(compiled: CompiledProblem) -> Array:
    """Return what a linear objective charges for each event (X,)."""
    linear = [term for term in compiled.objective[0] if isinstance(term, LinearTerm)]
    return sum((term.weight * term.metric.on_event for term in linear), np.zeros(len(compiled.events)))


def linear_costs(compiled: CompiledProblem) -> tuple[Array, Array]:
    """Return what a linear objective charges for each placement (N, k), and for each copy over each link (T, L)."""
    (row,) = rows_of(compiled).objective
    return row.alpha, row.beta
