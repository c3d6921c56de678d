"""Timing `period`: the largest load.

    T >= Σ_{i ∈ q} Σ_v t_vi x_vi + Σ_{ℓ ∈ q} Σ_τ s_τℓ w_τℓ      for each resource q

T is what the period adds to the objective: with its weight, and in the objective's unit.
Size: 1 variable, Q rows; and a few more where a cap on the period is known (`covers.py`).
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.metrics import Array, Index
from dnnopt.formulations.copies import Copies
from dnnopt.formulations.milp.build import Build, clipped
from dnnopt.formulations.milp.timing.covers import add_load_covers
from dnnopt.models.arrays import Columns, Values


def add_period(build: Build, weight: float, most: float) -> int:
    """Add `T`, the period (SI) times the weight, and the load rows; return the column of T.

    What alone loads a resource beyond the limit `most` is clipped.
    """
    c, model = build.c, build.model

    def largest(placement: Index) -> Values:
        return weight * evaluator_of(c).loads(placement[None])[0].max()

    column = int(model.add_variables("period", (), evaluate=largest))
    count = len(c.resource_names)
    rows, columns, values = [], [], []

    def add_entries(q: int, at: Columns, load: Array) -> None:
        rows.append(np.full(at.size, q))
        columns.append(at.ravel())
        values.append(-clipped(weight * load.ravel(), most))

    for q, load in enumerate(c.loads):
        here = c.resource_devices[q, c.executor_device]
        add_entries(q, build.x[:, here], load.alpha[:, here])
        for copies in build.copies:
            used = np.flatnonzero(copies.ways @ c.resource_links[q])
            over = Copies(copies.columns[:, used], copies.tensor, copies.ways[used])
            add_entries(q, over.columns, over.charge(load, c.tensor_bytes))
        if load.happens:
            add_entries(q, build.happening, load.on_event)
        rows.append(np.array([q]))
        columns.append(np.array([column]))
        values.append(np.ones(1))
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
