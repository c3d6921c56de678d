"""Stages: what the items between two ideals cost on a device, for many pairs of ideals at once.

What a stage from I to I' (its items are in I' but not in I) sends and receives is a sum over tensors of products of
something about I and something about I', so that blocks of pairs are products of matrices:

    [producer outside, a consumer inside] = (1 - p' + p)(1 - Σ_m [consumers in I are m] [consumers in I' are m])
    [producer inside, a consumer outside] = (p' - p)(1 - [no consumer in I] [all consumers in I'])

with p, p' for the producer in I, in I': p implies p'.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import MemoryLimit, PeriodTerm
from dnnopt.compiled.evaluator import memory_room
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.formulations.milp.communication.boundary import ends_of_routes
from dnnopt.methods.programs.items import Items, bits, sums_over
from dnnopt.methods.programs.rows import PlanSum, linear_costs, loads_of


@dataclass(frozen=True, eq=False)
class Ends:
    """How a stage alone tells what its device sends and receives, and what that costs.

    Attributes
    ----------
    sends, receives : array (D, L)
        Links by which each device sends, and by which it receives.
    owner : array (Q,)
        The device whose stage loads each resource; -1: none does, or several do.
    total : PlanSum, optional
        What is summed over stages: a linear objective, or the load of the one resource that several devices load.
    """

    sends: Mask
    receives: Mask
    owner: Index
    total: PlanSum | None


def ends_of(compiled: CompiledProblem) -> Ends | str:
    """Return what each device sends and receives by, or why a stage alone does not tell."""
    c = compiled
    ends = None if c.forbidden_moves is not None else ends_of_routes(c)
    if ends is None:
        return "routes that are not the sender's links followed by the receiver's, or an absent route"
    sends, receives = ends
    if len(c.device_names) > 2 and c.transport == "unicast" and (c.fan_out > 1).any() and sends.any():
        tensor = c.tensor_names[int(np.argmax(c.fan_out > 1))]
        return f"unicast of a tensor with several uses ({tensor})"
    owner = np.full(len(c.resource_names), -1)
    if has_loads(c):
        loads = [_devices_that_load(c, resource, sends | receives) for resource in range(len(owner))]
        owner = np.array([devices[0] if len(devices) == 1 else -1 for devices in loads])
        shared = [resource for resource, devices in enumerate(loads) if len(devices) > 1]
        if len(shared) > 1:
            return f"several resources of several devices ({', '.join(c.resource_names[one] for one in shared)})"
        total = loads_of(c)[shared[0]] if shared else None
    else:
        total = PlanSum(*linear_costs(c))
    if total is not None and c.transport == "multicast":
        several = total.beta.any(axis=0) & (receives.sum(axis=0) > 1)
        if several.any():
            return f"multicast over a link to several devices ({c.link_names[int(np.argmax(several))]})"
    return Ends(sends, receives, owner, total)


def has_loads(c: CompiledProblem) -> bool:
    """Return whether the objective is the period; else it is linear."""
    return any(isinstance(term, PeriodTerm) for term in c.objective[0])


def shared_resources(c: CompiledProblem) -> list[int]:
    """Return the resources that stages of several devices load."""
    ends = ends_of_routes(c)
    if ends is None or not has_loads(c):
        return []
    by_ends = ends[0] | ends[1]
    return [one for one in range(len(c.resource_names)) if len(_devices_that_load(c, one, by_ends)) > 1]


def _devices_that_load(c: CompiledProblem, resource: int, by_ends: Mask) -> list[int]:
    """Return the devices whose stages load a resource; of two devices, one that tells what both exchange."""
    links, holds = c.resource_links[resource], c.resource_devices[resource]
    if len(holds) > 2:
        return np.flatnonzero(holds | (links & by_ends).any(axis=1)).tolist()
    if holds.any():
        return np.flatnonzero(holds).tolist()
    return [0] if (links & by_ends).any() else []


class _Columns:
    """Columns of truth values over ideals, each kept once."""

    def __init__(self) -> None:
        self._index: dict[bytes, int] = {}
        self._kept: list[Mask] = []

    def add(self, column: Mask) -> int:
        """Return the number of a column."""
        found = self._index.setdefault(column.tobytes(), len(self._kept))
        if found == len(self._kept):
            self._kept.append(column)
        return found

    def matrix(self, ideals: int) -> Mask:
        """Return all columns, each as a row."""
        return np.array(self._kept, dtype=bool).reshape(-1, ideals)


class Sum:
    """A number for each pair of ideals I, I': a sum of products of truth values about I and about I'."""

    def __init__(self, ideals: int, left: _Columns, right: _Columns) -> None:
        self._rows, self._columns = np.zeros(ideals), np.zeros(ideals)
        self._left, self._right = left, right
        self._products: list[tuple[int, int, float]] = []
        self._factors: tuple[Index, Index, Array] | None = None

    def add(self, weight: float, row: Mask | None = None, column: Mask | None = None) -> None:
        """Add a product; None: always true."""
        if column is None:
            self._rows += weight if row is None else weight * row
        elif row is None:
            self._columns += weight * column
        elif column[0]:  # what is true of the empty ideal is told by its opposite: fewer columns
            self.add(weight, row)
            self.add(-weight, row, ~column)
        elif row.any() and column.any():
            self._products.append((self._left.add(row), self._right.add(column), weight))

    def add_difference(self, values: Array) -> None:
        """Add what I' has and I has not, of values of ideals."""
        self._rows -= values
        self._columns += values

    def block(self, rows: Index, columns: slice, left: Mask, right: Mask) -> Array:
        """Return the values for some ideals I and a range of ideals I'; `left` has all columns, `right` as rows.

        In a block, most truth values are the same for all I, or for all I', and these need no product of matrices.
        """
        values = self._rows[rows][:, None] + self._columns[columns]
        if not self._products:
            return values
        if self._factors is None:
            row, column, weight = (np.array(part) for part in zip(*self._products, strict=True))
            at_left, row = np.unique(row, return_inverse=True)
            at_right, column = np.unique(column, return_inverse=True)
            weights = np.zeros((len(at_left), len(at_right)))
            np.add.at(weights, (row, column), weight)
            self._factors = at_left, at_right, weights
        at_left, at_right, weights = self._factors
        before, after = left[np.ix_(rows, at_left)], right[at_right, columns]
        varied, changing = _varied(before, 0), _varied(after, 1)
        always, moving = after[:, 0] & ~changing, weights[varied]
        same = before[0, ~varied] @ weights[~varied]
        values += same[always].sum() + (before[:, varied] @ moving[:, always].sum(axis=1))[:, None]
        changed = after[changing].astype(float)
        values += same[changing] @ changed
        moving = moving[:, changing]
        product = moving.any(axis=0)
        if product.any():
            values += (before[:, varied] @ moving[:, product]) @ changed[product]
        return values


