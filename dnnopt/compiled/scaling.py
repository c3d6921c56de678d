"""Units of a model: solvers have absolute tolerances, so they never see raw SI values.

The units are powers of ten, chosen for each problem so that the time, bytes, energy and cost of a simple plan are 100
to 1000 of them. Measured in seconds, optima around 20 ms come out up to 0.2 % too high in CBC and CP-SAT, around 20 µs
up to 3.5 % in HiGHS.
"""

from __future__ import annotations

import math

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import (
    LatencyTerm,
    LinearLimit,
    LinearTerm,
    MaxTerm,
    MemoryLimit,
    ObjectiveTerm,
    PeriodTerm,
    WorstLeakageTerm,
)
from dnnopt.compiled.evaluator import Evaluator, evaluator_of
from dnnopt.compiled.metrics import Array, Index, LinearMetric
from dnnopt.compiled.ties import apart
from dnnopt.compiled.units import Units

SI = Units(1.0, 1.0, 1.0, 1.0, 1.0)


def unit_for(total: float) -> float:
    """Return the power of ten of which `total` is 100 to 1000; 1 where there is nothing to measure."""
    if not (total > 0 and math.isfinite(total)):
        return 1.0
    return float(10.0 ** (math.floor(math.log10(total) + 1e-9) - 2))


def choose_units(compiled: CompiledProblem, known: Index | None = None) -> Units:
    """Return units that suit the problem: measured on the plans that run everything on one device.

    Parameters
    ----------
    compiled : CompiledProblem
    known : array (N,), optional
        A good placement, to measure too: it may be far better than those.
    """
    evaluator = evaluator_of(compiled)
    placements = all_on_one(compiled)
    if known is not None:
        placements = np.concatenate([placements, known[None]])
    metrics = [term.metric for term in compiled.terms() if isinstance(term, LinearTerm)]
    metrics += [constraint.metric for constraint in compiled.constraints if isinstance(constraint, LinearLimit)]
    units = {"s": unit_for(_seconds(evaluator, placements))}
    memory = next((c for c in compiled.constraints if isinstance(c, MemoryLimit)), None)
    if memory is not None:
        units["bytes"] = unit_for(
            float((memory.resident_in + memory.peak_in).max(axis=1).sum() + memory.shared.bytes.sum())
        )
    for metric in metrics:
        least = _least(evaluator.metric(metric, placements))
        if metric.unit not in units and least > 0:  # 0 says nothing: on one device nothing is sent
            units[metric.unit] = unit_for(least)
    units.setdefault("bytes", unit_for(float(compiled.tensor_bytes.sum())))
    objectives = np.append(np.abs(evaluator.objectives(placements)), compiled.cap)
    objective = max(_least(objectives), compiled.floor)
    if objective <= 0:  # all that is known is 0: then weights say how large it may be
        objective = max(
            (abs(term.weight) * units.get(unit_of(term), 1.0) for term in compiled.objective[0]), default=0.0
        )
    other = {unit: value for unit, value in units.items() if unit not in ("s", "bytes", "J", "USD", "")}
    return Units(units["s"], units["bytes"], units.get("J", 1.0), units.get("USD", 1.0), unit_for(objective), other)


def _seconds(evaluator: Evaluator, placements: Index) -> float:
    """Return what the times are like that a model has variables for.

    Those are the latencies and the period in the objective, and of them the one that counts most, in the best plan.
    """
    compiled = evaluator.compiled
    terms = compiled.objective[0]
    timed = [term for term in terms if unit_of(term) == "s" and not isinstance(term, LinearTerm) and term.weight > 0]
    values = np.zeros((len(timed), len(placements)))
    for row, term in enumerate(timed):
        found = evaluator.total((term,), placements)
        values[row] = np.where(np.isfinite(found), found, 0.0)
    if not values.any():
        return _least(evaluator.metric(total_load(compiled), placements))
    plan = int(np.where(values.any(axis=0), evaluator.objectives(placements), np.inf).argmin())
    most = int(values[:, plan].argmax())
    value = max(float(values[most, plan]), compiled.floor)
    return (min(value, compiled.cap) if compiled.cap > 0 else value) / timed[most].weight


def unit_of(term: ObjectiveTerm) -> str:
    """Return the SI unit of a term."""
    match term:
        case LinearTerm():
            return term.metric.unit
        case MaxTerm():
            return unit_of(term.parts[0]) if term.parts else ""
        case WorstLeakageTerm():
            return ""
        case LatencyTerm() | PeriodTerm():
            return "s"


def total_load(c: CompiledProblem) -> LinearMetric:
    """Return the sum of the loads of all resources."""
    return c.busy("total load", c.resource_devices.sum(axis=0), c.resource_links.sum(axis=0))


def all_on_one(compiled: CompiledProblem) -> Index:
    """Return for each host the placement (H, N) with all nodes there.

    Where a node may not run there, it is in its fastest mode on the device, or else at its fastest anywhere.
    """
    return _all_on(compiled, len(compiled.host_names))


def in_every_form(compiled: CompiledProblem) -> Index:
    """Return for each executor the placement (k, N) with all nodes there: in its form, where they have such."""
    return _all_on(compiled, len(compiled.executor_names))


def _all_on(c: CompiledProblem, count: int) -> Index:
    """Return the placement (count, N) of each of so many executors, of which the hosts come first."""
    hosts, free = len(c.host_names), apart(c, c.allowed)
    time = np.where(free, c.time, np.inf)
    found = np.empty((count, len(time)), dtype=np.int64)
    fastest = time.argmin(axis=1)
    for executor, device in enumerate(c.executor_device[:count]):
        there = np.flatnonzero(c.executor_device == device)
        own = there[time[:, there].argmin(axis=1)]
        found[executor] = np.where(np.isfinite(time[np.arange(len(time)), own]), own, fastest)
        for better in dict.fromkeys((executor % hosts, executor)):
            found[executor] = np.where(free[:, better], better, found[executor])
    return found


def _least(values: Array) -> float:
    """Return the least positive value, or 0 where there is none."""
    positive = values[np.isfinite(values) & (values > 0)]
    return float(positive.min()) if positive.size else 0.0
