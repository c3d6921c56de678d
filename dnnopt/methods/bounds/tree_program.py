"""The tree program: the best placement for an additive objective without coupling rows, and what each choice costs.

Dynamic programming over a tree decomposition (Bertelè, Brioschi: Nonserial Dynamic Programming, 1972; max-marginals by
a second pass, as in Wainwright, Jordan, 2008, section 2.5). A tensor with several uses is charged once for each
destination: with two uses by one table over its producer and both consumers, with more by a variable for the set of
devices that use it, which separates the producer from the consumers.

    min Σ_vi a_vi x_vi + Σ_τ F_τ(device of the producer, devices of the consumers)

Exact for that; memory, budgets and other limits come in as prices (see `lagrangian.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dnnopt.compiled import CompiledProblem, Index
from dnnopt.metrics import Array
from dnnopt.treewidth import TreeDecomposition, tree_decomposition

MOST_ENTRIES = 4_000_000
_MOST_DEVICES = 10  # sets of devices are enumerated
# Stands for infinity: sums and differences of it stay apart from all that is finite.
_BIG = 1e15


@dataclass(frozen=True, eq=False)
class Marginals:
    """The least value of all plans that make a choice.

    Attributes
    ----------
    nodes : array (N, k)
    edges : array (E, P)
        Over a pair of two devices; -inf, which says nothing, for tensors with three uses or more.
    """

    nodes: Array
    edges: Array


@dataclass(frozen=True, eq=False)
class _Factor:
    """A table of costs over some variables of one bag: which bag, and how it lies along the bag's axes."""

    bag: int
    order: tuple[int, ...]  # axes of the table, sorted as in the bag
    index: tuple[slice | None, ...]  # then spread over the bag's axes


