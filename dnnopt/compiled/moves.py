"""Moves: what a change of a placement does to its objective and its violations, in time that the change decides.

Whatever is a sum over nodes and tensors is a column: linear metrics, loads, resident memory and buffers, cuts, layers
on each device, choices that are not allowed. A move subtracts the old rows of its nodes and of their tensors and adds
the new ones; the rows of a tensor are kept, for each way in which its uses have been placed. Critical paths are
followed from the nodes that moved as far as starts change. Values are those of the `Evaluator`, up to the order of
summation.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnnopt.compiled.compiled import (
    Colocation,
    CompiledProblem,
    Contiguity,
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
    PeriodTerm,
    Separation,
    WorstLeakageTerm,
)
from dnnopt.compiled.evaluator import TINY, TOLERANCE, Evaluator, cyclic_devices
from dnnopt.compiled.metrics import Array
from dnnopt.compiled.move_columns import Columns
from dnnopt.compiled.scope import Scope

_REFRESHED = 100  # moves after which sums are made anew, so that rounding does not pile up
_NOWHERE = -1  # where tensors come from that nobody makes: their producer is node -1, the last in lists of devices
_WHOLE_BELOW = 500  # nodes; up to there, and for critical paths, whole plans in numpy are judged faster than changes

SCOPE = Scope(
    enforces=frozenset(
        {
            LinearLimit,
            MemoryLimit,
            DeadlineLimit,
            ObjectiveLimit,
            Colocation,
            Separation,
            Contiguity,
            MonotoneTiers,
            DeviceCount,
            CutCount,
        }
    ),
    terms=frozenset({LinearTerm, LatencyTerm, PeriodTerm, WorstLeakageTerm, MaxTerm}),
    latencies=frozenset({"parallel"}),
)

Change = tuple[Sequence[int], Sequence[int]]  # distinct nodes, and the executors that they go to


@dataclass(frozen=True, eq=False)
class _Peak:
    """Bytes of nodes, the largest of which counts in the limit `row` if it is on the device."""

    row: int
    device: int
    nodes: Index
    amounts: Array


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
        self._columns = Columns(c)
        self._device_of = c.executor_device.tolist()
        self._tensors_of = _tensors_of(c, self._columns.uses)
        self._paths = _CriticalPaths(c) if needs_latencies(c) else None
        self._peaky = [_Peak(row, limit.device, *part) for row, limit in self._columns.memory for part in limit.parts]
        self._peaks_of: dict[tuple[int, int], list[tuple[int, float]]] = {}  # by node and device
        for position, peak in enumerate(self._peaky):
            for node, amount in zip(peak.nodes.tolist(), peak.amounts.tolist(), strict=True):
                self._peaks_of.setdefault((node, peak.device), []).append((position, amount))
        self._quotients_of = [
            _Quotient(limit, len(c.device_names)) for limit in c.constraints if isinstance(limit, Contiguity)
        ]
        self._groups = [limit for limit in c.constraints if isinstance(limit, Colocation | Separation)]
        self._leaks = any(isinstance(term, WorstLeakageTerm) for term in c.terms())
        self.reset(placement)

    @staticmethod
    def refuses(compiled: CompiledProblem) -> str | None:
        """Return what of the problem must be evaluated whole, or None."""
        return SCOPE.refuses(compiled)

    def reset(self, placement: Index) -> None:
        """Go to another placement (N,)."""
        self.placement: list[int] = placement.tolist()
        self._device = [*(self._device_of[executor] for executor in self.placement), _NOWHERE]
        self._sum_up()
        self._starts = [] if self._paths is None else self._paths.starts(self.placement, self._device)
        self._peaks = [self._largest(peak) for peak in self._peaky]
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

    def _largest(self, peak: _Peak) -> float:
        devices = np.array(self._device)
        return float(peak.amounts[devices[peak.nodes] == peak.device].max(initial=0.0))

    def _new_peaks(self, nodes: Sequence[int], moved: Sequence[int]) -> list[float]:
        """Return the largest amounts: looked for only where the one known has left."""
        peaks = self._peaks.copy()
        unknown = set()
        for node, old in zip(nodes, moved, strict=True):
            for position, amount in self._peaks_of.get((node, old), ()):
                if amount >= self._peaks[position]:
                    unknown.add(position)
            for position, amount in self._peaks_of.get((node, self._device[node]), ()):
                peaks[position] = max(peaks[position], amount)
        for position in unknown:
            peaks[position] = self._largest(self._peaky[position])
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
        if self._peaky:
            peaks = np.array([effect.peaks for effect in effects])
            for position, peak in enumerate(self._peaky):
                values[:, peak.row] += peaks[:, position]
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
