"""Exact method `blocks`: a shortest path over blocks and layers by themselves, on each host.

For chains, and networks that are chains of sections between cut layers (see `programs/sections.py`), under linear
objectives (sequential latency, energy, cost, traffic, and sums of these) with placements, pins and routes as the only
constraints. A block is a run of whole bundles and cut layers, or inside a bundle; what a bundle does by itself is
enumerated for each pair of hosts at its ends, so bundles must be small. Cuts of a chain into measured blocks: Zhang et
al.: Towards real-time cooperative deep inference over the cloud and edge end devices (QDMP), IMWUT 2020; Lockhart et
al.: Scission, UCC 2020.

    f_k(h)  the least cost of all up to the k-th cut layer, which ends its segment on host h
    g_k(h)  the same, where the segment goes on to the end of the bundle behind it
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import LinearTerm
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.compiled.scope import Scope
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.rows import linear_costs
from dnnopt.methods.programs.sections import Section, Sending, sections_of
from dnnopt.models.solvers.interface import Control, Limits, Outcome

SCOPE = Scope(terms=frozenset({LinearTerm}), exposure=False, choices=True, blocks=True)
_MOST_ROWS = 300_000  # placements of a bundle and of the two layers at its ends


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why the problem is not of this kind, or None."""
    reason = SCOPE.refuses(compiled)
    if reason is None and compiled.choices:
        reason = "forms of tensors"
    if reason is not None:
        return reason
    for network in range(len(compiled.network_names)):
        sections = sections_of(compiled, network)
        runs = _runs(compiled, sections, network)
        if isinstance(runs, str):
            return f"the block {runs}, which is no run of layers between cut layers"
        for section in sections:
            ends = len(compiled.host_names) ** ((section.left >= 0) + (section.right >= 0))
            within = math.prod(int(row.sum()) for row in _within(compiled, section, runs.beyond))
            if section.bundle and ends * within > _MOST_ROWS:
                return f"so many layers side by side as those at {compiled.node_names[section.bundle[0]]}"
    return None


def run(pool: Pool, limits: Limits, control: Control) -> Outcome:
    """Solve the pool's problem."""
    value, placement = best_cut(pool.compiled)
    if math.isinf(value):
        return Outcome("infeasible")
    pool.offer_placement(placement, "blocks")
    pool.add_bound(value, "blocks")
    return Outcome("optimal")


def best_cut(c: CompiledProblem) -> tuple[float, Index]:
    """Return the least value (SI) and a placement (N,) that has it; infinite: there is no plan."""
    alpha, beta = linear_costs(c)
    costs = np.where(c.allowed, alpha, np.inf)
    sending = Sending(c, beta)
    value, placement = sending.fixed(), c.allowed.argmax(axis=1)
    for network in range(len(c.network_names)):
        path = _Path(c, network, costs, sending)
        value += path.solve()
        if math.isinf(value):
            break
        path.fill(placement)
    return value, placement


@dataclass(frozen=True)
class _Runs:
    """Blocks that are runs of whole bundles and cut layers.

    Attributes
    ----------
    starting : dict
        By the number of their first cut layer: the block, whether the bundle before it is in it, the number of their
        last cut layer, whether the bundle behind it is.
    beyond : set of int
        All of them: in what a bundle does by itself there are others alone.
    """

    starting: dict[int, list[tuple[int, bool, int, bool]]]
    beyond: set[int]


def _runs(c: CompiledProblem, sections: list[Section], network: int) -> _Runs | str:
    """Return the blocks that are runs; or the name of one that is neither a run nor inside a bundle."""
    starting: dict[int, list[tuple[int, bool, int, bool]]] = {}
    beyond: set[int] = set()
    cuts = {section.right: number for number, section in enumerate(sections, start=1) if section.right >= 0}
    bundles = [set(section.bundle) for section in sections]
    for number, block in enumerate(c.blocks):
        if c.node_network[block.nodes[0]] != network:
            continue
        members, inside = set(block.nodes), sorted(cuts[node] for node in block.nodes if node in cuts)
        if not inside:
            if not any(members <= bundle for bundle in bundles):
                return block.named.name
            continue
        first, last = inside[0], inside[-1]
        before, behind = bundles[first - 1], bundles[last]
        whole = {section.right for section in sections[first - 1 : last]}.union(*bundles[first:last])
        rest = members - whole
        opens, closes = bool(rest & before), bool(rest & behind)
        if not whole <= members or rest != (before if opens else set()) | (behind if closes else set()):
            return block.named.name
        starting.setdefault(first, []).append((number, opens, last, closes))
        beyond.add(number)
    return _Runs(starting, beyond)


def _within(c: CompiledProblem, section: Section, beyond: set[int]) -> Mask:
    """Return what the layers of a bundle may have where the bundle is in no run (n, k)."""
    nodes = np.array(section.bundle, dtype=np.int64)
    if c.block is None:
        return c.allowed[nodes]
    return c.allowed[nodes] & ~np.isin(c.block[nodes], list(beyond))


@dataclass(frozen=True, eq=False)
class _Way:
    """Nodes and their executors, after others."""

    before: _Way | None
    nodes: Index
    executors: Index


@dataclass
class _Reached:
    """The least cost of reaching something on each host, and by which way."""

    value: Array
    way: list[_Way | None]

    @classmethod
    def nowhere(cls, hosts: int) -> _Reached:
        return cls(np.full(hosts, np.inf), [None] * hosts)

    def offer(self, host: int, value: float, way: _Way | None) -> None:
        if value < self.value[host]:
            self.value[host], self.way[host] = value, way


