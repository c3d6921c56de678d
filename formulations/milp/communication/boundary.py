"""Communication `boundary`: what leaves and what enters each device; no pairs of devices at all.

    leave_τi >= x_ui - x_vi       enter_τj >= x_vj - x_uj        for each use e = (u, v) of τ, and each device
    send_τi  >= Σ_j enter_τj - n (1 - x_ui)                      unicast, n = min(uses of τ, D - 1): copies sent from i
    carry_τℓ >= enter_τj                                         multicast, for links that several devices receive by

Where every route is the links of its sender, then the links of its receiver (a star, a hub, a shared medium), a copy's
way is known from its ends. For tensors with one use the relaxation is as strong as `edgewise`. Size: 2 T D variables,
2 E D rows.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.formulations.copies import Copies
from dnnopt.formulations.edges import at_device, edge_labels
from dnnopt.models.arrays import Columns, Values
from dnnopt.models.linear import LinearModel


def ends_of_routes(c: CompiledProblem) -> tuple[Mask, Mask] | None:
    """Return the links (D, L) that each device sends over and receives over; None: routes are not of that kind."""
    devices, links = len(c.device_names), len(c.link_names)
    sends, receives = np.zeros((devices, links), dtype=bool), np.zeros((devices, links), dtype=bool)
    if not c.pair_routed.all():
        return None
    uses = c.by_devices(c.pair_uses_link.T)
    other = ~np.eye(devices, dtype=bool)
    for link in range(links):
        on = uses[link]
        by_origin, by_destination = np.any(on, axis=1), np.any(on, axis=0)
        if (on == (by_origin[:, None] & other)).all():
            sends[:, link] = by_origin
        elif (on == (by_destination[None, :] & other)).all():
            receives[:, link] = by_destination
        else:
            return None
    return sends, receives


def refuses(c: CompiledProblem) -> str | None:
    """Return why the linearisation does not fit the platform, or None."""
    if ends_of_routes(c) is None:
        return "routes that are not the sender's links followed by the receiver's, or an absent route"
    return None


def add_ends(model: LinearModel, c: CompiledProblem, x: Columns) -> EndMoves:
    """Add the variables and rows; return the moves."""
    return EndMoves(model, c, x)


class EndMoves:
    """Moves in terms of `leave` and `enter`.

    There is one row of them for each tensor, or for each edge under `per_edge`. Those of single edges of tensors with
    several uses are added when something asks for them (times of transfers do).
    """

    pairs = None

    def __init__(self, model: LinearModel, c: CompiledProblem, x: Columns) -> None:
        ends = ends_of_routes(c)
        assert ends is not None  # asked before
        self._model, self._c, self._x = model, c, x
        self._leaving, self._entering = ends
        edges = np.arange(len(c.edges))
        if c.transport == "per_edge":
            self._owner, tensors = edges, c.edge_tensor
        else:
            tensors = np.flatnonzero(c.fan_out)
            self._owner = np.searchsorted(tensors, c.edge_tensor)
        self._leave, self._enter = _add_ends(model, c, x, "", edges, self._owner, len(tensors))
        self.copies = self._charged(tensors)

    def _charged(self, tensors: Index) -> list[Copies]:
        c, leave, enter = self._c, self._leave, self._enter
        leaving, entering = self._leaving.astype(float), self._entering.astype(float)
        if c.transport == "multicast":
            arrivals = _multicast_arrivals(self._model, c, enter, tensors, self._entering)
            return [Copies(leave, tensors, leaving), *arrivals]
        copies = [Copies(enter, tensors, entering)]
        shared = np.flatnonzero(c.fan_out[tensors] > 1)
        if c.transport == "per_edge" or not len(shared):
            return [*copies, Copies(leave, tensors, leaving)]
        alone = np.flatnonzero(c.fan_out[tensors] == 1)
        send = _add_sends(self._model, c, self._x, leave[shared], enter[shared], tensors[shared])
        return [*copies, Copies(leave[alone], tensors[alone], leaving), Copies(send, tensors[shared], leaving)]

    @cached_property
    def _by_edge(self) -> tuple[Columns, Columns]:
        """Columns of `leave` and `enter` for each edge (E, D)."""
        leave, enter = self._leave[self._owner], self._enter[self._owner]
        c = self._c
        shared = np.flatnonzero(c.fan_out[c.edge_tensor] > 1)
        if c.transport != "per_edge" and len(shared):
            own = np.arange(len(shared))
            leave[shared], enter[shared] = _add_ends(self._model, c, self._x, "_edge", shared, own, len(shared))
        return leave, enter

    def seconds(self) -> tuple[Columns, Array]:
        """Return the columns of both ends and the seconds over the links of each."""
        c = self._c
        ends = np.concatenate([self._leaving, self._entering]).astype(float)
        by_bytes = c.tensor_bytes[c.edge_tensor][:, None] * (ends @ (1.0 / c.link_bandwidth))
        return np.concatenate(self._by_edge, axis=1), ends @ c.link_latency + by_bytes

    def over(self, links: Mask) -> list[Columns]:
        """Return the devices that send over one of the links, and those that receive over one."""
        leave, enter = self._by_edge
        return [leave[:, (self._leaving & links).any(axis=1)], enter[:, (self._entering & links).any(axis=1)]]

    def into(self, device: int) -> Columns:
        """Return what enters the device."""
        return self._by_edge[1][:, device : device + 1]

    def out_of(self, device: int) -> Columns:
        """Return what leaves the device."""
        return self._by_edge[0][:, device : device + 1]


def _end_values(c: CompiledProblem, placement: Index, edges: Index, owner: Index, rows: int, side: str) -> Values:
    """Return 1 where an edge of the owner leaves (or enters) the device (rows, D)."""
    device = c.executor_device[placement]
    origin, destination = device[c.edge_producer[edges]], device[c.edge_consumer[edges]]
    moved = origin != destination
    values = np.zeros((rows, len(c.device_names)))
    values[owner[moved], (origin if side == "leave" else destination)[moved]] = 1.0
    return values


def _usable_ends(c: CompiledProblem, edges: Index, owner: Index, rows: int, side: str) -> Values:
    """Return 1 where an edge of the owner may leave (or enter) the device, else 0 (rows, D)."""
    end = c.pair_origin if side == "leave" else c.pair_destination
    usable = np.zeros((rows, len(c.device_names)))
    edge, pair = np.nonzero(c.edge_moves[edges])
    usable[owner[edge], end[pair]] = 1.0
    return usable


def _add_ends(
    model: LinearModel, c: CompiledProblem, x: Columns, suffix: str, edges: Index, owner: Index, rows: int
) -> tuple[Columns, Columns]:
    """Add `leave` and `enter` (rows, D), and a row for each edge and device, in the variables of its owner."""
    at = at_device(c, x, model)
    producer, consumer = at[c.edge_producer[edges]], at[c.edge_consumer[edges]]
    modes = at.shape[2]
    values = np.array([1.0] + [-1.0] * modes + [1.0] * modes)
    made = []

    def labels() -> list[str]:
        every = edge_labels(c)
        return [every[edge] for edge in edges]

    def owners() -> list[str]:
        if rows == len(edges):
            return labels()
        names = [""] * rows
        for edge, row in zip(edges, owner, strict=True):
            names[row] = c.tensor_names[c.edge_tensor[edge]]
        return names

    for name, there, elsewhere in (("leave", producer, consumer), ("enter", consumer, producer)):
        variables = model.add_variables(
            name + suffix,
            (rows, len(c.device_names)),
            axes=lambda: (owners(), c.device_names),
            upper=_usable_ends(c, edges, owner, rows, name),
            evaluate=lambda placement, name=name: _end_values(c, placement, edges, owner, rows, name),  # type: ignore[misc]
        )
        columns = np.concatenate([variables[owner][:, :, None], there, elsewhere], axis=2)
        model.add_rows(f"{name}s{suffix}", columns, values, lower=0.0, axes=lambda: (labels(), c.device_names))
        made.append(variables)
    return made[0], made[1]


def _add_sends(
    model: LinearModel, c: CompiledProblem, x: Columns, leave: Columns, enter: Columns, tensors: Index
) -> Columns:
    """Add the number of copies sent from each device, for tensors with several uses."""
    devices = len(c.device_names)
    most = np.minimum(c.fan_out[tensors], devices - 1).astype(float)
    edges = np.flatnonzero(np.isin(c.edge_tensor, tensors))
    owner = np.searchsorted(tensors, c.edge_tensor[edges])

    def sent(placement: Index) -> Values:
        received = _end_values(c, placement, edges, owner, len(tensors), "enter").sum(axis=1)
        origin = c.executor_device[placement[c.producer[tensors]]]
        return received[:, None] * (origin[:, None] == np.arange(devices))

    names = [c.tensor_names[t] for t in tensors]
    send = model.add_variables(
        "send",
        (len(tensors), devices),
        axes=lambda: (names, c.device_names),
        upper=most[:, None] * _usable_ends(c, edges, owner, len(tensors), "leave"),
        evaluate=sent,
    )
    at = at_device(c, x, model)[c.producer[tensors]]
    every = np.broadcast_to(enter[:, None, :], (len(tensors), devices, devices))
    columns = np.concatenate([send[:, :, None], every, at], axis=2)
    ones = np.ones((len(tensors), devices, 1))
    values = np.concatenate(
        [ones, -np.ones(every.shape), np.repeat(-most[:, None, None] * ones, at.shape[2], axis=2)], axis=2
    )
    model.add_rows("sends", columns, values, lower=-most[:, None], axes=lambda: (names, c.device_names))
    model.add_rows(
        "sends_one", np.stack([send, leave], axis=2), [1.0, -1.0], lower=0.0, axes=lambda: (names, c.device_names)
    )
    return send


def _multicast_arrivals(
    model: LinearModel, c: CompiledProblem, enter: Columns, tensors: Index, entering: Mask
) -> list[Copies]:
    """Return what is charged on receiving links: one copy of a tensor, even where several devices receive by it."""
    several = entering.sum(axis=0) > 1
    arrivals = [Copies(enter, tensors, (entering & ~several).astype(float))]
    links = np.flatnonzero(several)
    if not len(links):
        return arrivals
    names = [c.tensor_names[t] for t in tensors]
    link_names = [c.link_names[link] for link in links]
    edges = np.arange(len(c.edges))
    owner = np.searchsorted(tensors, c.edge_tensor)

    def carried(placement: Index) -> Values:
        entered = _end_values(c, placement, edges, owner, len(tensors), "enter")
        return ((entered @ entering[:, links]) > 0).astype(float)

    usable = _usable_ends(c, edges, owner, len(tensors), "enter") @ entering[:, links]
    carry = model.add_variables(
        "carry",
        (len(tensors), len(links)),
        axes=lambda: (names, link_names),
        upper=np.minimum(usable, 1.0),
        evaluate=carried,
    )
    for position, link in enumerate(links):
        devices = np.flatnonzero(entering[:, link])
        every = np.repeat(carry[:, position : position + 1], len(devices), axis=1)
        columns = np.stack([every, enter[:, devices]], axis=2)
        model.add_rows(
            f"carries({c.link_names[link]})",
            columns,
            np.array([1.0, -1.0]),
            lower=0.0,
            axes=lambda devices=devices: (names, [c.device_names[d] for d in devices]),  # type: ignore[misc]
        )
    ways = np.eye(len(c.link_names))[links]
    return [*arrivals, Copies(carry, tensors, ways)]
