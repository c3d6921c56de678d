"""The columns of a placement that moves: everything that is a sum over nodes and tensors (see `moves.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter

import numpy as np

from dnnopt.compiled.compiled import (
    CompiledProblem,
    CutCount,
    DeadlineLimit,
    DeviceCount,
    LatencyTerm,
    LinearLimit,
    LinearTerm,
    MaxTerm,
    MemoryLimit,
    MonotoneTiers,
    ObjectiveLimit,
    ObjectiveTerm,
    PeriodTerm,
    WorstLeakageTerm,
)
from dnnopt.compiled.evaluator import TINY, TOLERANCE, memory_room
from dnnopt.compiled.metrics import Array, Metric

_MOST_KEPT = 200_000  # rows of tensors

Expression = Callable[[Array, Array, Array], Array]  # (B,), of totals (B, columns), latencies (A, B), leakage (B,)


class Columns:
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
        self._tiers = c.device_tier.tolist()
        self._monotone = sum(isinstance(one, MonotoneTiers) for one in c.constraints)  # listed twice, it counts twice
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
                    limited.append((column, one.limit, memory_room(one.limit)))
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

    def _expression(self, terms: Sequence[ObjectiveTerm]) -> Expression:
        """Return the weighted sum of some terms."""
        linear = [term for term in terms if isinstance(term, LinearTerm)]
        columns = np.array([self._add(term.metric) for term in linear], dtype=np.int64)
        weights = np.array([term.weight for term in linear])
        others = [self._term(term) for term in terms if not isinstance(term, LinearTerm)]

        def value(totals: Array, latencies: Array, leak: Array) -> Array:
            return np.asarray(totals[:, columns] @ weights + sum(other(totals, latencies, leak) for other in others))

        return value

    def _term(self, term: ObjectiveTerm) -> Expression:
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
        raise AssertionError(f"the scope lets through {term}")

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
        if self._monotone and origin >= 0 and self._is_layer[producer]:
            tiers = self._tiers
            row[0] += self._monotone * sum(
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
