"""Objective: weighted sum of linear metrics, latencies, the period and the worst leakage, in the model's unit."""

from __future__ import annotations

import numpy as np

from dnnopt.compiled import Index, LatencyTerm, LinearTerm, ObjectiveTerm, PeriodTerm, WorstLeakageTerm
from dnnopt.formulations.milp.build import Build
from dnnopt.formulations.milp.timing.period import add_period
from dnnopt.linear_model import Values


def add_objective(build: Build, terms: tuple[ObjectiveTerm, ...]) -> None:
    """Add every term to the model's objective."""
    model = build.model
    for term in terms:
        match term:
            case LinearTerm():
                columns, values = build.entries(term.metric)
                factor = model.units.of(term.metric.unit)
                model.minimize(columns, term.weight * factor / model.units.objective * values)
            case LatencyTerm():
                factor = model.units.time / model.units.objective
                model.minimize(np.array([build.latency[term.network]]), term.weight * factor)
            case PeriodTerm():
                factor = model.units.time / model.units.objective
                model.minimize(np.array([add_period(build)]), term.weight * factor)
            case WorstLeakageTerm():
                model.minimize(np.array([_add_worst_leakage(build)]), term.weight / model.units.objective)


def _add_worst_leakage(build: Build) -> int:
    """Add `W >= ρ_τ h_τ` for every tensor; return the column of W."""
    c, model = build.c, build.model
    sensitivity = np.nan_to_num(c.sensitivity)
    h = build.exposed
    evaluate_h = model.variables[-1].evaluate
    assert evaluate_h is not None

    def largest(placement: Index) -> Values:
        return np.max(sensitivity * np.asarray(evaluate_h(placement)), initial=0.0)

    column = int(model.add_variables("worst_leakage", (), evaluate=largest))
    columns = np.stack([np.full(len(h), column), h], axis=1)
    values = np.stack([np.ones(len(h)), -sensitivity], axis=1)
    model.add_rows("worst", columns, values, lower=0.0, axes=lambda: (c.tensor_names,))
    return column
