"""Variables that moves and placements imply, and linear metrics, in every kind of model.

A linear model says that a variable is at least the sum of others, of which at most one is 1; a constraint model that
each of them implies it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index, LinearMetric
from dnnopt.formulations.copies import Copies
from dnnopt.formulations.edges import at_device, at_host, edge_labels
from dnnopt.formulations.moves import Moves
from dnnopt.formulations.values import event_values, exposed_values, held_values, received_values, touched_values
from dnnopt.models.arrays import Columns, Joined, Values
from dnnopt.models.constraint import ConstraintModel
from dnnopt.models.linear import LinearModel

Axes = Callable[[], Sequence[Sequence[str]]]
Entries = tuple[Columns, Values]


class ImpliedVariables(ABC):
    """Columns of a model under construction, added when first asked for.

    Attributes
    ----------
    c : CompiledProblem
    model : LinearModel or ConstraintModel
    x : columns (N, k)
    moves : Moves
        What the model says of each edge.
    """

    c: CompiledProblem
    model: LinearModel | ConstraintModel
    x: Columns
    moves: Moves

    @abstractmethod
    def imply(self, name: str, implied: Columns, by: Columns, axes: Axes) -> None:
        """Say that variables (...,) are 1 where one of their others (..., w) is."""

    @abstractmethod
    def imply_by_both(self, name: str, implied: Columns, first: Columns, second: Columns, axes: Axes) -> None:
        """Say that variables (...,) are 1 where one of the first and one of the second others (..., w) are."""

    @property
    def copies(self) -> list[Copies]:
        """What is charged."""
        return self.moves.copies

    def entries(self, metric: LinearMetric) -> Entries:
        """Return the columns and SI coefficients of a linear metric; some may be zero."""
        columns, values = [self.x.ravel()], [np.where(self.c.allowed, metric.alpha, 0.0).ravel()]
        if metric.sends:
            for copies in self.copies:
                columns.append(copies.columns.ravel())
                values.append(copies.charge(metric, self.c.tensor_bytes).ravel())
        if metric.exposes:
            columns.append(self.exposed)
            values.append(metric.gamma)
        if metric.happens:
            columns.append(self.happening)
            values.append(metric.on_event)
        return np.concatenate(columns), np.concatenate(values)

    @cached_property
    def exposed(self) -> Columns:
        """Columns of `h_τ` (T,): every use on an untrusted device and every way over an untrusted link."""
        c = self.c
        h = self._add("h", c.tensor_names, evaluate=exposed_values)
        untrusted = np.flatnonzero(~c.device_trusted[c.executor_device])

        def uses() -> list[list[str]]:
            ends = zip(c.use_tensor, c.use_consumer, strict=True)
            return [[Joined(c.tensor_names[t], c.node_names[v]) for t, v in ends]]

        if len(untrusted) and len(c.use_tensor):
            self.imply("exposed", h[c.use_tensor], self.x[c.use_consumer][:, untrusted], uses)
        if len(c.edges) and not c.link_trusted.all():
            for side, over in enumerate(self.moves.over(~c.link_trusted)):
                self.imply(f"exposed_on_way{side}", h[c.edge_tensor], over, lambda: [edge_labels(c)])
        return h

    @cached_property
    def happening(self) -> Columns:
        """Columns of `g_χ` (X,): every edge that brings the event about, over every pair of devices for it."""
        c, events = self.c, self.c.events
        g = self._add("happens", events.names, evaluate=event_values)
        pairs = self.moves.pairs
        assert pairs is not None  # the scope of what has none refuses choices
        if len(events.event):
            over = np.where(c.event_pairs[events.event], pairs[events.edge], self.model.zero)
            self.imply("happens_by", g[events.event], over, lambda: [_numbered(events.names, events.event)])
        if len(events.stay_event) and events.stay_devices.any():
            at = at_device(c, self.x, self.model)[:, events.stay_devices]
            here, there = (at[node[events.stay_edge]] for node in (c.edge_producer, c.edge_consumer))
            seen = np.broadcast_to(g[events.stay_event][:, None], (len(events.stay_event), at.shape[1]))
            names = [name for name, some in zip(c.device_names, events.stay_devices, strict=True) if some]
            stays = _numbered(events.names, events.stay_event)
            self.imply_by_both("seen_there", seen, here, there, lambda: [stays, names])
        return g

    @cached_property
    def holds(self) -> Columns:
        """Columns (G, H): where the host runs a layer that reads the shared weights."""
        c, shared = self.c, self.c.shared_weights
        h = self._add("holds", shared.names, c.host_names, evaluate=held_values)
        weights, readers = np.nonzero(shared.readers)
        labels = [Joined(shared.names[g], c.node_names[v]) for g, v in zip(weights, readers, strict=True)]
        self.imply("reads", h[weights], at_host(c, self.x, self.model)[readers], lambda: [labels, c.host_names])
        return h

    @cached_property
    def touched(self) -> Columns:
        """Columns (T, D): where the device sends or receives the tensor."""
        devices = range(len(self.c.device_names))
        ends = [np.concatenate([self.moves.out_of(d), self.moves.into(d)], axis=1) for d in devices]
        return self._at_ends("buffer", ends, touched_values)

    @cached_property
    def received(self) -> Columns:
        """Columns (T, D): where the tensor is sent to the device."""
        ends = [self.moves.into(device) for device in range(len(self.c.device_names))]
        return self._at_ends("received", ends, received_values)

    def _at_ends(self, name: str, ends: list[Columns], evaluate: Callable[[CompiledProblem, Index], Values]) -> Columns:
        """Add variables (T, D) that the columns (E, w) of each device imply."""
        c = self.c
        z = self._add(name, c.tensor_names, c.device_names, evaluate=evaluate)
        if len(c.edges):
            for device, end in enumerate(ends):
                self.imply(
                    f"{name}_at({c.device_names[device]})", z[c.edge_tensor, device], end, lambda: [edge_labels(c)]
                )
        return z

    def _add(self, name: str, *labels: Sequence[str], evaluate: Callable[[CompiledProblem, Index], Values]) -> Columns:
        return self.model.add_variables(
            name,
            tuple(map(len, labels)),
            axes=lambda: labels,
            upper=1.0,
            evaluate=lambda placement: evaluate(self.c, placement),
        )


def _numbered(names: Sequence[str], which: Index) -> list[str]:
    """Return the names of some, each with its number among those of one name."""
    first = np.searchsorted(which, which)  # ordered
    return [Joined(names[index], str(place)) for place, index in zip(np.arange(len(which)) - first, which, strict=True)]
