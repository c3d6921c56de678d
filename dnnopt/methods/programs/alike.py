"""Rows of problems with devices that are alike: which row becomes which where devices are exchanged.

`Frontier` keeps one state for all that differ by an exchange alone. What a plan adds to rows then has to follow: the
memory of a device is that of another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.symmetry import exchanged_links, identical_devices
from dnnopt.methods.programs.rows import PlanSum, first_memory_limits

_Key = tuple[object, ...]


class _Columns:
    """The columns of a row's arrays as numbers, the same for equal columns of all rows."""

    def __init__(self, row: PlanSum, known: dict[bytes, int]) -> None:
        def numbered(values: Array) -> Index:
            columns = np.ascontiguousarray(values.T)
            return np.array([known.setdefault(column.tobytes(), len(known)) for column in columns], dtype=np.int64)

        self.row = row
        self.alpha, self.beta = numbered(row.alpha), numbered(row.beta)
        self.edges = None if row.per_edge is None else numbered(row.per_edge)
        self.peaks = () if row.peaks is None else tuple(numbered(row.peaks.T).tolist())

    def key(self, device: Index | None = None, link: Index | None = None, pair: Index | None = None) -> _Key:
        """Return what tells the row from others, with devices, links and pairs exchanged."""
        row = self.row
        alpha = self.alpha if device is None else self.alpha[device]
        beta = self.beta if link is None else self.beta[link]
        edges = self.edges if self.edges is None or pair is None else self.edges[pair]
        owner = row.device if device is None or row.device < 0 else int(device[row.device])
        parts = (alpha, beta, *(() if edges is None else (edges,)))
        kind = row.memory is None
        return (kind, row.copy, row.limit, owner, row.buffers, self.peaks, *(part.tobytes() for part in parts))


@dataclass(frozen=True, eq=False)
class RowExchanges:
    """What exchanges of devices do to rows.

    Attributes
    ----------
    classes : list of lists of int
        Devices that can be exchanged.
    swaps : dict of (int, int) to array (R,)
        For two devices of a class, the first of which is the class's: the row that each row becomes.
    orbits : array (R,)
        The same number for all rows that become each other.
    """

    classes: list[list[int]]
    swaps: dict[tuple[int, int], Index]
    orbits: Index

    @classmethod
    def of(cls, c: CompiledProblem, rows: Sequence[PlanSum], classes: list[list[int]]) -> RowExchanges:
        """Return them; devices that rows tell apart are in no class any more."""
        swaps: dict[tuple[int, int], Index] = {}
        orbits = np.arange(len(rows))
        found = []
        known: dict[bytes, int] = {}
        columns = [_Columns(row, known) for row in rows] if classes else []
        keys = [each.key() for each in columns]
        for members in classes:
            alike = [members[0]]
            for other in members[1:]:
                swap = _swap(c, columns, keys, members[0], other)
                if swap is not None:
                    swaps[members[0], other] = swap
                    alike.append(other)
            if len(alike) > 1:
                found.append(alike)
        for _ in range(len(rows)):
            before = orbits.copy()
            for swap in swaps.values():
                orbits = np.minimum(orbits, orbits[swap])
            if (orbits == before).all():
                break
        return cls(found, swaps, np.unique(orbits, return_inverse=True)[1])

    def swap(self, i: int, j: int) -> Index:
        """Return the row that each row becomes (R,) where two devices of a class are exchanged."""
        first = next(members[0] for members in self.classes if i in members)
        if first in (i, j):
            return self.swaps[first, i + j - first]
        return self.swaps[first, i][self.swaps[first, j][self.swaps[first, i]]]

    def families(self, members: list[int]) -> Index:
        """Return rows (F, n) each of which belongs to one device of a class; none, if some belong to several."""
        first, *others = members
        swaps = [self.swaps[first, other] for other in others]
        moved = np.any([swap != np.arange(len(swap)) for swap in swaps], axis=0)
        owned = np.flatnonzero(np.all([swap != np.arange(len(swap)) for swap in swaps], axis=0))
        if len(members) == 2:  # either may be the first one's
            owned = owned[owned < swaps[0][owned]]
        found = np.array([[row, *(swap[row] for swap in swaps)] for row in owned], dtype=np.int64)
        found = found.reshape(-1, len(members))
        one_each = len(np.unique(found)) == found.size == moved.sum()
        for i, j in combinations(range(1, len(members)), 2):
            stays = np.delete(found, (i, j), axis=1)
            one_each &= bool((self.swap(members[i], members[j])[stays] == stays).all())
        return found if one_each else found[:0]

    def sources(self, exchanges: Index) -> Index:
        """Return which row each row comes from (K, R), given which device each one becomes (K, D)."""
        found = np.tile(np.arange(len(self.orbits)), (len(exchanges), 1))
        for becomes, source in zip(exchanges.tolist(), found, strict=True):
            at = list(range(len(becomes)))  # the devices as exchanges so far have put them
            for device in range(len(becomes)):
                wanted = becomes.index(device)
                place = at.index(wanted)
                if place != device:
                    source[:] = source[self.swap(device, place)]
                    at[device], at[place] = at[place], at[device]
        return found


