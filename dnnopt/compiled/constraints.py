"""What a compiled problem asks for: the terms of its objectives, and its constraints, as indices and arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from dnnopt.compiled.metrics import Array, Index, LinearMetric, Mask
from dnnopt.problem.custom import CustomConstraint
from dnnopt.problem.plan import Plan


@dataclass(frozen=True, eq=False)
class LinearTerm:
    """`weight · metric` in the objective."""

    weight: float
    metric: LinearMetric


@dataclass(frozen=True)
class LatencyTerm:
    """`weight · latency` of a network, where latency is not linear (critical path, schedule)."""

    weight: float
    network: int


@dataclass(frozen=True)
class PeriodTerm:
    """`weight · max_q load_q`."""

    weight: float


@dataclass(frozen=True)
class WorstLeakageTerm:
    """`weight · max_τ ρ_τ h_τ`."""

    weight: float


@dataclass(frozen=True, eq=False)
class MaxTerm:
    """`weight · max` of some terms."""

    weight: float
    parts: tuple[LinearTerm | LatencyTerm, ...]


ObjectiveTerm = LinearTerm | LatencyTerm | PeriodTerm | WorstLeakageTerm | MaxTerm


@dataclass(frozen=True, eq=False)
class LinearLimit:
    """`metric <= limit`."""

    label: str
    metric: LinearMetric
    limit: float


@dataclass(frozen=True, eq=False)
class WeightGroups:
    """Weights that several nodes read: a device that runs any of these holds them once.

    Attributes
    ----------
    names : tuple of str (G,)
    bytes : array (G,)
    readers : array (G, N)
        Which nodes read them.
    """

    names: tuple[str, ...]
    bytes: Array
    readers: Mask

    @classmethod
    def none(cls, nodes: int) -> WeightGroups:
        """Return no groups of so many nodes."""
        return cls((), np.zeros(0), np.zeros((0, nodes), dtype=bool))


@dataclass(frozen=True, eq=False)
class MemoryLimit:
    """`Σ resident_v + Σ_p max peaks_pv + buffers · Σ b_τ (sent or received) <= limit` on a device.

    Attributes
    ----------
    label : str
    device : int
    limit : float
    executors : array (h,)
        Those of the device.
    resident_in : array (N, h)
        Bytes of each node in each of them.
    peak_in : array (N, h)
        Activations, where the largest counts.
    shared : WeightGroups
    hosts, factors : array (H,)
        The device in each of its modes, and by what each multiplies the bytes of shared weights that it holds.
    buffers : int
    """

    label: str
    device: int
    limit: float
    executors: Index
    resident_in: Array
    peak_in: Array
    shared: WeightGroups
    hosts: Index
    factors: Array
    buffers: int

    @classmethod
    def plain(cls, label: str, device: int, limit: float, resident: Array) -> MemoryLimit:
        """Return a limit on what nodes hold (N,), and nothing else, on a device that is the executor of its number."""
        held, one = resident[:, None], np.array([device])
        shared = WeightGroups.none(len(resident))
        return cls(label, device, limit, one, held, np.zeros(held.shape), shared, one, np.ones(1), 0)

    def named(self, what: str) -> str:
        """Return a name for something that belongs to the limit: ``peak(pi)`` for ``memory(pi)``."""
        return self.label.replace("memory", what, 1)

    @cached_property
    def resident(self) -> Array:
        """Bytes of each node, in the executor where they are least (N,)."""
        least: Array = self.resident_in.min(axis=1)
        return least

    @cached_property
    def peak(self) -> Array:
        """Activations, where the largest counts, in the executor where they are least (N,)."""
        least: Array = self.peak_in.min(axis=1)
        return least

    @cached_property
    def peaks(self) -> Array:
        """Bytes of which the largest of the hosted nodes counts, row by row (P, N): activations, shared weights.

        At least those: in modes it may be more.
        """
        shared = self.shared.bytes[:, None] * self.shared.readers * self.factors.min(initial=1.0)
        return np.vstack([self.peak, shared]) if self.peak.any() else shared

    @cached_property
    def parts(self) -> tuple[tuple[Index, Array], ...]:
        """For each row of `peaks` the nodes with any bytes, and how many."""
        nodes = [np.flatnonzero(row) for row in self.peaks]
        return tuple((mine, row[mine]) for mine, row in zip(nodes, self.peaks, strict=True))

    @cached_property
    def alone(self) -> Array:
        """Bytes of each node in each executor where nothing else is on the device (N, h), or less."""
        shared = (self.shared.bytes @ self.shared.readers) * self.factors.min(initial=1.0)
        return self.resident_in + self.peak_in + shared[:, None]

    def together(self, nodes: Sequence[int] | Index) -> float:
        """Return the bytes of some nodes on the device, without buffers, or less."""
        nodes = np.asarray(nodes)
        return float(self.resident[nodes].sum() + self.peaks[:, nodes].max(axis=1, initial=0.0).sum())


@dataclass(frozen=True, eq=False)
class ShareLimit:
    """Metrics, one for each scenario, are at most `limit` in scenarios that have a `share` of all probability together.

    Attributes
    ----------
    label : str
    metrics : tuple of LinearMetric
    probabilities : tuple of float
    limit, share : float
    """

    label: str
    metrics: tuple[LinearMetric, ...]
    probabilities: tuple[float, ...]
    limit: float
    share: float


@dataclass(frozen=True)
class OneMode:
    """All layers on a device run in one of its modes."""

    label: str
    device: int


@dataclass(frozen=True)
class DeadlineLimit:
    """Latency of a network at most `limit`, where latency is not linear."""

    label: str
    network: int
    limit: float


@dataclass(frozen=True, eq=False)
class ObjectiveLimit:
    """The sum of objective terms is at most `limit`: what an earlier priority has reached, or a point of a front."""

    label: str
    terms: tuple[ObjectiveTerm, ...]
    limit: float


class Logical:
    """Base of logical constraints, which are rules that a placement keeps or breaks (see `logical.py`).

    Attributes
    ----------
    label : str
        Names it in reports and errors.
    names_devices : bool
        Whether devices that are alike may not be exchanged in what it says.
    """

    label: str
    names_devices: ClassVar[bool] = True

    def excess(self, c: Any, devices: Index, pairs: Index) -> Array:
        """Return by how much placements break it (B,), given the devices of nodes (B, N) and the pairs of edges (B, E).

        `c` is the CompiledProblem.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class CallOrder:
    """No calls of a network wait for each other. What `call` execution asks of every plan."""

    label: str
    network: int


@dataclass(frozen=True)
class MulticastTrees:
    """The routes over which a tensor is multicast form a tree: no link is reached in two ways.

    What `scheduled` execution asks of every plan, where there are such routes.

    Attributes
    ----------
    label : str
    conflicts : tuple of (int, int, int)
        Origin, destination and another destination: devices whose two routes reach a link in two ways.
    """

    label: str
    conflicts: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, eq=False)
class CustomLimit:
    """A constraint of the user's own, and by how much a plan breaks it."""

    label: str
    constraint: CustomConstraint
    violation: Callable[[Plan], float]


@dataclass(frozen=True, eq=False)
class Escape:
    """If the node is on the device, one of the edges leaves the device (`forwards`), or enters it: see `escapes.py`.

    No constraint of the problem's own, but what its limits on memory imply.
    """

    label: str
    node: int
    device: int
    forwards: bool
    edges: Index


CompiledConstraint = (
    LinearLimit
    | MemoryLimit
    | DeadlineLimit
    | ObjectiveLimit
    | Logical
    | CallOrder
    | MulticastTrees
    | OneMode
    | ShareLimit
    | CustomLimit
    | Escape
)
