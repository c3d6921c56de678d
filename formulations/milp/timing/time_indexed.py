"""Timing `time-indexed`: `scheduled` execution on a coarse grid of points 0, 1, ..., H of time.

    U_vit = 1: node v has started on executor i by t        V_wt = 1: the hop has started on way w by t

    U_vit >= U_vi,t-1,  U_vi,last = x_vi,  the same for V       last: the latest start; nothing starts before its head
    Σ_{i on j} U_vit <= Σ_{i free to j} U_ui,t-d_ui + Σ_w V_w,t-d_w     each use (u, v) and device j; w: last hops to j
    V_wt <= Σ_{i at the origin} U_ui,t-d_ui,  V_wt <= V_w',t-d_w'       first hops; further hops w after w'
    Σ_{(v, i) on q} (U_vit - U_vi,t-d_vi) + Σ_{w on q} (V_wt - V_w,t-d_w) <= 1      each resource q and t
    Λ_a >= Σ_t (1 - Σ_i U_vit) + Σ_i d_vi x_vi                  each node v of network a that no edge leaves

Durations d are whole steps of the grid: rounded down (`time-indexed`), so that the value is a bound, or rounded up
(`time-indexed-plan`), so that it is what some plan reaches; never both. A plan that is read is timed anew.
Pritsker, Watters, Wolfe: Multiproject scheduling with limited resources, Management Science 16(1), 1969, in cumulative
form. Size: (N k + hops) H variables; for few layers and coarse grids only.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.scheduling import Tasks, Times
from dnnopt.compiled.windows import Durations, Windows, latency_limits
from dnnopt.formulations.hops import hops
from dnnopt.formulations.milp.build import Build
from dnnopt.models.arrays import Columns, Values

# Points of time up to the largest latency that the problem's cap, or a serial bound, leaves.
STEPS = 48
MOST_VARIABLES = 300_000
_NEARLY = 1e-9


def refuses(c: CompiledProblem) -> str | None:
    """Return why the timing does not fit the problem, or None."""
    if c.transport == "multicast" and (c.fan_out > 1).any():
        return "multicast on a grid of time"
    hop_count = sum(len(route) for routes in c.route_links for route in routes if route)
    size = STEPS * (c.allowed.sum() + len(c.edges) * hop_count)
    return (
        None if size <= MOST_VARIABLES else f"so many layers on a grid of time (at most {MOST_VARIABLES:,} variables)"
    )


def add(build: Build, *, round_up: bool) -> None:
    """Add `U`, `V`, `Λ` and rows; the columns of Λ become `build.latency`."""
    _TimeIndexed(build, round_up=round_up)


add_bound = partial(add, round_up=False)
add_plan = partial(add, round_up=True)


class _TimeIndexed:
    def __init__(self, build: Build, *, round_up: bool) -> None:
        c = self.c = build.c
        self.build, self.model = build, build.model
        limits = latency_limits(c)
        self.step = float(limits.max()) / STEPS or 1.0
        self.round_up = round_up
        # Rounded up, a plan needs more steps than its latency has; twice as many are given.
        self.horizon = STEPS * (2 if round_up else 1)
        exact = Durations.of(c, self.step)
        self.node, self.hop_steps = self._whole(exact.node), self._whole(exact.hop)
        self.hops = hops(c, build.copies, build.y)
        self._add_variables()
        self._add_starts()
        self._add_precedence()
        self._add_capacity()
        self._add_latency()
        self.model.task_starts = self.task_starts

    def _whole(self, steps: Array) -> Index:
        return (np.ceil(steps - _NEARLY) if self.round_up else np.floor(steps + _NEARLY)).astype(np.int64)

    def _whole_starts(self, times: Times) -> tuple[Array, Array]:
        """Return starts and durations of the tasks of a plan, in steps."""
        seconds = self._whole(np.array(times.tasks.seconds) / self.step).astype(float)
        return np.array(times.tasks.retime(times.order, seconds.tolist())), seconds

    def _add_variables(self) -> None:
        c, model, found = self.c, self.model, self.hops
        nodes, executors = c.allowed.shape
        points = np.arange(self.horizon + 1)
        at = found.way_link >= 0
        self.slot, self.way = np.nonzero(at)
        labels = found.labels(c)

        def node_started(times: Times) -> Values:
            by_now = self._whole_starts(times)[0][:nodes, None] <= points
            return by_now[:, None, :] * (times.placement[:, None] == np.arange(executors))[:, :, None]

        def hop_started(times: Times) -> Values:
            starts, _ = self._whole_starts(times)
            values = np.zeros((len(self.slot), len(points)))
            for hop, row in enumerate(self._rows_of(times.tasks)):
                if row is not None:
                    values[row] = starts[nodes + hop] <= points
            return values

        names = [str(point) for point in points]
        windows = Windows.of(c, Durations(self.node.astype(float), self.hop_steps.astype(float)))
        head = np.where(np.isfinite(windows.head), windows.head, self.horizon + 1)
        tail = np.where(np.isfinite(windows.tail), windows.tail, 0.0)
        self.last = np.clip(self.horizon - self.node - tail, 0, self.horizon).astype(np.int64)
        self.started = model.add_variables(
            "started",
            (nodes, executors, len(points)),
            axes=lambda: (c.node_names, c.executor_names, names),
            upper=(points >= head[:, :, None]) & c.allowed[:, :, None],
            integer=True,
            evaluate_times=node_started,
        )
        self.sent = model.add_variables(
            "sent",
            (len(self.slot), len(points)),
            axes=lambda: ([f"{labels[s]},{c.link_names[found.way_link[s, w]]}" for s, w in self._ways()], names),
            upper=1.0,
            integer=True,
            evaluate_times=hop_started,
        )
        self.hop_duration = self.hop_steps[
            found.carrier_tensor[found.slot_carrier[self.slot]], found.way_link[self.slot, self.way]
        ]

    def _ways(self) -> list[tuple[int, int]]:
        return list(zip(self.slot.tolist(), self.way.tolist(), strict=True))

    def _add(self, name: str, columns: Columns, values: Array, **bounds: float) -> None:
        names = [str(row) for row in range(len(columns))]
        self.model.add_rows(name, columns, values, axes=lambda: (names,), drop_zeros=True, **bounds)

    def _add_starts(self) -> None:
        """Add that what has started stays so, and starts at last where it is placed."""
        for name, started in (("later", self.started.reshape(-1, self.horizon + 1)), ("sent_later", self.sent)):
            pairs = np.stack([started[:, 1:], started[:, :-1]], axis=-1).reshape(-1, 2)
            self._add(name, pairs, np.array([1.0, -1.0]), lower=0.0)
        x = self.build.x
        nodes, executors = x.shape
        i, v = np.meshgrid(np.arange(executors), np.arange(nodes))
        at_last = self.started[v, i, self.last]
        both = np.array([1.0, -1.0])
        self._add("start", np.stack([at_last, x], axis=-1).reshape(-1, 2), both, lower=0.0, upper=0.0)
        end = self.started[:, :, -1]
        self._add("start_once", np.stack([end, x], axis=-1).reshape(-1, 2), both, lower=0.0, upper=0.0)
        columns = np.stack([self.sent[:, -1], self.hops.way_column[self.slot, self.way]], axis=1)
        self._add("send", columns, both, lower=0.0, upper=0.0)

    def _ended(self, started: Columns, duration: Index) -> tuple[Columns, Array]:
        """Return columns and coefficients (n, H + 1) that say what has ended by each point."""
        before = np.arange(self.horizon + 1) - duration[:, None]
        rows = np.arange(len(started))[:, None]
        return started[rows, np.maximum(before, 0)], (before >= 0).astype(float)

    def _at_most(self, name: str, later: list[Columns], before: list[tuple[Columns, Array]]) -> None:
        """Add, for each point, `Σ later <= Σ before`."""
        columns = [*later, *(part for part, _ in before)]
        values = [*(-np.ones(part.shape) for part in later), *(part for _, part in before)]
        self._add(name, np.stack(columns, axis=-1).reshape(-1, len(columns)), _stacked(values), lower=0.0)

    def _add_precedence(self) -> None:
        c, found = self.c, self.hops
        executors = range(len(c.executor_device))
        ended = [self._ended(self.started[:, i], self.node[:, i]) for i in executors]
        sent = self._ended(self.sent, self.hop_duration)
        ways_of: dict[int, list[int]] = {}
        for row, slot in enumerate(self.slot.tolist()):
            ways_of.setdefault(slot, []).append(row)
        last = {
            (int(found.slot_carrier[s]), int(found.slot_device[s])): s
            for s in np.flatnonzero(found.slot_from_end == 0).tolist()
        }
        for e, (u, v) in enumerate(zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True)):
            for j in range(len(c.device_names)):
                here = [i for i in executors if c.executor_device[i] == j]
                near = [i for i in executors if c.route_links[c.executor_device[i]][j] == ()]
                rows = ways_of.get(last.get((int(found.edge_carrier[e]), j), -1), [])
                before = [(ended[i][0][u], ended[i][1][u]) for i in near] + [(sent[0][r], sent[1][r]) for r in rows]
                if before:
                    self._at_most("arrive", [self.started[v, i] for i in here], before)
                else:
                    self._add("nowhere", self.started[v, here], np.ones((len(here), self.horizon + 1)), upper=0.0)
        for row, (slot, way) in enumerate(self._ways()):
            pair, carrier = int(found.way_pair[slot, way]), found.slot_carrier[slot]
            earlier = found.chains[found.chains[:, 1] == slot, 0]
            previous = [
                r for s in earlier.tolist() for r in ways_of.get(s, []) if found.way_pair[s, self.way[r]] == pair
            ]
            u = int(c.producer[found.carrier_tensor[carrier]])
            origin = [i for i in executors if c.executor_device[i] == c.pair_origin[pair]]
            before = [(sent[0][r], sent[1][r]) for r in previous] or [(ended[i][0][u], ended[i][1][u]) for i in origin]
            self._at_most("forward", [self.sent[row]], before)

    def _add_capacity(self) -> None:
        c = self.c
        v, i = np.nonzero(c.allowed & (self.node > 0))
        w = np.flatnonzero(self.hop_duration > 0)
        started = np.concatenate([self.started[v, i], self.sent[w]])
        ended, there = self._ended(started, np.concatenate([self.node[v, i], self.hop_duration[w]]))
        link = self.hops.way_link[self.slot[w], self.way[w]]
        on = np.concatenate([c.resource_devices.T[c.executor_device[i]], c.resource_links.T[link]])
        for q, name in enumerate(c.resource_names):
            mine = on[:, q]
            if mine.sum() > 1:
                columns = np.concatenate([started[mine], ended[mine]]).T
                values = np.concatenate([np.ones(started[mine].shape), -there[mine]]).T
                entries = np.repeat(np.arange(len(columns)), columns.shape[1])
                self.model.add_sparse_rows(
                    f"busy({name})",
                    (len(columns),),
                    entries,
                    columns.ravel(),
                    values.ravel(),
                    upper=1.0,
                    axes=lambda: ([str(point) for point in range(self.horizon + 1)],),
                )

    def _add_latency(self) -> None:
        c, model = self.c, self.model
        scale = self.step / model.units.time

        def latencies(times: Times) -> Values:
            starts, seconds = self._whole_starts(times)
            return times.tasks.latencies(starts.tolist(), seconds.tolist()) * scale

        latency = model.add_variables(
            "latency", (len(c.network_names),), axes=lambda: (c.network_names,), evaluate_times=latencies
        )
        self.build.latency = latency.tolist()
        last = np.setdiff1d(np.arange(len(c.node_names)), c.edge_producer)
        waiting = self.started[last][:, :, :-1].reshape(len(last), -1)
        columns = np.concatenate([latency[c.node_network[last]][:, None], waiting, self.build.x[last]], axis=1)
        values = [np.ones((len(last), 1)), np.full(waiting.shape, scale), -scale * self.node[last]]
        self._add("finish", columns, np.concatenate(values, axis=1), lower=self.horizon * scale)

    def task_starts(self, values: Values, tasks: Tasks) -> list[float]:
        """Return the starts of a placement's tasks in a solution, in steps."""
        starts = (values[self.started].sum(axis=1) < 0.5).sum(axis=1)
        hop_starts = (values[self.sent] < 0.5).sum(axis=1)
        return [*starts.tolist(), *(0.0 if row is None else float(hop_starts[row]) for row in self._rows_of(tasks))]

    def _rows_of(self, tasks: Tasks) -> list[int | None]:
        """Return for each hop of a placement its row among the ways: by slot, link and the route's origin."""
        c, found = self.c, self.hops
        rows = {
            (slot, int(found.way_link[slot, way]), int(c.pair_origin[found.way_pair[slot, way]])): row
            for row, (slot, way) in enumerate(self._ways())
        }
        slots = found.slots_of(c, tasks)
        links = np.array(tasks.place[len(tasks.placement) :], dtype=np.int64) - len(c.device_names)
        producer = c.producer[found.carrier_tensor[found.slot_carrier[slots]]]
        origin = c.executor_device[np.asarray(tasks.placement)[producer]]
        return [rows.get(key) for key in zip(slots.tolist(), links.tolist(), origin.tolist(), strict=True)]


def _stacked(values: list[Array]) -> Array:
    return np.stack(values, axis=-1).reshape(-1, len(values))
