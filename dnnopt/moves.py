"""Moves: what a change of a placement does to its objective and its violations, in time that the change decides.

Whatever is a sum over nodes and tensors is a column: linear metrics, loads, resident memory and buffers, cuts, layers
on each device, choices that are not allowed. A move subtracts the old rows of its nodes and of their tensors and adds
the new ones; the rows of a tensor are kept, for each way in which its uses have been placed. Critical paths are
followed from the nodes that moved as far as starts change. Values are those of the `Evaluator`, up to the order of
summation.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from dnnopt.compiled import (
    Colocation,
    CompiledProblem,
    Contiguity,
    CustomLimit,
    CutCount,
    DeadlineLimit,
    DeviceCount,
    Index,
    LatencyTerm,
    LinearLimit,
    LinearTerm,
    MaxTerm,
    MemoryLimit,
    MonotoneTiers,
    ObjectiveLimit,
    ObjectiveTerm,
    PeriodTerm,
    Separation,
    WorstLeakageTerm,
)
from dnnopt.evaluator import HALF_A_BYTE, TINY, TOLERANCE, Evaluator, cyclic_devices
from dnnopt.metrics import Array, Metric

_REFRESHED = 100  # moves after which sums are made anew, so that rounding does not pile up
_MOST_KEPT = 200_000  # rows of tensors
_NOWHERE = -1  # where tensors come from that nobody makes: their producer is node -1, the last in lists of devices
_WHOLE_BELOW = 500  # nodes; up to there, and for critical paths, whole plans in numpy are judged faster than changes


Change = tuple[Sequence[int], Sequence[int]]  # distinct nodes, and the executors that they go to


@dataclass(frozen=True, eq=False)
class _Effect:
    """What a change does: rows of the columns that go and come, and everything that is no sum."""

    gone: list[int]
    come: list[int]
    rows: dict[int, int]  # by tensor
    starts: dict[int, float]  # by node, where they are others
    latencies: list[float]
    peaks: list[float]
    quotients: list[Array]
    apart: int  # layers that are not together, or not apart, as they should
    leak: float


class MovingPlan:
    """A placement that moves, with its objective and excess (as `Evaluator.objectives` and `Evaluator.excess`).

    Parameters
    ----------
    evaluator : Evaluator
        `refuses` must not refuse its problem.
    placement : array (N,)

    Attributes
    ----------
    placement : list of int (N,)
    excess, objective : float
    """

    def __init__(self, evaluator: Evaluator, placement: Index) -> None:
        c = evaluator.compiled
        self._columns = _Columns(c)
        self._device_of = c.executor_device.tolist()
        self._tensors_of = _tensors_of(c, self._columns.uses)
        self._paths = _CriticalPaths(c) if needs_latencies(c) else None
        self._peaky = [(row, limit) for row, limit in self._columns.memory if limit.peak.any()]
        self._peaks_on: list[list[tuple[int, list[float]]]] = [[] for _ in c.device_names]
        for position, (_, limit) in enumerate(self._peaky):
            self._peaks_on[limit.device].append((position, limit.peak.tolist()))
        self._quotients_of = [
            _Quotient(limit, len(c.device_names)) for limit in c.constraints if isinstance(limit, Contiguity)
        ]
        self._groups = [limit for limit in c.constraints if isinstance(limit, Colocation | Separation)]
        self._leaks = any(isinstance(term, WorstLeakageTerm) for term in c.terms())
        self.reset(placement)

    @staticmethod
    def refuses(compiled: CompiledProblem) -> str | None:
        """Return what of the problem must be evaluated whole, or None."""
        for constraint in compiled.constraints:
            if isinstance(constraint, CustomLimit):
                return f"the constraint {constraint.label}"
        if compiled.execution == "call" or (compiled.execution == "scheduled" and needs_latencies(compiled)):
            return f"latencies under {compiled.execution} execution"
        return Evaluator.refuses(compiled)

    def reset(self, placement: Index) -> None:
        """Go to another placement (N,)."""
        self.placement: list[int] = placement.tolist()
        self._device = [*(self._device_of[executor] for executor in self.placement), _NOWHERE]
        self._sum_up()
        self._starts = [] if self._paths is None else self._paths.starts(self.placement, self._device)
        self._peaks = [self._peak(limit) for _, limit in self._peaky]
        self._quotients = [quotient.counts(self._device) for quotient in self._quotients_of]
        self.move([0], [self.placement[0]])

    def judge(self, changes: Sequence[Change]) -> tuple[Array, Array]:
        """Return the excess and the objective (B,) after each of some changes, none of which is made."""
        effects = [self._effect(*change) for change in changes]
        return self._judged(self._new_totals(effects), effects)

    def move(self, nodes: Sequence[int], executors: Sequence[int]) -> None:
        """Make a change."""
        effect = self._effect(nodes, executors)
        totals = self._new_totals([effect])
        excess, objective = self._judged(totals, [effect])
        self.excess, self.objective = float(excess[0]), float(objective[0])
        self._put(nodes, executors)
        self._totals, self._peaks, self._quotients = totals[0], effect.peaks, effect.quotients
        for tensor, row in effect.rows.items():
            self._rows[tensor] = row
        for node, start in effect.starts.items():
            self._starts[node] = start
        self._moves += 1
        if self._moves >= _REFRESHED:
            self._sum_up()

    def _put(self, nodes: Sequence[int], executors: Sequence[int]) -> None:
        for node, executor in zip(nodes, executors, strict=True):
            self.placement[node] = executor
            self._device[node] = self._device_of[executor]

    def _sum_up(self) -> None:
        """Make the sums anew, and forget rows where there are too many."""
        self._columns.forget()
        self._rows = [self._columns.of_tensor(tensor, self._device) for tensor in range(len(self._columns.uses))]
        nodes = [self._columns.of_node(node, executor) for node, executor in enumerate(self.placement)]
        self._totals = self._columns.table[nodes + self._rows].sum(axis=0)
        self._moves = 0

    def _effect(self, nodes: Sequence[int], executors: Sequence[int]) -> _Effect:
        placement = self.placement
        moving = [change for change in zip(nodes, executors, strict=True) if placement[change[0]] != change[1]]
        nodes, executors = zip(*(moving or [(nodes[0], executors[0])]), strict=True)
        before = [placement[node] for node in nodes]
        self._put(nodes, executors)
        rows: dict[int, int] = {}
        for node in nodes:
            for tensor in self._tensors_of[node]:
                if tensor not in rows:
                    rows[tensor] = self._columns.of_tensor(tensor, self._device)
        gone = [self._columns.of_node(node, executor) for node, executor in zip(nodes, before, strict=True)]
        come = [self._columns.of_node(node, executor) for node, executor in zip(nodes, executors, strict=True)]
        gone += [self._rows[tensor] for tensor in rows]
        come += rows.values()
        moved = [self._device_of[executor] for executor in before]
        starts: dict[int, float] = {}
        latencies: list[float] = []
        if self._paths is not None:
            starts = self._paths.changes(nodes, self._starts, self.placement, self._device)
            latencies = self._paths.latencies(self._starts, starts, self.placement)
        peaks = self._new_peaks(nodes, moved) if self._peaky else []
        quotients = [
            quotient.changed(counts, nodes, moved, self._device)
            for quotient, counts in zip(self._quotients_of, self._quotients, strict=True)
        ]
        apart = sum(self._apart(group) for group in self._groups)
        leak = self._leak(rows) if self._leaks else 0.0
        self._put(nodes, before)
        return _Effect(gone, come, rows, starts, latencies, peaks, quotients, apart, leak)

    def _peak(self, limit: MemoryLimit) -> float:
        return float(limit.peak[np.array(self._device[:-1]) == limit.device].max(initial=0.0))

    def _new_peaks(self, nodes: Sequence[int], moved: Sequence[int]) -> list[float]:
        """Return the largest activations: looked for only where the one known has left."""
        peaks = self._peaks.copy()
        unknown = set()
        for node, old in zip(nodes, moved, strict=True):
            for position, peak in self._peaks_on[old]:
                if peak[node] >= self._peaks[position]:
                    unknown.add(position)
            for position, peak in self._peaks_on[self._device[node]]:
                peaks[position] = max(peaks[position], peak[node])
        for position in unknown:
            peaks[position] = self._peak(self._peaky[position][1])
        return peaks

    def _apart(self, group: Colocation | Separation) -> int:
        devices = [self._device[node] for node in group.nodes]
        if isinstance(group, Colocation):
            return sum(device != devices[0] for device in devices)
        return len(devices) - len(set(devices))

    def _leak(self, rows: dict[int, int]) -> float:
        sensitive = self._columns.sensitive
        return max((sensitive[rows.get(tensor, row)] for tensor, row in enumerate(self._rows)), default=0.0)

    def _new_totals(self, effects: Sequence[_Effect]) -> Array:
        """Return the columns after each change (B, columns)."""
        gone = [row for effect in effects for row in effect.gone]
        come = [row for effect in effects for row in effect.come]
        first = np.cumsum([0, *(len(effect.gone) for effect in effects[:-1])])
        table = self._columns.table
        return np.asarray(self._totals + np.add.reduceat(table[come] - table[gone], first))

    def _judged(self, totals: Array, effects: Sequence[_Effect]) -> tuple[Array, Array]:
        """Return excess and objective (B,)."""
        columns = self._columns
        latencies = np.array([effect.latencies for effect in effects]).T  # (A, B)
        leak = np.array([effect.leak for effect in effects])
        excess = totals[:, 0] + [effect.apart for effect in effects]
        values = totals[:, columns.limited]
        for position, (row, _) in enumerate(self._peaky):
            values[:, row] += [effect.peaks[position] for effect in effects]
        over = values - columns.limits
        excess += (np.where(over > columns.room, over, 0.0) / columns.sizes).sum(axis=1)
        for expression, limit in columns.capped:
            excess += _over(expression(totals, latencies, leak), limit)
        for network, limit in columns.deadlines:
            excess += _over(latencies[network], limit)
        for column, most in columns.cut_counts:
            excess += np.maximum(totals[:, column].round() - most, 0)
        for most in columns.device_counts:
            excess += np.maximum((totals[:, columns.used] > 0.5).sum(axis=1) - most, 0)
        for position in range(len(self._quotients_of)):
            excess += cyclic_devices(np.array([effect.quotients[position] for effect in effects]) > 0)
        return excess, columns.objective(totals, latencies, leak)


def needs_latencies(c: CompiledProblem) -> bool:
    """Return whether objective or limits have latencies that are not linear."""
    return any(isinstance(one, LatencyTerm | DeadlineLimit) for one in (*c.terms(), *c.constraints))


def _over(values: Array, limit: float) -> Array:
    over = values - limit
    return np.where(over > TOLERANCE * max(abs(limit), TINY), over / (abs(limit) or 1.0), 0.0)


def _tensors_of(c: CompiledProblem, uses: list[tuple[int, list[int]]]) -> list[list[int]]:
    """Return the tensors that each node makes or uses (N,)."""
    touching: list[list[int]] = [[] for _ in c.node_names]
    for tensor, (producer, consumers) in enumerate(uses):
        for node in dict.fromkeys((producer, *consumers) if producer >= 0 else consumers):
            touching[node].append(tensor)
    return touching


_Expression = Callable[[Array, Array, Array], Array]  # (B,), of totals (B, columns), latencies (A, B), leakage (B,)


class _Columns:
    """The columns. Column 0 counts what is not allowed; then layers on each device; then limits, objectives, loads.

    Attributes
    ----------
    uses : list (T,)
        The producer of each tensor (-1: none) and its consumers.
    table : array (rows, columns)
        First a row for each node and executor, then those of tensors, as they come up.
    sensitive : list (rows,)
        The sensitivity of a tensor where it is exposed, else 0.
    used : slice
        Columns that count layers, by device.
    limited : array
        Columns with a limit; `limits`, `room` and `sizes` are theirs, `memory` has pairs (row among these, limit).
    objective, capped, deadlines, cut_counts, device_counts
        What else is judged.
    """

    def __init__(self, c: CompiledProblem) -> None:
        self.c = c
        consumers: list[list[int]] = [[] for _ in c.tensor_names]
        for tensor, node in zip(c.use_tensor.tolist(), c.use_consumer.tolist(), strict=True):
            consumers[tensor].append(node)
        self.uses = list(zip(c.producer.tolist(), consumers, strict=True))
        self._devices_of = [_getter([producer, *users]) for producer, users in self.uses]
        self._metrics: list[Metric] = [_metric(c, (~c.allowed).astype(float))]
        devices = range(len(c.device_names))
        self.used = slice(1, 1 + len(devices))
        for device in devices:
            self._add(_metric(c, np.outer(c.is_layer, c.executor_device == device).astype(float)))
        self._limits()
        self._period: slice | None = None
        self.objective = self._expression(c.objective[0])
        self.capped = [
            (self._expression(one.terms), one.limit) for one in c.constraints if isinstance(one, ObjectiveLimit)
        ]
        alpha = np.array([metric.alpha for metric in self._metrics])
        self._nodes, self._executors = c.time.size, c.time.shape[1]
        self.table = np.ascontiguousarray(alpha.transpose(1, 2, 0)).reshape(self._nodes, -1)
        self.sensitive = [0.0] * self._nodes
        self._known: list[dict[tuple[int, ...], int]] = [{} for _ in self.uses]
        self._scale = np.array([metric.scale for metric in self._metrics]).T
        self._per_copy = np.array([metric.per_copy for metric in self._metrics]).T
        self._per_byte = np.array([metric.per_byte for metric in self._metrics]).T
        self._gamma = np.array([metric.gamma for metric in self._metrics]).T
        self._tiers = c.device_tier.tolist() if any(isinstance(one, MonotoneTiers) for one in c.constraints) else None
        self._bytes = c.tensor_bytes.tolist()
        self._trusted, self._link_trusted = c.device_trusted.tolist(), c.link_trusted.tolist()
        self._is_layer = c.is_layer.tolist()
        self._sensitivity = np.nan_to_num(c.sensitivity).tolist()

    def _limits(self) -> None:
        c = self.c
        limited: list[tuple[int, float, float]] = []
        self.memory: list[tuple[int, MemoryLimit]] = []
        self.cut_counts: list[tuple[int, int]] = []
        self._buffers: list[tuple[int, MemoryLimit]] = []
        for one in c.constraints:
            match one:
                case LinearLimit():
                    limited.append((self._add(one.metric), one.limit, TOLERANCE * max(abs(one.limit), TINY)))
                case MemoryLimit():
                    column = self._add(_metric(c, np.outer(one.resident, c.executor_device == one.device)))
                    self.memory.append((len(limited), one))
                    limited.append((column, one.limit, min(TOLERANCE * max(abs(one.limit), TINY), HALF_A_BYTE)))
                    if one.buffers:
                        self._buffers.append((column, one))
                case CutCount():
                    self.cut_counts.append((self._add(_metric(c, np.zeros(c.time.shape))), one.limit))
        self.limited = np.array([column for column, _, _ in limited], dtype=np.int64)
        self.limits = np.array([limit for _, limit, _ in limited])
        self.room = np.array([room for _, _, room in limited])
        self.sizes = np.where(self.limits == 0, 1.0, np.abs(self.limits))
        self.deadlines = [(one.network, one.limit) for one in c.constraints if isinstance(one, DeadlineLimit)]
        self.device_counts = [one.limit for one in c.constraints if isinstance(one, DeviceCount)]

    def _add(self, metric: Metric) -> int:
        self._metrics.append(metric)
        return len(self._metrics) - 1

    def _loads(self) -> slice:
        """Return the columns of the loads of all resources."""
        if self._period is None:
            c = self.c
            seconds = np.where(np.isfinite(c.time), c.time, 0.0)
            first = len(self._metrics)
            for devices, links in zip(c.resource_devices, c.resource_links, strict=True):
                load = _metric(
                    c, seconds * devices[c.executor_device], links * c.link_latency, links / c.link_bandwidth
                )
                self._add(load)
            self._period = slice(first, len(self._metrics))
        return self._period

    def _expression(self, terms: Sequence[ObjectiveTerm]) -> _Expression:
        """Return the weighted sum of some terms."""
        linear = [term for term in terms if isinstance(term, LinearTerm)]
        columns = np.array([self._add(term.metric) for term in linear], dtype=np.int64)
        weights = np.array([term.weight for term in linear])
        others = [self._term(term) for term in terms if not isinstance(term, LinearTerm)]

        def value(totals: Array, latencies: Array, leak: Array) -> Array:
            return np.asarray(totals[:, columns] @ weights + sum(other(totals, latencies, leak) for other in others))

        return value

    def _term(self, term: ObjectiveTerm) -> _Expression:
        match term:
            case LatencyTerm(weight, network):
                return lambda totals, latencies, leak: weight * latencies[network]
            case PeriodTerm(weight):
                loads = self._loads()
                return lambda totals, latencies, leak: weight * totals[:, loads].max(axis=1)
            case WorstLeakageTerm(weight):
                return lambda totals, latencies, leak: weight * leak
            case MaxTerm(weight, terms):
                parts = [self._expression((part,)) for part in terms]
                return lambda totals, latencies, leak: (
                    weight * np.max([part(totals, latencies, leak) for part in parts], axis=0)
                )
        raise TypeError(f"no such term: {term}")

    def of_node(self, node: int, executor: int) -> int:
        """Return the row of a node on an executor."""
        return node * self._executors + executor

    def of_tensor(self, tensor: int, device: Sequence[int]) -> int:
        """Return the row of a tensor where its uses are on these devices (of all nodes)."""
        key = self._devices_of[tensor](device)
        row = self._known[tensor].get(key)
        return self._add_row(tensor, key) if row is None else row

    def forget(self) -> None:
        """Drop the rows of tensors where there are too many."""
        if len(self.sensitive) > self._nodes + _MOST_KEPT:
            self._known = [{} for _ in self.uses]
            self.table = self.table[: self._nodes].copy()
            del self.sensitive[self._nodes :]

    def _add_row(self, tensor: int, key: tuple[int, ...]) -> int:
        row = len(self.sensitive)
        if row == len(self.table):
            self.table = np.concatenate([self.table, np.zeros((max(row, 64), self.table.shape[1]))])
        self.table[row], sensitivity = self._tensor(tensor, key[0], key[1:])
        self.sensitive.append(sensitivity)
        self._known[tensor][key] = row
        return row

    def _tensor(self, tensor: int, origin: int, destinations: Sequence[int]) -> tuple[Array, float]:
        """Return the row of a tensor, and its sensitivity where it is exposed; `origin` is -1 where nobody makes it."""
        c = self.c
        row = np.zeros(len(self._metrics))
        exposed = not all(self._trusted[device] for device in destinations)
        sent = [device for device in destinations if device != origin] if origin >= 0 else []
        reached = dict.fromkeys(sent)
        crossed: list[int] = []
        for device in sent if c.transport == "per_edge" else reached:
            crossed += c.route_links[origin][device] or ()
        exposed = exposed or not all(self._link_trusted[link] for link in crossed)
        if c.transport == "multicast":
            crossed = list(dict.fromkeys(crossed))
        if crossed:
            per_copy, per_byte = self._per_copy[crossed].sum(axis=0), self._per_byte[crossed].sum(axis=0)
            row += self._scale[tensor] * (per_copy + self._bytes[tensor] * per_byte)
        if exposed:
            row += self._gamma[tensor]
        row[0] += sum(c.route_links[origin][device] is None for device in sent)
        for column, _ in self.cut_counts:
            row[column] += len(reached)
        for column, limit in self._buffers:
            if sent and (origin == limit.device or limit.device in reached):
                row[column] += limit.buffers * self._bytes[tensor]
        producer, consumers = self.uses[tensor]
        if self._tiers is not None and origin >= 0 and self._is_layer[producer]:
            tiers = self._tiers
            row[0] += sum(
                tiers[origin] > tiers[device] and self._is_layer[node]
                for node, device in zip(consumers, destinations, strict=True)
            )
        return row, self._sensitivity[tensor] if exposed else 0.0


def _getter(nodes: list[int]) -> Callable[[Sequence[int]], tuple[int, ...]]:
    """Return what picks some items, as a tuple."""
    return itemgetter(*nodes) if len(nodes) > 1 else lambda items: (items[nodes[0]],)


def _metric(c: CompiledProblem, alpha: Array, per_copy: Array | None = None, per_byte: Array | None = None) -> Metric:
    links, tensors = len(c.link_names), len(c.tensor_names)
    return Metric(
        name="column",
        unit="",
        alpha=alpha,
        per_copy=np.zeros(links) if per_copy is None else per_copy,
        per_byte=np.zeros(links) if per_byte is None else per_byte,
        scale=np.ones(tensors),
        gamma=np.zeros(tensors),
    )


class _CriticalPaths:
    """Earliest starts without contention."""

    def __init__(self, c: CompiledProblem) -> None:
        size = len(c.device_names)
        per_copy, per_byte = c.pair_seconds
        seconds = np.zeros((2, size, size))
        seconds[:, c.pair_origin, c.pair_destination] = per_copy, per_byte
        self._per_copy, self._per_byte = seconds.tolist()
        self._seconds = np.where(np.isfinite(c.time), c.time, 0.0).tolist()
        self._before: list[list[tuple[int, float]]] = [[] for _ in c.node_names]
        self._after: list[list[int]] = [[] for _ in c.node_names]
        sizes = c.tensor_bytes[c.edge_tensor].tolist()
        for u, v, amount in zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), sizes, strict=True):
            self._before[v].append((u, amount))
            self._after[u].append(v)
        self._ends = [
            [node for node in np.flatnonzero(c.node_network == network).tolist() if not self._after[node]]
            for network in range(len(c.network_names))
        ]

    def starts(self, placement: Sequence[int], device: Sequence[int]) -> list[float]:
        """Return the start of every node."""
        starts: list[float] = []
        for node in range(len(placement)):  # producers come before their consumers
            starts.append(self._start(node, starts, {}, placement, device))
        return starts

    def changes(
        self, moved: Sequence[int], starts: list[float], placement: Sequence[int], device: Sequence[int]
    ) -> dict[int, float]:
        """Return the starts that are others after nodes have moved, by node."""
        changed: dict[int, float] = {}
        due = set(moved)
        for node in moved:
            due.update(self._after[node])
        heap = sorted(due)
        while heap:
            node = heapq.heappop(heap)
            start = self._start(node, starts, changed, placement, device)
            if start != starts[node]:
                changed[node] = start
                for follower in self._after[node]:
                    if follower not in due:
                        due.add(follower)
                        heapq.heappush(heap, follower)
        return changed

    def _start(
        self,
        node: int,
        starts: list[float],
        changed: dict[int, float],
        placement: Sequence[int],
        device: Sequence[int],
    ) -> float:
        latest, here = 0.0, device[node]
        for u, amount in self._before[node]:
            origin = device[u]
            took = self._per_copy[origin][here] + amount * self._per_byte[origin][here]
            begun = changed[u] if u in changed else starts[u]
            latest = max(latest, begun + self._seconds[u][placement[u]] + took)
        return latest

    def latencies(self, starts: list[float], changed: dict[int, float], placement: Sequence[int]) -> list[float]:
        """Return the latency of every network: nothing ends later than what nobody waits for."""
        return [
            max(changed.get(node, starts[node]) + self._seconds[node][placement[node]] for node in ends)
            for ends in self._ends
        ]


class _Quotient:
    """How many of a contiguity's paths go from each device to each other one (D, D)."""

    def __init__(self, limit: Contiguity, size: int) -> None:
        self._size = size
        self._edges = limit.edges
        self._edges_of: dict[int, list[tuple[int, int]]] = {}
        for edge in limit.edges:
            for node in edge:
                self._edges_of.setdefault(node, []).append(edge)

    def counts(self, device: Sequence[int]) -> Array:
        counts = np.zeros((self._size, self._size))
        for u, v in self._edges:
            if device[u] != device[v]:
                counts[device[u], device[v]] += 1
        return counts

    def changed(self, counts: Array, nodes: Sequence[int], moved: Sequence[int], device: Sequence[int]) -> Array:
        """Return the counts after nodes have moved: `moved` are the devices where they were."""
        before = dict(zip(nodes, moved, strict=True))
        edges = dict.fromkeys(edge for node in nodes for edge in self._edges_of.get(node, ()))
        if not edges:
            return counts
        counts = counts.copy()
        for u, v in edges:
            i, j = before.get(u, device[u]), before.get(v, device[v])
            if i != j:
                counts[i, j] -= 1
            if device[u] != device[v]:
                counts[device[u], device[v]] += 1
        return counts


