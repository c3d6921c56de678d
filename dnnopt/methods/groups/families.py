"""Which groups of devices the decomposition has programs for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.programs.rows import first_memory_limits, linear_costs

_SLACK = 1e-8  # of memory: what the referee takes for a plan within the limit is one here


@dataclass(frozen=True, eq=False)
class DeviceGroups:
    """Groups of devices with limited memory. One stands for all that exchanges of devices which are alike lead to.

    These have the same multipliers, as the best ones may: a bound is concave in them, so that of their mean is not
    below that of multipliers that differ.

    Attributes
    ----------
    members : array (G, D)
    memory : array (G,)
        Bytes.
    held : array (N, G)
        Bytes of each node, on the member where they are least, whether it may be there or not: so multipliers keep
        their meaning when choices go.
    weights : array (G,)
        How often a group counts: as often as it takes to have its devices all in one group in the mean.
    every : array (A, D)
        All groups.
    stands : array (A,)
        Which one stands for each.
    classes : sequence of lists of int
        Devices that are alike.
    """

    members: Mask
    memory: Array
    held: Array
    weights: Array
    every: Mask
    stands: Index
    classes: Sequence[list[int]] = ()

    @classmethod
    def of(cls, c: CompiledProblem, listed: list[tuple[int, ...]], classes: Sequence[list[int]] = ()) -> DeviceGroups:
        """Return them, given devices that are alike; every device must have a limit above 0."""
        limits = first_memory_limits(c)
        members = np.zeros((len(listed), len(c.device_names)), dtype=bool)
        held = np.zeros((len(c.node_names), len(listed)))
        for number, devices in enumerate(listed):
            members[number, list(devices)] = True
            held[:, number] = np.min([limits[device].resident for device in devices], axis=0)
        memory = np.array([sum(limits[device].limit for device in devices) for devices in listed], dtype=float)
        images = [_images(set(devices), classes) for devices in listed]
        every = np.zeros((sum(map(len, images)), len(c.device_names)), dtype=bool)
        for row, devices in zip(every, (one for those in images for one in those), strict=True):
            row[list(devices)] = True
        stands = np.repeat(np.arange(len(listed)), [len(those) for those in images])
        in_each = np.array([every[stands == number].mean(axis=0).max() for number in range(len(listed))])
        return cls(members, memory, held, 1.0 / in_each, every, stands, classes)

    @cached_property
    def share_of_each(self) -> Array:
        """What each of all groups counts of the one that stands for it (A, G)."""
        count = np.bincount(self.stands, minlength=len(self.weights))
        share = np.zeros((len(self.stands), len(self.weights)))
        share[np.arange(len(share)), self.stands] = (self.weights / count)[self.stands]
        return share

    @cached_property
    def parts(self) -> Array:
        """How much of each device is in each group (G, D)."""
        return np.asarray(self.share_of_each.T @ self.every)

    def grid(self, order: Index, count: int) -> tuple[Index, Array]:
        """Return the units, of so many, that nodes in this order take (G, N, 2), and fractions of sums (G, N + 1).

        Where a node begins a run of nodes in the group, it takes the first number, later in a run the second one.
        """
        held = self.held[order].T
        units = np.concatenate([np.zeros((len(held), 1)), held.cumsum(axis=1)], axis=1)
        units *= count / (self.memory * (1.0 + _SLACK))[:, None]
        low, high = np.floor(units), np.ceil(units)
        shifts = np.stack([low[:, 1:] - high[:, :-1], low[:, 1:] - low[:, :-1]], axis=-1)
        return np.minimum(shifts, count + 2).astype(np.int64), units - low


def _images(devices: set[int], classes: Sequence[list[int]]) -> list[tuple[int, ...]]:
    """Return the sets of devices that one becomes by exchanges within classes."""
    alone = devices.difference(*classes)
    ways = [combinations(members, len(devices.intersection(members))) for members in classes]
    return [tuple(sorted(alone.union(*way))) for way in product(*ways)]


def family(c: CompiledProblem, classes: Sequence[list[int]] = ()) -> list[tuple[int, ...]]:
    """Return devices with a limit on memory alone, and clusters of those between which sending is cheap.

    Clusters are agglomerated by the mean cost of a tensor between two devices, either way. Of devices that are alike
    there is one alone (pairs, or all of them, have better bounds at last, and multipliers that take three times as
    long to find), and clusters have all or none.
    """
    limited = set(first_memory_limits(c))
    alike = [members for members in classes if limited.issuperset(members)]
    lone: list[tuple[int, ...]] = [(device,) for device in sorted(limited.difference(*alike))]
    listed = lone + [(members[0],) for members in alike]
    distance = distances(c)
    clusters = lone + [tuple(members) for members in alike]
    while len(clusters) > 2:
        first, second = min(combinations(clusters, 2), key=lambda pair: distance[np.ix_(*pair)].mean())
        joined = tuple(sorted(first + second))
        clusters = [one for one in clusters if one not in (first, second)] + [joined]
        listed.append(joined)
    return listed


def distances(c: CompiledProblem) -> Array:
    """Return what a tensor costs in the mean between two devices, there and back (D, D); much: there is no route."""
    _, beta = linear_costs(c)
    mean = c.by_devices(c.pair_uses_link @ (beta.sum(axis=0) / max(1, len(beta))))
    routed = c.by_devices(c.pair_routed)
    far = mean.max(initial=0.0) * 10.0 + 1.0
    mean = np.where(routed, mean, far)
    return mean + mean.T
