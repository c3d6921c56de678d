"""Slots of the frontier: what is remembered of each producer, and of constraints, from step to step.

A slot says something of each device by itself: that a producer is there, that a tensor was sent there, that a layer of
a group is there. Such *marks* of all slots are the state. Devices that are alike (see `symmetry.py`) can be exchanged:
of states that differ by that alone one stands for all, in which those of a class come in the order of their marks. So
there are few states even where many devices are alike: four open tensors on eight of a kind have 15, not 4,096.

The steps that `StepBuilder` makes (see `steps.py`) have these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dnnopt.compiled.metrics import Index, Mask


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

    @property
    def marks(self) -> list[int]:
        """The marks of tensors, once each: those that the same nodes read share one."""
        return list(dict.fromkeys(self.bits.values()))

    def had(self, mark: int) -> Mask:
        """Return which devices have the tensors of a mark already (codes, D)."""
        return np.asarray(self.codes & mark > 0)


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
