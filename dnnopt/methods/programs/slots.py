"""Slots of the frontier: what is remembered of each producer, and of constraints, from step to step.

The steps that `StepBuilder` makes come from the network's structure, the routes and which devices layers may have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import CompiledConstraint, MemoryLimit
from dnnopt.compiled.logical import Colocation, CutCount, DeviceCount, Separation, TierOrder
from dnnopt.compiled.metrics import Index, Mask

MOST_STATES = 2_000_000
_Code = tuple[int, ...]


class TooManyStatesError(ValueError):
    """Tables over states would be too large."""


@dataclass(frozen=True, eq=False)
class Slot:
    """What is remembered of a producer with tensors that are still to be used.

    Attributes
    ----------
    producer : int
        -1: the slot is of a constraint, and has neither tensors nor codes.
    tensors : tuple of int
    codes : tuple of tuples of int
        Device of the producer, then for each tensor the devices that have it, as bits; 0 after its last use.
    """

    producer: int = -1
    tensors: tuple[int, ...] = ()
    codes: tuple[_Code, ...] = ()


@dataclass(frozen=True, eq=False)
class SlotUse:
    """What a node's device does to one slot.

    Attributes
    ----------
    axis : int
        Of the slot, among those before the step.
    after : array (codes, D)
        The slot's next code for each device; -1: the device is forbidden. 0 where the slot ends.
    kept : bool
        Whether the slot goes on.
    tensors : tuple of int
        What is sent.
    over : tuple of bool
        Which of these it is the last use of.
    sent : tuple of arrays (codes, D, F)
        Features of the copies of each tensor: how often each link is used, which devices send or receive it for the
        first time, and the number of copies.
    edges : tuple of int
        Those of the network that are used.
    origins : array (codes,)
        The producer's device.
    """

    axis: int
    after: Index
    kept: bool
    tensors: tuple[int, ...] = ()
    over: tuple[bool, ...] = ()
    sent: tuple[NDArray[np.float32], ...] = ()
    edges: tuple[int, ...] = ()
    origins: Index = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class FrontierStep:
    """The placement of one node.

    Attributes
    ----------
    node : int
    sizes, sizes_after : tuple of int
        Number of codes of each slot before the step, and after it.
    uses : tuple of SlotUse
    begun : tuple of arrays (D,)
        The first code of each slot that begins, for each device of the node; these slots come last.
    slots_after : tuple of Slot
    """

    node: int
    sizes: tuple[int, ...]
    sizes_after: tuple[int, ...]
    uses: tuple[SlotUse, ...]
    begun: tuple[Index, ...]
    slots_after: tuple[Slot, ...]

    def after(self, digits: Sequence[Index], devices: Index) -> Index:
        """Return the states after the step (B, devices) from the codes of all slots (B,) each; -1: forbidden."""
        state = np.zeros((len(digits[0]) if digits else 1, len(devices)), dtype=np.int64)
        possible = np.ones(state.shape, dtype=bool)
        by_axis = {use.axis: use for use in self.uses}
        sizes = iter(self.sizes_after)
        for axis, digit in enumerate(digits):
            use = by_axis.get(axis)
            if use is None:
                state = state * next(sizes) + digit[:, None]
                continue
            code = use.after[digit][:, devices]
            possible &= code >= 0
            if use.kept:
                state = state * next(sizes) + np.maximum(code, 0)
        for codes in self.begun:
            state = state * next(sizes) + codes[devices]
        return np.where(possible, state, -1)


def count_states(steps: Sequence[FrontierStep]) -> int:
    """Return how many states tables have, over all steps."""
    return sum(math.prod(step.sizes) for step in steps)


class _Copies:
    """The device of a producer, and for each of its tensors that are still to be used the devices that have it."""

    def __init__(self, builder: StepBuilder, producer: int, edges: list[int]) -> None:
        c = builder.c
        self.builder, self.producer = builder, producer
        self.tensors = list(dict.fromkeys(c.edge_tensor[edges].tolist()))
        self.uses_left = {tensor: int((c.edge_tensor[edges] == tensor).sum()) for tensor in self.tensors}
        self.codes: list[_Code] = [(device, *(0 for _ in self.tensors)) for device in builder.devices(producer)]
        self.left = len(set(c.edge_consumer[edges].tolist()))

    def begin(self) -> Index:
        """Return the code of each device of the producer (D,)."""
        number = np.zeros(len(self.builder.c.device_names), dtype=np.int64)
        number[[code[0] for code in self.codes]] = np.arange(len(self.codes))
        return number

    def use(self, axis: int, node: int, edges: list[int]) -> SlotUse:
        """Return what a consumer does, and go on to the codes after it."""
        builder, c = self.builder, self.builder.c
        tensors = c.edge_tensor[edges].tolist()
        for tensor in tensors:
            self.uses_left[tensor] -= 1
        self.left -= 1
        places = tuple(self.tensors.index(tensor) for tensor in tensors)
        over = tuple(self.uses_left[tensor] == 0 for tensor in tensors)
        codes, after, sent = builder.moved(tuple(self.codes), places, over, builder.devices(node))
        origin = np.array([code[0] for code in self.codes], dtype=np.int64)
        for edge in edges:
            after = np.where(builder.passes[edge][origin], after, -1)
        self.codes = list(codes)
        after = after if self.left else np.minimum(after, 0)
        return SlotUse(axis, after, bool(self.left), tuple(tensors), over, sent, tuple(edges), origin)

    def now(self) -> Slot:
        """Return what the slot holds."""
        return Slot(self.producer, tuple(self.tensors), tuple(self.codes))


class _Group:
    """The device of a group of nodes that go together, or the devices that nodes have taken."""

    def __init__(self, constraint: CompiledConstraint, nodes: Sequence[int], devices: int) -> None:
        self.constraint, self.devices = constraint, devices
        self.codes = [self._code(0, device) for device in range(devices)]
        self.left = len(nodes) - 1

    def _code(self, before: int, device: int) -> _Code:
        match self.constraint:
            case Colocation():
                return (device,)
            case Separation(at_most=most):  # how many are on each device, as digits
                return (before + (most + 1) ** device,)
        return (before | 1 << device,)

    def _permits(self, code: _Code, device: int) -> bool:
        match self.constraint:
            case Colocation():
                return code[0] == device
            case Separation(at_most=most):
                return code[0] // (most + 1) ** device % (most + 1) < most
            case DeviceCount():
                return (code[0] | 1 << device).bit_count() <= self.constraint.limit
        raise AssertionError(self.constraint)

    def begin(self) -> Index:
        """Return the code of each device of the first member (D,)."""
        return np.arange(self.devices)

    def use(self, axis: int) -> SlotUse:
        """Return what a member does, and go on to the codes after it."""
        self.left -= 1
        codes: dict[_Code, int] = {}
        after = np.full((len(self.codes), self.devices), -1)
        for number, code in enumerate(self.codes):
            for device in range(self.devices):
                if self._permits(code, device):
                    after[number, device] = codes.setdefault(self._code(code[0], device), len(codes))
        self.codes = list(codes) or self.codes[:1]  # one at least, even if nothing leads to it
        return SlotUse(axis, after if self.left else np.minimum(after, 0), bool(self.left))

    def now(self) -> Slot:
        """Return what the slot holds: nothing of a producer."""
        return Slot()


_Moved = tuple[tuple[_Code, ...], Index, tuple[NDArray[np.float32], ...]]


def _counts_sets(c: CompiledProblem) -> bool:
    """Return whether it matters which devices have a tensor already."""
    return c.transport != "per_edge" or any(
        isinstance(constraint, CutCount) or (isinstance(constraint, MemoryLimit) and constraint.buffers > 0)
        for constraint in c.constraints
    )


class StepBuilder:
    """Makes the steps of a problem."""

    def __init__(self, c: CompiledProblem) -> None:
        self.c, self.sets = c, _counts_sets(c)
        self.edges_into: list[list[int]] = [[] for _ in c.node_names]
        self.edges_from: list[list[int]] = [[] for _ in c.node_names]
        for edge, (u, v) in enumerate(zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True)):
            self.edges_from[u].append(edge)
            self.edges_into[v].append(edge)
        self.passes = self._passes()
        self.route = np.ascontiguousarray(np.moveaxis(c.by_devices(c.pair_uses_link.T), 0, -1))
        self._cache: dict[tuple[object, ...], _Moved] = {}

    def _passes(self) -> Mask:
        """Return whether each edge may have its ends on two devices (E, D, D)."""
        c, moves = self.c, self.c.edge_moves
        if any(isinstance(constraint, TierOrder) for constraint in c.constraints):
            between = c.is_layer[c.edge_producer] & c.is_layer[c.edge_consumer]
            down = c.device_tier[c.pair_origin] > c.device_tier[c.pair_destination]
            moves = moves & ~(between[:, None] & down)
        return c.by_devices(moves, same=True)

    def devices(self, node: int) -> tuple[int, ...]:
        """Return the devices on which a node may be."""
        return tuple(np.unique(self.c.executor_device[self.c.allowed[node]]).tolist())

    def moved(
        self, codes: tuple[_Code, ...], places: tuple[int, ...], over: tuple[bool, ...], to: tuple[int, ...]
    ) -> _Moved:
        """Return the codes after a use, which follows which on each device, and the features of what is sent.

        Parameters
        ----------
        codes : tuple of codes
            A producer's device, then for each of its tensors a set of devices.
        places : tuple of int
            The tensors that are used, by their places in a code (less 1).
        over : tuple of bool
            Whether that is their last use.
        to : tuple of int
            Devices of the consumer.
        """
        key = (codes, places, over, to)
        if key not in self._cache:
            self._cache[key] = self._moved(codes, places, over, to)
        return self._cache[key]

    def _moved(
        self, codes: tuple[_Code, ...], places: tuple[int, ...], over: tuple[bool, ...], to: tuple[int, ...]
    ) -> _Moved:
        c = self.c
        size, links = len(c.device_names), len(c.link_names)
        number: dict[_Code, int] = {}
        after = np.full((len(codes), size), -1)
        sent = [np.zeros((len(codes), size, links + size + 1), dtype=np.float32) for _ in places]
        for position, code in enumerate(codes):
            origin = code[0]
            for device in to:
                following = list(code)
                for features, place, last in zip(sent, places, over, strict=True):
                    had = code[place + 1]
                    if device != origin:
                        here = features[position, device]
                        here[:links] = self._new_links(origin, had, device)
                        here[links + origin] = had == 0
                        if not had >> device & 1:
                            here[links + device] = here[-1] = 1.0
                    if last:
                        following[place + 1] = 0
                    elif self.sets and device != origin:
                        following[place + 1] = had | 1 << device
                after[position, device] = number.setdefault(tuple(following), len(number))
        if len(number) > MOST_STATES // 100:
            raise TooManyStatesError(f"more than {MOST_STATES // 100:,} states of one tensor")
        return tuple(number), after, tuple(sent)

    def _new_links(self, origin: int, had: int, device: int) -> Mask:
        """Return over which links a tensor goes to a device when others have it already."""
        if self.c.transport == "per_edge":
            links: Mask = self.route[origin, device]
            return links
        if had >> device & 1:
            return np.zeros(len(self.c.link_names), dtype=bool)
        links = self.route[origin, device]
        if self.c.transport == "multicast" and had:
            reached = [self.route[origin, other] for other in range(len(self.c.device_names)) if had >> other & 1]
            links = links & ~np.any(reached, axis=0)
        return links

    def order(self) -> Iterator[int]:
        """Yield the nodes in a topological order that keeps few codes open (greedily)."""
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
        """Return the steps."""
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
        open_slots: list[tuple[str, int]] = []
        slots: dict[tuple[str, int], _Copies | _Group] = {}
        steps: list[FrontierStep] = []
        states = 0
        for node in self.order():
            sizes = tuple(len(slots[key].codes) for key in open_slots)
            uses: list[SlotUse] = []
            begun: list[Index] = []
            beginning: list[tuple[str, int]] = []
            by_producer: dict[int, list[int]] = {}
            for edge in self.edges_into[node]:
                by_producer.setdefault(int(c.edge_producer[edge]), []).append(edge)
            for producer, edges in by_producer.items():
                slot = slots["copies", producer]
                assert isinstance(slot, _Copies)
                uses.append(slot.use(open_slots.index(("copies", producer)), node, edges))
            for number in groups.get(node, []):
                key = ("group", number)
                if key in slots:
                    group = slots[key]
                    assert isinstance(group, _Group)
                    uses.append(group.use(open_slots.index(key)))
                else:
                    group = _Group(*nodes_of[number], len(c.device_names))
                    slots[key] = group
                    beginning.append(key)
                    begun.append(group.begin())
            if self.edges_from[node]:
                copies = _Copies(self, node, self.edges_from[node])
                slots["copies", node] = copies
                beginning.append(("copies", node))
                begun.append(copies.begin())
            open_slots = [key for key in open_slots if slots[key].left] + beginning
            sizes_after = tuple(len(slots[key].codes) for key in open_slots)
            after = tuple(slots[key].now() for key in open_slots)
            steps.append(FrontierStep(node, sizes, sizes_after, tuple(uses), tuple(begun), after))
            states += math.prod(sizes_after)
            if states > MOST_STATES:
                raise TooManyStatesError(f"more than {MOST_STATES:,} states of what is alive at once")
        return steps
