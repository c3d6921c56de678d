"""Objective terms in whole numbers, with the variables that a maximum needs.

One scale serves all terms of a sum. A maximum becomes a variable, in scaled units, that is at least each of its rows.
A latency is in large whole numbers itself (see `times.py`), so what it is multiplied by needs a finer scale.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.constraints import LatencyTerm, LinearTerm, MaxTerm, ObjectiveTerm, PeriodTerm, WorstLeakageTerm
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.scaling import all_on_one
from dnnopt.formulations.cp.literals import Literals
from dnnopt.formulations.implied import Entries
from dnnopt.models.arrays import Columns, Values
from dnnopt.models.constraint import TOLERANCE, Whole, scale_for
from dnnopt.models.linear import summed

WholeEntries = tuple[Columns, Whole]
_FINE_RESOLUTION = 2.0**52


def add_objective(literals: Literals) -> None:
    """Minimise the weighted sum of the objective's terms."""
    c, model, terms = literals.c, literals.model, literals.c.objective[0]
    sizes = np.append(evaluator_of(c).total(terms, all_on_one(c)), c.cap)
    positive = sizes[np.isfinite(sizes) & (sizes > 0)]
    entries, scale = _whole_terms(literals, terms, float(positive.min()) if positive.size else 0.0, c.cap)
    model.objective_unit = 1.0 / scale
    for columns, coefficients in entries:
        model.minimize(columns, coefficients)


def add_objective_limit(literals: Literals, label: str, terms: tuple[ObjectiveTerm, ...], limit: float) -> None:
    """Add that the weighted sum of the terms is at most `limit`; no plan within 1e-9 of it is cut off."""
    entries, scale = _whole_terms(literals, terms, abs(limit), limit if limit > 0 else np.inf)
    columns = np.concatenate([part for part, _ in entries])
    coefficients = np.concatenate([part for _, part in entries])
    upper = np.floor((limit + TOLERANCE * abs(limit)) * scale)
    literals.model.add_whole_row(label, columns, coefficients, upper=int(upper))


def _whole_terms(
    literals: Literals, terms: tuple[ObjectiveTerm, ...], size: float, cap: float = np.inf
) -> tuple[list[WholeEntries], float]:
    """Return columns and whole coefficients that add up to the terms, and the scale that they have in common.

    What is linear is summed before it is rounded, so that coefficients which cancel leave nothing. Where nothing is
    negative, what costs more than twice the `cap` costs just that, so that numbers beyond it do not spoil the scale.
    """
    rows = [_rows(literals, term) for term in terms]
    most = np.maximum(np.abs(literals.model.lower), np.abs(literals.model.upper)).astype(float)
    # What is always zero has no part in the scale, so its coefficient could be beyond 64 bits.
    rows = [[(columns, values * (most[columns] > 0)) for columns, values in parts] for parts in rows]
    maxima = [parts for term, parts in zip(terms, rows, strict=True) if _is_maximum(term)]
    linear = [parts[0] for term, parts in zip(terms, rows, strict=True) if not _is_maximum(term)]
    sums = [*maxima, [summed(linear)]] if linear else maxima
    if all((values >= 0).all() for parts in sums for _, values in parts) and cap > 0:
        sums = [[(columns, np.minimum(values, 2 * cap)) for columns, values in parts] for parts in sums]
    totals = [max((float(np.abs(values) @ most[columns]) for columns, values in parts), default=0.0) for parts in sums]
    timed = literals.times is not None
    scale = scale_for(size, sum(totals), _FINE_RESOLUTION) if timed else scale_for(size, sum(totals))
    whole = [_maximum(literals, parts, scale) for parts in sums[: len(maxima)]]
    whole += [(columns, _floor(values, scale)) for (columns, values) in (parts[0] for parts in sums[len(maxima) :])]
    return whole, scale


def _floor(values: Values, scale: float) -> Whole:
    return np.floor(values * scale).astype(np.int64)


def _is_maximum(term: ObjectiveTerm) -> bool:
    return not isinstance(term, LinearTerm | LatencyTerm)


def _rows(literals: Literals, term: ObjectiveTerm) -> list[Entries]:
    """Return what the term is the largest of, with its weight: for a linear term, itself alone."""
    c = literals.c
    match term:
        case LinearTerm():
            rows = [literals.entries(term.metric)]
        case PeriodTerm():
            rows = [literals.load_entries(q) for q in range(len(c.resource_names))]
        case WorstLeakageTerm():
            sensitivity = np.nan_to_num(c.sensitivity)
            h = literals.exposed
            rows = [(h[t : t + 1], sensitivity[t : t + 1]) for t in np.flatnonzero(sensitivity)]
            seen = c.events.sensitivity
            rows += [(literals.happening[x : x + 1], seen[x : x + 1]) for x in np.flatnonzero(seen)]
        case MaxTerm():
            rows = [row for part in term.parts for row in _rows(literals, part)]
            rows += _joint_rows(literals, term)
        case LatencyTerm():
            assert literals.times is not None  # asked before
            column = literals.times.latency[[term.network]]
            rows = [(column, np.array([1.0 / literals.times.scale]))]
    return [(columns, term.weight * values) for columns, values in rows]


def _joint_rows(literals: Literals, term: MaxTerm) -> list[Entries]:
    """Return what each resource does for all networks, where the term is their largest latency: one ends no earlier."""
    networks = tuple(part.network for part in term.parts if isinstance(part, LatencyTerm))
    if literals.times is None or len(networks) < max(len(term.parts), 2):
        return []
    factor = min(part.weight for part in term.parts) / literals.times.scale
    return [(columns, factor * seconds) for columns, seconds in literals.times.joint_loads(networks)]


def _maximum(literals: Literals, rows: list[Entries], scale: float) -> WholeEntries:
    """Add a variable that is at least each of the rows; return it as an expression."""
    model = literals.model
    whole = [(columns, _floor(values, scale)) for columns, values in rows]

    def largest(values: Values) -> float:
        exact = values.astype(np.int64)
        most = max((int(coefficients @ exact[columns]) for columns, coefficients in whole), default=0)
        return float(most) if float(most) >= most else float(np.nextafter(float(most), np.inf))

    name = f"largest{sum(block.name.startswith('largest') for block in model.variables)}"
    most = np.array(model.upper)
    upper = max((int(np.maximum(coefficients, 0) @ most[columns]) for columns, coefficients in whole), default=0)
    lower = min((int(np.minimum(coefficients, 0) @ most[columns]) for columns, coefficients in whole), default=0)
    upper += upper >> 50  # a start plan has floating-point values, which may be a little more
    variable = model.add_variables(name, (1,), axes=lambda: ((name,),), lower=lower, upper=upper, follow=largest)
    for columns, coefficients in whole:
        keep = coefficients != 0
        model.add_whole_row(name, np.append(variable, columns[keep]), np.append(1, -coefficients[keep]), lower=0)
    return variable, np.ones(1, dtype=np.int64)
