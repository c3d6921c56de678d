"""Walks along a network as flat arrays: what the loops of the group decomposition read.

Two programs walk in the same order. The *joint* program chooses an executor for each node and sees every cost, but no
memory. The *sides* program chooses for each node whether it is in a group of devices or not; it is one for all groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.groups.families import DeviceGroups
from dnnopt.methods.programs.frontier import Frontier
from dnnopt.methods.programs.slots import Slot, SlotUse

LEAVES, ENTERS = 0, 1
_Code = tuple[int, ...]


class Walk(NamedTuple):
    """States, choices and what these cost, flat.

    Attributes
    ----------
    states_at : array (N + 2,)
        Where the states before each step begin; the last entries are those of the end.
    choices_at : array (N + 1,)
        Where the choices of each step begin.
    moves_at : array (N + 1,)
        Where the moves of each step begin, state by state and choice by choice.
    to : array (moves,)
        The state after each move, counted from the first one after the step; -1: the move is forbidden.
    uses_at : array (N + 1,)
        Where the uses of slots begin at each step.
    digits_at : array (uses,)
        Where the codes of each use's slot begin in `digits`, state by state.
    digits : array
    entries_at : array (uses + 1,)
        Where the entries of each use begin: what each code costs with each choice.
    """

    states_at: Index
    choices_at: Index
    moves_at: Index
    to: Index
    uses_at: Index
    digits_at: Index
    digits: Index
    entries_at: Index


class _Flat:
    """A walk in the making."""

    def __init__(self) -> None:
        self.states, self.choices, self.moves, self.uses = [0], [0], [0], [0]
        self.digits_at: list[int] = []
        self.entries = [0]
        self.to: list[Index] = []
        self.digits: list[Index] = []
        self._digits = 0

    def add(self, to: Index, uses: Sequence[tuple[Index, int]]) -> None:
        """Add a step: the states after it (states, choices), and the codes (states,) and entries of each use."""
        self.states.append(self.states[-1] + len(to))
        self.choices.append(self.choices[-1] + to.shape[1])
        self.moves.append(self.moves[-1] + to.size)
        self.uses.append(self.uses[-1] + len(uses))
        self.to.append(to.ravel().astype(np.int32))
        for codes, entries in uses:
            self.digits_at.append(self._digits)
            self._digits += len(codes)
            self.digits.append(codes.astype(np.int32))
            self.entries.append(self.entries[-1] + entries)

    def walk(self) -> Walk:
        """Return it; one state is left after the last step."""
        empty = np.zeros(0, dtype=np.int32)
        return Walk(
            np.array([*self.states, self.states[-1] + 1]),
            np.array(self.choices),
            np.array(self.moves),
            np.concatenate([empty, *self.to]),
            np.array(self.uses),
            np.array(self.digits_at, dtype=np.int64),
            np.concatenate([empty, *self.digits]),
            np.array(self.entries),
        )


class Rests(NamedTuple):
    """What groups add to the cost of the rest of a plan.

    Attributes
    ----------
    tables : array (G, side states, units + 2)
        The least cost from each state to the end, by units of memory left.
    unused : array (G,)
        What is paid for memory that is used, less that for all of it.
    stands : array (A,)
        Which group stands for each.
    often : array (A,)
        How often each counts.
    """

    tables: Array
    unused: Array
    stands: Index
    often: Array


class Incoming(NamedTuple):
    """The edges into each node, whose producers come before it: compressed rows.

    Attributes
    ----------
    starts : array (N + 1,)
    edges : array (E,)
    producers : array (E,)
        Of each edge, by its number.
    """

    starts: Index
    edges: Index
    producers: Index


class Crossings(NamedTuple):
    """Which tensors leave groups or enter them in which entries: compressed rows of (kind · T + tensor) · g + group.

    Attributes
    ----------
    starts : array (entries + 1,)
    events : array
    counts : array
        How often each happens: of groups that are alike, one has the multipliers of all.
    """

    starts: Index
    events: Index
    counts: Array


@dataclass(frozen=True, eq=False)
class JointProgram:
    """The joint program.

    Attributes
    ----------
    walk : Walk
    nodes, executors : array (choices,)
    placed : array (choices, R)
        What each choice adds to the rows.
    inside : array (choices, G)
        How much of it is in each group.
    sent : array (entries, R)
        What each entry adds to the rows.
    events : Crossings
    """

    walk: Walk
    nodes: Index
    executors: Index
    placed: Array
    inside: Array
    sent: Array
    events: Crossings


def joint_of(frontier: Frontier, groups: DeviceGroups) -> JointProgram:
    """Return the joint program."""
    c, rows = frontier.c, len(frontier.rows)
    flat = _Flat()
    nodes, executors, placed, inside, sent = [], [], [], [], []
    events: list[tuple[Index, Index, Array]] = []  # entry, event, how often
    known: dict[tuple[int, ...], tuple[Index, Index, Index, Array]] = {}
    for step in frontier.steps:
        hosts = np.flatnonzero(c.allowed[step.node])
        devices = c.executor_device[hosts]
        nodes.append(np.full(len(hosts), step.node))
        executors.append(hosts)
        placed.append(frontier.alpha[step.node, hosts])
        inside.append(groups.parts[:, devices].T)
        first = flat.entries[-1]
        for use in step.uses:
            codes, _ = use.shape
            sent.append(frontier.sent(use, np.arange(codes)[:, None], devices).reshape(-1, rows))
            for tensor in dict.fromkeys(use.tensors):
                key = id(use.slot.codes), use.slot.bits.get(tensor, 0), *devices.tolist()
                if key not in known:
                    known[key] = _crossings(use, tensor, devices, groups)
                entry, kind, group, often = known[key]
                event = (kind * len(c.tensor_names) + tensor) * len(groups.memory) + group
                events.append((entry + first, event, often))
            first += codes * len(hosts)
        flat.add(step.to[:, devices], [(step.digits[use.axis], use.shape[0] * len(hosts)) for use in step.uses])
    return JointProgram(
        flat.walk(),
        np.concatenate(nodes),
        np.concatenate(executors),
        np.concatenate(placed),
        np.concatenate(inside),
        np.concatenate([np.zeros((0, rows)), *sent]),
        _compressed(events, flat.entries[-1]),
    )


def _crossings(use: SlotUse, tensor: int, devices: Index, groups: DeviceGroups) -> tuple[Index, Index, Index, Array]:
    """Return entries of a use, kinds, groups, and how often a tensor leaves or enters these for the first time."""
    every = groups.every
    had = use.slot.had(use.slot.bits.get(tensor, 0))  # (codes, D)
    origin_in, device_in = every.T[use.slot.origins], every.T[devices]  # (codes, A), (devices, A)
    kept_in = (had[:, None] <= every).all(axis=2)
    kept_out = ~(had[:, None] & every).any(axis=2)
    leaves = (origin_in & kept_in)[:, None] & ~device_in[None]
    enters = (~origin_in & kept_out)[:, None] & device_in[None]
    often = np.stack([leaves, enters]).astype(float) @ groups.share_of_each  # (2, codes, devices, G)
    kind, code, device, group = np.nonzero(often)
    return code * len(devices) + device, kind, group, often[kind, code, device, group]


def _compressed(found: Sequence[tuple[Index, Index, Array]], entries: int) -> Crossings:
    empty = np.zeros(0, dtype=np.int64)
    entry, event = (np.concatenate([empty, *(one[part] for one in found)]).astype(np.int64) for part in (0, 1))
    order = np.argsort(entry, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(entry, minlength=entries))])
    often = np.concatenate([np.zeros(0), *(one for _, _, one in found)])
    return Crossings(starts.astype(np.int64), event[order], often[order])


@dataclass(frozen=True, eq=False)
class SideProgram:
    """The program that says of each node whether it is in a group (choice 1) or not (0).

    Attributes
    ----------
    walk : Walk
    nodes : array (N,)
        In the order of the steps.
    goes_on : array (states,)
        Whether the node before a step is in the group, as its state tells.
    events : Crossings
        Of one group: kind · T + tensor.
    images : list of lists of (int, int, array (A, codes))
        Before each step, and at the end: for each slot of a producer its axis, the number of codes of sides, and the
        code of sides in each group of all for each code of the slot.
    """

    walk: Walk
    nodes: Index
    goes_on: Mask
    events: Crossings
    images: list[list[tuple[int, int, Index]]]


def sides_of(frontier: Frontier, every: Mask) -> SideProgram:
    """Return the program of sides; images are those of so many groups (A, D)."""
    tensors = len(frontier.c.tensor_names)
    flat = _Flat()
    events: list[tuple[Index, Index, Array]] = []
    goes_on: list[Mask] = []
    images: list[list[tuple[int, int, Index]]] = [[]]
    codes: dict[int, list[_Code]] = {}  # of the producers in slots: side, then whether each tensor has crossed
    known: dict[tuple[object, ...], Index] = {}
    before = -1
    for step in frontier.steps:
        producers = [slot.producer for slot in step.slots if slot.producer >= 0]
        digit = dict(zip(producers, _digits([len(codes[producer]) for producer in producers]), strict=True))
        count = len(next(iter(digit.values()))) if digit else 1
        runs = np.zeros(count, dtype=bool)
        if before in digit:
            runs = np.array([code[0] == 1 for code in codes[before]])[digit[before]]
        goes_on.append(runs)
        uses: list[tuple[Index, int]] = []
        moved: dict[int, Index] = {}  # the codes after the step (codes, 2)
        for use in step.uses:
            producer = use.slot.producer
            first = flat.entries[-1] + sum(entries for _, entries in uses)
            after, following, entry, event = _side_use(use, codes[producer], tensors)
            uses.append((digit[producer], after.size))
            events.append((entry + first, event, np.ones(len(event))))
            codes[producer], moved[producer] = following, after
        to = np.zeros((count, 2), dtype=np.int64)
        for slot in step.slots_after:
            if slot.producer == step.node:
                codes[step.node] = [(side, *(0 for _ in slot.marks)) for side in (0, 1)]
                to = 2 * to + np.arange(2)
            elif slot.producer >= 0:
                mine = digit[slot.producer]
                to *= len(codes[slot.producer])
                to += moved[slot.producer][mine] if slot.producer in moved else mine[:, None]
        flat.add(to, uses)
        before = step.node
        images.append([])
        for axis, slot in enumerate(step.slots_after):
            if slot.producer >= 0:
                mine_now = codes[slot.producer]
                key = id(slot.codes), tuple(slot.marks), tuple(mine_now)
                if key not in known:
                    known[key] = _image(slot, mine_now, every)
                images[-1].append((axis, len(mine_now), known[key]))
    order = np.array([step.node for step in frontier.steps])
    return SideProgram(flat.walk(), order, np.concatenate(goes_on), _compressed(events, flat.entries[-1]), images)


def _digits(sizes: Sequence[int]) -> tuple[Index, ...]:
    """Return the code of each slot in every state."""
    return tuple(np.unravel_index(np.arange(int(np.prod(sizes))), tuple(sizes))) if sizes else ()


def _side_use(use: SlotUse, codes: list[_Code], tensors: int) -> tuple[Index, list[_Code], Index, Index]:
    """Return the codes after a use (codes, 2), the list of these, and entries and events of what crosses."""
    number: dict[_Code, int] = {}
    after = np.zeros((len(codes), 2), dtype=np.int64)
    entries, events = [], []
    places = {tensor: 1 + use.slot.marks.index(mark) for tensor, mark in use.slot.bits.items()}
    for position, code in enumerate(codes):
        for side in (0, 1):
            following = list(code)
            for tensor, over in zip(use.tensors, use.over, strict=True):
                at = places.get(tensor, 0)
                if side != code[0] and not (at and code[at]):
                    entries.append(2 * position + side)
                    events.append((LEAVES if code[0] else ENTERS) * tensors + tensor)
                    if at:
                        following[at] = 1
                if over and at:
                    following[at] = 0
            after[position, side] = number.setdefault(tuple(following), len(number))
    return after, list(number), np.array(entries, dtype=np.int64), np.array(events, dtype=np.int64)


def _image(slot: Slot, codes: list[_Code], every: Mask) -> Index:
    """Return the code of sides in each group (A, codes) for each code of a slot."""
    inside = every[:, slot.origins]  # (A, codes)
    parts = [inside]
    for mark in slot.marks:
        had = slot.had(mark)
        parts.append(np.where(inside, (had & ~every[:, None]).any(axis=2), (had & every[:, None]).any(axis=2)))
    key = sum(part.astype(np.int64) << place for place, part in enumerate(parts))
    number = {sum(bit << place for place, bit in enumerate(code)): at for at, code in enumerate(codes)}
    table = np.zeros(1 << len(parts), dtype=np.int64)
    table[list(number)] = list(number.values())
    return np.asarray(table[key])
