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
    """Which tensors leave groups or enter them in which entries: compressed rows of (kind · T + tensor) · g + group."""

    starts: Index
    events: Index


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
        Whether it is in each group.
    sent : array (entries, R)
        What each entry adds to the rows.
    events : Crossings
    """

    walk: Walk
    nodes: Index
    executors: Index
    placed: Array
    inside: Mask
    sent: Array
    events: Crossings


def joint_of(frontier: Frontier, members: Mask) -> JointProgram:
    """Return the joint program of groups (G, D)."""
    c, rows = frontier.c, len(frontier.rows)
    flat = _Flat()
    nodes, executors, placed, inside, sent = [], [], [], [], []
    events: list[tuple[Index, Index]] = []  # entry, event
    slots: tuple[Slot, ...] = ()
    for step in frontier.steps:
        hosts = np.flatnonzero(c.allowed[step.node])
        devices = c.executor_device[hosts]
        nodes.append(np.full(len(hosts), step.node))
        executors.append(hosts)
        placed.append(frontier.alpha[step.node, hosts])
        inside.append(members[:, devices].T)
        digits = _digits(step.sizes)
        first = flat.entries[-1]
        for use in step.uses:
            codes = len(use.after)
            sent.append(frontier.sent(use, np.arange(codes)[:, None], devices).reshape(-1, rows))
            entry, event = _crossings(slots[use.axis], use, devices, members, len(c.tensor_names))
            events.append((entry + first, event))
            first += codes * len(hosts)
        to = step.after(digits, devices)
        flat.add(to, [(digits[use.axis], len(use.after) * len(hosts)) for use in step.uses])
        slots = step.slots_after
    return JointProgram(
        flat.walk(),
        np.concatenate(nodes),
        np.concatenate(executors),
        np.concatenate(placed),
        np.concatenate(inside),
        np.concatenate([np.zeros((0, rows)), *sent]),
        _compressed(events, flat.entries[-1]),
    )


def _crossings(slot: Slot, use: SlotUse, devices: Index, members: Mask, tensors: int) -> tuple[Index, Index]:
    """Return which tensors leave or enter which groups for the first time: entries of the use, and events."""
    groups = len(members)
    bits = (members << np.arange(members.shape[1])).sum(axis=1)
    entries: list[Index] = []
    events: list[Index] = []
    if slot.producer < 0:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing
    codes = np.array(slot.codes)
    origin_in, device_in = members.T[codes[:, 0]], members.T[devices]  # (codes, G), (devices, G)
    for tensor in use.tensors:
        had = codes[:, 1 + slot.tensors.index(tensor)][:, None]
        leaves = (origin_in & (had & ~bits == 0))[:, None] & ~device_in[None]
        enters = (~origin_in & (had & bits == 0))[:, None] & device_in[None]
        for kind, crossed in ((LEAVES, leaves), (ENTERS, enters)):
            code, device, group = np.nonzero(crossed)
            entries.append(code * len(devices) + device)
            events.append((kind * tensors + tensor) * groups + group)
    return np.concatenate(entries), np.concatenate(events)


def _compressed(found: Sequence[tuple[Index, Index]], entries: int) -> Crossings:
    empty = np.zeros(0, dtype=np.int64)
    entry = np.concatenate([empty, *(one for one, _ in found)])
    event = np.concatenate([empty, *(one for _, one in found)])
    order = np.argsort(entry, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(entry, minlength=entries))])
    return Crossings(starts.astype(np.int64), event[order])


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
    images : array (G, joint states)
        The state of each joint one, counted from the first before the step.
    """

    walk: Walk
    nodes: Index
    goes_on: Mask
    events: Crossings
    images: Index