def _varied(values: Mask, axis: int) -> Mask:
    """Return where there are both truth values along an axis."""
    return np.asarray(values.any(axis=axis) & ~values.all(axis=axis))


@dataclass(frozen=True, eq=False)
class StageMemory:
    """A memory limit: what a stage's items and buffers take, peaks (P, I) of items, and what there is."""

    used: Sum
    peaks: Array
    limit: float


@dataclass
class _Flow:
    """A tensor (under `per_edge`, an edge): the items that make and use it, and the devices of inputs and outputs."""

    tensor: int
    producer: int  # item; -1: an input
    origin: int  # device of an input
    users: int = 0  # as bits
    outputs: set[int] = field(default_factory=set)


class Stages:
    """Loads of stages, and whether a device may run them.

    Parameters
    ----------
    compiled : CompiledProblem
    items : Items
    held : array (ideals, I)
        Whether an ideal holds an item; the empty ideal first.
    ends : Ends
    devices : list of int
        Those that loads are asked for, by their numbers in this list.

    Attributes
    ----------
    is_summed : bool
        Whether anything is summed over stages.
    """

    def __init__(self, compiled: CompiledProblem, items: Items, held: Mask, ends: Ends, devices: list[int]) -> None:
        self.c, self.items, self.held = compiled, items, held
        self._ends = ends
        self._columns = _Columns(), _Columns()
        self._flows = self._find_flows(by_edge=compiled.transport == "per_edge")
        loads = loads_of(compiled)
        self._loads = [
            [self._sum(device, loads[resource], seen=True) for resource in np.flatnonzero(ends.owner == device)]
            for device in devices
        ]
        self._total = [self._sum(device, ends.total) for device in devices] if ends.total is not None else None
        self._memory = [self._memory_of(device) for device in devices]
        self._barred = [
            sums_over(held, self._by_item((~compiled.allowed[:, device]).astype(float))) for device in devices
        ]
        left, right = self._columns
        self._left, self._right = left.matrix(len(held)).T.copy(), right.matrix(len(held))
        self.is_summed = self._total is not None
        packed = np.packbits(held, axis=1)
        self._words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64).T.copy()

    def load(self, number: int, rows: Index, columns: slice) -> Array:
        """Return the largest load of the resources of a device, in stages between some ideals and a range of ideals."""
        blocks = [load.block(rows, columns, self._left, self._right) for load in self._loads[number]]
        return np.asarray(np.max(blocks, axis=0)) if blocks else np.zeros((len(rows), columns.stop - columns.start))

    def total(self, number: int, rows: Index, columns: slice) -> Array | None:
        """Return what such stages add to what is summed over stages, if anything is."""
        return None if self._total is None else self._total[number].block(rows, columns, self._left, self._right)

    def allowed(self, number: int, rows: Index, columns: slice) -> Mask:
        """Return which pairs of ideals are a stage that a device may run."""
        allowed = self._barred[number][rows][:, None] == self._barred[number][columns]
        for word in self._words:
            before, missing = word[rows], ~word[columns]
            if np.bitwise_or.reduce(before) & np.bitwise_or.reduce(missing):
                allowed &= before[:, None] & missing == 0
        for memory in self._memory[number]:
            used = memory.used.block(rows, columns, self._left, self._right)
            for peaks in memory.peaks:
                largest = np.zeros(used.shape)
                for peak in np.unique(peaks[peaks > 0.0]):
                    count = sums_over(self.held, (peaks == peak).astype(float))
                    largest[count[rows][:, None] < count[columns]] = peak
                used += largest
            allowed &= used <= memory.limit
        return allowed

    def _by_item(self, values: Array) -> Array:
        """Return the sums of values of nodes (N,) over each item."""
        layers = self.c.is_layer
        total = np.zeros(len(self.items.before))
        np.add.at(total, self.items.of_node[layers], values[layers])
        return total

    def _sum(self, device: int, row: PlanSum, *, seen: bool = False) -> Sum:
        """Return what the device's stages add to a sum; `seen`: of two devices, also what the other sends and gets."""
        sends, receives = self._ends.sends, self._ends.receives
        if seen and len(sends) == 2:  # what one sends, the other receives
            sends, receives = sends | receives[::-1], receives | sends[::-1]
        found = Sum(len(self.held), *self._columns)
        found.add_difference(sums_over(self.held, self._by_item(row.alpha[:, device])))
        received, sent = row.beta @ receives[device], row.beta @ sends[device]
        for flow in self._flows:
            self._add_flow(found, flow, device, float(received[flow.tensor]), float(sent[flow.tensor]))
        return found

    def _memory_of(self, device: int) -> list[StageMemory]:
        """Return the device's memory limits."""
        found, layers = [], self.c.is_layer
        for limit in self.c.constraints:
            if isinstance(limit, MemoryLimit) and limit.device == device:
                used = Sum(len(self.held), *self._columns)
                used.add_difference(sums_over(self.held, self._by_item(limit.resident)))
                if limit.buffers:
                    for flow in self._find_flows(by_edge=False):
                        size = float(limit.buffers * self.c.buffer_bytes[flow.tensor])
                        self._add_flow(used, flow, device, size, size)
                peaks = np.zeros((len(self.items.before), len(limit.peaks)))
                np.maximum.at(peaks, self.items.of_node[layers], limit.peaks[:, layers].T)
                room = memory_room(limit.limit)
                found.append(StageMemory(used, peaks.T, limit.limit + room))
        return found

    def _find_flows(self, *, by_edge: bool) -> list[_Flow]:
        c = self.c
        found: dict[int, _Flow] = {}
        pinned = c.executor_device[c.allowed.argmax(axis=1)]
        for edge, tensor in enumerate(c.edge_tensor.tolist()):
            u, v = int(c.edge_producer[edge]), int(c.edge_consumer[edge])
            flow = _Flow(tensor, int(self.items.of_node[u]), int(pinned[u]))
            flow = found.setdefault(edge if by_edge else tensor, flow)
            if c.is_layer[v]:
                flow.users |= 1 << int(self.items.of_node[v])
            else:
                flow.outputs.add(int(pinned[v]))
        return list(found.values())

    def _add_flow(self, total: Sum, flow: _Flow, device: int, received: float, sent: float) -> None:
        """Add what a stage on a device receives and sends of a flow, with these weights."""
        here, elsewhere = device in flow.outputs, bool(flow.outputs - {device})
        among = self.held[:, list(bits(flow.users))]
        if received > 0.0 and (here or flow.users):
            if flow.producer >= 0:
                made = self.held[:, flow.producer]
                total.add(received)
                total.add(-received, None, made)
                total.add(received, made)
                for same in () if here else _patterns(among):
                    total.add(-received, same & ~made, same & ~made)
                    total.add(-received, same & made, same)
            elif flow.origin != device:
                total.add(received)
                for same in () if here else _patterns(among):
                    total.add(-received, same, same)
        if sent > 0.0 and (elsewhere or flow.users):
            none: Mask = ~np.any(among, axis=1)
            every: Mask = np.all(among, axis=1)
            if flow.producer >= 0:
                made = self.held[:, flow.producer]
                total.add(sent, None, made)
                total.add(-sent, made)
                if not elsewhere:
                    total.add(-sent, none, made & every)
                    total.add(sent, none & made, every)
            elif flow.origin == device:
                total.add(sent)
                if not elsewhere:
                    total.add(-sent, none, every)


def _patterns(among: Mask) -> list[Mask]:
    """Return, for each different row of truth values, which ideals have it."""
    number = np.zeros(len(among), dtype=np.int64)
    for column in among.T:
        number = 2 * number + column
        if number.max() > len(among):
            number = np.unique(number, return_inverse=True)[1]
    return [number == one for one in np.flatnonzero(np.bincount(number))]
