"""Timing `calls`: each device but pools runs what it has of the network as one call.

    end_v  >= end_u + Σ_{i a pool} t_vi x_vi                  for each edge e = (u, v); what v makes appears at end_v
    end_v  >= Σ_{i a pool} t_vi x_vi                          for each other node v
    end_v  >= finish_i - M (1 - x_vi)                         a call's outputs appear at its end
    begin_i >= end_u - M (1 - into_ei)                        for each edge e that enters device i
    finish_i >= begin_i + Σ_v t_vi x_vi + Σ_τℓ s_τℓ w_τℓ      with all links ℓ at i
    Λ      >= end_v

i: devices that are no pools; into_ei: the edge's move to device i. M: no latency is above it in a plan within the
problem's cap. That no calls wait for each other is a constraint of its own. The rows of `potentials` are added too: the
critical path without calls is never longer, and its relaxation is far stronger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dnnopt.compiled.call_times import CallTimes, call_times
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.windows import latency_limits
from dnnopt.formulations.edges import at_device, edge_labels
from dnnopt.formulations.milp.build import Build
from dnnopt.formulations.milp.timing import potentials
from dnnopt.models.arrays import Columns, Values

Part = tuple[Columns, float | Values]


def add(build: Build) -> None:
    """Add `end`, `begin`, `finish`, and what ties the latency to them."""
    potentials.add_start_times(build)
    c, model = build.c, build.model
    assert c.pools is not None
    assert c.call_links is not None
    unit, calling = model.units.time, np.flatnonzero(~c.pools)
    latest = float(latency_limits(c)[0]) / unit
    evaluator = evaluator_of(c)

    def times(placement: Index) -> CallTimes:
        return call_times(c, placement, evaluator.call_seconds(placement[None])[0])

    nodes, names = len(c.node_names), [c.device_names[device] for device in calling]

    def variables(name: str, labels: Sequence[str], value: Callable[[CallTimes], Values]) -> Columns:
        return model.add_variables(
            name, (len(labels),), axes=lambda: (labels,), evaluate=lambda placement: value(times(placement))
        )

    end = variables("end", c.node_names, lambda found: found.end / unit)
    begin = variables("call_begin", names, lambda found: found.call_start[calling] / unit)
    finish = variables("call_end", names, lambda found: found.call_end[calling] / unit)
    u, v = c.edge_producer, c.edge_consumer
    on_pools = np.flatnonzero(c.pools[c.executor_device])
    at = at_device(c, build.x, build.model)

    def rows(name: str, parts: list[Part], lower: float, labels: Callable[[], list[str]]) -> None:
        """Add one row for each item of the parts: blocks of columns (rows, w), each with its coefficients."""
        columns = [part if part.ndim == 2 else part[:, None] for part, _ in parts]
        values = [np.broadcast_to(value, column.shape) for column, (_, value) in zip(columns, parts, strict=True)]
        model.add_rows(
            name,
            np.concatenate(columns, axis=1),
            np.concatenate(values, axis=1).astype(float),
            lower=lower,
            drop_zeros=True,
            axes=lambda: (labels(),),
        )

    every = np.arange(nodes)
    first = np.setdiff1d(every, v)
    if len(c.edges):
        own = (build.x[v][:, on_pools], -build.seconds[v][:, on_pools])
        rows("end_after", [(end[v], 1.0), (end[u], -1.0), own], 0.0, lambda: edge_labels(c))
        moves = [build.moves.into(device) for device in range(len(c.device_names))]
    own = (build.x[first][:, on_pools], -build.seconds[first][:, on_pools])
    rows("end_first", [(end[first], 1.0), own], 0.0, lambda: [c.node_names[node] for node in first])
    rows("last", [(np.full(nodes, build.latency[0]), 1.0), (end, -1.0)], 0.0, lambda: list(c.node_names))
    for position, device in enumerate(calling):
        name, here = names[position], at[:, device]
        call_end = np.full(nodes, finish[position])
        rows(f"appears({name})", [(end, 1.0), (call_end, -1.0), (here, -latest)], -latest, lambda: list(c.node_names))
        if len(c.edges):
            call_begin = np.full(len(u), begin[position])
            waiting: list[Part] = [(call_begin, 1.0), (end[u], -1.0), (moves[device], -latest)]
            rows(f"needs({name})", waiting, -latest, lambda: edge_labels(c))
        columns, values = build.entries(c.busy("call", np.arange(len(c.device_names)) == device, c.call_links[device]))
        ends = np.array([begin[position], finish[position]], dtype=columns.dtype)
        build.at_most(f"call({name})", np.append(columns, ends), np.append(values, [1.0, -1.0]), 0.0)
