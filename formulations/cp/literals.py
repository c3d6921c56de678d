"""Literals: the placement and copy variables of a constraint model, and linear metrics in terms of them."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.metrics import Index
from dnnopt.formulations.copies import Copies, shared_tensors
from dnnopt.formulations.edges import edge_labels, edge_stays, edge_uses_pair, pair_labels
from dnnopt.formulations.executors import add_executors
from dnnopt.formulations.implied import Axes, Entries, ImpliedVariables
from dnnopt.formulations.moves import PairMoves
from dnnopt.formulations.ties import tie_rows
from dnnopt.models.arrays import Columns, Values
from dnnopt.models.constraint import ConstraintModel


class HasLatencies(Protocol):
    """What rows on latencies need of the start times of a formulation.

    Attributes
    ----------
    scale : float
        Units of time in a second.
    latency : columns (A,)
    """

    scale: float
    latency: Columns

    def joint_loads(self, networks: tuple[int, ...]) -> list[tuple[Columns, Values]]:
        """Return rows that the sum of these networks' latencies is at least, as columns and seconds."""
        ...


class Literals(ImpliedVariables):
    """The variables of a model under construction.

    Attributes
    ----------
    c : CompiledProblem
    model : ConstraintModel
    x : columns (N, k)
    y : columns (E, P)
    moves : PairMoves
    times : HasLatencies or None
        Start times, where a formulation has them.
    """

    model: ConstraintModel

    def __init__(self, model: ConstraintModel, c: CompiledProblem) -> None:
        self.c = c
        self.model = model
        self.evaluator = evaluator_of(c)
        self.x = self._add_placement()
        self.y = self._add_pairs()
        self.moves = PairMoves(c, self.y, self._add_copies())
        self.times: HasLatencies | None = None

    def _add_placement(self) -> Columns:
        x = add_executors(self.model, self.c)
        self.model.add_exactly_one(x)
        if self.c.blocks:
            found = tie_rows(self.c, x)
            for row in range(len(found.labels)):
                mine = found.row == row
                self.model.add_whole_row("tied", found.columns[mine], found.signs[mine], lower=0, upper=0)
        return x

    def _add_pairs(self) -> Columns:
        c, model = self.c, self.model
        y = model.add_variables(
            "y",
            (len(c.edges), len(c.pair_origin)),
            axes=lambda: (edge_labels(c), pair_labels(c)),
            upper=c.edge_moves,
            evaluate=lambda placement: edge_uses_pair(c, placement),
        )
        if not y.size:
            return y
        if c.blocks:
            self._add_sends_by_device(y)
        else:
            self._add_sends(y)
        self._add_marginals(y)
        return y

    def _add_sends(self, y: Columns) -> None:
        c, u, v = self.c, self.c.edge_producer, self.c.edge_consumer
        for pair, (origin, destination) in enumerate(zip(c.pair_origin, c.pair_destination, strict=True)):
            for i in np.flatnonzero(c.executor_device == origin):
                for j in np.flatnonzero(c.executor_device == destination):
                    both = c.allowed[u, i] & c.allowed[v, j] & c.makes[:, i]
                    columns = np.stack([self.x[u, i], self.x[v, j], y[:, pair]], axis=1)[both]
                    self.model.add_clauses("send", columns, (False, False, True))

    def _add_sends_by_device(self, y: Columns) -> None:
        """The same where executors are many, as those of blocks are."""
        c, u, v = self.c, self.c.edge_producer, self.c.edge_consumer
        at, devices = self.places
        for pair, (origin, destination) in enumerate(zip(c.pair_origin, c.pair_destination, strict=True)):
            there = at[v, np.flatnonzero(devices == destination)[0]]
            if c.made is None:
                columns = np.stack([at[u, np.flatnonzero(devices == origin)[0]], there, y[:, pair]], axis=1)
                self._add_possible("send", columns)
                continue
            for i in np.flatnonzero(c.executor_device == origin):
                made = c.allowed[u, i] & c.makes[:, i]
                columns = np.stack([self.x[u, i], there, y[:, pair]], axis=1)[made]
                self._add_possible("send", columns)

    @cached_property
    def places(self) -> tuple[Columns, Index]:
        """Columns (N, m) of which one is 1 for each node, and the device that each stands for (m,).

        Those of executors or, where these are many, literals for devices.
        """
        c, model = self.c, self.model
        if not c.blocks:
            return self.x, c.executor_device
        devices = np.arange(len(c.device_names))
        at = model.add_variables(
            "at",
            (len(c.node_names), len(devices)),
            axes=lambda: (c.node_names, c.device_names),
            upper=c.at_devices(c.allowed),
            evaluate=lambda placement: c.executor_device[placement][:, None] == devices,
        )
        for node, columns in enumerate(at):
            for device in devices:
                here = self.x[node, (c.executor_device == device) & c.allowed[node]]
                row = np.append(here, columns[device])
                model.add_whole_row("at_device", row, [1] * len(here) + [-1], lower=0, upper=0)
        return at, devices

    def _add_marginals(self, y: Columns) -> None:
        """Redundant rows, for the solver's linear relaxation."""
        c, model = self.c, self.model
        devices, every = np.arange(len(c.device_names)), np.ones(len(c.executor_names), dtype=bool)
        stay = model.add_variables(
            "stay",
            (len(c.edges), len(devices)),
            axes=lambda: (edge_labels(c), c.device_names),
            evaluate=lambda placement: edge_stays(c, placement),
        )
        for edge, (u, v) in enumerate(zip(c.edge_producer, c.edge_consumer, strict=True)):
            one_entry = c.makes[edge, c.allowed[u]].all()  # else the consumer's are those of all entries together
            ends = ((u, c.pair_origin, c.makes[edge]), (v, c.pair_destination, every))
            for node, end, some in ends if one_entry else ends[:1]:
                for device in devices:
                    pairs = y[edge, end == device]
                    here = self.x[node, (c.executor_device == device) & some]
                    columns = np.concatenate([[stay[edge, device]], pairs, here])
                    coefficients = [1] * (1 + len(pairs)) + [-1] * len(here)
                    model.add_whole_row("marginal", columns, coefficients, lower=0, upper=0)

    def _add_copies(self) -> list[Copies]:
        c, model, y = self.c, self.model, self.y
        pairs = c.pair_uses_link.astype(float)
        shared = shared_tensors(c)
        if shared is None:
            return [Copies(y, c.edge_tensor, pairs)]
        multicast = c.transport == "multicast"
        w = shared.add(model, c)
        for pair in np.flatnonzero(c.pair_routed):
            for way in np.flatnonzero(c.pair_uses_link[pair]) if multicast else (pair,):
                columns = np.stack([y[shared.edges, pair], w[shared.position, way]], axis=1)
                model.add_clauses("copy", columns, (False, True))
        return shared.charged(c, y, w)

    def imply(self, name: str, implied: Columns, by: Columns, axes: Axes) -> None:
        """Add clauses: each of the others (..., w) implies its variable (...,)."""
        for other in range(by.shape[-1]):
            self._add_possible(name, np.stack([by[..., other], implied], axis=-1))

    def imply_by_both(self, name: str, implied: Columns, first: Columns, second: Columns, axes: Axes) -> None:
        """Add clauses: each of the first with each of the second others (..., w) implies its variable (...,)."""
        for one in range(first.shape[-1]):
            for other in range(second.shape[-1]):
                self._add_possible(name, np.stack([first[..., one], second[..., other], implied], axis=-1))

    def _add_possible(self, name: str, columns: Columns) -> None:
        """Add clauses (..., w) that all others but the last imply the last, without those of what cannot be."""
        rows = columns.reshape(-1, columns.shape[-1])
        if self.c.has_choices:
            rows = rows[(rows != self.model.zero).all(axis=1)]
        self.model.add_clauses(name, rows, (False,) * (rows.shape[1] - 1) + (True,))

    def load_entries(self, resource: int) -> Entries:
        """Return the columns and seconds of a resource's load."""
        c, load = self.c, self.c.loads[resource]
        here = c.resource_devices[resource, c.executor_device]
        columns, values = [self.x[:, here].ravel()], [np.where(c.allowed, load.alpha, 0.0)[:, here].ravel()]
        if load.sends:
            for copies in self.copies:
                columns.append(copies.columns.ravel())
                values.append(copies.charge(load, c.tensor_bytes).ravel())
        if load.happens:
            columns.append(self.happening)
            values.append(load.on_event)
        return np.concatenate(columns), np.concatenate(values)