def orbit_means(values: Array, orbits: Index) -> Array:
    """Return the means of values (..., R) over rows with the same number."""
    same = orbits[:, None] == orbits
    return np.asarray(values @ (same / same.sum(axis=0)))


def alike_devices(c: CompiledProblem, rows: Sequence[PlanSum]) -> list[list[int]]:
    """Return the classes of devices whose exchange changes neither the problem nor the rows but for their order.

    The first limits on the memory of such devices are the same, too, where there are several.
    """
    limits = first_memory_limits(c)

    def key(device: int) -> tuple[object, ...]:
        one = limits.get(device)
        return () if one is None else (one.limit, one.buffers, one.resident.tobytes(), one.peaks.tobytes())

    classes = [[one for one in members if key(one) == key(members[0])] for members in identical_devices(c)]
    return RowExchanges.of(c, rows, [members for members in classes if len(members) > 1]).classes


def levelled(c: CompiledProblem, classes: Sequence[list[int]]) -> CompiledProblem:
    """Return the problem with what is allowed on one device, or between two, allowed on all that are alike."""
    allowed = c.allowed.copy()
    number = np.arange(len(c.device_names))
    for members in classes:
        allowed[:, members] = allowed[:, members].any(axis=1, keepdims=True)
        number[members] = members[0]
    moves = c.forbidden_moves
    if moves is not None and classes:
        moves = moves.copy()
        kinds = number[c.pair_origin] * len(number) + number[c.pair_destination]
        for kind in np.unique(kinds):
            moves[:, kinds == kind] = moves[:, kinds == kind].all(axis=1, keepdims=True)
    return replace(c, allowed=allowed, forbidden_moves=moves)


def _swap(c: CompiledProblem, columns: list[_Columns], keys: list[_Key], i: int, j: int) -> Index | None:
    """Return the row that each row becomes where devices are exchanged; None: there is none for some."""
    device = np.arange(len(c.device_names))
    device[[i, j]] = j, i
    link = exchanged_links(c, device)
    if link is None or (c.executor_device != np.arange(len(device))).any():
        return None
    pair = c.pair_number[device[c.pair_origin], device[c.pair_destination]]
    same: dict[_Key, list[int]] = {}
    for number, key in enumerate(keys):
        same.setdefault(key, []).append(number)
    found = np.zeros(len(columns), dtype=np.int64)
    for number, (each, mine) in enumerate(zip(columns, keys, strict=True)):
        key = each.key(device, link, pair)
        if len(same.get(key, ())) != len(same[mine]):
            return None
        found[number] = same[key][same[mine].index(number)]
    return found
