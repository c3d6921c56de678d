"""Slots of the frontier: what is remembered of each producer, and of constraints, from step to step.

A slot says something of each device by itself: that a producer is there, that a tensor was sent there, that a layer of
a group is there. Such *marks* of all slots are the state. Devices that are alike (see `symmetry.py`) can be exchanged:
of states that differ by that alone one stands for all, in which those of a class come in the order of their marks. So
there are few states even where many devices are alike: four open tensors on eight of a kind have 15, not 4,096.

The steps that `StepBuilder` makes come from the network's structure, the routes and which devices layers may have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnnopt.compiled.compiled import CompiledProblem, kept
from dnnopt.compiled.constraints import CompiledConstraint, MemoryLimit
from dnnopt.compiled.logical import Colocation, CutCount, DeviceCount, Separation, TierOrder
from dnnopt.compiled.metrics import Index, Mask
from dnnopt.compiled.symmetry import identical_devices

MOST_STATES = 2_000_000
_MOST_MARKS = 80_000_000  # that are looked at, which takes a second or two; those of steps that are alike count once
_MOST_CODES = MOST_STATES // 100
_MOST_BITS = 62
_FEW = 1000
_MARK = np.int16


class TooManyStatesError(ValueError):
    """Tables over states would be too large."""


@dataclass(frozen=True, eq=False)
class Slot:
    """What is remembered of a producer with tensors that are still to be used, or of a constraint.

    Attributes
    ----------
    producer : int
        -1: the slot is of a constraint.
    bits : dict of int to int
        The mark of devices that have a tensor already; where there is none, that does not matter.
    codes : array (codes, D)
        Marks; the producer's device has a 1.
    """

    producer: int
    bits: dict[int, int]
    codes: Index

    @cached_property
    def origins(self) -> Index:
        """The producer's device (codes,)."""
        return np.asarray((self.codes & 1).argmax(axis=1))

    def had(self, tensor: int) -> Mask:
        """Return which devices have a tensor already (codes, D)."""
        return np.asarray(self.codes & self.bits.get(tensor, 0) > 0)


