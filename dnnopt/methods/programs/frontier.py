"""The frontier: what has to be remembered of the layers placed so far, step by step along a topological order.

After each step a *slot* holds, for every producer with tensors that are still to be used, its device and, for each such
tensor, the set of devices that have it already; so every copy is charged once. Further slots hold the device of layers
that must go together, those taken by layers that must be apart, and all that are in use where their number is limited.
The *state* is what all slots hold; where devices are alike, one state stands for all that exchanges lead to (see
`slots.py`). Tables over states are exact sums to the end (dynamic programming, backwards); labels walk forwards (see
`label_search.py`).

States are those that can be reached, so networks with few tensors alive at once have few: a chain has one for each
device, or one for all that are alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import (
    CompiledConstraint,
    LinearLimit,
    LinearTerm,
    MaxTerm,
    MemoryLimit,
    ObjectiveLimit,
    PeriodTerm,
)
from dnnopt.compiled.logical import Colocation, CutCount, DeviceCount, Separation, TierOrder
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.scope import Scope
from dnnopt.compiled.symmetry import identical_devices
from dnnopt.methods.programs import rows as sums
from dnnopt.methods.programs.alike import RowExchanges
from dnnopt.methods.programs.rows import PlanSum
from dnnopt.methods.programs.slots import FrontierStep, SlotUse
from dnnopt.methods.programs.steps import StepBuilder, steps_of

SCOPE = Scope(
    enforces=frozenset(
        {LinearLimit, MemoryLimit, ObjectiveLimit, Colocation, Separation, TierOrder, DeviceCount, CutCount}
    ),
    terms=frozenset({LinearTerm, PeriodTerm, MaxTerm}),
    exposure=False,
)
_MOST_KEPT = 100_000  # numbers, of one use


class Frontier:
    """Steps along a network, and what they add to rows.

    Parameters
    ----------
    compiled : CompiledProblem
    rows : sequence of PlanSum
    classes : list of lists of int, optional
        Devices that can be exchanged; by default all that are alike. Those that rows tell apart stay as they are.

    Raises
    ------
    TooManyStatesError
        If there are more than `MOST_STATES` over all steps.
    """

    def __init__(
        self, compiled: CompiledProblem, rows: Sequence[PlanSum], classes: list[list[int]] | None = None
    ) -> None:
        self.c = compiled
        self.rows = tuple(rows)
        self.alpha = np.stack([row.alpha for row in rows], axis=-1)  # (N, k, R)
        self._per_feature, self._per_edge = self._features(), self._edges()
        self._sent: dict[int, Array] = {}  # of uses, by their ids
        self.alike = RowExchanges.of(compiled, self.rows, identical_devices(compiled) if classes is None else classes)
        builder, steps = steps_of(compiled)
        if isinstance(steps, str) or builder.classes != self.alike.classes:
            builder = StepBuilder(compiled, self.alike.classes, patient=True)
            steps = builder.steps()
        self.sets, self.steps = builder.sets, steps
        self.states = sum(step.states for step in steps)
        self.exchanges = builder.moves.exchanges
        self.sources = self.alike.sources(self.exchanges)

    def with_rows(self, rows: Sequence[PlanSum]) -> Frontier:
        """Return the same steps with other rows."""
        other = copy(self)
        other.rows = tuple(rows)
        other.alpha = np.stack([row.alpha for row in rows], axis=-1)
        other._per_feature, other._per_edge = other._features(), other._edges()
        other._sent = {}
        other.__dict__.pop("left", None)
        return other

    @staticmethod
    def refuses(compiled: CompiledProblem) -> str | None:
        """Return what a walk along the network does not keep track of, or None."""
        reason = SCOPE.refuses(compiled)
        for constraint in compiled.constraints:
            if isinstance(constraint, DeviceCount) and constraint.limit < 1:
                reason = reason or f"the constraint {constraint.label}"
            elif isinstance(constraint, ObjectiveLimit):
                several = sums.refuses_terms(constraint.terms)
                reason = reason or (several and f"{several}, in the constraint {constraint.label}")
        return reason

    @staticmethod
    def followed(compiled: CompiledProblem, listed: Iterable[CompiledConstraint]) -> tuple[CompiledConstraint, ...]:
        """Return those of some constraints that it keeps track of, each as the only one of the problem."""
        return tuple(one for one in listed if Frontier.refuses(replace(compiled, constraints=(one,))) is None)

    @staticmethod
    def too_wide(compiled: CompiledProblem) -> str | None:
        """Return why the network is too wide for tables over states, or None."""
        _, steps = steps_of(compiled)
        return steps if isinstance(steps, str) else None

    def _features(self) -> Array:
        """Return what each feature of a copy adds to the rows (T, F, R): links, devices that have it, copies."""
        c = self.c
        devices, links = len(c.device_names), len(c.link_names)
        table = np.zeros((len(c.tensor_names), links + devices + 1, len(self.rows)))
        for number, row in enumerate(self.rows):
            table[:, :links, number] = row.beta
            if row.buffers:
                table[:, links + row.device, number] = row.buffers * c.buffer_bytes
            table[:, -1, number] = row.copy * c.tensor_whole
        return table

    def _edges(self) -> Array | None:
        """Return what each edge adds to the rows over each pair of devices (E, P + 1, R); nothing over the last."""
        listed = [row.per_edge for row in self.rows]
        if all(values is None for values in listed):
            return None
        nothing = np.zeros((len(self.c.edges), len(self.c.pair_origin)))
        table = np.stack([nothing if values is None else values for values in listed], axis=-1)
        return np.pad(table, ((0, 0), (0, 1), (0, 0)))

    def sent(self, use: SlotUse, digits: Index, devices: Index) -> Array:
        """Return what uses of a slot add to the rows (..., R), for its codes and the node's devices (broadcast)."""
        if math.prod(use.shape) * len(self.rows) <= _MOST_KEPT:
            if id(use) not in self._sent:
                self._sent[id(use)] = self._sum_sent(use, *np.ogrid[: use.shape[0], : use.shape[1]])
            return self._sent[id(use)][digits, devices]
        return self._sum_sent(use, digits, devices)

    def _sum_sent(self, use: SlotUse, digits: Index, devices: Index) -> Array:
        total = np.zeros((*np.broadcast_shapes(digits.shape, devices.shape), len(self.rows)))
        for tensor, features in zip(use.tensors, use.sent, strict=True):
            total += features[digits, devices] @ self._per_feature[tensor]
        if self._per_edge is not None and use.edges:
            pairs = self.c.pair_number[use.slot.origins[digits], devices]
            for edge in use.edges:
                total += self._per_edge[edge][pairs]
        return total

    def weighed(self, use: SlotUse, weights: Array) -> Array:
        """Return what uses of a slot add to weighted sums of rows (codes, D, M)."""
        total = np.zeros((*use.shape, len(weights)))
        for tensor, features in zip(use.tensors, use.sent, strict=True):
            total += features @ (self._per_feature[tensor] @ weights.T)
        if self._per_edge is not None and use.edges:
            pairs = self.c.pair_number[use.slot.origins]
            for edge in use.edges:
                total += (self._per_edge[edge] @ weights.T)[pairs]
        return total

    @cached_property
    def left(self) -> tuple[Array, Array]:
        """The least and the most that each row still gains after each step (steps, R), (steps, R)."""
        least, most = np.zeros((2, len(self.steps), len(self.rows)))
        for number, step in enumerate(self.steps):
            placed = self.alpha[step.node][self.c.allowed[step.node]]
            least[number], most[number] = placed.min(axis=0), placed.max(axis=0)
            for use in step.uses:
                for tensor, features in zip(use.tensors, use.sent, strict=True):
                    highest = features.reshape(-1, features.shape[-1]).max(axis=0)
                    most[number] += highest @ self._per_feature[tensor]
                if self._per_edge is not None:
                    for edge in use.edges:
                        most[number] += self._per_edge[edge].max(axis=0)
        for orbit in range(int(self.alike.orbits.max(initial=-1)) + 1):
            mine = self.alike.orbits == orbit
            least[:, mine], most[:, mine] = least[:, mine].min(axis=1)[:, None], most[:, mine].max(axis=1)[:, None]
        return _after_each(least), _after_each(most)

    def tables(self, weights: Array) -> list[Array]:
        """Return the least weighted sums of rows from each step to the end (states, M), for weights (M, R).

        The first is that from before the first step; the last, of zeros, that after the last step.
        """
        table = np.zeros((1, len(weights)))
        found = [table]
        for step in reversed(self.steps):
            table = self._before(step, table, weights)
            found.append(table)
        return found[::-1]

    def _before(self, step: FrontierStep, after: Array, weights: Array) -> Array:
        """Return the table before a step from that after it."""
        c = self.c
        before = np.full((step.states, len(weights)), np.inf)
        charges = [(step.digits[use.axis], self.weighed(use, weights)) for use in step.uses]
        for executor in np.flatnonzero(c.allowed[step.node]):
            device = c.executor_device[executor]
            to = step.to[:, device]
            table = after[to] + weights @ self.alpha[step.node, executor]
            for digits, charge in charges:
                table += charge[digits, device]
            table[to < 0] = np.inf
            np.minimum(before, table, out=before)
        return before


def _after_each(gains: Array) -> Array:
    """Return the sums of what follows each row of an array."""
    following: Array = np.vstack([gains[::-1].cumsum(axis=0)[::-1][1:], np.zeros((1, gains.shape[1]))])
    return following