def sides_of(frontier: Frontier, members: Mask) -> SideProgram:
    """Return the program of sides of groups (G, D)."""
    tensors, groups = len(frontier.c.tensor_names), len(members)
    flat = _Flat()
    events: list[tuple[Index, Index]] = []
    goes_on: list[Mask] = []
    images = [np.zeros((groups, 1), dtype=np.int64)]
    slots: tuple[Slot, ...] = ()
    codes: dict[int, list[_Code]] = {}  # of the producers in slots: side, then whether each tensor has crossed
    before = -1
    for step in frontier.steps:
        producers = [slot.producer for slot in slots if slot.producer >= 0]
        digit = dict(zip(producers, _digits([len(codes[producer]) for producer in producers]), strict=True))
        count = len(next(iter(digit.values()))) if digit else 1
        runs = np.zeros(count, dtype=bool)
        if before in digit:
            runs = np.array([code[0] == 1 for code in codes[before]])[digit[before]]
        goes_on.append(runs)
        uses: list[tuple[Index, int]] = []
        moved: dict[int, Index] = {}  # the codes after the step (codes, 2)
        for use in step.uses:
            slot = slots[use.axis]
            if slot.producer >= 0:
                first = flat.entries[-1] + sum(entries for _, entries in uses)
                after, following, entry, event = _side_use(slot, use, codes[slot.producer], frontier.sets, tensors)
                uses.append((digit[slot.producer], after.size))
                events.append((entry + first, event))
                codes[slot.producer], moved[slot.producer] = following, after
        to = np.zeros((count, 2), dtype=np.int64)
        for slot in step.slots_after:
            if slot.producer == step.node:
                codes[step.node] = [(side, *(0 for _ in slot.tensors)) for side in (0, 1)]
                to = 2 * to + np.arange(2)
            elif slot.producer >= 0:
                mine = digit[slot.producer]
                to *= len(codes[slot.producer])
                to += moved[slot.producer][mine] if slot.producer in moved else mine[:, None]
        flat.add(to, uses)
        slots, before = step.slots_after, step.node
        images.append(_images(slots, step.sizes_after, codes, members))
    order = np.array([step.node for step in frontier.steps])
    return SideProgram(
        flat.walk(),
        order,
        np.concatenate(goes_on),
        _compressed(events, flat.entries[-1]),
        np.concatenate(images, axis=1),
    )


def _digits(sizes: Sequence[int]) -> tuple[Index, ...]:
    """Return the code of each slot in every state."""
    return tuple(np.unravel_index(np.arange(int(np.prod(sizes))), tuple(sizes))) if sizes else ()


def _side_use(
    slot: Slot, use: SlotUse, codes: list[_Code], sets: bool, tensors: int
) -> tuple[Index, list[_Code], Index, Index]:
    """Return the codes after a use (codes, 2), the list of these, and entries and events of what crosses."""
    number: dict[_Code, int] = {}
    after = np.zeros((len(codes), 2), dtype=np.int64)
    entries, events = [], []
    for place, code in enumerate(codes):
        for side in (0, 1):
            following = list(code)
            for tensor, over in zip(use.tensors, use.over, strict=True):
                at = 1 + slot.tensors.index(tensor)
                if side != code[0] and not code[at]:
                    entries.append(2 * place + side)
                    events.append((LEAVES if code[0] else ENTERS) * tensors + tensor)
                    following[at] = int(sets)
                if over:
                    following[at] = 0
            after[place, side] = number.setdefault(tuple(following), len(number))
    return after, list(number), np.array(entries, dtype=np.int64), np.array(events, dtype=np.int64)


def _images(slots: Sequence[Slot], sizes: Sequence[int], codes: dict[int, list[_Code]], members: Mask) -> Index:
    """Return the state of sides (G, states) for every joint state."""
    bits = (members << np.arange(members.shape[1])).sum(axis=1)
    image = np.zeros((len(members), int(np.prod(sizes))), dtype=np.int64)
    for slot, digit in zip(slots, _digits(sizes), strict=True):
        if slot.producer >= 0:
            place = {code: number for number, code in enumerate(codes[slot.producer])}
            table = np.zeros((len(bits), len(slot.codes)), dtype=np.int64)
            for number, mask in enumerate(bits.tolist()):
                table[number] = [place[_side_of(code, mask)] for code in slot.codes]
            image = image * len(place) + table[:, digit]
    return image


def _side_of(code: _Code, mask: int) -> _Code:
    """Return the code of a group (bits of its devices) for one of the frontier."""
    inside = mask >> code[0] & 1
    return (inside, *(int(bool(had & (~mask if inside else mask))) for had in code[1:]))
