"""The order of devices that are alike, in labels: one label stands for all that exchanges of them lead to.

The frontier exchanges devices of a class until those with open tensors come first. Those without any come after them,
in the order of what they have taken of their memory; so labels that differ by an exchange alone are the same, and one
that takes less of everything dominates.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.programs.frontier import Frontier
from dnnopt.methods.programs.slots import FrontierStep


@dataclass(frozen=True, eq=False)
class LabelOrder:
    """How to put devices in order.

    Attributes
    ----------
    frontier : Frontier
    peaked : array (P,)
        The row of each of a label's largest activations.
    families : list of (list of int, array (F, n), array (F', n))
        The devices of a class, and rows and largest activations that belong to one of them each: the first row decides.
    """

    frontier: Frontier
    peaked: Index
    families: list[tuple[list[int], Index, Index]]

    @classmethod
    def of(cls, frontier: Frontier, peaked: Index) -> LabelOrder:
        """Return the order of labels, given the row (P,) of each of their largest activations, in order."""
        families = []
        for members in frontier.alike.classes:
            rows = frontier.alike.families(members)
            if len(rows):
                memory = [frontier.rows[row[0]].memory is None for row in rows]
                rows = rows[np.argsort(memory, kind="stable")]
                counts = [range(int((peaked == row[0]).sum())) for row in rows]
                at = [
                    np.searchsorted(peaked, row) + place
                    for row, count in zip(rows, counts, strict=True)
                    for place in count
                ]
                families.append((members, rows, np.array(at, dtype=np.int64).reshape(len(at), len(members))))
        return cls(frontier, peaked, families)

    def _peaks(self, source: Index) -> Index:
        """Return which largest activations (..., P) come from which, as rows (..., R) do."""
        first = np.searchsorted(self.peaked, self.peaked)  # of the same row
        return np.asarray(np.searchsorted(self.peaked, source[..., self.peaked]) + np.arange(len(first)) - first)

    def repeats(self, step: FrontierStep, state: Index, values: Array, peaks: Array) -> Mask:
        """Return which devices (B, D) need not be tried, because the one before them in their class is the same."""
        found = np.zeros((len(state), len(self.frontier.c.device_names)), dtype=bool)
        absent = step.absent[state]
        for members in self.frontier.alike.classes:
            for one, other in pairwise(members):
                both = absent[:, one] & absent[:, other]
                if both.any():
                    swap = self.frontier.alike.swap(one, other)
                    same = (values == values[:, swap]).all(axis=1)
                    if peaks.shape[1]:
                        same &= (peaks == peaks[:, self._peaks(swap)]).all(axis=1)
                    found[:, other] = both & same
        return found

    def put(self, absent: Mask, values: Array, peaks: Array, turns: Index | None) -> tuple[Array, Index]:
        """Put devices without open tensors in order; return largest activations, and what devices become (B, D).

        `turns` (B,) are the exchanges so far, which `values` (changed in place) have followed and `peaks` have not.
        """
        becomes = np.tile(np.arange(absent.shape[1]), (len(absent), 1))
        if turns is not None:
            becomes = self.frontier.exchanges[turns]
            peaks = np.take_along_axis(peaks, self._peaks(self.frontier.sources)[turns], axis=1)
        for members, rows, at in self.families:
            left = absent[:, members]
            taken = np.where(left, values[:, rows[0]], -np.inf)
            taken[(left[:, :-1] & ~left[:, 1:]).any(axis=1)] = 0.0  # of states that are in no order
            if (taken[:, :-1] <= taken[:, 1:]).all():
                continue
            order = np.argsort(taken, axis=1, kind="stable")
            for row in rows:
                values[:, row] = np.take_along_axis(values[:, row], order, axis=1)
            for row in at:
                peaks[:, row] = np.take_along_axis(peaks[:, row], order, axis=1)
            turned = np.tile(np.arange(absent.shape[1]), (len(absent), 1))
            turned[np.arange(len(absent))[:, None], np.array(members)[order]] = members
            becomes = np.take_along_axis(turned, becomes, axis=1)
        return peaks, becomes
