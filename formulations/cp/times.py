"""Start times in a constraint model, for `parallel` and `scheduled` execution.

    S_v >= S_u + Σ_i t_ui x_ui + Σ_p s_ep y_ep          each edge e = (u, v)
    Λ_a >= S_v + Σ_i t_vi x_vi                          each node v of network a that no edge leaves
    S_v >= Σ_i head_vi x_vi                             heads and tails: see `windows.py`
    S_v + Σ_i (t_vi + tail_vi) x_vi <= limit_a          what the cap leaves for Λ_a

and under `scheduled` execution, besides the rows of `hops.py`,

    no overlap, for each resource, of [S_v, S_v + t_vi) if x_vi and [F, F + s) if w
    S_v >= S_u + Σ_i t_ui x_ui + load_q                 each module (u, v) of `precedence.py` and each resource q

Times are whole numbers of one unit, a power of two that makes the largest limit about 2^30, and durations are rounded
down. So the optimum in these numbers is a bound, at most a unit for each task below the true one, and a plan is timed
anew from its order. A task of no time occupies nothing. Only tasks that the graph leaves unordered need intervals.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.metrics import Index, Mask
from dnnopt.compiled.precedence import Module, fork_joins, reachability, together, whole_networks
from dnnopt.compiled.scheduling import Tasks, Times
from dnnopt.compiled.windows import Durations, Windows, latency_limits, serial_bound
from dnnopt.formulations.cp.literals import Literals
from dnnopt.formulations.hops import Hops, hops, unordered
from dnnopt.formulations.loads import module_load
from dnnopt.models.arrays import Columns, Values
from dnnopt.models.constraint import Whole, scale_for

# So rounding n tasks down loses at most n / 2^30 of the limit.
_LARGEST_TIME = 2.0**30


class TimeVariables:
    """`S`, `F` and `Λ`, and what holds for them.

    Attributes
    ----------
    scale : float
        Units of time in a second.
    start : columns (N,)
    hop : columns (S,)
    latency : columns (A,)
    """

    def __init__(self, literals: Literals) -> None:
        c = self.c = literals.c
        self.literals, self.model = literals, literals.model
        limits = latency_limits(c)
        largest = float(limits.max()) or serial_bound(c)
        self.scale = scale_for(largest, 4 * largest, _LARGEST_TIME)
        self.limits = np.floor(limits * self.scale * (1 + 1e-9)).astype(np.int64)
        self.durations = Durations.of(c).rounded_down(self.scale, float(self.limits.max()))
        self.windows = Windows.of(c, self.durations)
        self.hops: Hops | None = None
        if c.execution == "scheduled":
            self.hops = hops(c, literals.copies, literals.y)
        self._add_variables()
        self._add_precedence()
        self._add_windows()
        if self.hops is not None:
            self._add_hops(self.hops)
            reach = reachability(c)
            self._add_intervals(self.hops, unordered(c, self.hops, reach))
            for module in [*fork_joins(c, reach), *whole_networks(c, reach)]:
                self._add_module(module)

    # What the variables are in a plan

    def _whole_seconds(self, tasks: Tasks) -> list[float]:
        seconds: list[float] = np.floor(np.array(tasks.seconds) * self.scale).tolist()
        return seconds

    def _whole_starts(self, times: Times) -> list[float]:
        seconds = self._whole_seconds(times.tasks)
        return times.tasks.retime(times.order, seconds, resources=self.hops is not None)

    def _node_starts(self, times: Times) -> Values:
        return np.array(self._whole_starts(times)[: len(self.c.node_names)])

    def _slot_starts(self, times: Times) -> Values:
        assert self.hops is not None
        return self.hops.starts(self.c, times.tasks, self._whole_starts(times), self._whole_seconds(times.tasks))

    def _latencies(self, times: Times) -> Values:
        return times.tasks.latencies(self._whole_starts(times), self._whole_seconds(times.tasks))

    # Variables and rows

    def _add_variables(self) -> None:
        c, model = self.c, self.model
        limits = self.limits[c.node_network]
        first = _finite(self.windows.head).min(axis=1).astype(np.int64)
        last = limits - _finite(self.durations.node + self.windows.tail).min(axis=1).astype(np.int64)
        self.start = model.add_variables(
            "start",
            (len(c.node_names),),
            axes=lambda: (c.node_names,),
            lower=first,
            upper=np.maximum(last, first),
            evaluate_times=self._node_starts,
        )
        if self.hops is not None:
            found = self.hops
            self.hop = model.add_variables(
                "hop",
                (len(found.slot_carrier),),
                axes=lambda: (found.labels(c),),
                upper=self.limits[c.tensor_network[found.carrier_tensor[found.slot_carrier]]],
                evaluate_times=self._slot_starts,
            )
        self.latency = model.add_variables(
            "latency",
            (len(c.network_names),),
            axes=lambda: (c.network_names,),
            upper=self.limits,
            evaluate_times=self._latencies,
        )

    def _end(self, nodes: Index) -> tuple[Columns, Values]:
        """Return columns and coefficients of `S_v + Σ_i t_vi x_vi` (n, 1 + k)."""
        columns = np.concatenate([self.start[nodes][:, None], self.literals.x[nodes]], axis=1)
        return columns, np.concatenate([np.ones((len(nodes), 1)), self.durations.node[nodes]], axis=1)

    def _add_later(
        self, name: str, later: Columns, columns: Columns, values: Values, literals: Columns | None = None
    ) -> None:
        """Add rows: the column `later` (R,) is at least `values · columns` (R, w)."""
        self.model.add_rows(
            name,
            np.concatenate([later[:, None], columns], axis=1),
            np.concatenate([np.ones((len(later), 1)), -values], axis=1),
            lower=0,
            literals=literals,
        )

    def _add_precedence(self) -> None:
        c, y = self.c, self.literals.y
        columns, values = self._end(c.edge_producer)
        transfer = self.durations.hop[c.edge_tensor] @ c.pair_uses_link.T
        columns = np.concatenate([columns, y], axis=1)
        self._add_later("precede", self.start[c.edge_consumer], columns, np.concatenate([values, transfer], axis=1))
        last = np.setdiff1d(np.arange(len(c.node_names)), c.edge_producer)
        self._add_later("finish", self.latency[c.node_network[last]], *self._end(last))

    def _add_windows(self) -> None:
        c, windows = self.c, self.windows
        self._add_later("head", self.start, self.literals.x, _finite(windows.head))
        nodes = np.arange(len(c.node_names))
        columns, values = self._end(nodes)
        values[:, 1:] += _finite(windows.tail)
        self.model.add_rows("tail", columns, values, upper=self.limits[c.node_network])

    def _add_hops(self, found: Hops) -> None:
        c, x = self.c, self.literals.x
        seconds = found.way_seconds(self.durations)
        at = np.concatenate([self.hop[:, None], found.way_column], axis=1)
        end = np.concatenate([np.ones((len(at), 1)), seconds], axis=1)
        producer = c.producer[found.carrier_tensor[found.slot_carrier]]
        self._add_later("send", self.hop, *self._end(producer))
        before, after = found.chains.T
        self._add_later("forward", self.hop[after], at[before], end[before])
        slot, edge, device = found.arrivals.T
        for i, executor_device in enumerate(c.executor_device):
            here = device == executor_device
            literals = x[c.edge_consumer[edge[here]], i][:, None]
            consumer = self.start[c.edge_consumer[edge[here]]]
            self._add_later("arrive", consumer, at[slot[here]], end[slot[here]], literals)
        before, after, column = found.conditional_chains.T
        self._add_later("forward", self.hop[after], at[before], end[before], column[:, None])
        slot, edge, column = found.conditional_arrivals.T
        self._add_later("arrive", self.start[c.edge_consumer[edge]], at[slot], end[slot], column[:, None])

    def _forbid_long(self, columns: Columns, seconds: Values, limits: Whole) -> None:
        """Fix to zero what alone takes longer than the limits."""
        for column in columns[seconds > limits]:
            self.model.upper[column] = 0

    def _add_intervals(self, found: Hops, free: Mask) -> None:
        """Add intervals of the tasks that share a resource with one they are not ordered with, and no-overlap."""
        c, model, nodes = self.c, self.model, len(self.c.node_names)
        seconds = found.way_seconds(self.durations)
        self._forbid_long(self.literals.x, self.durations.node, self.limits[c.node_network][:, None])
        of_slot = c.tensor_network[found.carrier_tensor[found.slot_carrier]]
        self._forbid_long(found.way_column, seconds, self.limits[of_slot][:, None])
        upper = np.array(model.upper)
        node, executor = np.nonzero((self.durations.node > 0) & (upper[self.literals.x] > 0))
        slot, way = np.nonzero((seconds > 0) & (upper[found.way_column] > 0))
        item = np.concatenate([node, nodes + found.slot_carrier[slot]])
        uses = np.concatenate(
            [c.resource_devices.T[c.executor_device[executor]], c.resource_links.T[found.way_link[slot, way]]]
        )
        needed = np.zeros(uses.shape, dtype=bool)
        for q in range(uses.shape[1]):
            here = np.unique(item[uses[:, q]])
            contended = here[free[np.ix_(here, here)].any(axis=1)]
            needed[:, q] = uses[:, q] & np.isin(item, contended)
        chosen = np.flatnonzero(needed.any(axis=1))
        start = np.concatenate([self.start[node], self.hop[slot]])
        size = np.concatenate([self.durations.node[node, executor], seconds[slot, way]])
        presence = np.concatenate([self.literals.x[node, executor], found.way_column[slot, way]])
        ids = model.add_intervals("task", start[chosen], size[chosen].astype(np.int64), presence[chosen])
        for q, name in enumerate(c.resource_names):
            on = needed[chosen, q]
            if on.sum() > 1:
                model.add_no_overlap(name, ids[on])

    def _add_module(self, module: Module) -> None:
        c, literals = self.c, self.literals
        end = self.start[module.end] if module.end >= 0 else self.latency[module.network]
        for q in range(len(c.resource_names)):
            if module.chain and not c.resource_links[q].any():
                continue  # the path through the chain is as long
            columns, values = module_load(c, module, q, self.durations, literals.x, literals.y, literals.copies)
            if not len(columns):
                continue
            if module.begin >= 0:
                before, seconds = self._end(np.array([module.begin]))
                columns, values = np.append(columns, before[0]), np.append(values, seconds[0])
            self._add_later("module", end[None], columns[None], values[None])

    def joint_loads(self, networks: tuple[int, ...]) -> list[tuple[Columns, Values]]:
        """Return what each resource does for these networks together, in units of time: a bound on the last's end."""
        c, literals = self.c, self.literals
        if self.hops is None:
            return []
        everything = together(c, networks)
        loads = [
            module_load(c, everything, q, self.durations, literals.x, literals.y, literals.copies)
            for q in range(len(c.resource_names))
        ]
        return [load for load in loads if len(load[0])]

    def task_starts(self, values: Values, tasks: Tasks) -> list[float]:
        """Return the starts of a placement's tasks in a solution, in units of time."""
        nodes = values[self.start].tolist()
        if self.hops is None:
            return nodes + [0.0] * (len(tasks.seconds) - len(nodes))
        return nodes + values[self.hop[self.hops.slots_of(self.c, tasks)]].tolist()


def _finite(values: Values) -> Values:
    return np.where(np.isfinite(values), values, 0.0)
