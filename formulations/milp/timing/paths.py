"""Timing `paths`: the latency is at least the length of each path; paths are added as they are violated.

    Λ_a >= Σ_{v ∈ path} Σ_i t_vi x_vi + Σ_{e ∈ path} Σ_p s_ep y_ep      for each path of network a

The projection of `potentials` onto Λ: the same relaxation without start times. There may be 2^N paths, so they are
separated by a longest-path program, first on relaxations and then on incumbents. Size: A variables, as many rows as are
found.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.metrics import Array, Index
from dnnopt.formulations.milp.build import Build
from dnnopt.models.arrays import Values

MOST_PATHS = 10_000
_VIOLATED = 1e-7
_AT_ONCE = 8


def add(build: Build) -> None:
    """Add `Λ`, and the separation of paths as the model's lazy rows."""
    c, model = build.c, build.model
    unit = model.units.time

    def latencies(placement: Index) -> Values:
        return evaluator_of(c).latencies(placement[None])[0] / unit

    latency = model.add_variables(
        "latency", (len(c.network_names),), axes=lambda: (c.network_names,), evaluate=latencies
    )
    build.latency = latency.tolist()
    _ = build.transfer_entries  # adds its variables now, before anything is solved
    model.lazy = PathRows(build)


class PathRows:
    """The rows of paths. A path is a list of edges, or one node without edges (as ``[-1 - node]``)."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._known: set[tuple[int, ...]] = set()
        c = build.c
        self._order = np.argsort(c.edge_consumer, kind="stable").tolist()
        self._ends = list(zip(c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True))

    @property
    def largest(self) -> float:
        """The largest time of what may be on a path, in the model's unit."""
        build = self._build
        upper = build.model.arrays().upper
        parts = [build.seconds[build.c.allowed]]
        if len(build.c.edges):
            columns, seconds = build.transfer_entries
            parts.append(seconds[upper[columns] > 0])
        return max(float(part.max(initial=0.0)) for part in parts)

    def separate(self, values: Values) -> int:
        """Add rows for the longest paths that the values violate; return how many."""
        build = self._build
        c = build.c
        node = (build.seconds * values[build.x]).sum(axis=1)
        columns, seconds = build.transfer_entries if len(c.edges) else (np.zeros((0, 0), dtype=int), np.zeros((0, 0)))
        edge = (seconds * values[columns]).sum(axis=1)
        head, into = self._longest(node, edge, self._ends, self._order)
        backwards = [(v, u) for u, v in self._ends]
        tail, out = self._longest(node, edge, backwards, np.argsort(-c.edge_producer, kind="stable").tolist())
        through = head + node + tail
        added = 0
        for a, column in enumerate(build.latency):
            nodes = np.flatnonzero(c.node_network == a)
            level = values[column]
            covered: set[int] = set()
            for v in nodes[np.argsort(-through[nodes], kind="stable")].tolist():
                if through[v] <= level + _VIOLATED * max(1.0, abs(level)) or len(covered) >= len(nodes):
                    break
                if v in covered or added >= _AT_ONCE * (a + 1):
                    continue
                path = self._path(v, into, out)
                covered |= {v} | {end for e in path if e >= 0 for end in self._ends[e]}
                added += self._add(a, path)
        return added

    def complete(self) -> None:
        """Add the rows of all paths.

        Raises
        ------
        UnsupportedError
            If there are more than 10,000.
        """
        count = self._count()
        if count > MOST_PATHS:
            raise UnsupportedError(
                "", problem=f"'paths' can be written out for up to {MOST_PATHS:,} paths; this graph has {count:,}"
            )
        network = self._build.c.node_network
        for path in self._all():
            first = self._ends[path[0]][0] if path[0] >= 0 else -1 - path[0]
            self._add(int(network[first]), path)

    @staticmethod
    def _longest(node: Array, edge: Array, ends: list[tuple[int, int]], order: list[int]) -> tuple[Array, Index]:
        """Return for each node the longest way to it, without itself, and the edge by which it comes (-1: none)."""
        longest, by = np.zeros(len(node)), np.full(len(node), -1)
        for e in order:
            u, v = ends[e]
            length = longest[u] + node[u] + edge[e]
            if length > longest[v] or by[v] < 0:
                longest[v], by[v] = max(length, 0.0), e
        return longest, by

    def _path(self, node: int, into: Index, out: Index) -> list[int]:
        path: list[int] = []
        v = node
        while into[v] >= 0:
            path.insert(0, int(into[v]))
            v = self._ends[into[v]][0]
        v = node
        while out[v] >= 0:
            path.append(int(out[v]))
            v = self._ends[out[v]][1]
        return path or [-1 - node]

    def _add(self, network: int, path: list[int]) -> int:
        """Add the row of a path, unless it is there; return how many were added."""
        if tuple(path) in self._known:
            return 0
        self._known.add(tuple(path))
        build = self._build
        nodes = [-1 - path[0]] if path[0] < 0 else [self._ends[path[0]][0], *(self._ends[e][1] for e in path)]
        columns = [np.array([build.latency[network]]), build.x[nodes].ravel()]
        values = [np.ones(1), -build.seconds[nodes].ravel()]
        if path[0] >= 0:
            transfer, seconds = build.transfer_entries
            columns.append(transfer[path].ravel())
            values.append(-seconds[path].ravel())
        build.model.add_rows(
            f"path{len(self._known)}", np.concatenate(columns), np.concatenate(values), lower=0.0, drop_zeros=True
        )
        return 1

    def _count(self) -> int:
        c = self._build.c
        paths = [0] * len(c.node_names)
        leaving = {u for u, _ in self._ends}
        entered = {v for _, v in self._ends}
        for node in range(len(paths)):
            paths[node] = 0 if node in entered else 1
        for e in self._order:
            u, v = self._ends[e]
            paths[v] += paths[u]
        return sum(count for node, count in enumerate(paths) if node not in leaving)

    def _all(self) -> Iterator[list[int]]:
        c = self._build.c
        leaving: list[list[int]] = [[] for _ in c.node_names]
        for e, (u, _) in enumerate(self._ends):
            leaving[u].append(e)
        entered = {v for _, v in self._ends}

        for first in range(len(c.node_names)):
            if first in entered:
                continue
            waiting: list[tuple[int, list[int]]] = [(first, [])]
            while waiting:
                node, path = waiting.pop()
                if not leaving[node]:
                    yield path or [-1 - node]
                waiting += [(self._ends[e][1], [*path, e]) for e in reversed(leaving[node])]