class WholePlan:
    """A placement that moves like a `MovingPlan`, for every problem: each change is evaluated whole.

    Parameters
    ----------
    evaluator : Evaluator
    placement : array (N,)
    """

    def __init__(self, evaluator: Evaluator, placement: Index) -> None:
        self._evaluator = evaluator
        self.reset(placement)

    def reset(self, placement: Index) -> None:
        """Go to another placement (N,)."""
        self.placement: list[int] = placement.tolist()
        self.move([], [])

    def judge(self, changes: Sequence[Change]) -> tuple[Array, Array]:
        """Return the excess and the objective (B,) after each of some changes, none of which is made."""
        placements = np.tile(np.array(self.placement), (len(changes), 1))
        for row, (nodes, executors) in enumerate(changes):
            placements[row, nodes] = executors
        return self._evaluator.excess(placements), self._evaluator.objectives(placements)

    def move(self, nodes: Sequence[int], executors: Sequence[int]) -> None:
        """Make a change."""
        for node, executor in zip(nodes, executors, strict=True):
            self.placement[node] = executor
        excess, objective = self.judge([([], [])])
        self.excess, self.objective = float(excess[0]), float(objective[0])


def moving(evaluator: Evaluator, placement: Index) -> MovingPlan | WholePlan:
    """Return the placement as one that moves, in the way that is faster for the problem (see benchmarks/README.md)."""
    c = evaluator.compiled
    small = len(c.node_names) < _WHOLE_BELOW or needs_latencies(c)
    return WholePlan(evaluator, placement) if small or MovingPlan.refuses(c) else MovingPlan(evaluator, placement)
