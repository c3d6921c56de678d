"""Constraints: one function for each kind; `add_constraints` finds it by the kind's class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from dnnopt.compiled.call_times import CallTimes, call_times
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import (
    CallOrder,
    CustomLimit,
    DeadlineLimit,
    Escape,
    LinearLimit,
    MemoryLimit,
    MulticastTrees,
    ObjectiveLimit,
    OneMode,
    ShareLimit,
)
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.logical import Colocation, Contiguity, CutCount, DeviceCount, Separation, TierOrder
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scaling import SI, unit_for
from dnnopt.formulations.edges import at_device, at_host, device_order, edge_labels, pair_labels
from dnnopt.formulations.milp.build import Build, clipped
from dnnopt.formulations.milp.objective import sum_entries
from dnnopt.formulations.values import mode_values
from dnnopt.models.arrays import Columns, Joined, Values
from dnnopt.models.linear import summed

# More than the referee lets through: with room of 1e-11 to 1e-9 of the limit, in rows that coefficients otherwise meet
# exactly, HiGHS was seen to call feasible models infeasible and worse plans optimal. A plan that the referee then
# refuses is forbidden.
_ROOM = 1e-8


def add_linear_limit(build: Build, limit: LinearLimit) -> None:
    """`metric <= limit`."""
    columns, values = build.entries(limit.metric)
    upper = _with_room(limit.limit) / build.model.units.of(limit.metric.unit)
    unit = _unit_of_row(build, upper)
    build.limit(limit.label, (columns, clipped(values, upper) / unit), upper / unit)


def _unit_of_row(build: Build, upper: float) -> float:
    """Return a unit for a row of which the limit is 100 to 1000, as tolerances of solvers are absolute; in SI 1."""
    return 1.0 if build.model.units == SI else unit_for(upper)


def _with_room(limit: float) -> float:
    """Return a limit that lets through all that the referee does."""
    return limit * (1 + _ROOM)


def add_memory(build: Build, limit: MemoryLimit) -> None:
    """`Σ_v m_v x_vi + A_i + Σ_g m_g h_gi + n Σ_τ b_τ z_τi <= M_i`.

    `A_i >= r_v x_vi`; `h_gi >= x_vi` for layers that share weights g; z: sent or received there.
    """
    c, model = build.c, build.model
    unit = model.units.bytes * _unit_of_row(build, limit.limit / model.units.bytes)
    upper = limit.limit / unit
    columns = build.x[:, limit.executors].ravel()
    values = clipped(limit.resident_in.ravel() / unit, upper)
    if limit.peak_in.any():
        columns, values = np.append(columns, _add_peak(build, limit, unit)), np.append(values, 1.0)
    if len(limit.shared.names):
        columns = np.append(columns, build.holds[:, limit.hosts].T.ravel())
        held = limit.factors[:, None] * limit.shared.bytes
        values = np.append(values, clipped(held.ravel() / unit, upper))
    if limit.buffers:
        columns = np.append(columns, build.touched[:, limit.device])
        values = np.append(values, clipped(limit.buffers * c.buffer_bytes / unit, upper))
    build.limit(limit.label, (columns, values), upper)


def _add_peak(build: Build, limit: MemoryLimit, unit: float) -> int:
    """Add the largest activation hosted, `A_i`, in a unit of so many bytes; return its column."""
    c, model = build.c, build.model

    def largest(placement: Index) -> Values:
        return np.max((placement[:, None] == limit.executors) * limit.peak_in, initial=0.0) / unit

    column = int(model.add_variables(limit.named("peak"), (), evaluate=largest))
    nodes = np.flatnonzero(limit.peak_in.any(axis=1))
    needed = clipped(limit.peak_in[nodes] / unit, limit.limit / unit)
    columns = np.concatenate([np.full((len(nodes), 1), column), build.x[nodes][:, limit.executors]], axis=1)
    values = np.concatenate([np.ones((len(nodes), 1)), -needed], axis=1)
    names = [c.node_names[node] for node in nodes]
    model.add_rows(limit.named("peak_of"), columns, values, lower=0.0, axes=lambda: (names,))
    return column


def add_deadline(build: Build, limit: DeadlineLimit) -> None:
    """`Λ_a <= D_a`."""
    columns = np.array([build.latency[limit.network]], dtype=np.int32)
    upper = _with_room(limit.limit) / build.model.units.time
    unit = _unit_of_row(build, upper)
    build.limit(limit.label, (columns, np.ones(1) / unit), upper / unit)


def add_objective_limit(build: Build, limit: ObjectiveLimit) -> None:
    """The weighted sum of objective terms is at most the limit."""
    unit = 1.0 if build.model.units == SI else unit_for(abs(limit.limit))
    build.at_most(limit.label, *sum_entries(build, limit.terms, unit, limit.limit), limit.limit / unit)


def add_colocation(build: Build, constraint: Colocation) -> None:
    """`x_vi = x_ui` for the first node u and every other v, device by device."""
    c = build.c
    at = at_device(c, build.x, build.model)
    first, *others = constraint.nodes
    if not others:
        return
    columns = np.concatenate([at[others], np.broadcast_to(at[first], at[others].shape)], axis=2)
    values = np.array([1.0] * at.shape[2] + [-1.0] * at.shape[2])
    names = [c.node_names[node] for node in others]
    build.model.add_rows(
        f"colocate({c.node_names[first]})", columns, values, lower=0.0, upper=0.0, axes=lambda: (names, c.device_names)
    )


def add_separation(build: Build, constraint: Separation) -> None:
    """`Σ_v x_vi <= n` over the nodes, for each device."""
    at = at_device(build.c, build.x, build.model)[list(constraint.nodes)]
    columns = at.transpose(1, 0, 2).reshape(at.shape[1], -1)
    most = float(constraint.at_most)
    build.model.add_rows(constraint.label, columns, 1.0, upper=most, axes=lambda: (build.c.device_names,))


def add_contiguity(build: Build, constraint: Contiguity) -> None:
    """`y_ep <= a_p` for each edge of each entry; `a_ij + a_ji = 1`, `a_ij + a_jk + a_ki <= 2`: an order of devices.

    Where the linearisation has no y, or a path runs through other layers: `x_ui + x_vj - 1 <= a_ij`.
    """
    c, model = build.c, build.model
    network = c.network_names[c.node_network[constraint.nodes[0]]]
    before = model.add_variables(
        f"before({network})",
        (len(c.pair_origin),),
        axes=lambda: (pair_labels(c),),
        upper=1.0,
        integer=True,
        evaluate=lambda placement: device_order(c, placement, constraint.edges),
    )
    _add_order(build, network, before)
    number: dict[tuple[int, int], dict[int, list[int]]] = {}  # by tensor: an edge for each of its entries
    uses = zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True)
    for e, (edge, tensor) in enumerate(zip(uses, c.tensor_number[c.edge_tensor].tolist(), strict=True)):
        number.setdefault(edge, {}).setdefault(tensor, []).append(e)
    among = constraint.edges if build.moves.pairs is not None else ()
    direct = [e for edge in among if edge in number for e in next(iter(number[edge].values()))]
    if direct:
        y = build.y[direct]
        columns = np.stack([y, np.broadcast_to(before, y.shape)], axis=2)

        def axes() -> tuple[list[str], list[str]]:
            labels = edge_labels(c)
            return [labels[edge] for edge in direct], pair_labels(c)

        model.add_rows(f"forwards({network})", columns, [1.0, -1.0], upper=0.0, axes=axes)
    paths = [edge for edge in constraint.edges if edge not in number or build.moves.pairs is None]
    if paths:
        at = at_device(c, build.x, build.model)
        u, v = np.array(paths).T
        origin, destination = at[u][:, c.pair_origin], at[v][:, c.pair_destination]
        a = np.broadcast_to(before[None, :, None], (*origin.shape[:2], 1))
        columns = np.concatenate([origin, destination, a], axis=2)
        values = np.array([1.0] * (2 * at.shape[2]) + [-1.0])
        ends = [f"{c.node_names[i]},{c.node_names[j]}" for i, j in paths]
        model.add_rows(f"forwards_by({network})", columns, values, upper=1.0, axes=lambda: (ends, pair_labels(c)))


def _add_order(build: Build, network: str, before: Columns) -> None:
    """Make the pairs' variables a total order of the devices."""
    c = build.c
    size = len(c.device_names)
    pair = c.pair_number
    first, second = np.triu_indices(size, 1)
    columns = np.stack([before[pair[first, second]], before[pair[second, first]]], axis=1)
    names = c.device_names
    either = [f"{names[i]},{names[j]}" for i, j in zip(first, second, strict=True)]
    build.model.add_rows(f"either({network})", columns, 1.0, lower=1.0, upper=1.0, axes=lambda: (either,))
    triples = [(i, j, k) for i, j, k in permutations(range(size), 3) if i < min(j, k)]
    if triples:
        i, j, k = np.array(triples).T
        columns = np.stack([before[pair[i, j]], before[pair[j, k]], before[pair[k, i]]], axis=1)
        cycles = [",".join(names[device] for device in triple) for triple in triples]
        build.model.add_rows(f"no_cycle({network})", columns, 1.0, upper=2.0, axes=lambda: (cycles,))


