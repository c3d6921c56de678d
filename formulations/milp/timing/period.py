"""Timing `period`: the largest load.

    T >= Σ_{i ∈ q} Σ_v t_vi x_vi + Σ_{ℓ ∈ q} Σ_τ s_τℓ w_τℓ      for each resource q

Size: 1 variable, Q rows; and a few more where a cap on the period is known (`covers.py`).
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled import Index
from dnnopt.evaluator import Evaluator
from dnnopt.formulations.copies import Copies
from dnnopt.formulations.milp.build import Build
from dnnopt.formulations.milp.timing.covers import add_load_covers
from dnnopt.linear_model import Columns, Values
from dnnopt.metrics import Array


def add_period(build: Build) -> int:
    """Add `T` and the load rows; return the column of T."""
    c, model = build.c, build.model
    unit = model.units.time

    def largest(placement: Index) -> Values:
        return Evaluator(c).loads(placement[None])[0].max() / unit

    column = int(model.add_variables("period", (), evaluate=largest))
    count = len(c.resource_names)
    rows, columns, values = [], [], []

    def add_entries(q: int, at: Columns, seconds: Array) -> None:
        rows.append(np.full(at.size, q))
        columns.append(at.ravel())
        values.append(seconds.ravel())

    for q in range(count):
        here = c.resource_devices[q, c.executor_device]
        add_entries(q, build.x[:, here], -build.seconds[:, here])
        links = c.resource_links[q]
        for copies in build.copies:
            used = np.flatnonzero(copies.ways @ links)
            over = Copies(copies.columns[:, used], copies.tensor, copies.ways[used])
            scale = np.ones(len(c.tensor_names))
            charge = over.charge(links * c.link_latency, links / c.link_bandwidth, scale, c.tensor_bytes)
            add_entries(q, over.columns, -charge / unit)
        add_entries(q, np.array([column]), np.ones(1))
    model.add_sparse_rows(
        "load",
        (count,),
        np.concatenate(rows),
        np.concatenate(columns),
        np.concatenate(values),
        lower=0.0,
        axes=lambda: (c.resource_names,),
    )
    add_load_covers(build)
    return column
