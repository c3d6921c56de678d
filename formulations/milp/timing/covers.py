"""Rows that a cap on the period implies: how many of the long layers one resource can run.

    Σ_{v ∈ B} Σ_{i ∈ q} x_vi <= n        B: layers of which no n + 1 together fit below the cap on q

For each n, B is the largest set of the longest layers. These are extended cover inequalities of the load rows (Balas:
Facets of the knapsack polytope, 1975), for which solvers would have to guess the cap; without them a relaxation shares
out evenly what comes in pieces. Size: up to 8 rows a resource.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import ObjectiveLimit, ObjectiveTerm, PeriodTerm
from dnnopt.compiled.metrics import Index
from dnnopt.formulations.milp.build import Build

_MOST = 8
_ROOM = 1e-9  # a plan within this of the cap is not cut off


def add_load_covers(build: Build) -> None:
    """Add the rows, where there is a cap."""
    c = build.c
    cap = period_cap(c)
    if not np.isfinite(cap):
        return
    for q, name in enumerate(c.resource_names):
        here = np.flatnonzero(c.resource_devices[q, c.executor_device])
        if not len(here):
            continue
        time = c.allowed_time[:, here].min(axis=1)
        known = np.flatnonzero(np.isfinite(time))
        longest = known[np.argsort(-time[known], kind="stable")]
        for count, nodes in covers(time[longest], cap):
            columns = build.x[np.ix_(longest[:nodes], here)].ravel()
            build.model.add_rows(f"at_most_{count}_long({name})", columns, 1.0, upper=float(count))


def covers(time: Index, cap: float) -> list[tuple[int, int]]:
    """Return pairs (n, m): of the m first of these times, which fall, no n + 1 fit below the cap, and m > n."""
    total = np.append(0.0, np.cumsum(time))
    found = []
    for count in range(1, min(_MOST, len(time) - 1) + 1):
        windows = total[count + 1 :] - total[: -count - 1]  # of n + 1 times in a row, which fall too
        fits = windows <= cap * (1 + _ROOM)
        last = int(fits.argmax()) if fits.any() else len(windows)
        if last:
            found.append((count, last + count))
    return found


def period_cap(c: CompiledProblem) -> float:
    """Return what the period of the plans that are looked for is at most; infinite where nothing says so."""
    limits = [(c.objective[0], c.cap)]
    limits += [(one.terms, one.limit) for one in c.constraints if isinstance(one, ObjectiveLimit)]
    return min(
        (limit / terms[0].weight for terms, limit in limits if _is_period(terms)),
        default=np.inf,
    )


def _is_period(terms: tuple[ObjectiveTerm, ...]) -> bool:
    return len(terms) == 1 and isinstance(terms[0], PeriodTerm) and terms[0].weight > 0