def add_monotone_tiers(build: Build, constraint: TierOrder) -> None:
    """`Σ_{i: tier_i >= θ} x_ui <= Σ_{i: tier_i >= θ} x_vi` for each edge (u, v) between layers and each tier θ."""
    c = build.c
    tiers = c.device_tier[c.executor_device]
    between = np.flatnonzero(c.is_layer[c.edge_producer] & c.is_layer[c.edge_consumer])

    def labels() -> list[str]:
        all_labels = edge_labels(c)
        return [all_labels[edge] for edge in between.tolist()]

    for tier in np.unique(tiers)[1:]:
        above = np.flatnonzero(tiers >= tier)
        columns = np.concatenate(
            [build.x[c.edge_producer[between]][:, above], build.x[c.edge_consumer[between]][:, above]], axis=1
        )
        values = np.array([1.0] * len(above) + [-1.0] * len(above))
        build.model.add_rows(f"tier{tier}", columns, values, upper=0.0, axes=lambda: (labels(),))


def add_device_count(build: Build, constraint: DeviceCount) -> None:
    """`u_i >= x_vi` for every layer, `Σ_i u_i <= n`."""
    c, model = build.c, build.model
    devices = np.arange(len(c.device_names))

    def used(placement: Index) -> Values:
        return np.isin(devices, c.executor_device[placement[c.is_layer]]).astype(float)

    u = model.add_variables("used", (len(devices),), axes=lambda: (c.device_names,), upper=1.0, evaluate=used)
    layers = np.flatnonzero(c.is_layer)
    at = at_device(c, build.x, build.model)[layers]
    columns = np.concatenate([np.broadcast_to(u[None, :, None], (*at.shape[:2], 1)), at], axis=2)
    values = np.array([1.0] + [-1.0] * at.shape[2])
    names = [c.node_names[node] for node in layers]
    model.add_rows("uses", columns, values, lower=0.0, axes=lambda: (names, c.device_names))
    build.limit(constraint.label, (u, np.ones(len(u))), constraint.limit)


