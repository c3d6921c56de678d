"""Objective terms as linear expressions, with the variables that a maximum needs.

T >= load_q for each resource q       W >= ρ_τ h_τ for each tensor       M >= each part of another maximum

These variables are what the maximum adds to its sum: with its weight, and in the sum's unit.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.constraints import LatencyTerm, LinearTerm, MaxTerm, ObjectiveTerm, PeriodTerm, WorstLeakageTerm
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.metrics import Index
from dnnopt.formulations.implied import Entries
from dnnopt.formulations.milp.build import Build, clipped
from dnnopt.formulations.milp.module_cuts import joint_loads
from dnnopt.formulations.milp.timing.period import add_period
from dnnopt.models.arrays import Values
from dnnopt.models.linear import summed


def add_objective(build: Build, terms: tuple[ObjectiveTerm, ...]) -> None:
    """Minimise the weighted sum of the terms."""
    build.model.minimize(*sum_entries(build, terms, build.model.units.objective, build.c.cap or np.inf))


def sum_entries(build: Build, terms: tuple[ObjectiveTerm, ...], unit: float, cap: float) -> Entries:
    """Return the columns and coefficients of the weighted sum of the terms.

    Parameters
    ----------
    build : Build
    terms : tuple of ObjectiveTerm
    unit : float
        SI value of one unit of the sum.
    cap : float
        SI; sums above it do not matter. Where nothing is negative, what alone costs more than that is clipped, so that
        the numbers stay close together.
    """
    linear = [_term_entries(build, term, unit, np.inf) for term in terms if isinstance(term, LinearTerm)]
    columns, values = summed(linear)
    most = cap / unit if cap >= 0 and (values >= 0).all() else np.inf
    others = [_term_entries(build, term, unit, most) for term in terms if not isinstance(term, LinearTerm)]
    return (
        np.concatenate([columns, *(part for part, _ in others)]),
        np.concatenate([clipped(values, most), *(part for _, part in others)]),
    )


def _term_entries(build: Build, term: ObjectiveTerm, unit: float, most: float) -> Entries:
    """Return the columns and coefficients of a term with its weight, in the sum's unit; those of 0-1 variables clipped.

    A column may come twice.
    """
    units = build.model.units
    match term:
        case LinearTerm():
            columns, values = build.entries(term.metric)
            return columns, clipped(term.weight * units.of(term.metric.unit) / unit * values, most)
        case LatencyTerm():
            return np.array([build.latency[term.network]]), np.array([term.weight * units.time / unit])
        case PeriodTerm():
            column = add_period(build, term.weight / unit, most)
        case WorstLeakageTerm():
            column = _add_worst_leakage(build, term.weight / unit, most)
        case MaxTerm():
            column = _add_maximum(build, term, unit, most)
    return np.array([column]), np.ones(1)


def _add_worst_leakage(build: Build, weight: float, most: float) -> int:
    """Add `W >= weight ρ_τ h_τ` for every tensor; return the column of W."""
    c, model = build.c, build.model
    sensitivity = np.nan_to_num(c.sensitivity)  # there is none where nothing can leak
    h, names = build.exposed, list(c.tensor_names)
    if c.events.sensitivity.any():
        h, names = np.append(h, build.happening), [*names, *c.events.names]
        sensitivity = np.append(sensitivity, c.events.sensitivity)

    def largest(placement: Index) -> Values:
        return weight * evaluator_of(c).total((WorstLeakageTerm(1.0),), placement[None])[0]

    column = int(model.add_variables("worst_leakage", (), evaluate=largest))
    columns = np.stack([np.full(len(h), column), h], axis=1)
    values = np.stack([np.ones(len(h)), -clipped(weight * sensitivity, most)], axis=1)
    model.add_rows("worst", columns, values, lower=0.0, axes=lambda: (names,))
    return column


def _add_maximum(build: Build, term: MaxTerm, unit: float, most: float) -> int:
    """Add `M >= weight · part` for every part; return the column of M."""
    model = build.model
    name = f"largest{sum(block.name.startswith('largest') for block in model.variables)}"
    rows = [_term_entries(build, part, unit / term.weight if term.weight else np.inf, most) for part in term.parts]
    networks = tuple(part.network for part in term.parts if isinstance(part, LatencyTerm))
    if len(networks) == len(term.parts) and networks:
        least = term.weight * min(part.weight for part in term.parts) * model.units.time / unit
        rows += [(columns, least * values) for columns, values in joint_loads(build, networks)]

    def largest(values: Values) -> float:
        return max((float(part @ values[columns]) for columns, part in rows), default=0.0)

    # HiGHS was seen to call models unbounded in which this has no bound of its own; all columns of parts are 0 or more.
    least_of_all = 0.0 if any((values >= 0).all() for _, values in rows) else -np.inf
    column = int(model.add_variables(name, (), lower=least_of_all, follow=largest))
    for position, (columns, values) in enumerate(rows):
        build.at_most(f"{name}_of({position})", np.append(columns, column), np.append(values, -1.0), 0.0)
    return column
