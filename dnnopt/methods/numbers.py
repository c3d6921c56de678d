"""Models whose numbers solvers can tell apart.

MILP solvers have absolute tolerances, so a model's numbers must not be too far apart. Units are chosen with the best
plan known. Where that is not enough, presolve leaves out what no plan as good as that has. Where no plan is known,
caps are climbed: each leaves numbers that are close together, and says that no plan is below it, or finds one.

What is negative can outweigh what is beyond a cap. Then numbers may stay too far apart: a search may find a plan, but
what it says of bounds does not count. And where a solver would not even take the numbers, one message says which two
values they come from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import (
    LatencyTerm,
    LinearLimit,
    LinearTerm,
    MaxTerm,
    ObjectiveTerm,
    PeriodTerm,
    WorstLeakageTerm,
)
from dnnopt.compiled.metrics import Array
from dnnopt.compiled.presolve import presolve
from dnnopt.compiled.scaling import choose_units
from dnnopt.compiled.windows import serial_bound
from dnnopt.formulations.formulation import Formulation
from dnnopt.methods.pool import Pool
from dnnopt.models.linear import LinearModel
from dnnopt.models.solvers.highs import TOO_LARGE

# Objectives and limits are 100 to 1000 of their units; what is more than so many of them leaves too few digits.
_FAR = 1e9
_TOLERANCE = 1e-5  # in a model's units: CBC was seen to be off by 1e-6
_STEP = 1e6  # from cap to cap


@dataclass(frozen=True, eq=False)
class Suited:
    """A model for a problem.

    Attributes
    ----------
    compiled : CompiledProblem
        What the model is of: what was asked for, or what presolve leaves of it.
    model : LinearModel or ConstraintModel
    reliable : bool
        Whether bounds can be relied on.
    """

    compiled: CompiledProblem
    model: Any
    reliable: bool

    def lowered(self, bound: float) -> float:
        """Return a solver's bound, in the model's units, less what tolerances may come to where it is below a unit."""
        if isinstance(self.model, LinearModel) and abs(bound) < 1.0:
            bound = bound - _TOLERANCE if abs(bound) > _TOLERANCE else min(bound, 0.0)
        return self.lifted(bound)

    def lifted(self, value: float) -> float:
        """Return a value of the objective in the model's units, or 0 where rounding alone took it below."""
        return max(value, self._least)

    @cached_property
    def _least(self) -> float:
        return -math.inf if _has_negative(self.compiled) else 0.0


def suited_model(pool: Pool, formulation: Formulation, compiled: CompiledProblem, cap: float) -> Suited | None:
    """Return a formulation's model of a problem, in which plans above the cap (SI) may be missing.

    Returns
    -------
    Suited
        None: presolve leaves no plan within the cap.
    """
    known = None if pool.best is None else pool.best.placement
    model = formulation.build(compiled, choose_units(compiled, known))
    if is_reliable(model):
        return Suited(compiled, model, reliable=True)
    reduced = presolve(compiled, min(cap, pool.cap))
    if reduced.infeasible:
        return None
    compiled = reduced.compiled
    model = formulation.build(compiled, choose_units(compiled, known))
    return Suited(compiled, model, is_reliable(model))


def is_reliable(model: Any) -> bool:
    """Return whether a model's numbers are close enough together for what a solver says of bounds to count."""
    return not isinstance(model, LinearModel) or model.largest <= _FAR


def caps_to_climb(suited: Suited) -> list[float]:
    """Return caps (SI), the lowest first, that each leave numbers close together; no plan is above the last."""
    if _has_negative(suited.compiled):
        return []
    caps = [_STEP * suited.model.objective_unit]
    most = _most(suited.compiled)
    while caps[-1] < most:
        caps.append(caps[-1] * _STEP)
    return caps


def refused(suited: Suited) -> str:
    """Return why no solver would take a model's numbers, or an empty text."""
    too_large = isinstance(suited.model, LinearModel) and suited.model.largest >= TOO_LARGE
    return _far_apart(suited.compiled) if too_large else ""


def _has_negative(c: CompiledProblem) -> bool:
    """Return whether anything in the objective is negative; else no plan is below 0."""
    linear = [term.weight * term.metric.alpha for term in c.objective[0] if isinstance(term, LinearTerm)]
    return bool((sum(linear, np.zeros(c.time.shape))[c.allowed] < 0).any())


def _most(c: CompiledProblem) -> float:
    """Return what no plan without needless waiting is above (SI), whose objective has nothing negative."""

    def most(term: ObjectiveTerm) -> float:
        match term:
            case LinearTerm():
                charges = term.metric.link_charges(c.tensor_bytes).sum(axis=1) @ c.fan_out
                alpha = np.where(c.allowed, term.metric.alpha, 0.0).max(axis=1, initial=0.0).sum()
                return float(term.weight * (alpha + charges + term.metric.gamma.sum()))
            case LatencyTerm() | PeriodTerm():
                return term.weight * serial_bound(c)
            case WorstLeakageTerm():
                return term.weight
            case MaxTerm():
                return term.weight * max((most(part) for part in term.parts), default=0.0)

    return sum(most(term) for term in c.objective[0])


def _far_apart(c: CompiledProblem) -> str:
    """Return which two values of a kind are farthest apart."""
    ends = []
    for unit, values in _values(c).items():
        positive = [(value, place) for value, place in values if value > 0]
        if positive:
            ends.append((unit, min(positive), max(positive)))
    if not ends:
        return "weights are too large for MILP solvers; constraint programming and exact methods have no such limit"
    unit, (least, at_least), (most, at_most) = max(ends, key=lambda end: end[2][0] / end[1][0])
    return (
        f"{most:g} {unit} ({at_most}) and {least:g} {unit} ({at_least}) are too far apart for MILP solvers, and no "
        "known plan rules one of them out; constraint programming and exact methods have no such limit"
    )


def _values(c: CompiledProblem) -> dict[str, list[tuple[float, str]]]:
    """Return what is counted in the objective and in limits, by unit: values, and where they come from."""
    found: dict[str, list[tuple[float, str]]] = {}
    found["s"] = [*_of_layers(c, c.time), *_of_links(c, c.hop_seconds)]
    metrics = [term.metric for term in c.terms() if isinstance(term, LinearTerm)]
    metrics += [limit.metric for limit in c.constraints if isinstance(limit, LinearLimit)]
    for metric in metrics:
        values = found.setdefault(metric.unit, [])
        values += _of_layers(c, np.abs(metric.alpha))
        values += _of_links(c, metric.link_charges(c.tensor_bytes))
    return found


def _of_layers(c: CompiledProblem, values: Array) -> Iterator[tuple[float, str]]:
    for node, executor in np.argwhere(c.allowed & c.is_layer[:, None]).tolist():
        yield float(values[node, executor]), f"layer {c.node_names[node]} on {c.executor_names[executor]}"


def _of_links(c: CompiledProblem, values: Array) -> Iterator[tuple[float, str]]:
    """Yield values of tensors that may be sent over links."""
    sent = np.zeros(values.shape, dtype=bool)
    np.logical_or.at(sent, c.edge_tensor, (c.edge_moves.astype(float) @ c.pair_uses_link) > 0)
    for tensor, link in np.argwhere(sent).tolist():
        yield float(values[tensor, link]), f"tensor {c.tensor_names[tensor]} over {c.link_names[link]}"