def add_cut_count(build: Build, constraint: CutCount) -> None:
    """`Σ_τj z_τj <= n`, z: the tensor is sent to the device."""
    z = build.received[build.c.tensor_whole].ravel()
    build.limit(constraint.label, (z, np.ones(len(z))), constraint.limit)


def add_call_order(build: Build, constraint: CallOrder) -> None:
    """`rank_v >= rank_u + Σ_i into_ei` for each edge e = (u, v); `rank_v = order_i` where x_vi = 1.

    i: devices that are no pools, so what one call runs has one rank, and no calls wait for each other.
    """
    c, model = build.c, build.model
    assert c.pools is not None
    nodes, devices = len(c.node_names), len(c.device_names)
    calling, u, v = np.flatnonzero(~c.pools), c.edge_producer, c.edge_consumer
    names = [c.device_names[device] for device in calling]

    def times(placement: Index) -> CallTimes:
        return call_times(c, placement, np.zeros(devices))

    def variables(name: str, labels: Sequence[str], value: Callable[[Index], Values]) -> Columns:
        return model.add_variables(name, (len(labels),), axes=lambda: (labels,), upper=float(nodes), evaluate=value)

    rank = variables("rank", c.node_names, lambda placement: times(placement).rank)
    order = variables("order", names, lambda placement: times(placement).call_rank[calling])
    if len(c.edges):
        into = [build.moves.into(device) for device in range(devices)]
        columns = np.concatenate([rank[v][:, None], rank[u][:, None], *into], axis=1)
        values = np.array([1.0] + [-1.0] * (columns.shape[1] - 1))
        model.add_rows("rank_after", columns, values, lower=0.0, axes=lambda: (edge_labels(c),))
    at = at_device(c, build.x, build.model)[:, calling]
    ends = np.stack(np.broadcast_arrays(rank[:, None], order[None, :]), axis=2)
    columns = np.concatenate([ends, at], axis=2)
    for side, sign in (("low", 1.0), ("high", -1.0)):
        values = np.array([sign, -sign] + [-float(nodes)] * at.shape[2])
        model.add_rows(f"rank_{side}", columns, values, lower=-float(nodes), axes=lambda: (c.node_names, names))


def add_multicast_trees(build: Build, constraint: MulticastTrees) -> None:
    """`x_ui + z_τj + z_τk <= 2` for a tensor of u and devices j and k whose routes from i reach a link in two ways."""
    c, z = build.c, build.received
    tensors = np.flatnonzero(c.fan_out > 1)
    origin, first, second = np.array(constraint.conflicts).T
    here = at_device(c, build.x, build.model)[c.producer[tensors]][:, origin]
    sent = np.stack([z[tensors][:, first], z[tensors][:, second]], axis=2)
    columns = np.concatenate([here, sent], axis=2)

    def labels() -> tuple[list[str], list[str]]:
        ends: list[str] = [Joined(*(c.device_names[device] for device in devices)) for devices in constraint.conflicts]
        return [c.tensor_names[tensor] for tensor in tensors], ends

    build.model.add_rows(constraint.label, columns, 1.0, upper=2.0, axes=labels)


