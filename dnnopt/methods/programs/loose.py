"""Loose items: those of layers that need not be contiguous, and are colocated with none that must be.

In training graphs these are gradients that are added up, losses and masks. Such an item U may go to any device, so any
of them may be with the items of an ideal or not, and ideals would double with each. Mostly, though, U is on a device of
a neighbour in some best plan. Let no neighbour be on U's device, and let G be the neighbours on another device d. If U
goes to d, no load but d's grows, and that of each resource of d changes by at most

      t_U(d) + Σ (receiving what others make for U) + Σ (sending what U makes for others)
    - Σ (sending what G makes for U alone) - Σ (receiving what U makes for G)

In a plan, the devices split the neighbours into such sets G. If in no split this is above 0 for all parts, U *follows*:
plans in which it is with a neighbour are enough. As no neighbour of U was where it was, no other item loses its last
neighbour; so all items that follow can do so at once. Then an ideal with no neighbour of U is without U, and one with
all of them has U.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from dnnopt.compiled.metrics import Array, Mask

_MOST_NEIGHBOURS = 8
_MOST_TOGETHER = 12  # loose items that are neighbours of each other


@dataclass(frozen=True)
class LooseItem:
    """A loose item.

    Attributes
    ----------
    item : int
    beside : int
        Its neighbours as bits: the items that it exchanges something with that costs.
    follows : bool
        Whether plans in which it is with a neighbour are enough.
    """

    item: int
    beside: int
    follows: bool

    def may_be(self, ideal: int) -> bool:
        """Return whether an ideal may have the item, or be without it, as it does."""
        if not self.follows:
            return True
        if ideal >> self.item & 1:
            return bool(ideal & self.beside)
        return bool(self.beside & ~ideal)


@dataclass
class Exchange:
    """A tensor between items: its maker (-1: an input), users, and seconds on the resources of each device (D, Q)."""

    made: int
    sent: Array
    received: Array
    users: set[int] = field(default_factory=set)
    is_output: bool = False


def follows(item: int, seconds: Array, allowed: Mask, exchanges: Sequence[Exchange]) -> bool:
    """Return whether an item follows its neighbours.

    Parameters
    ----------
    item : int
    seconds : array (D, Q)
        Of the item on each device, in each of its resources.
    allowed : array (D,)
    exchanges : sequence of Exchange
        All that the item gets or makes.
    """
    got = [one for one in exchanges if item in one.users]
    made = [one for one in exchanges if one.made == item]
    beside = sorted({one.made for one in got} | {user for one in made for user in one.users} - {item})
    plain = allowed.all() and all(one.made >= 0 for one in got) and not any(one.is_output for one in made)
    if not plain or len(beside) > _MOST_NEIGHBOURS:
        return False
    if not beside:
        return False

    def is_bad(group: frozenset[int]) -> bool:
        change = seconds.copy()
        for one in got:
            if one.made not in group:
                change += one.received
            elif one.users == {item}:
                change -= one.sent
        for one in made:
            if one.users - group:
                change += one.sent
            if one.users & group:
                change -= one.received
        return bool((change > 0.0).any())

    return not _splits(tuple(beside), is_bad)


def _splits(items: tuple[int, ...], is_bad: Callable[[frozenset[int]], bool]) -> bool:
    """Return whether items can be split into parts all of which are bad."""
    if not items:
        return True
    first, rest = items[0], items[1:]
    for chosen in product((False, True), repeat=len(rest)):
        part = frozenset({first, *(one for one, inside in zip(rest, chosen, strict=True) if inside)})
        left = tuple(one for one, inside in zip(rest, chosen, strict=True) if not inside)
        if is_bad(part) and _splits(left, is_bad):
            return True
    return False


def with_loose(ideals: list[int], loose: Sequence[LooseItem], most: int) -> list[int] | None:
    """Return the ideals of items that are not loose, each with all sets of loose ones that it may have.

    Smaller ones come first. None: there are more than `most`.
    """
    parts = list(_components(loose))
    if any(len(part) > _MOST_TOGETHER for part in parts):
        return None
    anchors = [_union(one.beside for one in part) for part in parts]
    known: list[dict[int, list[int]]] = [{} for _ in parts]
    found: list[int] = []
    for ideal in ideals:
        options = []
        for part, anchor, kept in zip(parts, anchors, known, strict=True):
            key = ideal & anchor
            if key not in kept:
                sets = [_union(1 << one.item for one in some) for some in _subsets(part)]
                kept[key] = [one for one in sets if all(item.may_be(key | one) for item in part)]
            options.append(kept[key])
        if len(found) + int(np.prod([len(sets) for sets in options], dtype=float)) > most:
            return None
        found += [ideal | _union(chosen) for chosen in product(*options)]
    return sorted(found, key=int.bit_count)


def _union(numbers: Sequence[int] | Iterator[int]) -> int:
    total = 0
    for number in numbers:
        total |= number
    return total


def _subsets(part: list[LooseItem]) -> Iterator[list[LooseItem]]:
    for chosen in product((False, True), repeat=len(part)):
        yield [one for one, inside in zip(part, chosen, strict=True) if inside]


def _components(loose: Sequence[LooseItem]) -> Iterator[list[LooseItem]]:
    """Yield loose items that are neighbours, or neighbours of neighbours, and so on."""
    left = list(loose)
    while left:
        part = [left.pop()]
        for one in part:
            near = [other for other in left if one.beside >> other.item & 1 or other.beside >> one.item & 1]
            part += near
            left = [other for other in left if other not in near]
        yield part
