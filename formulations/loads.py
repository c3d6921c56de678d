"""Loads inside modules: what each resource must do between the module's begin and its end. Shared by MILP and CP."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.precedence import Module
from dnnopt.compiled.windows import Durations
from dnnopt.formulations.copies import Copies
from dnnopt.models.arrays import Columns, Values


def module_load(
    c: CompiledProblem,
    module: Module,
    resource: int,
    durations: Durations,
    x: Columns,
    y: Columns | None,
    copies: Sequence[Copies],
) -> tuple[Columns, Values]:
    """Return the columns and times of what a resource does inside a module.

    Copies that serve uses outside as well count once, by the pair of one use inside; without `y` they do not count.
    """
    here = np.flatnonzero(c.resource_devices[resource, c.executor_device])
    links = c.resource_links[resource].astype(float)
    inside = np.flatnonzero(module.inside)
    columns = [x[np.ix_(inside, here)].ravel()]
    values = [durations.node[np.ix_(inside, here)].ravel()]
    if links.any():
        seconds = durations.hop * links
        pairs = c.pair_uses_link.astype(float)
        if c.transport == "per_edge" and y is not None:
            inside_copies = [Copies(y[module.within], c.edge_tensor[module.within], pairs)]
        else:
            whole = [module.tensors[block.tensor] for block in copies]
            inside_copies = [Copies(b.columns[w], b.tensor[w], b.ways) for b, w in zip(copies, whole, strict=True)]
            if y is not None:
                inside_copies.append(Copies(y[module.some], c.edge_tensor[module.some], pairs))
        for block in inside_copies:
            columns.append(block.columns.ravel())
            values.append((seconds[block.tensor] @ block.ways.T).ravel())
    joined = np.concatenate(values)
    keep = joined != 0
    return np.concatenate(columns)[keep], joined[keep]
