"""Timing `disjunctive`: `scheduled` execution, a binary for each order of two tasks that can be in each other's way.

The rows of `modules` and `hops.py` (those with a condition `if z` by big-M: `... - M (1 - z)`), and

    o_ab + o_ba >= X_aq + X_bq - 1                      for each resource q, X_aq: task a is on q
    S_b >= S_a + Σ t_a - M_ab (1 - o_ab)                M_ab: the latest end of a minus the earliest start of b

for tasks a and b (nodes, hops) that may share a resource and that the graph leaves unordered. Hops that nothing can be
in the way of have no start of their own: their time is in the rows of `potentials`. Latest ends follow from the cap of
the problem, or from a serial bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.compiled.precedence import reachability
from dnnopt.compiled.scheduling import Tasks, Times
from dnnopt.compiled.windows import Windows
from dnnopt.formulations.edges import at_device
from dnnopt.formulations.hops import hops, unordered
from dnnopt.formulations.milp.build import Build
from dnnopt.formulations.milp.timing.modules import add_relaxed_times
from dnnopt.models.arrays import Columns, Values

# Pairs of nodes that the graph leaves unordered.
MOST_PAIRS = 20_000
_NO = np.zeros(0)


def refuses(c: CompiledProblem) -> str | None:
    """Return why the timing does not fit the problem, or None."""
    reach = reachability(c)
    layers = np.flatnonzero(c.is_layer)
    free = ~(reach | reach.T)[np.ix_(layers, layers)]
    pairs = (int(free.sum()) - len(layers)) // 2
    return None if pairs <= MOST_PAIRS else f"graphs with {pairs:,} pairs of unordered layers (at most {MOST_PAIRS:,})"


def add(build: Build) -> None:
    """Add start times, orders and rows."""
    _Disjunctive(build)


@dataclass(frozen=True, eq=False)
class _Things:
    """What can be ordered: the N nodes, then the slots; each is on one of its places, or on none.

    Attributes
    ----------
    item : array (n,)
        Node, or N plus the carrier.
    column, seconds : array (n, W)
        Columns that say that it is at a place, and its time there.
    on : array (n, W, Q)
        Which resources each place is on.
    earliest, latest : array (n,)
        Start and end.
    """

    item: Index
    column: Columns
    seconds: Array
    on: Mask
    earliest: Array
    latest: Array


class _Disjunctive:
    def __init__(self, build: Build) -> None:
        self.build, self.c, self.model = build, build.c, build.model
        self.unit = build.model.units.time
        windows, limits = add_relaxed_times(build)
        self.hops = hops(self.c, build.copies, build.y)
        self.things = self._things(windows, limits)
        self.pairs = self._pairs()
        nodes = len(self.c.node_names)
        carriers = np.unique(self.things.item[self.pairs[self.pairs >= nodes]])
        self.timed = np.flatnonzero(np.isin(self.hops.slot_carrier + nodes, carriers))
        self.start = np.full(len(self.things.item), -1, dtype=np.int64)
        self.start[:nodes] = build.start
        self._add_hop_starts()
        self._add_hops()
        self._add_orders()
        build.model.task_starts = self.task_starts

    def _things(self, windows: Windows, limits: Array) -> _Things:
        c, found, build = self.c, self.hops, self.build
        seconds = windows.durations.node
        slot_seconds = found.way_seconds(windows.durations)
        width = max(seconds.shape[1], slot_seconds.shape[1])

        def wide(values: NDArray[Any]) -> NDArray[Any]:
            return np.pad(values, ((0, 0), (0, width - values.shape[1])))

        on_node = c.resource_devices.T[c.executor_device]
        on_way = np.where(found.way_link[:, :, None] >= 0, c.resource_links.T[found.way_link], False)
        on = np.zeros((len(seconds) + len(slot_seconds), width, len(c.resource_names)), dtype=bool)
        on[: len(seconds), : seconds.shape[1]] = on_node[None] & (c.allowed & (seconds > 0))[:, :, None]
        on[len(seconds) :, : slot_seconds.shape[1]] = on_way & (slot_seconds > 0)[:, :, None]
        producer = c.producer[found.carrier_tensor[found.slot_carrier]]
        head = _least(windows.head)
        end = _least(windows.head + seconds)
        latest = limits[c.node_network] - _least(windows.tail)
        before_consumer = limits[c.node_network] - _least(windows.tail + seconds)
        carrier_latest = np.zeros(len(found.carrier_tensor))
        np.maximum.at(carrier_latest, found.edge_carrier, before_consumer[c.edge_consumer])
        return _Things(
            item=np.concatenate([np.arange(len(seconds)), len(seconds) + found.slot_carrier]),
            column=np.concatenate([wide(build.x), wide(found.way_column)]),
            seconds=np.concatenate([wide(np.where(c.allowed, seconds, 0.0)), wide(slot_seconds)]),
            on=on,
            earliest=np.concatenate([head, end[producer]]),
            latest=np.concatenate([latest, carrier_latest[found.slot_carrier]]),
        )

    def _pairs(self) -> Index:
        """Return the pairs of things that may share a resource and are unordered (n, 2)."""
        things = self.things
        free = unordered(self.c, self.hops, reachability(self.c))
        uses: Mask = np.logical_or.reduce(things.on, axis=1)
        some = np.flatnonzero(uses.any(axis=1))
        together = (uses[some].astype(np.int64) @ uses[some].T.astype(np.int64)) > 0
        together &= free[np.ix_(things.item[some], things.item[some])]
        carrier = things.item[some][:, None] == things.item[some][None, :]
        nodes = len(self.c.node_names)
        device = np.concatenate([np.full(nodes, -1), self.hops.slot_device])[some]
        same_way = carrier & (device[:, None] == device[None, :]) & (device >= 0)[:, None]
        first, second = np.nonzero(np.triu(together & ~same_way, 1))
        return np.stack([some[first], some[second]], axis=1)

    def _add_hop_starts(self) -> None:
        nodes = len(self.c.node_names)
        labels = self.hops.labels(self.c)

        def starts(times: Times) -> Values:
            found = self.hops.starts(self.c, times.tasks, times.starts, times.tasks.seconds)
            return found[self.timed] / self.unit

        self.start[nodes + self.timed] = self.model.add_variables(
            "hop",
            (len(self.timed),),
            axes=lambda: ([labels[slot] for slot in self.timed],),
            evaluate_times=starts,
        )

    def _ends(self, which: Index) -> tuple[Columns, Values]:
        """Return columns and coefficients of the ends of things (n, 1 + W)."""
        columns = np.concatenate([self.start[which][:, None], self.things.column[which]], axis=1)
        return columns, np.concatenate([np.ones((len(which), 1)), self.things.seconds[which]], axis=1)

    def _add_later(
        self, name: str, later: Columns, before: Index, switch: Columns | None = None, room: Array = _NO
    ) -> None:
        """Add `later >= end of before`, or, where the switches (n, m) are not all zero, `- room (1 - Σ switch)`."""
        columns, values = self._ends(before)
        columns = np.concatenate([later[:, None], columns], axis=1)
        values = np.concatenate([np.ones((len(later), 1)), -values], axis=1)
        lower = np.zeros(len(later))
        if switch is not None:
            room = np.maximum(room, 0.0)
            columns = np.concatenate([columns, switch], axis=1)
            values = np.concatenate([values, np.broadcast_to(-room[:, None], switch.shape)], axis=1)
            lower = -room
        names = [str(row) for row in range(len(later))]
        self.model.add_rows(name, columns, values, lower=lower, axes=lambda: (names,), drop_zeros=True)

    def _add_hops(self) -> None:
        c, found, nodes = self.c, self.hops, len(self.c.node_names)
        earliest, latest = self.things.earliest, self.things.latest
        timed = np.zeros(len(found.slot_carrier), dtype=bool)
        timed[self.timed] = True
        slots = self.start[nodes:]
        producer = c.producer[found.carrier_tensor[found.slot_carrier[self.timed]]]
        self._add_later("send", slots[self.timed], producer)
        before, after = found.chains[timed[found.chains[:, 0]]].T
        self._add_later("forward", slots[after], nodes + before)
        at = at_device(c, self.build.x, self.build.model)
        slot, edge, device = found.arrivals[timed[found.arrivals[:, 0]]].T
        v, slot = c.edge_consumer[edge], nodes + slot
        self._add_later("arrive", self.start[v], slot, at[v, device], latest[slot] - earliest[v])
        before, after, column = found.conditional_chains[timed[found.conditional_chains[:, 0]]].T
        before, after = nodes + before, nodes + after
        self._add_later("forward_if", self.start[after], before, column[:, None], latest[before] - earliest[after])
        slot, edge, column = found.conditional_arrivals[timed[found.conditional_arrivals[:, 0]]].T
        v, slot = c.edge_consumer[edge], nodes + slot
        self._add_later("arrive_if", self.start[v], slot, column[:, None], latest[slot] - earliest[v])

    def _add_orders(self) -> None:
        c, model, things, pairs = self.c, self.model, self.things, self.pairs
        names = [str(pair) for pair in range(len(pairs))]

        def orders(times: Times) -> Values:
            starts, ends = self._spans(times)
            first, second = pairs.T
            return np.stack([ends[first] <= starts[second], ends[second] <= starts[first]], axis=1).astype(float)

        order = model.add_variables(
            "order",
            (len(pairs), 2),
            axes=lambda: (names, ("first", "second")),
            upper=1.0,
            integer=True,
            evaluate_times=orders,
        )
        for q in range(len(c.resource_names)):
            self._add_shares(q, order)
        for side, (first, second) in enumerate((pairs.T, pairs.T[::-1])):
            room = things.latest[first] - things.earliest[second]
            self._add_later(f"order{side}", self.start[second], first, order[:, side : side + 1], room)

    def _add_shares(self, q: int, order: Columns) -> None:
        """Add that two things on a resource are in one order or the other."""
        on = self.things.on[:, :, q].astype(float)
        both = np.flatnonzero((on.sum(axis=1)[self.pairs] > 0).all(axis=1))
        if len(both):
            first, second = self.pairs[both].T
            columns = np.concatenate([order[both], self.things.column[first], self.things.column[second]], axis=1)
            values = np.concatenate([np.ones((len(both), 2)), -on[first], -on[second]], axis=1)
            self.model.add_rows(
                f"share({self.c.resource_names[q]})",
                columns,
                values,
                lower=-1.0,
                axes=lambda: ([str(pair) for pair in both],),
                drop_zeros=True,
            )

    def _spans(self, times: Times) -> tuple[Array, Array]:
        """Return starts and ends of all things in a plan, in seconds."""
        tasks, nodes = times.tasks, len(self.c.node_names)
        starts = np.concatenate([times.starts[:nodes], self.hops.starts(self.c, tasks, times.starts, tasks.seconds)])
        seconds = np.zeros(len(starts))
        seconds[:nodes] = tasks.seconds[:nodes]
        slots = self.hops.slots_of(self.c, tasks)
        seconds[nodes + slots[slots >= 0]] = np.array(tasks.seconds[nodes:])[slots >= 0]
        return starts, starts + seconds

    def task_starts(self, values: Values, tasks: Tasks) -> list[float]:
        """Return the starts of a placement's tasks in a solution; hops without one go when their producer has ended."""
        nodes = len(self.c.node_names)
        starts = values[self.build.start]
        seconds = np.array(tasks.seconds) / self.unit
        producer = self.c.producer[np.array(tasks.hop_tensor, dtype=np.int64)]
        slot_start = self.start[nodes + self.hops.slots_of(self.c, tasks)]
        hop_starts = np.where(slot_start >= 0, values[slot_start], starts[producer] + seconds[producer])
        return [*starts.tolist(), *hop_starts.tolist()]


def _least(values: Array) -> Array:
    """Return the least finite value of each row; 0 where there is none."""
    least = values.min(axis=1)
    return np.where(np.isfinite(least), least, 0.0)