@dataclass(frozen=True, eq=False)
class SlotUse:
    """What a node's device does to the slot of a producer.

    Attributes
    ----------
    axis : int
        Of the slot, among those before the step.
    slot : Slot
    tensors : tuple of int
        What is sent.
    over : tuple of bool
        Which of these it is the last use of.
    sent : tuple of arrays (codes, D, F)
        Features of the copies of each tensor: how often each link is used, which devices send or receive it for the
        first time, and the number of copies.
    edges : tuple of int
        Those of the network that are used.
    """

    axis: int
    slot: Slot
    tensors: tuple[int, ...]
    over: tuple[bool, ...]
    sent: tuple[NDArray[np.float32], ...]
    edges: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of codes and of devices."""
        codes, devices = self.slot.codes.shape
        return codes, devices


@dataclass(frozen=True, eq=False)
class FrontierStep:
    """The placement of one node.

    Attributes
    ----------
    node : int
    slots, slots_after : tuple of Slot
        Before the step, and after it: those that go on, then those that begin.
    kept : tuple of int
        Which ones go on.
    digits : array (slots, S)
        The code of each slot in every state before the step.
    uses : tuple of SlotUse
    to : array (S, D)
        The state after the step for each device of the node; -1: the device is forbidden.
    turns : array (S, D), optional
        The number of the exchange of devices that leads there; none: devices stay as they are.
    absent : array (S, D)
        Devices without any mark before the step.
    """

    node: int
    slots: tuple[Slot, ...]
    slots_after: tuple[Slot, ...]
    kept: tuple[int, ...]
    digits: Index
    uses: tuple[SlotUse, ...]
    to: Index
    turns: Index | None
    absent: Mask

    @property
    def states(self) -> int:
        """How many there are before the step."""
        return len(self.to)


class _Action(NamedTuple):
    """What a node's device does to a slot.

    Attributes
    ----------
    kept : bool
        Whether the slot goes on.
    passes : bytes
        Of a producer that is used: whether its device may send to the node's (D, D).
    adds, clears : int
        Marks: those of the node's device, if it is not the producer's, and those that nobody needs any more.
    kind : type, optional
        Of the constraint that looks at the node.
    limit : int
        Of the constraint.
    """

    kept: bool = True
    passes: bytes = b""
    adds: int = 0
    clears: int = 0
    kind: type[CompiledConstraint] | None = None
    limit: int = 0


class _States:
    """Marks of all slots in every state (S, slots, D), and how many bits those of each slot have."""

    def __init__(self, marks: Index, bits: tuple[int, ...]) -> None:
        self.marks, self.bits = marks, bits
        self.codes: list[Index] = []
        digits = np.zeros((marks.shape[1], len(marks)), dtype=np.int64)
        for axis in range(len(bits)):
            codes, digits[axis] = _distinct(marks[:, axis])
            if len(codes) > _MOST_CODES:
                raise TooManyStatesError(f"more than {_MOST_CODES:,} states of one tensor")
            self.codes.append(codes)
        self.digits = digits
        self.absent = ~marks.any(axis=1)


class _Copies:
    """The slot of a producer in the making."""

    def __init__(self, builder: StepBuilder, producer: int, edges: list[int]) -> None:
        c = builder.c
        self.builder, self.producer = builder, producer
        tensors = c.edge_tensor[edges].tolist()
        self.uses_left = {tensor: tensors.count(tensor) for tensor in dict.fromkeys(tensors)}
        several = [tensor for tensor, uses in self.uses_left.items() if uses > 1] if builder.sets else []
        self.bits = {tensor: 2 << place for place, tensor in enumerate(several)}
        self.left = len(set(c.edge_consumer[edges].tolist()))

    def use(self, axis: int, node: int, edges: list[int], codes: Index) -> tuple[SlotUse, _Action]:
        """Return what a consumer does."""
        builder = self.builder
        tensors = tuple(builder.c.edge_tensor[edges].tolist())
        for tensor in tensors:
            self.uses_left[tensor] -= 1
        self.left -= 1
        over = tuple(self.uses_left[tensor] == 0 for tensor in tensors)
        slot = self.now(codes)
        sent = tuple(builder.features(slot, tensor, builder.devices(node)) for tensor in tensors)
        passes = np.logical_and.reduce(builder.passes[edges])
        used = list(zip(tensors, over, strict=True))
        adds = sum(self.bits.get(tensor, 0) for tensor, last in used if not last)
        clears = sum(self.bits.get(tensor, 0) for tensor, last in used if last)
        use = SlotUse(axis, slot, tensors, over, sent, tuple(edges))
        return use, _Action(bool(self.left), passes.tobytes(), adds, clears)

    def now(self, codes: Index) -> Slot:
        """Return what the slot holds."""
        return Slot(self.producer, self.bits, codes)

    @property
    def width(self) -> int:
        """Bits of marks."""
        return 1 + len(self.bits)


class _Group:
    """The slot of a constraint in the making: where its nodes are."""

    def __init__(self, constraint: CompiledConstraint, nodes: Sequence[int]) -> None:
        self.constraint, self.left = constraint, len(nodes) - 1
        self.limit = 1
        match constraint:
            case Separation(at_most=most):
                self.limit = most
            case DeviceCount(limit=most):
                self.limit = most
        self.width = self.limit.bit_length() if isinstance(constraint, Separation) else 1

    def use(self) -> _Action:
        """Return what a member does."""
        self.left -= 1
        return _Action(bool(self.left), kind=type(self.constraint), limit=self.limit)

    def now(self, codes: Index) -> Slot:
        """Return what the slot holds: nothing of a producer."""
        return Slot(-1, {}, codes)


def _counts_sets(c: CompiledProblem) -> bool:
    """Return whether it matters which devices have a tensor already."""
    return c.transport != "per_edge" or any(
        isinstance(constraint, CutCount) or (isinstance(constraint, MemoryLimit) and constraint.buffers > 0)
        for constraint in c.constraints
    )


class StepBuilder:
    """Makes the steps of a problem.

    Parameters
    ----------
    c : CompiledProblem
    classes : list of lists of int, optional
        Devices that can be exchanged; by default all that are alike.

    """

    def __init__(self, c: CompiledProblem, classes: list[list[int]] | None = None) -> None:
        self.c, self.sets = c, _counts_sets(c)
        self.classes = identical_devices(c) if classes is None else classes
        self._numbers = {tuple(range(len(c.device_names))): 0}
        self.edges_into: list[list[int]] = [[] for _ in c.node_names]
        self.edges_from: list[list[int]] = [[] for _ in c.node_names]
        for edge, (u, v) in enumerate(zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True)):
            self.edges_from[u].append(edge)
            self.edges_into[v].append(edge)
        self.passes = self._passes()
        self.route = np.ascontiguousarray(np.moveaxis(c.by_devices(c.pair_uses_link.T), 0, -1))
        self._devices = [tuple(np.unique(c.executor_device[row]).tolist()) for row in c.allowed]
        self._features: dict[tuple[object, ...], NDArray[np.float32]] = {}
        self._known: dict[tuple[object, ...], _States] = {}
        self._looked_at = 0  # marks
        self._moves: dict[tuple[object, ...], tuple[_States, Index, Index | None]] = {}

    def _passes(self) -> Mask:
        """Return whether each edge may have its ends on two devices (E, D, D)."""
        c, moves = self.c, self.c.edge_moves
        if any(isinstance(constraint, TierOrder) for constraint in c.constraints):
            between = c.is_layer[c.edge_producer] & c.is_layer[c.edge_consumer]
            down = c.device_tier[c.pair_origin] > c.device_tier[c.pair_destination]
            moves = moves & ~(between[:, None] & down)
        return c.by_devices(moves, same=True)

    @property
    def exchanges(self) -> Index:
        """Which device each one becomes (K, D), for each number of `FrontierStep.turns`."""
        return np.array(list(self._numbers))

    def devices(self, node: int) -> tuple[int, ...]:
        """Return the devices on which a node may be."""
        return self._devices[node]

    def features(self, slot: Slot, tensor: int, to: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the features (codes, D, F) of what is sent if a tensor is used on devices."""
        key = slot.codes.shape, slot.codes.tobytes(), slot.bits.get(tensor, 0), to
        if key not in self._features:
            self._features[key] = self._features_of(slot.origins, slot.had(tensor), to)
        return self._features[key]

    def _features_of(self, origins: Index, had: Mask, to: tuple[int, ...]) -> NDArray[np.float32]:
        size, links = len(self.c.device_names), len(self.c.link_names)
        numbers = np.arange(len(origins))
        sent = np.zeros((len(origins), size, links + size + 1), dtype=np.float32)
        routes = self.route[origins]  # (codes, D, L)
        new = routes if self.c.transport == "per_edge" else routes & ~had[..., None]
        if self.c.transport == "multicast":
            new = new & ~(routes & had[..., None]).any(axis=1)[:, None]
        sent[..., :links] = new
        sent[numbers, :, links + origins] = ~had.any(axis=1)[:, None]
        sent[:, np.arange(size), links + np.arange(size)] = ~had
        sent[..., -1] = ~had
        sent[numbers, origins] = 0.0
        sent[:, sorted(set(range(size)).difference(to))] = 0.0
        return sent

    def order(self) -> list[int]:
        """Return the nodes in a topological order that keeps few codes open: found greedily, or that of their numbers."""
        numbers = list(range(len(self.c.node_names)))
        return min(list(self._greedy()), numbers, key=self._width) if len(self.c.edges) else numbers

    def _width(self, order: list[int]) -> float:
        """Return about how many states there are in an order of the nodes, with four devices."""
        c = self.c
        at = np.argsort(order)
        first, last = np.full((2, len(order)), -1)
        end = at[c.edge_consumer]
        first[:] = len(order)
        np.minimum.at(first, c.edge_producer, end)
        np.maximum.at(last, c.edge_producer, end)
        changes = np.zeros(len(order) + 1)
        producers = np.unique(c.edge_producer)
        np.add.at(changes, at[producers], 1.0)
        np.add.at(changes, first[producers], 1.0)  # from the first use on it matters which devices have a tensor
        np.add.at(changes, last[producers], -2.0)
        return float((4.0 ** changes.cumsum().clip(max=_MOST_BITS)).sum())

    def _greedy(self) -> Iterator[int]:
        c = self.c
        producers = [{int(c.edge_producer[edge]) for edge in edges} for edges in self.edges_into]
        consumers = [list(dict.fromkeys(c.edge_consumer[edges].tolist())) for edges in self.edges_from]
        waits = [len(those) for those in producers]
        left = [len(those) for those in consumers]
        used = [0] * len(waits)
        ready = [node for node, count in enumerate(waits) if not count]
        while ready:
            growth = []  # of the state, in factors of the number of devices
            for node in ready:
                ends = [producer for producer in producers[node] if left[producer] == 1]
                ended = sum(1 + used[producer] for producer in ends)
                growth.append((left[node] > 0) + len(producers[node]) - len(ends) - ended)
            latest = len(ready) - 1 - growth[::-1].index(min(growth))
            node = ready.pop(latest)
            yield node
            for producer in producers[node]:
                left[producer] -= 1
                used[producer] += 1
            for consumer in consumers[node]:
                waits[consumer] -= 1
                if not waits[consumer]:
                    ready.append(consumer)

    def steps(self) -> list[FrontierStep]:
        """Return the steps.

        Raises
        ------
        TooManyStatesError
            If there are more than `MOST_STATES` over all steps, or about as many that look different.
        """
        c = self.c
        groups: dict[int, list[int]] = {}  # node: numbers of the groups that it is in
        nodes_of: list[tuple[CompiledConstraint, list[int]]] = []
        for constraint in c.constraints:
            members: Sequence[int] = ()
            if isinstance(constraint, Colocation | Separation):
                members = constraint.nodes
            elif isinstance(constraint, DeviceCount) and constraint.limit < len(c.device_names):
                members = np.flatnonzero(c.is_layer).tolist()
            if len(members) > 1:
                for node in members:
                    groups.setdefault(node, []).append(len(nodes_of))
                nodes_of.append((constraint, list(members)))
        open_slots: list[_Copies | _Group] = []
        copies: dict[int, _Copies] = {}
        together: dict[int, _Group] = {}
        steps: list[FrontierStep] = []
        states, count = self._states(np.zeros((1, 0, len(c.device_names)), dtype=_MARK), ()), 0
        for node in self.order():
            slots = tuple(slot.now(codes) for slot, codes in zip(open_slots, states.codes, strict=True))
            actions = [_Action()] * len(open_slots)
            uses: list[SlotUse] = []
            begun: list[_Copies | _Group] = []
            by_producer: dict[int, list[int]] = {}
            for edge in self.edges_into[node]:
                by_producer.setdefault(int(c.edge_producer[edge]), []).append(edge)
            for producer, edges in by_producer.items():
                axis = open_slots.index(copies[producer])
                use, actions[axis] = copies[producer].use(axis, node, edges, states.codes[axis])
                uses.append(use)
            for number in groups.get(node, []):
                if number in together:
                    actions[open_slots.index(together[number])] = together[number].use()
                else:
                    together[number] = _Group(*nodes_of[number])
                    begun.append(together[number])
            if self.edges_from[node]:
                copies[node] = _Copies(self, node, self.edges_from[node])
                begun.append(copies[node])
            kept = tuple(axis for axis, action in enumerate(actions) if action.kept)
            open_slots = [open_slots[axis] for axis in kept] + begun
            widths = tuple(slot.width for slot in begun)
            after, to, turns = self._after(states, tuple(actions), self.devices(node), widths)
            slots_after = tuple(slot.now(codes) for slot, codes in zip(open_slots, after.codes, strict=True))
            digits, absent = states.digits, states.absent
            steps.append(FrontierStep(node, slots, slots_after, kept, digits, tuple(uses), to, turns, absent))
            states, count = after, count + len(after.marks)
            if count > MOST_STATES:
                raise _too_many()
        return steps

    def _states(self, marks: Index, bits: tuple[int, ...]) -> _States:
        """Return the states, the same ones for the same marks."""
        key = marks.shape, marks.tobytes(), bits
        if key not in self._known:
            self._known[key] = _States(marks, bits)
        return self._known[key]

    def _after(
        self, states: _States, actions: tuple[_Action, ...], devices: tuple[int, ...], begun: tuple[int, ...]
    ) -> tuple[_States, Index, Index | None]:
        """Return the states after a step, where each device leads from each state, and by which exchange."""
        key = id(states), actions, devices, begun
        if key not in self._moves:
            self._moves[key] = self._moved(states, actions, devices, begun)
        return self._moves[key]

    def _moved(
        self, states: _States, actions: tuple[_Action, ...], devices: tuple[int, ...], begun: tuple[int, ...]
    ) -> tuple[_States, Index, Index | None]:
        count, _, size = states.marks.shape
        here, bits = (
            np.array(devices, dtype=np.int64),
            tuple(bit for bit, action in zip(states.bits, actions, strict=True) if action.kept),
        )
        self._looked_at += count * len(here) * size * max(1, len(bits) + len(begun))
        if self._looked_at > _MOST_MARKS:
            raise _too_many()
        mine = np.arange(size) == here[:, None]  # (devices, D)
        possible = np.ones((count, len(here)), dtype=bool)
        marks = np.zeros((count, len(here), len(bits) + len(begun), size), dtype=_MARK)
        column = 0
        for axis, action in enumerate(actions):
            now = states.marks[:, axis]
            if action.passes:
                passes = np.frombuffer(action.passes, dtype=bool).reshape(size, size)
                possible &= passes[(now & 1).argmax(axis=1)][:, here]
            elif action.kind is Colocation:
                possible &= now[:, here] == 1
            elif action.kind is Separation:
                possible &= now[:, here] < action.limit
            elif action.kind is DeviceCount:
                possible &= (now > 0).sum(axis=1)[:, None] + (now[:, here] == 0) <= action.limit
            if not action.kept:
                continue
            following = marks[:, :, column]
            following[:] = now[:, None]
            if action.adds:
                following |= action.adds * (mine & (now & 1 == 0)[:, None])
            if action.clears:
                following &= ~action.clears
            if action.kind is Separation:
                following += mine
            elif action.kind is DeviceCount:
                following |= mine
            column += 1
        marks[:, :, column:] = mine[:, None]
        bits += begun
        to = np.full((count, size), -1, dtype=np.int32)
        reached = marks[possible]
        turns = self._put_in_order(reached, bits)
        if not len(reached):  # nothing is, but tables have a state at least
            return self._states(np.zeros((1, len(bits), size), dtype=_MARK), bits), to, None
        after, numbers = _distinct(reached)
        if len(after) > MOST_STATES:
            raise _too_many()
        state, device = np.nonzero(possible)
        to[state, here[device]] = numbers
        turned = None
        if turns is not None:
            turned = np.zeros(to.shape, dtype=np.int32)
            turned[state, here[device]] = turns
        return self._states(after, bits), to, turned

    def _put_in_order(self, marks: Index, bits: tuple[int, ...]) -> Index | None:
        """Exchange devices of each class so that more marks come first, in place; return the exchanges' numbers."""
        if not self.classes or sum(bits) > _MOST_BITS or not len(marks):
            return None
        shifts = np.cumsum((0, *bits[:-1])) if bits else np.zeros(0, dtype=np.int64)
        becomes = np.tile(np.arange(marks.shape[2], dtype=_MARK), (len(marks), 1))
        for members in self.classes:
            own = marks[:, :, members]
            signatures = np.zeros((len(own), len(members)), dtype=np.int64)
            for axis, shift in enumerate(shifts.tolist()):
                signatures += own[:, axis].astype(np.int64) << shift
            if (signatures[:, 1:] <= signatures[:, :-1]).all():
                continue
            order = np.argsort(-signatures, axis=1, kind="stable")
            marks[:, :, members] = np.take_along_axis(own, order[:, None], axis=2)
            becomes[np.arange(len(marks))[:, None], np.array(members)[order]] = members
        found, turns = _distinct(becomes)
        known = [self._numbers.setdefault(tuple(one), len(self._numbers)) for one in found.tolist()]
        return np.array(known)[turns] if known != [0] else None


