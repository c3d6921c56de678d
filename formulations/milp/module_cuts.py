"""Module cuts: what each resource must do between two nodes that all of it lies between.

    S_v >= S_u + Σ_i t_ui x_ui + Σ_{w ∈ B} Σ_{i ∈ q} t_wi x_wi + Σ_{ℓ ∈ q} Σ_{τ inside} s_τℓ w_τℓ

for each fork-join module (u, v) with B between, and each resource q: B and the transfers of tensors inside run after u
has ended and before v starts, and q does one thing at a time. For a whole network, Λ_a takes the place of S_v and there
is no u. Valid for `scheduled` execution, not for `parallel`.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.precedence import fork_joins, reachability, together, whole_networks
from dnnopt.compiled.windows import Durations
from dnnopt.formulations.implied import Entries
from dnnopt.formulations.loads import module_load
from dnnopt.formulations.milp.build import Build


def add_module_cuts(build: Build) -> None:
    """Add the rows, for a build with start times."""
    c = build.c
    reach = reachability(c)
    durations = Durations.of(c, build.model.units.time)
    columns, values, names = [], [], []
    for module in [*fork_joins(c, reach), *whole_networks(c, reach)]:
        for q in range(len(c.resource_names)):
            if module.chain and not c.resource_links[q].any():
                continue  # the path through the chain is as long
            of_load, load = module_load(c, module, q, durations, build.x, build.moves.pairs, build.copies)
            if not len(of_load):
                continue
            end = build.start[module.end] if module.end >= 0 else build.latency[module.network]
            columns.append(np.append(of_load, end))
            values.append(np.append(-load, 1.0))
            if module.begin >= 0:
                before = [build.start[module.begin], *build.x[module.begin]]
                columns[-1] = np.append(columns[-1], before)
                values[-1] = np.append(values[-1], [-1.0, *-durations.node[module.begin]])
            ends = [c.node_names[v] if v >= 0 else c.network_names[module.network] for v in (module.begin, module.end)]
            names.append(f"{ends[0]},{ends[1]},{c.resource_names[q]}")
    if names:
        build.model.add_sparse_rows(
            "module",
            (len(names),),
            np.repeat(np.arange(len(names)), [len(part) for part in columns]),
            np.concatenate(columns),
            np.concatenate(values),
            lower=0.0,
            axes=lambda: (names,),
        )


def joint_loads(build: Build, networks: tuple[int, ...]) -> list[Entries]:
    """Return what each resource does for several networks, in the model's unit of time: one of them ends no earlier."""
    c = build.c
    if c.execution != "scheduled" or len(networks) < 2:
        return []
    durations = Durations.of(c, build.model.units.time)
    everything = together(c, networks)
    loads = [
        module_load(c, everything, q, durations, build.x, build.moves.pairs, build.copies)
        for q in range(len(c.resource_names))
    ]
    return [load for load in loads if len(load[0])]
