"""Timing `potentials`: start times along the critical path, without big-M.

    S_v >= S_u + Σ_i t_ui x_ui + Σ_p s_ep y_ep      for each edge e = (u, v), s_ep: seconds over the route of pair p
                                                    (`boundary`: Σ_i s_ei leave_ei + Σ_j s_ej enter_ej)
    Λ_a >= S_v + Σ_i t_vi x_vi                      for each node v of network a that no edge leaves

The transfer time is linear in y, so no constant is needed to switch anything off.
Size: N + A variables, E + (sinks) rows.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.metrics import Index
from dnnopt.formulations.edges import edge_labels
from dnnopt.formulations.milp.build import Build
from dnnopt.models.arrays import Values


def add_start_times(build: Build) -> None:
    """Add `S` and `Λ`; the columns of Λ become `build.latency`."""
    c, model = build.c, build.model
    unit = model.units.time

    def starts(placement: Index) -> Values:
        return evaluator_of(c).starts(placement[None])[0] / unit

    def latencies(placement: Index) -> Values:
        return evaluator_of(c).latencies(placement[None])[0] / unit

    start = build.start = model.add_variables(
        "start",
        (len(c.node_names),),
        axes=lambda: (c.node_names,),
        evaluate=starts,
        evaluate_times=lambda times: np.array(times.starts[: len(c.node_names)]) / unit,
    )
    latency = model.add_variables(
        "latency",
        (len(c.network_names),),
        axes=lambda: (c.network_names,),
        evaluate=latencies,
        evaluate_times=lambda times: times.tasks.latencies(times.starts) / unit,
    )
    build.latency = latency.tolist()
    u, v = c.edge_producer, c.edge_consumer
    if len(c.edges):
        ends = np.stack([start[v], start[u]], axis=1)
        transfer, transfer_seconds = build.transfer_entries
        columns = np.concatenate([ends, build.x[u], transfer], axis=1)
        one = np.ones((len(u), 1))
        values = np.concatenate([one, -one, -build.seconds[u], -transfer_seconds], axis=1)
        model.add_rows("precede", columns, values, lower=0.0, drop_zeros=True, axes=lambda: (edge_labels(c),))
    last = np.setdiff1d(np.arange(len(c.node_names)), u)
    columns = np.concatenate([latency[c.node_network[last]][:, None], start[last][:, None], build.x[last]], axis=1)
    one = np.ones((len(last), 1))
    values = np.concatenate([one, -one, -build.seconds[last]], axis=1)
    names = [c.node_names[node] for node in last]
    model.add_rows("finish", columns, values, lower=0.0, drop_zeros=True, axes=lambda: (names,))