@kept
def steps_of(c: CompiledProblem) -> tuple[StepBuilder, list[FrontierStep] | str]:
    """Return what makes the steps of a problem, and the steps; or why there are none."""
    builder = StepBuilder(c)
    try:
        return builder, builder.steps()
    except TooManyStatesError as error:
        return builder, str(error)


def count_states(c: CompiledProblem) -> float:
    """Return how many states tables have, over all steps; infinite: too many."""
    _, steps = steps_of(c)
    return math.inf if isinstance(steps, str) else sum(step.states for step in steps)


def _too_many() -> TooManyStatesError:
    return TooManyStatesError(f"more than {MOST_STATES:,} states of what is alive at once")


def _distinct(rows: Index) -> tuple[Index, Index]:
    """Return the distinct ones of some arrays of whole numbers (B, ...), and which of them each one is."""
    many = rows.reshape(len(rows), -1)
    weights = np.random.default_rng(0).integers(1, 2**62, many.shape[1]) | 1
    keys = (many * weights).sum(axis=1) if len(many) < _FEW else _dot(many, weights)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    found, inverse = rows[first], inverse.ravel()
    if not (found[inverse] == rows).all():  # different ones with the same key
        found, inverse = np.unique(many, axis=0, return_inverse=True)
        found = found.reshape(-1, *rows.shape[1:])
    return found, inverse.ravel()


def _dot(many: Index, weights: Index) -> Index:
    keys = np.zeros(len(many), dtype=np.int64)
    for column, weight in zip(many.T, weights, strict=True):
        keys += column * weight
    return keys
