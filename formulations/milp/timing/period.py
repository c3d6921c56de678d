"""Timing `period`: the largest load.

    T >= Σ_{i ∈ q} Σ_v t_vi x_vi + Σ_{ℓ ∈ q} Σ_τ s_τℓ w_τℓ      for each resource q

Size: 1 variable, Q rows.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled import Index
from dnnopt.evaluator import Evaluator
from dnnopt.formulations.milp.build import Build
from dnnopt.linear_model import Values


def add_period(build: Build) -> int:
    """Add `T` and the load rows; return the column of T."""
    c, model = build.c, build.model
    unit = model.units.time

    def largest(placement: Index) -> Values:
        return Evaluator(c).loads(placement[None])[0].max() / unit

    column = int(model.add_variables("period", (), evaluate=largest))
    rows, columns, values = [], [], []
    for q in range(len(c.resource_names)):
        here = c.resource_devices[q, c.executor_device]
        rows.append(np.full(build.x[:, here].size, q))
        columns.append(build.x[:, here].ravel())
        values.append(-build.seconds[:, here].ravel())
        links = c.resource_links[q].astype(float)
        if not links.any():
            continue
        for copies in build.copies:
            used = np.flatnonzero(copies.ways @ links)
            charge = copies.charge(
                c.link_latency * links, links / c.link_bandwidth, np.ones(len(c.tensor_names)), c.tensor_bytes
            )[:, used]
            rows.append(np.full(charge.size, q))
            columns.append(copies.columns[:, used].ravel())
            values.append(-charge.ravel() / unit)
    count = len(c.resource_names)
    rows.append(np.arange(count))
    columns.append(np.full(count, column))
    values.append(np.ones(count))
    model.add_sparse_rows(
        "load",
        (count,),
        np.concatenate(rows),
        np.concatenate(columns),
        np.concatenate(values),
        lower=0.0,
        axes=lambda: (c.resource_names,),
    )
    return column
