"""Build: a model under construction, with the variables that objective, constraints and timing are written in."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiled import CompiledProblem, Index
from dnnopt.compiled.metrics import Array, Metric
from dnnopt.formulations.copies import Copies
from dnnopt.formulations.edges import at_device, edge_labels
from dnnopt.formulations.milp.communication import Communication
from dnnopt.formulations.milp.communication.moves import Moves
from dnnopt.formulations.milp.placement import add_placement
from dnnopt.formulations.values import exposed_values, held_values, received_values, touched_values
from dnnopt.models.arrays import Columns, Joined, Values
from dnnopt.models.linear import LinearModel

Entries = tuple[Columns, Values]


def clipped(values: Values, limit: float) -> Values:
    """Return values >= 0 that break a limit alone if and only if the given ones do, and are no more than twice that."""
    return np.minimum(values, 2 * limit) if limit > 0 else np.sign(values)


class Build:
    """The model, and the columns of `x`, `y`, the copies, and what is added when first asked for.

    Attributes
    ----------
    c : CompiledProblem
    model : LinearModel
    x : columns (N, k)
    moves : Moves
        What the communication linearisation says of each edge.
    copies : list of Copies
        What is charged.
    start : columns (N,)
    latency : list of columns, one for each network
        Both are set by a timing that has start times, and empty otherwise.
    """

    def __init__(self, model: LinearModel, c: CompiledProblem, communication: Communication) -> None:
        self.c = c
        self.model = model
        self.x = add_placement(model, c)
        self.moves: Moves = communication.add(model, c, self.x)
        self.copies: list[Copies] = self.moves.copies
        self.start: Columns = np.zeros(0, dtype=np.int32)
        self.latency: list[int] = []

    def entries(self, metric: Metric) -> Entries:
        """Return the columns and coefficients of a linear metric, in the model's units; some may be zero."""
        unit = self.model.units.of(metric.unit)
        columns, values = [self.x.ravel()], [np.where(self.c.allowed, metric.alpha, 0.0).ravel()]
        if metric.sends:
            for copies in self.copies:
                columns.append(copies.columns.ravel())
                charge = copies.charge(metric.per_copy, metric.per_byte, metric.scale, self.c.tensor_bytes)
                values.append(charge.ravel())
        if metric.exposes:
            columns.append(self.exposed)
            values.append(metric.gamma)
        return np.concatenate(columns), np.concatenate(values) / unit

    @cached_property
    def seconds(self) -> Array:
        """Time of each node on each executor in the model's units; 0 where it cannot run (N, k)."""
        return np.where(np.isfinite(self.c.time), self.c.time, 0.0) / self.model.units.time

    @property
    def y(self) -> Columns:
        """Columns of `y_ep` (E, P), of a linearisation that has variables for pairs; another one is refused."""
        if self.moves.pairs is None:
            raise UnsupportedError("", problem=f"{self.model.name}: there are no variables for pairs of devices")
        return self.moves.pairs

    @cached_property
    def transfer_entries(self) -> Entries:
        """Columns and coefficients (E, w): time of each edge over its route, hop after hop, in the model's units."""
        columns, seconds = self.moves.seconds()
        return columns, seconds / self.model.units.time

    @cached_property
    def exposed(self) -> Columns:
        """Columns of `h_τ` (T,): at least every use on an untrusted device and every way over an untrusted link."""
        c, model = self.c, self.model
        h = model.add_variables(
            "h",
            (len(c.tensor_names),),
            axes=lambda: (c.tensor_names,),
            upper=1.0,
            evaluate=lambda placement: exposed_values(c, placement),
        )
        untrusted = np.flatnonzero(~c.device_trusted[c.executor_device])
        if len(untrusted) and len(c.use_tensor):
            columns = np.concatenate([h[c.use_tensor][:, None], self.x[c.use_consumer][:, untrusted]], axis=1)
            self._at_least(
                "exposed",
                columns,
                lambda: [
                    Joined(c.tensor_names[t], c.node_names[v])
                    for t, v in zip(c.use_tensor, c.use_consumer, strict=True)
                ],
            )
        if len(c.edges) and not c.link_trusted.all():
            for side, over in enumerate(self.moves.over(~c.link_trusted)):
                columns = np.concatenate([h[c.edge_tensor][:, None], over], axis=1)
                self._at_least(f"exposed_on_way{side}", columns, lambda: edge_labels(c))
        return h

    def _at_least(self, name: str, columns: Columns, labels: Callable[[], list[str]]) -> None:
        """Add rows: the first column is at least the sum of the others."""
        signs = np.array([1.0] + [-1.0] * (columns.shape[1] - 1))
        self.model.add_rows(name, columns, signs, lower=0.0, axes=lambda: (labels(),))

    @cached_property
    def touched(self) -> Columns:
        """Columns (T, D): at least 1 where the device sends or receives the tensor."""
        ends = [[self.moves.out_of(d), self.moves.into(d)] for d in range(len(self.c.device_names))]
        return self._at_ends("buffer", [np.concatenate(end, axis=1) for end in ends], touched_values)

    @cached_property
    def holds(self) -> Columns:
        """Columns (G, D): at least 1 where the device runs a layer that reads the shared weights."""
        c = self.c
        shared = c.shared_weights
        h = self.model.add_variables(
            "holds",
            (len(shared.names), len(c.device_names)),
            axes=lambda: (shared.names, c.device_names),
            upper=1.0,
            evaluate=lambda placement: held_values(c, placement),
        )
        weights, readers = np.nonzero(shared.readers)
        columns = np.concatenate([h[weights][:, :, None], at_device(c, self.x)[readers]], axis=2)
        signs = np.array([1.0] + [-1.0] * (columns.shape[2] - 1))
        labels = [Joined(shared.names[g], c.node_names[v]) for g, v in zip(weights, readers, strict=True)]
        self.model.add_rows("reads", columns, signs, lower=0.0, axes=lambda: (labels, c.device_names))
        return h

    @cached_property
    def received(self) -> Columns:
        """Columns (T, D): at least 1 where the tensor is sent to the device."""
        ends = [self.moves.into(d) for d in range(len(self.c.device_names))]
        return self._at_ends("received", ends, received_values)

    def _at_ends(self, name: str, ends: list[Columns], value: Callable[[CompiledProblem, Index], Values]) -> Columns:
        """Add variables (T, D) that are at least the sums of the columns (E, w) at each device."""
        c = self.c
        z = self.model.add_variables(
            name,
            (len(c.tensor_names), len(c.device_names)),
            axes=lambda: (c.tensor_names, c.device_names),
            upper=1.0,
            evaluate=lambda placement: value(c, placement),
        )
        for device, end in enumerate(ends):
            if len(c.edges):
                columns = np.concatenate([z[c.edge_tensor, device][:, None], end], axis=1)
                self._at_least(f"{name}_at({c.device_names[device]})", columns, lambda: edge_labels(c))
        return z

    def at_most(self, label: str, columns: Columns, values: Values, upper: float) -> None:
        """Add the row `values · columns <= upper`; columns that come twice are summed."""
        self.model.add_sparse_rows(label, (), np.zeros(len(columns), dtype=np.int64), columns, values, upper=upper)

    def limit(self, label: str, entries: Entries, upper: float) -> None:
        """Add the row `entries <= upper`, in the model's units; no column may come twice."""
        columns, values = entries
        self.model.add_rows(label, columns, values, upper=upper, drop_zeros=True)
