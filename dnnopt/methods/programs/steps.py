"""The steps of the frontier: what each node's device does to slots (see `slots.py`), in an order that keeps few open.

They come from the network's structure, the routes and which devices layers may have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dnnopt.compiled.compiled import CompiledProblem, kept
from dnnopt.compiled.constraints import CompiledConstraint, MemoryLimit
from dnnopt.compiled.logical import Colocation, CutCount, DeviceCount, Separation, TierOrder
from dnnopt.compiled.metrics import Index, Mask
from dnnopt.compiled.symmetry import identical_devices
from dnnopt.methods.programs.open_states import MOST_STATES, Action, StateMoves, too_many
from dnnopt.methods.programs.slots import FrontierStep, Slot, SlotUse, TooManyStatesError

_MOST_OPEN = 62


class _Copies:
    """The slot of a producer in the making."""

    def __init__(self, builder: StepBuilder, producer: int, edges: list[int]) -> None:
        c = builder.c
        self.builder, self.producer = builder, producer
        tensors = c.edge_tensor[edges].tolist()
        self.uses_left = {tensor: tensors.count(tensor) for tensor in dict.fromkeys(tensors)}
        several = [tensor for tensor, uses in self.uses_left.items() if uses > 1] if builder.sets else []
        readers = {
            tensor: tuple(c.edge_consumer[[edge for edge in edges if c.edge_tensor[edge] == tensor]].tolist())
            for tensor in several
        }
        places = list(dict.fromkeys(readers.values()))  # what the same nodes read is in the same places
        self.bits = {tensor: 2 << places.index(readers[tensor]) for tensor in several}
        self.left = len(set(c.edge_consumer[edges].tolist()))

    def use(self, axis: int, node: int, edges: list[int], codes: Index) -> tuple[SlotUse, Action]:
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
        adds = sum({self.bits.get(tensor, 0) for tensor, last in used if not last})
        clears = sum({self.bits.get(tensor, 0) for tensor, last in used if last})
        use = SlotUse(axis, slot, tensors, over, sent, tuple(edges))
        return use, Action(bool(self.left), passes.tobytes(), adds, clears)

    def now(self, codes: Index) -> Slot:
        """Return what the slot holds."""
        return Slot(self.producer, self.bits, codes)

    @property
    def width(self) -> int:
        """Bits of marks."""
        return 1 + len(set(self.bits.values()))


class _Group:
    """The slot of a constraint in the making: where its nodes are."""

    def __init__(self, constraint: CompiledConstraint, nodes: Sequence[int]) -> None:
        self.constraint, self.left = constraint, len(nodes) - 1
        self.limit = 1
        match constraint:
            case Separation(at_most=most) | DeviceCount(limit=most):
                self.limit = most
        self.width = self.limit.bit_length() if isinstance(constraint, Separation) else 1

    def use(self) -> Action:
        """Return what a member does."""
        self.left -= 1
        return Action(bool(self.left), kind=type(self.constraint), limit=self.limit)

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
    patient : bool
        Whether to go on where that takes more than about a second.
    """

    def __init__(self, c: CompiledProblem, classes: list[list[int]] | None = None, patient: bool = False) -> None:
        self.c, self.sets = c, _counts_sets(c)
        self.classes = identical_devices(c) if classes is None else classes
        most = {"most": math.inf} if patient else {}
        self.moves = StateMoves(len(c.device_names), self.classes, **most)
        self.edges_into: list[list[int]] = [[] for _ in c.node_names]
        self.edges_from: list[list[int]] = [[] for _ in c.node_names]
        for edge, (u, v) in enumerate(zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True)):
            self.edges_from[u].append(edge)
            self.edges_into[v].append(edge)
        self.passes = self._passes()
        self.route = np.ascontiguousarray(np.moveaxis(c.by_devices(c.pair_uses_link.T), 0, -1))
        self._devices = [tuple(np.unique(c.executor_device[row]).tolist()) for row in c.allowed]
        self._features: dict[tuple[object, ...], NDArray[np.float32]] = {}

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
        return self._devices[node]

    def features(self, slot: Slot, tensor: int, to: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the features (codes, D, F) of what is sent if a tensor is used on devices."""
        key = slot.codes.shape, slot.codes.tobytes(), slot.bits.get(tensor, 0), to
        if key not in self._features:
            self._features[key] = self._features_of(slot.origins, slot.had(slot.bits.get(tensor, 0)), to)
        return self._features[key]

    def _features_of(self, origins: Index, had: Mask, to: tuple[int, ...]) -> NDArray[np.float32]:
        size, links = len(self.c.device_names), len(self.c.link_names)
        numbers = np.arange(len(origins))
        sent = np.zeros((len(origins), size, links + size + 1), dtype=np.float32)
        routes = self.route[origins]  # (codes, D, L)
        new = routes if self.c.transport == "per_edge" else routes & ~had[..., None]
        if self.c.transport == "multicast":
            new = new & np.logical_not((routes & had[..., None]).any(axis=1, keepdims=True))
        sent[..., :links] = new
        sent[numbers, :, links + origins] = np.logical_not(had.any(axis=1, keepdims=True))
        sent[:, np.arange(size), links + np.arange(size)] = ~had
        sent[..., -1] = ~had
        sent[numbers, origins] = 0.0
        sent[:, sorted(set(range(size)).difference(to))] = 0.0
        return sent

    def order(self) -> list[int]:
        """Return the nodes in a topological order that keeps few codes open: a greedy one, or that of their numbers."""
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
        return float((4.0 ** changes.cumsum().clip(max=_MOST_OPEN)).sum())

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
        states, count = self.moves.root(len(c.device_names)), 0
        for node in self.order():
            slots = tuple(slot.now(codes) for slot, codes in zip(open_slots, states.codes, strict=True))
            actions = [Action()] * len(open_slots)
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
            after, to, turns = self.moves.after(states, tuple(actions), self.devices(node), widths)
            slots_after = tuple(slot.now(codes) for slot, codes in zip(open_slots, after.codes, strict=True))
            digits, absent = states.digits, states.absent
            steps.append(FrontierStep(node, slots, slots_after, kept, digits, tuple(uses), to, turns, absent))
            states, count = after, count + len(after.marks)
            if count > MOST_STATES:
                raise too_many()
        return steps


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
