"""Build: a model under construction, with the variables that objective, constraints and timing are written in."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from dnnopt.compiled import CompiledProblem, Index
from dnnopt.evaluator import Evaluator
from dnnopt.formulations.copies import Copies
from dnnopt.formulations.edges import edge_labels
from dnnopt.formulations.milp.communication import Communication
from dnnopt.formulations.milp.communication.copies import add_copies
from dnnopt.formulations.milp.placement import add_placement
from dnnopt.linear_model import Columns, LinearModel, Values
from dnnopt.metrics import Array, Metric

Entries = tuple[Columns, Values]


class Build:
    """The model, and the columns of `x`, `y`, the copies, and what is added when first asked for.

    Attributes
    ----------
    c : CompiledProblem
    model : LinearModel
    x : columns (N, k)
    y : columns (E, P)
    copies : list of Copies
    latency : list of columns, one for each network
        Set by a timing that has start times; empty otherwise.
    """

    def __init__(self, model: LinearModel, c: CompiledProblem, communication: Communication) -> None:
        self.c = c
        self.model = model
        self.x = add_placement(model, c)
        self.y = communication(model, c, self.x)
        self.copies: list[Copies] = add_copies(model, c, self.y)
        self.latency: list[int] = []

    def entries(self, metric: Metric) -> Entries:
        """Return the columns and coefficients of a linear metric, in the model's units; some may be zero."""
        unit = self.model.units.of(metric.unit)
        columns, values = [self.x.ravel()], [metric.alpha.ravel()]
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

    @cached_property
    def transfer_seconds(self) -> Array:
        """Time of each edge over the route of each pair, one hop after the other, in the model's units (E, P)."""
        per_copy, per_byte = self.c.pair_seconds
        return (per_copy + self.c.tensor_bytes[self.c.edge_tensor][:, None] * per_byte) / self.model.units.time

    @cached_property
    def exposed(self) -> Columns:
        """Columns of `h_τ` (T,): at least every use on an untrusted device and every way over an untrusted link."""
        c, model = self.c, self.model

        def values(placement: Index) -> Array:
            evaluator, placements = Evaluator(c), placement[None]
            return evaluator.exposed(placements, evaluator.edge_pairs(placements))[0].astype(float)

        h = model.add_variables("h", (len(c.tensor_names),), axes=lambda: (c.tensor_names,), upper=1.0, evaluate=values)
        untrusted = np.flatnonzero(~c.device_trusted[c.executor_device])
        if len(untrusted) and len(c.use_tensor):
            columns = np.concatenate([h[c.use_tensor][:, None], self.x[c.use_consumer][:, untrusted]], axis=1)
            self._at_least(
                "exposed",
                columns,
                lambda: [
                    f"{c.tensor_names[t]},{c.node_names[v]}" for t, v in zip(c.use_tensor, c.use_consumer, strict=True)
                ],
            )
        way = np.flatnonzero((c.pair_uses_link & ~c.link_trusted).any(axis=1))
        if len(way) and len(c.edges):
            columns = np.concatenate([h[c.edge_tensor][:, None], self.y[:, way]], axis=1)
            self._at_least("exposed_on_way", columns, lambda: edge_labels(c))
        return h

    def _at_least(self, name: str, columns: Columns, labels: Callable[[], list[str]]) -> None:
        """Add rows: the first column is at least the sum of the others."""
        values = np.array([1.0] + [-1.0] * (columns.shape[1] - 1))
        self.model.add_rows(name, columns, values, lower=0.0, axes=lambda: (labels(),))

    @cached_property
    def touched(self) -> Columns:
        """Columns (T, D): at least 1 where the device sends or receives the tensor."""
        c = self.c
        devices = range(len(c.device_names))

        def values(placement: Index) -> Array:
            evaluator = Evaluator(c)
            pairs = evaluator.edge_pairs(placement[None])
            return np.stack([evaluator.touched(pairs, d)[0] for d in devices], axis=1).astype(float)

        return self._at_ends("buffer", [(c.pair_origin == d) | (c.pair_destination == d) for d in devices], values)

    @cached_property
    def received(self) -> Columns:
        """Columns (T, D): at least 1 where the tensor is sent to the device."""
        c = self.c
        devices = np.arange(len(c.device_names))

        def values(placement: Index) -> Array:
            device = c.executor_device[placement]
            origin, destination = device[c.edge_producer], device[c.edge_consumer]
            received = np.zeros((len(c.tensor_names), len(devices)))
            moved = origin != destination
            received[c.edge_tensor[moved], destination[moved]] = 1.0
            return received

        return self._at_ends("received", [c.pair_destination == d for d in devices], values)

    def _at_ends(self, name: str, pairs: list[Array], values: object) -> Columns:
        c = self.c
        z = self.model.add_variables(
            name,
            (len(c.tensor_names), len(c.device_names)),
            axes=lambda: (c.tensor_names, c.device_names),
            upper=1.0,
            evaluate=values,  # type: ignore[arg-type]
        )
        for device, chosen in enumerate(pairs):
            if len(c.edges) and chosen.any():
                columns = np.concatenate([z[c.edge_tensor, device][:, None], self.y[:, chosen]], axis=1)
                self._at_least(f"{name}_at({c.device_names[device]})", columns, lambda: edge_labels(c))
        return z

    def limit(self, label: str, entries: Entries, upper: float) -> None:
        """Add the row `entries <= upper`, in the model's units; no column may come twice."""
        columns, values = entries
        self.model.add_rows(label, columns, values, upper=upper, drop_zeros=True)