class _Path:
    """The shortest path through one network."""

    def __init__(self, c: CompiledProblem, network: int, costs: Array, sending: Sending) -> None:
        self.c, self.costs, self.sending = c, costs, sending
        self.sections = sections_of(c, network)
        runs = _runs(c, self.sections, network)
        assert isinstance(runs, _Runs)  # asked before
        self.runs = runs
        self.hosts = list(range(len(c.host_names)))
        self.found: _Way | None = None
        self._inside = [
            np.array([self._sent(one, host, np.full((1, len(one.bundle)), host), host)[0] for host in self.hosts])
            for one in self.sections
        ]

    def solve(self) -> float:
        """Return the least cost; infinite: there is no way."""
        size = len(self.hosts)
        ends = [_Reached(np.zeros(1), [None]), *(_Reached.nowhere(size) for _ in self.sections[1:])]  # f
        goes_on = [_Reached.nowhere(size if k else 1) for k in range(len(self.sections))]  # g
        for k, section in enumerate(self.sections):
            arrived, with_bundle = self._pass(section, ends[k], goes_on[k])
            if section.right < 0:
                self.found = arrived.way[0]
                return float(arrived.value[0])
            node = np.array([section.right])
            for host in self.hosts:
                alone = arrived.value[host] + self.costs[section.right, host]
                ends[k + 1].offer(host, alone, _Way(arrived.way[host], node, np.array([host])))
            for number, opens, last, closes in self.runs.starting.get(k + 1, ()):
                self._run(number, k + 1, last, with_bundle if opens else arrived, (goes_on if closes else ends)[last])
        raise AssertionError("the last section has no layer at its end")

    def fill(self, placement: Index) -> None:
        """Put the executors on the way into a placement (N,)."""
        way = self.found
        while way is not None:
            placement[way.nodes] = way.executors
            way = way.before

    def _pass(self, section: Section, ended: _Reached, goes_on: _Reached) -> tuple[_Reached, _Reached]:
        """Return how the layer at a section's end is reached: as the first of a segment, or behind the bundle's."""
        size = len(self.hosts) if section.right >= 0 else 1
        arrived, with_bundle = _Reached.nowhere(size), _Reached.nowhere(size)
        bundle = np.array(section.bundle, dtype=np.int64)
        rows = self._rows(section)
        own = self.costs[bundle, rows].sum(axis=1)
        on_hosts = self.c.executor_host[rows]
        for left in range(len(ended.value)):
            for right in range(size):
                if math.isfinite(ended.value[left]) and len(rows):
                    total = own + self._sent(section, left, on_hosts, right)
                    row = int(total.argmin())
                    way = _Way(ended.way[left], bundle, rows[row])
                    arrived.offer(right, ended.value[left] + float(total[row]), way)
                if not len(bundle):
                    continue
                for known, host, reached in ((goes_on, left, arrived), (ended, right, with_bundle)):
                    if math.isfinite(known.value[left]):
                        sent = self._sent(section, left, np.full((1, len(bundle)), host), right)
                        reached.offer(right, known.value[left] + float(sent[0]), known.way[left])
        return arrived, with_bundle

    def _rows(self, section: Section) -> Index:
        """Return what a bundle may have by itself (B, n)."""
        c = self.c
        options = [np.flatnonzero(row) for row in _within(c, section, self.runs.beyond)]
        grid = np.meshgrid(*options, indexing="ij") if options else []
        rows = np.stack([one.ravel() for one in grid], axis=1) if options else np.zeros((1, 0), dtype=np.int64)
        keep = np.ones(len(rows), dtype=bool)
        column = {node: place for place, node in enumerate(section.bundle)}
        for number, block in enumerate(c.blocks):
            assert c.block is not None
            for u, v in block.ties if set(block.nodes) <= set(column) else ():
                of_u, of_v = rows[:, column[u]], rows[:, column[v]]
                has_u, has_v = c.block[u, of_u] == number, c.block[v, of_v] == number
                keep &= (has_u == has_v) & (~has_u | (c.executor_host[of_u] == c.executor_host[of_v]))
        return rows[keep]

    def _sent(self, section: Section, left: int, bundle: Index, right: int) -> Array:
        """Return what a section's tensors cost (B,) for hosts of its bundle (B, n) and at its ends."""
        ends = [(node, host) for node, host in ((section.left, left), (section.right, right)) if node >= 0]
        nodes = (*section.bundle, *(node for node, _ in ends))
        at_ends = np.broadcast_to(np.array([host for _, host in ends], dtype=np.int64), (len(bundle), len(ends)))
        return self.sending.costs(section.tensors, nodes, np.concatenate([bundle, at_ends], axis=1))

    def _run(self, number: int, first: int, last: int, reached: _Reached, to: _Reached) -> None:
        """Let a block that is a run go from its first cut layer to its last one."""
        c, nodes = self.c, np.array(self.c.blocks[number].nodes)
        assert c.block is not None
        choice = (c.block[nodes] == number).argmax(axis=1)  # on the first host
        inside = np.sum(self._inside[first:last], axis=0) + np.zeros(len(self.hosts))
        for host in self.hosts:
            executors = choice + host
            value = reached.value[host] + self.costs[nodes, executors].sum() + inside[host]
            to.offer(host, float(value), _Way(reached.way[host], nodes, executors))
