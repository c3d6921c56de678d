"""Build: a model under construction, with the variables that objective, constraints and timing are written in."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, LinearMetric
from dnnopt.formulations.implied import Axes, Entries, ImpliedVariables
from dnnopt.formulations.milp.communication import Communication
from dnnopt.formulations.moves import Moves
from dnnopt.formulations.ties import tie_rows
from dnnopt.models.arrays import Columns, Values
from dnnopt.models.linear import LinearModel
from dnnopt.problem.networks import Layer, Tensor
from dnnopt.problem.platforms import Device, Link
from dnnopt.problem.problem import Problem


def clipped(values: Values, limit: float) -> Values:
    """Return values >= 0 that break a limit alone if and only if the given ones do, and are no more than twice that."""
    return np.minimum(values, 2 * limit) if limit > 0 else np.sign(values)


class Build(ImpliedVariables):
    """The model, and the columns of `x`, `y`, the copies, and what is added when first asked for.

    Rows and variables are stated in the order of the arrays: row v of `x` is of layer `layers[v]`, column i of device
    `devices[i]`.

    Attributes
    ----------
    problem : Problem
        As it was stated.
    layers : tuple of Layer or None, (N,)
        With name, operator (`op`), weights and all; None where the input starts or the output is wanted.
    layer_keys : tuple of (str, str) or None, (N,)
        Names of network and layer, as plans have them.
    devices, tensors, links : tuples of Device (k,), Tensor (T,) and Link (L,)
    c : CompiledProblem
        Everything else, as arrays: which node makes a tensor, which edges there are, seconds, what is allowed where.
    model : LinearModel
    x : columns (N, k)
        Of `x_vi`: layer v runs on device i.
    moves : Moves
        What the communication linearisation says of each edge.
    start : columns (N,)
    latency : list of columns, one for each network
        Both are set by a timing that has start times, and empty otherwise.
    """

    model: LinearModel

    def __init__(self, model: LinearModel, c: CompiledProblem, communication: Communication) -> None:
        self.c = c
        self.model = model
        self.x = communication.place(model, c)
        if c.blocks:
            self._add_ties()
        self.moves: Moves = communication.add(model, c, self.x)
        self.start: Columns = np.zeros(0, dtype=np.int32)
        self.latency: list[int] = []

    def _add_ties(self) -> None:
        """Let the layers of a block have it together."""
        found = tie_rows(self.c, self.x)
        self.model.add_sparse_rows(
            "tied",
            (len(found.labels),),
            found.row,
            found.columns,
            found.signs.astype(float),
            lower=0.0,
            upper=0.0,
            axes=lambda: (found.labels,),
        )

    @property
    def problem(self) -> Problem:
        return self.c.problem

    @property
    def layers(self) -> tuple[Layer | None, ...]:
        return self.c.layers

    @property
    def layer_keys(self) -> tuple[tuple[str, str] | None, ...]:
        return self.c.layer_keys

    @property
    def devices(self) -> tuple[Device, ...]:
        return self.c.devices

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.c.tensors

    @property
    def links(self) -> tuple[Link, ...]:
        return self.c.links

    def entries(self, metric: LinearMetric) -> Entries:
        """Return the columns and coefficients of a linear metric, in the model's units; some may be zero."""
        columns, values = super().entries(metric)
        return columns, values / self.model.units.of(metric.unit)

    def imply(self, name: str, implied: Columns, by: Columns, axes: Axes) -> None:
        """Add rows: each variable (...,) is at least the sum of its others (..., w)."""
        columns = np.concatenate([implied[..., None], by], axis=-1)
        signs = np.array([1.0] + [-1.0] * by.shape[-1])
        self.model.add_rows(name, columns, signs, lower=0.0, axes=axes)

    def imply_by_both(self, name: str, implied: Columns, first: Columns, second: Columns, axes: Axes) -> None:
        """Add rows: each variable (...,) is at least the sum of its first and second others (..., w), less 1."""
        columns = np.concatenate([implied[..., None], first, second], axis=-1)
        signs = np.array([1.0] + [-1.0] * (first.shape[-1] + second.shape[-1]))
        self.model.add_rows(name, columns, signs, lower=-1.0, axes=axes)

    @cached_property
    def seconds(self) -> Array:
        """Time of each node on each executor in the model's units; 0 where it cannot run (N, k)."""
        return self.c.seconds / self.model.units.time

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

    def at_most(self, label: str, columns: Columns, values: Values, upper: float) -> None:
        """Add the row `values · columns <= upper`; columns that come twice are summed."""
        self.model.add_sparse_rows(label, (), np.zeros(len(columns), dtype=np.int64), columns, values, upper=upper)

    def limit(self, label: str, entries: Entries, upper: float) -> None:
        """Add the row `entries <= upper`, in the model's units; no column may come twice."""
        columns, values = entries
        self.model.add_rows(label, columns, values, upper=upper, drop_zeros=True)
