"""Constraints of constraint-programming formulations: one function for each kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations, permutations
from typing import Any

import numpy as np

from dnnopt.compiled.constraints import (
    DeadlineLimit,
    LinearLimit,
    MemoryLimit,
    MulticastTrees,
    ObjectiveLimit,
    OneMode,
    ShareLimit,
)
from dnnopt.compiled.evaluator import evaluator_of, memory_room
from dnnopt.compiled.logical import Colocation, Contiguity, CutCount, DeviceCount, Separation, TierOrder
from dnnopt.compiled.metrics import Index
from dnnopt.formulations.cp.literals import Literals
from dnnopt.formulations.cp.objective import add_objective_limit
from dnnopt.formulations.edges import at_device, device_order, pair_labels
from dnnopt.formulations.values import mode_values
from dnnopt.models.constraint import TOLERANCE
from dnnopt.models.linear import summed

PROBABILITY = 1e-12  # one unit of it in rows


def add_linear_limit(literals: Literals, limit: LinearLimit) -> None:
    """`metric <= limit`."""
    columns, values = literals.entries(limit.metric)
    literals.model.add_limit(limit.label, columns, values, limit.limit)


def add_memory(literals: Literals, limit: MemoryLimit) -> None:
    """`Σ_v m_v x_vi + Σ_s (r_s - r_{s-1}) a_s + Σ_g m_g h_gi + buffers <= M_i`.

    a_s: a hosted layer needs r_s or more; h_gi: a hosted layer reads the shared weights g.
    """
    c, model = literals.c, literals.model
    columns = [literals.x[:, limit.executors].ravel()]
    values = [limit.resident_in.ravel()]
    if limit.buffers:
        columns.append(literals.touched[:, limit.device])
        values.append(limit.buffers * c.buffer_bytes)
    for host, factor in zip(limit.hosts, limit.factors, strict=True):
        if len(limit.shared.names):
            columns.append(literals.holds[:, host])
            values.append(factor * limit.shared.bytes)
    if limit.peak_in.any():
        columns.append(_peak_steps(literals, limit))
        values.append(np.diff(np.unique(limit.peak_in[limit.peak_in > 0]), prepend=0.0))
    model.add_limit(limit.label, np.concatenate(columns), np.concatenate(values), limit.limit, memory_room(limit.limit))


def _peak_steps(literals: Literals, limit: MemoryLimit) -> Any:
    """Add literals `a_s`: some hosted layer needs at least the s-th positive value; return their columns."""
    model, peak = literals.model, limit.peak_in
    steps = np.unique(peak[peak > 0])

    def reached(placement: Index) -> Any:
        return np.max((placement[:, None] == limit.executors) * peak, initial=0.0) >= steps

    a = model.add_variables(
        limit.named("peak"), (len(steps),), axes=lambda: ([str(s) for s in range(len(steps))],), evaluate=reached
    )
    model.add_clauses("peak_order", np.stack([a[1:], a[:-1]], axis=1), (False, True))
    for column, i in enumerate(limit.executors):
        nodes = np.flatnonzero(peak[:, column] > 0)
        step = np.searchsorted(steps, peak[nodes, column])
        model.add_clauses("peak", np.stack([literals.x[nodes, i], a[step]], axis=1), (False, True))
    return a


def add_sum_limit(literals: Literals, limit: ObjectiveLimit) -> None:
    """The weighted sum of objective terms is at most the limit."""
    add_objective_limit(literals, limit.label, limit.terms, limit.limit)


def add_deadline(literals: Literals, limit: DeadlineLimit) -> None:
    """`Λ_a <= D_a`."""
    assert literals.times is not None  # asked before
    upper = math.floor(limit.limit * (1 + TOLERANCE) * literals.times.scale)
    literals.model.add_whole_row(limit.label, literals.times.latency[[limit.network]], 1, upper=upper)


def add_colocation(literals: Literals, constraint: Colocation) -> None:
    """`x_vi = x_ui` for the first node u and every other v, device by device."""
    at = at_device(literals.c, literals.x, literals.model)
    first, *others = constraint.nodes
    for node in others:
        for device in range(at.shape[1]):
            columns = np.concatenate([at[node, device], at[first, device]])
            coefficients = [1] * at.shape[2] + [-1] * at.shape[2]
            literals.model.add_whole_row(constraint.label, columns, coefficients, lower=0, upper=0)


def add_separation(literals: Literals, constraint: Separation) -> None:
    """At most so many of the nodes on each device."""
    at = at_device(literals.c, literals.x, literals.model)[list(constraint.nodes)]
    for device in range(at.shape[1]):
        literals.model.add_whole_row(constraint.label, at[:, device].ravel(), 1, upper=constraint.at_most)


def add_contiguity(literals: Literals, constraint: Contiguity) -> None:
    """`x_ui ∧ x_vj → a_ij` for each edge (u, v); a is a total order of the devices."""
    c, model, (x, devices) = literals.c, literals.model, literals.places
    a = model.add_variables(
        constraint.label,
        (len(c.pair_origin),),
        axes=lambda: (pair_labels(c),),
        evaluate=lambda placement: device_order(c, placement, constraint.edges),
    )
    pair = c.pair_number
    for i, j in combinations(range(len(c.device_names)), 2):
        model.add_exactly_one(a[[pair[i, j], pair[j, i]]][None])
    for i, j, k in permutations(range(len(c.device_names)), 3):
        if i < min(j, k):
            cycle = a[[pair[i, j], pair[j, k], pair[k, i]]][None]
            model.add_clauses(constraint.label, cycle, (False, False, False))
    if not constraint.edges:
        return
    u, v = np.array(constraint.edges).T
    for column, origin, destination in zip(a, c.pair_origin, c.pair_destination, strict=True):
        for before in np.flatnonzero(devices == origin):
            for after in np.flatnonzero(devices == destination):
                columns = np.stack([x[u, before], x[v, after], np.full(len(u), column)], axis=1)
                model.add_clauses(constraint.label, columns, (False, False, True))


def add_monotone_tiers(literals: Literals, constraint: TierOrder) -> None:
    """Not `x_ui ∧ x_vj` where j is in a lower tier than i, for each edge (u, v) between layers."""
    c, (x, devices) = literals.c, literals.places
    tiers = c.device_tier[devices]
    between = np.flatnonzero(c.is_layer[c.edge_producer] & c.is_layer[c.edge_consumer])
    for i, j in np.argwhere(tiers[:, None] > tiers[None, :]):
        columns = np.stack([x[c.edge_producer[between], i], x[c.edge_consumer[between], j]], axis=1)
        literals.model.add_clauses(constraint.label, columns, (False, False))


def add_device_count(literals: Literals, constraint: DeviceCount) -> None:
    """`x_vi → u_i` for every layer, `Σ_i u_i <= n`."""
    c, model = literals.c, literals.model
    devices = np.arange(len(c.device_names))
    u = model.add_variables(
        "used",
        (len(devices),),
        axes=lambda: (c.device_names,),
        evaluate=lambda placement: np.isin(devices, c.executor_device[placement[c.is_layer]]),
    )
    layers = np.flatnonzero(c.is_layer)
    for i, device in enumerate(c.executor_device):
        columns = np.stack([literals.x[layers, i], np.full(len(layers), u[device])], axis=1)
        model.add_clauses("uses", columns, (False, True))
    model.add_whole_row(constraint.label, u, 1, upper=constraint.limit)


def add_multicast_trees(literals: Literals, constraint: MulticastTrees) -> None:
    """Not `x_ui ∧ z_τj ∧ z_τk` for a tensor of u and devices j and k whose routes from i reach a link in two ways."""
    c, z = literals.c, literals.received
    tensors = np.flatnonzero(c.fan_out > 1)
    for origin, first, second in constraint.conflicts:
        for i in np.flatnonzero(c.executor_device == origin):
            columns = np.stack([literals.x[c.producer[tensors], i], z[tensors, first], z[tensors, second]], axis=1)
            literals.model.add_clauses(constraint.label, columns, (False, False, False))


def add_cut_count(literals: Literals, constraint: CutCount) -> None:
    """`Σ_τj z_τj <= n`, z: the tensor is sent to the device."""
    z = literals.received[literals.c.tensor_whole].ravel()
    literals.model.add_whole_row(constraint.label, z, 1, upper=constraint.limit)


def add_share(literals: Literals, limit: ShareLimit) -> None:
    """`metric_s <= limit` if z_s, for each scenario s, and `Σ_s p_s z_s >= share`."""
    c, model = literals.c, literals.model

    def kept(placement: Index) -> Any:
        found = [evaluator_of(c).metric(metric, placement[None])[0] for metric in limit.metrics]
        return np.array(found) <= limit.limit * (1 + TOLERANCE)

    names = [str(number) for number in range(len(limit.metrics))]
    z = model.add_variables(f"kept({limit.label})", (len(names),), axes=lambda: (names,), evaluate=kept)
    for column, metric in zip(z, limit.metrics, strict=True):
        columns, values = summed([literals.entries(metric)])
        model.add_limit_if(limit.label, column, columns, values, limit.limit)
    whole = [round(probability / PROBABILITY) for probability in limit.probabilities]
    model.add_whole_row(f"{limit.label}_share", z, whole, lower=round((limit.share - TOLERANCE) / PROBABILITY))


def add_one_mode(literals: Literals, constraint: OneMode) -> None:
    """`x_vi → u_m` for each executor i of mode m and every layer; at most one u_m."""
    c, model = literals.c, literals.model
    hosts = np.flatnonzero(c.host_device == constraint.device)
    u = model.add_variables(
        constraint.label,
        (len(hosts),),
        axes=lambda: ([c.host_names[host] for host in hosts],),
        evaluate=lambda placement: mode_values(c, placement)[hosts],
    )
    layers = np.flatnonzero(c.is_layer)
    for host, column in zip(hosts, u, strict=True):
        for i in np.flatnonzero(c.executor_host == host):
            columns = np.stack([literals.x[layers, i], np.full(len(layers), column)], axis=1)
            model.add_clauses(constraint.label, columns, (False, True))
    model.add_whole_row(constraint.label, u, 1, upper=1)


CONSTRAINTS: dict[type, Callable[[Literals, Any], None]] = {
    LinearLimit: add_linear_limit,
    MemoryLimit: add_memory,
    DeadlineLimit: add_deadline,
    ObjectiveLimit: add_sum_limit,
    Colocation: add_colocation,
    Separation: add_separation,
    Contiguity: add_contiguity,
    TierOrder: add_monotone_tiers,
    DeviceCount: add_device_count,
    CutCount: add_cut_count,
    MulticastTrees: add_multicast_trees,
    OneMode: add_one_mode,
    ShareLimit: add_share,
}


def add_constraints(literals: Literals) -> None:
    """Add every constraint of the problem."""
    for constraint in literals.c.constraints:
        CONSTRAINTS[type(constraint)](literals, constraint)