def add_share(build: Build, limit: ShareLimit) -> None:
    """`metric_s <= limit + most_s (1 - z_s)` for each scenario s, `Σ_s p_s z_s >= share`; most_s: no plan has more."""
    c, model = build.c, build.model
    unit = model.units.of(limit.metrics[0].unit)
    upper = _with_room(limit.limit) / unit

    def kept(placement: Index) -> Values:
        found = [evaluator_of(c).metric(metric, placement[None])[0] for metric in limit.metrics]
        return (np.array(found) <= _with_room(limit.limit)).astype(float)

    names = [str(number) for number in range(len(limit.metrics))]
    z = model.add_variables(
        f"kept({limit.label})", (len(names),), axes=lambda: (names,), upper=1.0, integer=True, evaluate=kept
    )
    for number, metric in enumerate(limit.metrics):
        columns, values = summed([build.entries(metric)])
        size = _unit_of_row(build, upper)
        values = clipped(values, upper) / size
        most = float(values.sum())
        build.at_most(
            f"{limit.label}[{number}]", np.append(columns, z[number]), np.append(values, most), upper / size + most
        )
    model.add_rows(f"{limit.label}_share", z, np.array(limit.probabilities), lower=limit.share * (1 - _ROOM))


def add_one_mode(build: Build, constraint: OneMode) -> None:
    """`u_m >= Σ_i x_vi` over the executors of each mode m, for every layer; `Σ_m u_m <= 1`."""
    c, model = build.c, build.model
    hosts = np.flatnonzero(c.host_device == constraint.device)
    names = [c.host_names[host] for host in hosts]
    u = model.add_variables(
        constraint.label,
        (len(hosts),),
        axes=lambda: (names,),
        upper=1.0,
        integer=True,
        evaluate=lambda placement: mode_values(c, placement)[hosts],
    )
    layers = np.flatnonzero(c.is_layer)
    at = at_host(c, build.x, model)[layers][:, hosts]
    columns = np.concatenate([np.broadcast_to(u[None, :, None], (*at.shape[:2], 1)), at], axis=2)
    values = np.array([1.0] + [-1.0] * at.shape[2])
    labels = [c.node_names[node] for node in layers]
    model.add_rows(f"uses_{constraint.label}", columns, values, lower=0.0, axes=lambda: (labels, names))
    build.limit(f"{constraint.label}_alone", (u, np.ones(len(u))), 1.0)


def not_linear(c: CompiledProblem) -> str | None:
    """Return which of the user's own constraints says nothing in rows, or None."""
    own = [one for one in c.constraints if isinstance(one, CustomLimit) and not one.constraint.is_linear]
    return f"the constraint {own[0].label}, which has no method 'add'" if own else None


def add_custom(build: Build, limit: CustomLimit) -> None:
    """Whatever rows the user's own constraint adds."""
    limit.constraint.add(build)


def add_escape(build: Build, escape: Escape) -> None:
    """`x_vi <= Σ_e leave_i(e)`, or the edges that enter i."""
    here = build.x[escape.node, build.c.executor_device == escape.device]
    over = build.moves.out_of(escape.device) if escape.forwards else build.moves.into(escape.device)
    moves = over[escape.edges].ravel()
    build.at_most(
        escape.label, np.concatenate([here, moves]), np.repeat([1.0, -1.0], [len(here), len(moves)]), upper=0.0
    )


CONSTRAINTS: dict[type, Callable[[Build, Any], None]] = {
    LinearLimit: add_linear_limit,
    MemoryLimit: add_memory,
    DeadlineLimit: add_deadline,
    ObjectiveLimit: add_objective_limit,
    Colocation: add_colocation,
    Separation: add_separation,
    Contiguity: add_contiguity,
    TierOrder: add_monotone_tiers,
    DeviceCount: add_device_count,
    CutCount: add_cut_count,
    CallOrder: add_call_order,
    MulticastTrees: add_multicast_trees,
    OneMode: add_one_mode,
    ShareLimit: add_share,
    CustomLimit: add_custom,
    Escape: add_escape,
}


def add_constraints(build: Build) -> None:
    """Add every constraint of the problem."""
    for constraint in build.c.constraints:
        CONSTRAINTS[type(constraint)](build, constraint)
