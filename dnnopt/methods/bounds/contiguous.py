"""Relaxations of contiguous stages that dynamic programming over ideals solves.

- A tensor that goes to several devices is sent once (`multicast` in place of `unicast`). Stages are long, so few
  tensors go to several, and mostly the best plan of the relaxation is that of the problem.
- Of several resources that devices share, such as two radio channels, all but one are left out, each in turn.
- Limits that the program does not know, and all priorities but the first, are left out.
- Of a period, costs that come to less than a tolerance all together are 0. Layers share a device that do so in every
  plan below the best one known (`together.py`).
- Layers that need not be contiguous, and do not follow others (`programs/loose.py`), take no memory, and no time where
  sending costs nothing. If they do not follow even so, they and what they exchange cost nothing at first; then those
  that cost most count, one more each time, as each doubles the ideals. In the plans, they go where they are best.

Before them, a chain of layers has a program of its own (`stage_chains.py`).

Each is a bound for all plans, in the spirit of Archer et al.: Practical performance guarantees for pipelined DNN
inference, ICML 2024, who bound the period of contiguous stages by programs that see only a part of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import CompiledConstraint, MemoryLimit
from dnnopt.compiled.evaluator import Evaluator, evaluator_of
from dnnopt.compiled.logical import Colocation, Contiguity
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.formulations.milp.communication.boundary import ends_of_routes
from dnnopt.methods.bounds import stage_chains
from dnnopt.methods.bounds.together import together_below
from dnnopt.methods.exact import ideals
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.stages import has_loads, shared_resources
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome

SCOPE = stage_chains.SCOPE
SOURCE = "ideals of a relaxation"
_TINY = 4e-7  # of the period: what all costs together may come to that are left out
_MOST_FREE = 4  # layers that go anywhere, and count
_MOST_ROUNDS = 5  # in which such layers are put where they are best: beside others, or
_IDLE = 3  # on one of the devices with the least load


def relaxations(compiled: CompiledProblem, cap: float = math.inf) -> Iterator[CompiledProblem]:
    """Yield relaxations that `ideals` accepts; with a cap, of the plans below it."""
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
    if has_loads(c):
        c = replace(c, constraints=(*c.constraints, *together_below(c, cap)))
    shared = shared_resources(c)
    for kept in shared or [-1]:
        out = np.array([resource for resource in shared if resource != kept], dtype=np.int64)
        devices, links = c.resource_devices.copy(), c.resource_links.copy()
        devices[out], links[out] = False, False
        relaxed = replace(c, resource_devices=devices, resource_links=links)
        free = ideals.free_layers(relaxed)
        if free and has_loads(c):
            yield from _with_few_free(relaxed)
        elif ideals.refuses(relaxed) is None:
            yield relaxed


def bound_stages(pool: Pool, limits: Limits, control: Control) -> Outcome:
    """Offer the bounds and the plans of relaxations to the pool, until there is no gap.

    Returns
    -------
    Outcome
        `infeasible` if a relaxation is.
    """
    clock = Clock(limits.time_limit)
    if stage_chains.refuses(pool.compiled) is None:
        found = stage_chains.stage_chain(pool.compiled)
        if found is None:
            return Outcome("infeasible")
        pool.offer_placement(found[1], stage_chains.SOURCE)
        pool.add_bound(min(found[0], pool.cap), stage_chains.SOURCE)
        if pool.is_closed(limits.gap):
            return Outcome("no_solution")
    cap = math.inf if pool.plan is None else pool.cap
    for relaxed in relaxations(pool.compiled, cap):
        mend = _mender(pool.compiled, relaxed, clock)
        outcome = ideals.search(pool, relaxed, limits.within(clock.left()), control, SOURCE, mend)
        if outcome.status == "infeasible":
            return outcome
        if pool.is_closed(limits.gap) or clock.expired() or control.stop.is_set():
            break
    return Outcome("no_solution")


def _with_few_free(c: CompiledProblem) -> Iterator[CompiledProblem]:
    """Yield the problem with more and more of the layers that go anywhere; the others cost nothing."""
    if len(c.events) or c.barred_moves is not None or c.forbidden_moves is not None:
        return
    c = _without_tiny_costs(c)
    amounts = c.hop_seconds.max(axis=1, initial=0.0)
    free = ideals.free_layers(c)
    size = {
        nodes: float(c.seconds[list(nodes)].max(axis=1).sum())
        + float(amounts[c.edge_tensor[np.isin(c.edge_consumer, nodes) | np.isin(c.edge_producer, nodes)]].sum())
        for nodes in free
    }
    free = sorted(free, key=lambda nodes: -size[nodes])
    for count in range(min(len(free), _MOST_FREE) + 1):
        relaxed = _without(c, [node for nodes in free[count:] for node in nodes])
        if ideals.refuses(relaxed) is not None:
            break
        yield relaxed


def _without(c: CompiledProblem, nodes: list[int]) -> CompiledProblem:
    """Return the problem with layers that cost nothing, and exchange nothing."""
    time = c.time.copy()
    time[nodes] = np.where(c.allowed[nodes], 0.0, time[nodes])
    kept = ~np.isin(c.use_consumer, nodes) & ~np.isin(c.producer[c.use_tensor], nodes)
    c = _without_memory(c, nodes)
    return replace(c, time=time, use_tensor=c.use_tensor[kept], use_consumer=c.use_consumer[kept])


def _without_memory(c: CompiledProblem, nodes: Sequence[int] | Index) -> CompiledProblem:
    """Return the problem with layers that hold nothing of their own."""
    limits: list[CompiledConstraint] = []
    for one in c.constraints:
        if isinstance(one, MemoryLimit):
            resident, peak = one.resident_in.copy(), one.peak_in.copy()
            resident[nodes] = 0.0
            peak[nodes] = 0.0
            one = replace(one, resident_in=resident, peak_in=peak)
        limits.append(one)
    return replace(c, constraints=tuple(limits))


def _mender(c: CompiledProblem, relaxed: CompiledProblem, clock: Clock) -> Callable[[Index], Index] | None:
    """Return what puts layers that the relaxation has without their costs where they are best, one after the other.

    When the time is over, the others stay where they are.
    """
    if Evaluator.refuses(c) is not None or not has_loads(c):
        return None
    fewer = np.flatnonzero(c.is_layer & (np.where(c.allowed, c.seconds - relaxed.seconds, 0.0) > 0.0).all(axis=1))
    contiguous = _contiguous(c)
    loose = [node for node in fewer.tolist() if not contiguous[node]]
    if not loose:
        return None
    together = {node: one.nodes for one in c.constraints if isinstance(one, Colocation) for node in one.nodes}
    groups = dict.fromkeys(together.get(node, (node,)) for node in loose)

    beside = {nodes: _neighbours(c, nodes) for nodes in groups}

    def mend(placement: Index) -> Index:
        evaluator = evaluator_of(c)
        for _ in range(_MOST_ROUNDS):
            before = placement
            for nodes in groups:
                if clock.expired():
                    return placement
                loads = evaluator.loads(placement[None])[0] @ c.resource_devices
                executors = np.flatnonzero(c.allowed[list(nodes)].all(axis=0))
                idle = executors[np.argsort(loads[c.executor_device[executors]], kind="stable")[:_IDLE]]
                executors = np.intersect1d(executors, [*placement[beside[nodes]], *idle])
                candidates = np.tile(placement, (len(executors) + 1, 1))
                candidates[1:, list(nodes)] = executors[:, None]
                uneven = (evaluator.loads(candidates) ** 2).sum(axis=1)  # where the largest load is the same
                order = np.lexsort((uneven, evaluator.objectives(candidates), evaluator.excess(candidates)))
                placement = candidates[order[0]]
            if np.array_equal(before, placement):
                break
        return placement

    return mend


def _neighbours(c: CompiledProblem, nodes: tuple[int, ...]) -> Index:
    """Return the layers with which some exchange tensors."""
    made, used = np.isin(c.edge_producer, nodes), np.isin(c.edge_consumer, nodes)
    found = np.unique(np.concatenate([c.edge_consumer[made], c.edge_producer[used]]))
    return found[c.is_layer[found]]


def _contiguous(c: CompiledProblem) -> Mask:
    """Return which layers must be contiguous, or are colocated with one that must."""
    found = np.zeros(len(c.node_names), dtype=bool)
    for one in c.constraints:
        if isinstance(one, Contiguity):
            found[list(one.nodes)] = True
    while True:
        before = int(found.sum())
        for one in c.constraints:
            if isinstance(one, Colocation) and found[list(one.nodes)].any():
                found[list(one.nodes)] = True
        if found.sum() == before:
            return found


def _without_tiny_costs(c: CompiledProblem) -> CompiledProblem:
    """Return the problem without costs that cannot be told apart from rounding.

    Layers that need not be contiguous take no time where sending costs nothing, and no memory.
    """
    time, share = c.time.copy(), c.tensor_share.copy()
    at_home = [device for device in range(len(c.device_names)) if not c.hop_seconds[:, _links_at(c, device)].any()]
    loose = np.flatnonzero(c.is_layer & ~_contiguous(c))
    for executor in np.flatnonzero(np.isin(c.executor_device, at_home)).tolist():
        time[loose[c.allowed[loose, executor]], executor] = 0.0
    least = c.allowed_time[c.is_layer].min(axis=1)
    room = 0.5 * _TINY * float(least[np.isfinite(least)].sum()) / len(c.device_names)
    sizes = np.where(c.allowed & np.isfinite(time), time, 0.0).max(axis=1)
    time[_smallest(sizes, room)[:, None] & c.allowed] = 0.0
    share[_smallest((c.hop_seconds @ c.resource_links.T).max(axis=1, initial=0.0), room)] = 0.0
    return replace(_without_memory(c, loose), time=time, tensor_share=share)


def _smallest(values: Array, room: float) -> Mask:
    """Return the smallest values that come to no more than that together."""
    order = np.argsort(values, kind="stable")
    found = np.zeros(len(values), dtype=bool)
    found[order[np.cumsum(values[order]) <= room]] = True
    return found


def _links_at(c: CompiledProblem, device: int) -> list[int]:
    """Return the links over which a device sends or receives."""
    ends = ends_of_routes(c)
    if ends is None:
        return list(range(len(c.link_names)))
    return np.flatnonzero(ends[0][device] | ends[1][device]).tolist()
