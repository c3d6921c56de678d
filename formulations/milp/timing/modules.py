"""Timing `modules`: a relaxation of `scheduled` execution, without variables for the order of tasks.

The rows of `potentials`, the module cuts of `module_cuts.py` and

    S_v >= Σ_i head_vi x_vi
    S_v + Σ_i (t_vi + tail_vi) x_vi <= limit_a          what the problem's cap leaves for Λ_a; see `windows.py`

Its value is a bound only. On single networks, which are nearly chains of small modules, it is close to the optimum, and
so is a list schedule of its placement.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.metrics import Array
from dnnopt.compiled.windows import Durations, Windows, latency_limits
from dnnopt.formulations.milp.build import Build
from dnnopt.formulations.milp.module_cuts import add_module_cuts
from dnnopt.formulations.milp.timing.potentials import add_start_times


def add_relaxed_times(build: Build) -> tuple[Windows, Array]:
    """Add start times and what is known of them without an order; return windows and limits in the model's unit."""
    c, unit = build.c, build.model.units.time
    add_start_times(build)
    windows = Windows.of(c, Durations.of(c, unit))
    limits = latency_limits(c) / unit
    _add_windows(build, windows, limits)
    add_module_cuts(build)
    return windows, limits


def add(build: Build) -> None:
    """Add start times and rows."""
    add_relaxed_times(build)


def _add_windows(build: Build, windows: Windows, limits: Array) -> None:
    c = build.c
    head = np.where(np.isfinite(windows.head), windows.head, 0.0)
    tail = np.where(np.isfinite(windows.tail), windows.tail, 0.0) + windows.durations.node
    columns = np.concatenate([build.start[:, None], build.x], axis=1)
    one = np.ones((len(build.start), 1))
    add = build.model.add_rows
    add("head", columns, np.concatenate([one, -head], 1), lower=0.0, drop_zeros=True, axes=lambda: (c.node_names,))
    upper = limits[c.node_network]
    add("tail", columns, np.concatenate([one, tail], 1), upper=upper, drop_zeros=True, axes=lambda: (c.node_names,))
