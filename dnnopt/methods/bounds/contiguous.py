"""Relaxations of contiguous stages that dynamic programming over ideals solves.

- A tensor that goes to several devices is sent once (`multicast` in place of `unicast`). Stages are long, so few
  tensors go to several, and mostly the best plan of the relaxation is that of the problem.
- Of several resources that devices share, such as two radio channels, all but one are left out, each in turn.
- Limits that the program does not know, and all priorities but the first, are left out.

Each is a bound for all plans, in the spirit of Archer et al.: Practical performance guarantees for pipelined DNN
inference, ICML 2024, who bound the period of contiguous stages by programs that see only a part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.logical import Contiguity
from dnnopt.methods.exact import ideals
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.stages import shared_resources
from dnnopt.models.solvers.interface import Control, Limits, Outcome

SCOPE = replace(ideals.SCOPE, relaxes=True, priorities=True)
SOURCE = "ideals of a relaxation"


def relaxations(compiled: CompiledProblem) -> Iterator[CompiledProblem]:
    """Yield relaxations that `ideals` accepts."""
    if SCOPE.refuses(compiled):
        return
    c = replace(
        compiled,
        transport="multicast" if compiled.transport == "unicast" else compiled.transport,
        objective=compiled.objective[:1],
        constraints=tuple(one for one in compiled.constraints if type(one) in SCOPE.enforces),
    )
    if not any(isinstance(one, Contiguity) for one in c.constraints):
        return
    shared = shared_resources(c)
    for kept in shared or [-1]:
        out = np.array([resource for resource in shared if resource != kept], dtype=np.int64)
        devices, links = c.resource_devices.copy(), c.resource_links.copy()
        devices[out], links[out] = False, False
        relaxed = replace(c, resource_devices=devices, resource_links=links)
        if ideals.refuses(relaxed) is None:
            yield relaxed


def bound_stages(pool: Pool, limits: Limits, control: Control) -> Outcome:
    """Offer the bounds and the plans of relaxations to the pool.

    Returns
    -------
    Outcome
        `infeasible` if a relaxation is.
    """
    for relaxed in relaxations(pool.compiled):
        outcome = ideals.search(pool, relaxed, limits, control, SOURCE)
        if outcome.status == "infeasible":
            return outcome
    return Outcome("no_solution")
