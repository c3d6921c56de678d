"""Moves between the states of the frontier: marks of all slots, with devices that are alike in their marks' order.

See `slots.py`. Steps that are alike, as those of a network's repeated blocks are, are looked at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnnopt.compiled.constraints import CompiledConstraint
from dnnopt.compiled.logical import Colocation, DeviceCount, Separation
from dnnopt.compiled.metrics import Index
from dnnopt.methods.programs.slots import TooManyStatesError

MOST_STATES = 2_000_000
_MOST_MARKS = 50_000_000  # that are looked at, which takes about a second
_MOST_CODES = MOST_STATES // 100
_MOST_BITS = 62
_FEW = 1000
_MARK, _MOST_BITS_EACH = np.int16, 15
_Numbers = NDArray[Any]  # whole ones, of any size


class Action(NamedTuple):
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


class OpenStates:
    """Marks of all slots in every state (S, slots, D), and how many bits those of each slot have."""

    def __init__(self, marks: _Numbers, bits: tuple[int, ...]) -> None:
        if max(bits, default=0) > _MOST_BITS_EACH:
            raise too_many()
        self.marks, self.bits = marks, bits
        self.codes: list[Index] = []
        digits = np.zeros((marks.shape[1], len(marks)), dtype=np.int64)
        for axis in range(len(bits)):
            codes, digits[axis] = _distinct(marks[:, axis])
            if len(codes) > _MOST_CODES:
                raise TooManyStatesError(f"more than {_MOST_CODES:,} states of one tensor")
            self.codes.append(codes)
        self.digits = digits
        self.absent = np.logical_not(marks.any(axis=1))


class StateMoves:
    """States, and how steps lead from some to others.

    Parameters
    ----------
    devices : int
    classes : sequence of lists of int
        Devices that can be exchanged.
    most : float
        Marks to be looked at; by default about a second.
    """

    def __init__(self, devices: int, classes: Sequence[list[int]], most: float = _MOST_MARKS) -> None:
        self.classes, self._most = classes, most
        self._numbers = {tuple(range(devices)): 0}
        self._looked_at = 0  # marks
        self._known: dict[tuple[object, ...], OpenStates] = {}
        self._moves: dict[tuple[object, ...], tuple[OpenStates, Index, Index | None]] = {}

    @property
    def exchanges(self) -> Index:
        """Which device each one becomes (K, D), for each number of `FrontierStep.turns`."""
        return np.array(list(self._numbers))

    def root(self, devices: int) -> OpenStates:
        """Return the state before the first step."""
        return self.states(np.zeros((1, 0, devices), dtype=_MARK), ())

    def states(self, marks: _Numbers, bits: tuple[int, ...]) -> OpenStates:
        """Return the states, the same ones for the same marks."""
        key = marks.shape, marks.tobytes(), bits
        if key not in self._known:
            self._known[key] = OpenStates(marks, bits)
        return self._known[key]

    def after(
        self, states: OpenStates, actions: tuple[Action, ...], devices: tuple[int, ...], begun: tuple[int, ...]
    ) -> tuple[OpenStates, Index, Index | None]:
        """Return the states after a step, where each device leads from each state, and by which exchange."""
        key = id(states), actions, devices, begun
        if key not in self._moves:
            self._moves[key] = self._moved(states, actions, devices, begun)
        return self._moves[key]

    def _moved(
        self, states: OpenStates, actions: tuple[Action, ...], devices: tuple[int, ...], begun: tuple[int, ...]
    ) -> tuple[OpenStates, Index, Index | None]:
        count, _, size = states.marks.shape
        here = np.array(devices, dtype=np.int64)
        bits = tuple(bit for bit, action in zip(states.bits, actions, strict=True) if action.kept)
        self._looked_at += count * len(here) * size * max(1, len(bits) + len(begun))
        if self._looked_at > self._most:
            raise too_many()
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
        to: _Numbers = np.full((count, size), -1, dtype=np.int32)
        reached = marks[possible]
        turns = self._put_in_order(reached, bits)
        if not len(reached):  # nothing is, but tables have a state at least
            return self.states(np.zeros((1, len(bits), size), dtype=_MARK), bits), to, None
        after, numbers = _distinct(reached)
        if len(after) > MOST_STATES:
            raise too_many()
        state, device = np.nonzero(possible)
        to[state, here[device]] = numbers
        turned: _Numbers | None = None
        if turns is not None:
            turned = np.zeros(to.shape, dtype=np.int32)
            turned[state, here[device]] = turns
        return self.states(after, bits), to, turned

    def _put_in_order(self, marks: _Numbers, bits: tuple[int, ...]) -> Index | None:
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


def too_many() -> TooManyStatesError:
    """Return the error of tables over too many states."""
    return TooManyStatesError(f"more than {MOST_STATES:,} states of what is alive at once")


def _distinct(rows: _Numbers) -> tuple[_Numbers, Index]:
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


def _dot(many: _Numbers, weights: Index) -> Index:
    keys = np.zeros(len(many), dtype=np.int64)
    for column, weight in zip(many.T, weights, strict=True):
        keys += column * weight
    return keys
