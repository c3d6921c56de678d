"""Symmetry breaking for identical devices: a class is used in the order of its devices, as layers come.

    z_vi <= z_ui + x_ui             u: the layer before v;  z_vi: device i is used by a layer before v
    x_vj <= z_vi                    j: the device after i in the class

Of all plans that differ by exchanging identical devices, one is left. Size: N variables and 2 N rows for each device
of a class but its last.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from dnnopt.compiled.metrics import Index
from dnnopt.formulations.milp.build import Build
from dnnopt.models.arrays import Values


def add_symmetry_breaking(build: Build, classes: list[list[int]]) -> None:
    """Add the variables and rows for every class of identical devices."""
    c, model = build.c, build.model
    layers = np.flatnonzero(c.is_layer)
    names = [c.node_names[layer] for layer in layers]
    for members in classes:
        for i, j in pairwise(members):
            label = c.device_names[i]

            def before(placement: Index, i: int = i) -> Values:
                used = np.cumsum(c.executor_device[placement[layers]] == i) > 0
                return np.concatenate([[0.0], used[:-1]])

            upper = np.ones(len(layers))
            upper[0] = 0.0
            z = model.add_variables(
                f"earlier({label})", (len(layers),), axes=lambda: (names,), upper=upper, evaluate=before
            )
            steps = np.stack([z[1:], z[:-1], build.x[layers[:-1], i]], axis=1)
            model.add_rows(f"used_earlier({label})", steps, [1.0, -1.0, -1.0], upper=0.0, axes=lambda: (names[1:],))
            order = np.stack([build.x[layers, j], z], axis=1)
            model.add_rows(f"in_order({label})", order, [1.0, -1.0], upper=0.0, axes=lambda: (names,))