class TreeProgram:
    """The tree program of a problem's graph.

    Parameters
    ----------
    compiled : CompiledProblem
        What it allows, and how copies are charged.
    """

    def __init__(self, compiled: CompiledProblem) -> None:
        self.c = c = compiled
        self._size = [c.time.shape[1]] * len(c.node_names)
        self._pairs: list[tuple[int, int, int]] = []  # tensor, producer, consumer
        self._triples: list[tuple[int, int, int, int]] = []
        self._sets: list[tuple[int, int, int, list[int]]] = []  # tensor, variable, producer, consumers
        by_tensor: dict[int, list[int]] = {}
        for tensor, consumer in zip(c.edge_tensor.tolist(), c.edge_consumer.tolist(), strict=True):
            by_tensor.setdefault(tensor, []).append(consumer)
        for tensor, consumers in by_tensor.items():
            producer = int(c.producer[tensor])
            if len(consumers) == 1 or c.transport == "per_edge":
                self._pairs += [(tensor, producer, consumer) for consumer in consumers]
            elif len(consumers) == 2:
                self._triples.append((tensor, producer, consumers[0], consumers[1]))
            else:
                self._sets.append((tensor, len(self._size), producer, consumers))
                self._size.append(2 ** len(c.device_names))

    @staticmethod
    def refuses(compiled: CompiledProblem) -> str | None:
        """Return why the graph is too wide for tables, or None."""
        if len(compiled.device_names) > _MOST_DEVICES:
            return f"more than {_MOST_DEVICES} devices"
        entries = TreeProgram(compiled).entries
        return None if entries <= MOST_ENTRIES else f"tables of {entries:.3g} entries (at most {MOST_ENTRIES:,})"

    @cached_property
    def _tree(self) -> TreeDecomposition:
        cliques: list[tuple[int, ...]] = [(u, v) for _, u, v in self._pairs]
        cliques += [(u, v, w) for _, u, v, w in self._triples]
        for _, variable, producer, consumers in self._sets:
            cliques += [(variable, node) for node in (producer, *consumers)]
        return tree_decomposition(len(self._size), cliques)

    @property
    def entries(self) -> float:
        """Number of entries of all tables."""
        return float(sum(np.prod([float(self._size[v]) for v in bag]) for bag in self._tree.bags))

    def _factor(self, variables: tuple[int, ...]) -> _Factor:
        tree = self._tree
        bag = tree.holding(variables)
        axes = [tree.bags[bag].index(variable) for variable in variables]
        order = tuple(int(axis) for axis in np.argsort(axes))
        index = tuple(slice(None) if axis in axes else None for axis in range(len(tree.bags[bag])))
        return _Factor(bag, order, index)

    @cached_property
    def _layout(self) -> tuple[list[_Factor], list[_Factor], list[_Factor], list[tuple[_Factor, list[_Factor]]]]:
        nodes = [self._factor((node,)) for node in range(len(self.c.node_names))]
        pairs = [self._factor((u, v)) for _, u, v in self._pairs]
        triples = [self._factor((u, v, w)) for _, u, v, w in self._triples]
        sets = [
            (self._factor((producer, variable)), [self._factor((variable, node)) for node in consumers])
            for _, variable, producer, consumers in self._sets
        ]
        return nodes, pairs, triples, sets

    @cached_property
    def _messages(self) -> list[tuple[slice | None, ...]]:
        """How each bag's message (over all but its first variable) lies along its parent's axes."""
        bags, parent = self._tree.bags, self._tree.parent
        return [
            () if above < 0 else tuple(slice(None) if variable in bag[1:] else None for variable in bags[above])
            for bag, above in zip(bags, parent, strict=True)
        ]

    @cached_property
    def _orders(self) -> list[tuple[int, ...]]:
        """The axes of each bag's message, sorted as in its parent."""
        bags, parent = self._tree.bags, self._tree.parent
        return [
            () if above < 0 else tuple(int(axis) for axis in np.argsort([bags[above].index(v) for v in bag[1:]]))
            for bag, above in zip(bags, parent, strict=True)
        ]

    # Costs of a tensor

    @cached_property
    def _member(self) -> Array:
        """Whether each executor's device is in each set of devices (2^D, k)."""
        sets = np.arange(2 ** len(self.c.device_names))
        return ((sets[:, None] >> self.c.executor_device[None, :]) & 1).astype(float)

    @cached_property
    def _uses(self) -> Array:
        """How often each link is used from a device to a set of devices (D, 2^D, L)."""
        c, size = self.c, len(self.c.device_names)
        sets = np.arange(2**size)
        from_to = np.zeros((size, size, len(c.link_names)))
        from_to[c.pair_origin, c.pair_destination] = c.pair_uses_link
        inside = ((sets[:, None] >> np.arange(size)) & 1).astype(float)
        uses = np.einsum("sj,ijl->isl", inside, from_to)
        return np.minimum(uses, 1.0) if c.transport == "multicast" else uses

    @cached_property
    def _unreachable(self) -> Array:
        """`_BIG` where a set holds a device without a route (D, 2^D)."""
        c, size = self.c, len(self.c.device_names)
        missing = np.zeros((size, size))
        missing[c.pair_origin, c.pair_destination] = ~c.pair_routed
        inside = ((np.arange(2**size)[:, None] >> np.arange(size)) & 1).astype(float)
        return np.where(missing @ inside.T > 0, _BIG, 0.0)

    @cached_property
    def _moves(self) -> Array:
        """`_BIG` where an edge may not go from one executor to another (E, k, k)."""
        c = self.c
        blocked = np.zeros((len(c.edges), len(c.device_names), len(c.device_names)))
        blocked[:, c.pair_origin, c.pair_destination] = np.where(c.edge_moves, 0.0, _BIG)
        return blocked[:, c.executor_device][:, :, c.executor_device]

    @cached_property
    def _edge(self) -> dict[tuple[int, int], int]:
        """Index of each edge by tensor and consumer."""
        c = self.c
        return {key: e for e, key in enumerate(zip(c.edge_tensor.tolist(), c.edge_consumer.tolist(), strict=True))}

    def _tables(self, alpha: Array, beta: Array) -> list[Array]:
        """Return each bag's table of costs."""
        c, at = self.c, self.c.executor_device
        tables = [np.zeros([self._size[v] for v in bag]) for bag in self._tree.bags]

        def add(factor: _Factor, table: Array) -> None:
            tables[factor.bag] += table.transpose(factor.order)[factor.index]

        nodes, pairs, triples, sets = self._layout
        costs = np.where(c.allowed, alpha, _BIG)
        for node, factor in enumerate(nodes):
            add(factor, costs[node])
        to_one = np.zeros((len(c.tensor_names), len(c.device_names), len(c.device_names)))
        to_one[:, c.pair_origin, c.pair_destination] = beta @ c.pair_uses_link.T
        to_one = to_one[:, at][:, :, at]
        for (tensor, _, consumer), factor in zip(self._pairs, pairs, strict=True):
            add(factor, to_one[tensor] + self._moves[self._edge[tensor, consumer]])
        both = (1 << at)[:, None] | (1 << at)[None, :]
        for (tensor, _, first, second), factor in zip(self._triples, triples, strict=True):
            table = (self._uses[:, both] @ beta[tensor])[at]
            table = table + self._moves[self._edge[tensor, first]][:, :, None]
            add(factor, table + self._moves[self._edge[tensor, second]][:, None, :])
        for (tensor, *_), (charged, used) in zip(self._sets, sets, strict=True):
            add(charged, (self._uses @ beta[tensor] + self._unreachable)[at])
            for factor in used:
                add(factor, np.where(self._member > 0, 0.0, _BIG))
        return tables

    # The two passes

    def solve(self, alpha: Array, beta: Array) -> tuple[float, Index]:
        """Return the least value and a placement (N,) that has it.

        Parameters
        ----------
        alpha : array (N, k)
        beta : array (T, L)
            What a copy of each tensor costs over each link; 0 or more.

        The value is infinite where no placement is allowed.
        """
        tables, value = self._up(alpha, beta)
        chosen = np.zeros(len(self._size), dtype=np.int64)
        for bag in range(len(tables) - 1, -1, -1):
            variables = self._tree.bags[bag]
            chosen[variables[0]] = tables[bag][(slice(None), *chosen[list(variables[1:])])].argmin()
        return np.inf if value > _BIG / 2 else value, chosen[: len(self.c.node_names)]

    def _up(self, alpha: Array, beta: Array) -> tuple[list[Array], float]:
        """Return the tables with all that comes from below, and the least value."""
        tables, value = self._tables(alpha, beta), 0.0
        for bag, above in enumerate(self._tree.parent):
            least = tables[bag].min(axis=0)
            if above < 0:
                value += float(least)
            else:
                tables[above] += least.transpose(self._orders[bag])[self._messages[bag]]
        return tables, value

    def marginals(self, alpha: Array, beta: Array) -> Marginals:
        """Return the least value of all plans with each choice; `_BIG` or more: impossible."""
        tables, value = self._up(alpha, beta)
        for bag in range(len(tables) - 1, -1, -1):
            above = self._tree.parent[bag]
            least = tables[bag].min(axis=0)
            if above < 0:
                tables[bag] += value - float(least)
                continue
            outside = tuple(axis for axis, place in enumerate(self._messages[bag]) if place is None)
            belief = tables[above].min(axis=outside) if outside else tables[above]
            order = self._orders[bag]
            own = least.transpose(order)
            rest = np.where(own >= _BIG / 2, _BIG, belief - own)
            tables[bag] += rest.transpose(np.argsort(order))[None]
        nodes, pairs, triples, _ = self._layout
        at_nodes = np.array([_least(tables, factor) for factor in nodes])
        c = self.c
        at_edges = np.full((len(c.edges), len(c.device_names), len(c.device_names)), -np.inf)
        for (tensor, _, consumer), factor in zip(self._pairs, pairs, strict=True):
            at_edges[self._edge[tensor, consumer]] = self._by_devices(_least(tables, factor))
        for (tensor, _, first, second), factor in zip(self._triples, triples, strict=True):
            table = _least(tables, factor)
            at_edges[self._edge[tensor, first]] = self._by_devices(table.min(axis=2))
            at_edges[self._edge[tensor, second]] = self._by_devices(table.min(axis=1))
        return Marginals(at_nodes, at_edges[:, c.pair_origin, c.pair_destination])

    def _by_devices(self, table: Array) -> Array:
        """Return the least entries (D, D) of a table over two executors (k, k)."""
        at, size = self.c.executor_device, len(self.c.device_names)
        if len(at) == size:
            return table
        least = np.full((size, size), _BIG)
        np.minimum.at(least, (at[:, None], at[None, :]), table)
        return least


def _least(tables: list[Array], factor: _Factor) -> Array:
    """Return the least entries of a bag's table over a factor's variables, in the factor's order."""
    outside = tuple(axis for axis, place in enumerate(factor.index) if place is None)
    return tables[factor.bag].min(axis=outside).transpose(np.argsort(factor.order))
