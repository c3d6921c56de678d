"""Objective terms as linear expressions, with the variables that a maximum needs.

T >= load_q for each resource q       W >= ρ_τ h_τ for each tensor       M >= each part of another maximum
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled import (
    Index,
    LatencyTerm,
    LinearTerm,
    MaxTerm,
    ObjectiveTerm,
    PeriodTerm,
    WorstLeakageTerm,
)
from dnnopt.evaluator import Evaluator
from dnnopt.formulations.milp.build import Build, Entries
from dnnopt.formulations.milp.module_cuts import joint_loads
from dnnopt.formulations.milp.timing.period import add_period
from dnnopt.linear_model import Values
from dnnopt.scaling import unit_of


def add_objective(build: Build, terms: tuple[ObjectiveTerm, ...]) -> None:
    """Minimise the weighted sum of the terms."""
    for term in terms:
        columns, values = term_entries(build, term)
        build.model.minimize(columns, values / build.model.units.objective)


def term_entries(build: Build, term: ObjectiveTerm) -> Entries:
    """Return the columns and SI coefficients of a term with its weight; a column may come twice."""
    units = build.model.units
    match term:
        case LinearTerm():
            columns, values = build.entries(term.metric)
            return columns, term.weight * units.of(term.metric.unit) * values
        case LatencyTerm():
            column, unit = build.latency[term.network], units.time
        case PeriodTerm():
            column, unit = add_period(build), units.time
        case WorstLeakageTerm():
            column, unit = _add_worst_leakage(build), 1.0
        case MaxTerm():
            column, unit = _add_maximum(build, term), units.of(unit_of(term))
    return np.array([column]), np.array([term.weight * unit])


def _add_worst_leakage(build: Build) -> int:
    """Add `W >= ρ_τ h_τ` for every tensor; return the column of W."""
    c, model = build.c, build.model
    sensitivity = np.nan_to_num(c.sensitivity)
    h = build.exposed

    def largest(placement: Index) -> Values:
        evaluator, placements = Evaluator(c), placement[None]
        exposed = evaluator.exposed(placements, evaluator.edge_pairs(placements))[0]
        return np.max(sensitivity * exposed, initial=0.0)

    column = int(model.add_variables("worst_leakage", (), evaluate=largest))
    columns = np.stack([np.full(len(h), column), h], axis=1)
    values = np.stack([np.ones(len(h)), -sensitivity], axis=1)
    model.add_rows("worst", columns, values, lower=0.0, axes=lambda: (c.tensor_names,))
    return column


def _add_maximum(build: Build, term: MaxTerm) -> int:
    """Add `M >= part` for every part, in the model's unit of what they measure; return the column of M."""
    model = build.model
    unit = model.units.of(unit_of(term))
    name = f"largest{sum(block.name.startswith('largest') for block in model.variables)}"
    rows = [term_entries(build, part) for part in term.parts]
    networks = tuple(part.network for part in term.parts if isinstance(part, LatencyTerm))
    if len(networks) == len(term.parts) and networks:
        least = min(part.weight for part in term.parts) * model.units.time
        rows += [(columns, least * values) for columns, values in joint_loads(build, networks)]

    def largest(values: Values) -> float:
        return max((float(part @ values[columns]) / unit for columns, part in rows), default=0.0)

    column = int(model.add_variables(name, (), lower=-np.inf, follow=largest))
    for position, (columns, values) in enumerate(rows):
        build.at_most(f"{name}_of({position})", np.append(columns, column), np.append(values / unit, -1.0), 0.0)
    return column
