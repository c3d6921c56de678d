"""The tree program: the best placement for an additive objective without coupling rows, and what each choice costs.

Dynamic programming over a tree decomposition (Bertelè, Brioschi: Nonserial Dynamic Programming, 1972; max-marginals by
a second pass, as in Wainwright, Jordan, 2008, section 2.5). A tensor with several uses is charged once for each
destination: with two uses by one table over its producer and both consumers, with more by a variable for the set of
devices that use it, which separates the producer from the consumers. Where there are blocks with costs of their own, a
layer has a host and a block, and so have others by the rules that tie them (see `states.py`).

    min Σ_vi a_vi x_vi + Σ_τ F_τ(device of the producer, devices of the consumers)

Exact for that; memory, budgets and other limits come in as prices (see `lagrangian.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dnnopt.base.graphs import TreeDecomposition, tree_decomposition
from dnnopt.base.numbers import format_number
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.programs import sizes
from dnnopt.methods.programs.linear import move_costs
from dnnopt.methods.programs.sizes import Sizes, groups_of
from dnnopt.methods.programs.states import States

MOST_ENTRIES = 4_000_000
_MOST_DEVICES = 10  # sets of devices are enumerated
_ALL = slice(None)


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
        self._at = c.host_device
        self._states = States.of(c) if c.blocks else None
        self._size = [len(c.host_names)] * len(c.node_names) if self._states is None else self._states.sizes
        self._several = groups_of(c)
        left_out = {entry for entries in self._several.values() for entry in entries[1:]}
        self._pairs: list[tuple[int, int, int]] = []  # tensor, producer, consumer
        self._triples: list[tuple[int, int, int, int]] = []
        self._sets: list[tuple[int, int, int, list[int]]] = []  # tensor, variable, producer, consumers
        by_tensor: dict[int, list[int]] = {}
        for tensor, consumer in zip(c.edge_tensor.tolist(), c.edge_consumer.tolist(), strict=True):
            if tensor not in left_out:
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
        reason = sizes.refuses(compiled)
        if reason:
            return reason
        if len(compiled.device_names) > _MOST_DEVICES:
            return f"more than {_MOST_DEVICES} devices"
        entries = TreeProgram(compiled).entries
        return (
            None
            if entries <= MOST_ENTRIES
            else f"tables of {format_number(entries, 3)} entries (at most {MOST_ENTRIES:,})"
        )

    @cached_property
    def _tree(self) -> TreeDecomposition:
        cliques: list[tuple[int, ...]] = [(u, v) for _, u, v in self._pairs]
        cliques += [(u, v, w) for _, u, v, w in self._triples]
        for _, variable, producer, consumers in self._sets:
            cliques += [(variable, node) for node in (producer, *consumers)]
        if self._states is not None:
            cliques += self._states.ties
        return tree_decomposition(len(self._size), cliques)

    @property
    def entries(self) -> float:
        """Number of entries of all tables."""
        return float(sum(math.prod([self._size[variable] for variable in bag]) for bag in self._tree.bags))

    def _factor(self, variables: tuple[int, ...]) -> _Factor:
        tree = self._tree
        bag = tree.holding(variables)
        axes = [tree.bags[bag].index(variable) for variable in variables]
        return _Factor(bag, _sorted(axes), _spread(axes, len(tree.bags[bag])))

    @cached_property
    def _layout(self) -> tuple[list[_Factor], list[_Factor], list[tuple[_Factor, list[_Factor]]]]:
        pairs = [self._factor((u, v)) for _, u, v in self._pairs]
        triples = [self._factor((u, v, w)) for _, u, v, w in self._triples]
        sets = [
            (self._factor((producer, variable)), [self._factor((variable, node)) for node in consumers])
            for _, variable, producer, consumers in self._sets
        ]
        return pairs, triples, sets

    @cached_property
    def _messages(self) -> list[_Factor]:
        """How each bag's message (over all but its first variable) lies along its parent's axes; of roots: nothing."""
        bags = self._tree.bags
        messages = []
        for bag, above in zip(bags, self._tree.parent, strict=True):
            axes = [bags[above].index(variable) for variable in bag[1:]]
            messages.append(_Factor(above, _sorted(axes), _spread(axes, len(bags[above]))))
        return messages

    # Costs of a tensor

    @cached_property
    def _member(self) -> Array:
        """Whether each host's device is in each set of devices (2^D, H)."""
        sets = np.arange(2 ** len(self.c.device_names))
        return ((sets[:, None] >> self._at[None, :]) & 1).astype(float)

    @cached_property
    def _uses(self) -> Array:
        """How often each link is used from a device to a set of devices (D, 2^D, L)."""
        c, size = self.c, len(self.c.device_names)
        sets = np.arange(2**size)
        from_to = c.by_devices(c.pair_uses_link.T.astype(float))
        inside = ((sets[:, None] >> np.arange(size)) & 1).astype(float)
        uses = np.einsum("sj,lij->isl", inside, from_to)
        return np.minimum(uses, 1.0) if c.transport == "multicast" else uses

    @cached_property
    def _subsets(self) -> Mask:
        """The devices of each set of devices (2^D, D)."""
        size = len(self.c.device_names)
        return ((np.arange(2**size)[:, None] >> np.arange(size)) & 1).astype(bool)

    @cached_property
    def _single(self) -> tuple[Mask, Array]:
        """Each device as a set of its own (D, D), and how often each link is used from a device to it (D, D, L)."""
        uses = self.c.by_devices(self.c.pair_uses_link.T.astype(float))
        return np.eye(len(self.c.device_names), dtype=bool), uses.transpose(1, 2, 0)

    @cached_property
    def _unreachable(self) -> Array:
        """Infinite where a set holds a device without a route (D, 2^D)."""
        c, size = self.c, len(self.c.device_names)
        missing = c.by_devices((~c.pair_routed).astype(float))
        inside = ((np.arange(2**size)[:, None] >> np.arange(size)) & 1).astype(float)
        return np.where(missing @ inside.T > 0, np.inf, 0.0)

    @cached_property
    def _moves(self) -> Array:
        """Infinite where an edge may not go from one host to another (E, H, H)."""
        hosts = len(self._at)
        return move_costs(self.c, np.zeros((len(self.c.tensor_names), len(self.c.link_names))))[:, :hosts, :hosts]

    @cached_property
    def _edge(self) -> dict[tuple[int, int], int]:
        """Index of each edge by tensor and consumer."""
        c = self.c
        return {key: e for e, key in enumerate(zip(c.edge_tensor.tolist(), c.edge_consumer.tolist(), strict=True))}

    def _tables(self, alpha: Array, beta: Array, on_event: Array) -> list[Array]:
        """Return each bag's table of costs."""
        c, at = self.c, self._at
        lengths, pad, hosts = self._size, (1,) * self._tree.width, len(at)
        allowed = c.allowed.reshape(len(alpha), -1, hosts).any(axis=1)
        own = [*np.where(allowed, alpha[:, :hosts], np.inf)] if self._states is None else self._states.costs(alpha)
        costs: list[Array] = [*own, *([np.zeros(1)] * len(self._sets))]
        tables = []
        for bag in self._tree.bags:
            table = np.empty([lengths[variable] for variable in bag])
            table[...] = costs[bag[0]].reshape(-1, *pad[: len(bag) - 1])
            tables.append(table)

        def add(factor: _Factor, table: Array) -> None:
            tables[factor.bag] += table.transpose(factor.order)[factor.index]

        def wide(table: Array, *variables: int) -> Array:
            """Return a table over hosts as one over what the nodes may have."""
            return table if self._states is None else self._states.wide(table, variables)

        pairs, triples, sets = self._layout
        to_one = c.by_devices(beta @ c.pair_uses_link.T)[:, at][:, :, at]
        edges = [self._edge[tensor, consumer] for tensor, _, consumer in self._pairs]
        ends = [(u, v) for _, u, v in self._pairs]
        tensors = [tensor for tensor, _, _ in self._pairs]
        found = Sizes.of(c, on_event) if self._several else None
        to_ones = found.cheapest(found.costs(beta, *self._single)) if found else {}
        tables_of = zip(tensors, ends, pairs, to_one[tensors] + self._moves[edges], strict=True)
        for tensor, nodes, factor, table in tables_of:
            add(factor, wide(to_ones[tensor][:, at] if tensor in to_ones else table, *nodes))
        shared = [tensor for tensor, *_ in (*self._triples, *self._sets)]
        charges = iter(np.einsum("tl,isl->tis", beta[shared], self._uses)[:, at])  # to each set of devices
        to_sets = found.cheapest(found.costs(beta, self._subsets, self._uses)) if found and shared else {}
        both = (1 << at)[:, None] | (1 << at)[None, :]
        for (tensor, producer, first, second), factor in zip(self._triples, triples, strict=True):
            charge = next(charges)
            if tensor in to_sets:
                add(factor, wide(to_sets[tensor][:, both], producer, first, second))
                continue
            table = charge[:, both] + self._moves[self._edge[tensor, first]][:, :, None]
            table = table + self._moves[self._edge[tensor, second]][:, None, :]
            add(factor, wide(table, producer, first, second))
        used = np.where(self._member > 0, 0.0, np.inf)
        for (tensor, variable, producer, consumers), (charged, users) in zip(self._sets, sets, strict=True):
            charge = next(charges) + self._unreachable[at]
            add(charged, wide(to_sets.get(tensor, charge), producer, variable))
            for node, factor in zip(consumers, users, strict=True):
                add(factor, wide(used, variable, node))
        for nodes, table in () if self._states is None else self._states.tied():
            add(self._factor(nodes), table)
        return tables

    # The two passes

    def solve(self, alpha: Array, beta: Array, on_event: Array | None = None) -> tuple[float, Index]:
        """Return the least value and a placement (N,) that has it.

        Parameters
        ----------
        alpha : array (N, k)
        beta : array (T, L)
            What a copy of each tensor costs over each link; 0 or more.
        on_event : array (X,), optional
            What an event costs that is no exposure; None: nothing.

        The value is infinite where no placement is allowed.
        """
        on_event = np.zeros(len(self.c.events)) if on_event is None else on_event
        tables, value = self._up(alpha, beta, on_event)
        chosen = [0] * len(self._size)
        for (variable, *rest), table in zip(reversed(self._tree.bags), reversed(tables), strict=True):
            given: tuple[slice | int, ...] = (_ALL, *[chosen[other] for other in rest])
            chosen[variable] = int(table[given].argmin())
        found = np.array(chosen[: len(self.c.node_names)])
        hosts = found % len(self._at)
        placement = hosts
        if self._several and math.isfinite(value):
            placement = Sizes.of(self.c, on_event).executors(hosts, beta, self._subsets, self._uses)
        return value, placement if self._states is None else placement + self._states.beyond(found)

    def _up(self, alpha: Array, beta: Array, on_event: Array) -> tuple[list[Array], float]:
        """Return the tables with all that comes from below, and the least value."""
        tables, value = self._tables(alpha, beta, on_event), 0.0
        for bag, above in enumerate(self._tree.parent):
            least = tables[bag].min(axis=0)
            if above < 0:
                value += float(least)
            else:
                message = self._messages[bag]
                tables[above] += least.transpose(message.order)[message.index]
        return tables, value

    def marginals(self, alpha: Array, beta: Array) -> Marginals:
        """Return the least value of all plans with each choice; infinite: impossible."""
        tables, value = self._up(alpha, beta, np.zeros(len(self.c.events)))
        if math.isinf(value):
            return self._impossible()
        for bag in range(len(tables) - 1, -1, -1):
            above = self._tree.parent[bag]
            least = tables[bag].min(axis=0)
            if above < 0:
                tables[bag] += value - float(least)
                continue
            order, index = self._messages[bag].order, self._messages[bag].index
            outside = tuple(axis for axis, place in enumerate(index) if place is None)
            belief = tables[above].min(axis=outside) if outside else tables[above]
            own = least.transpose(order)
            rest = np.subtract(belief, own, out=np.full(own.shape, np.inf), where=np.isfinite(own))
            tables[bag] += rest.transpose(np.argsort(order))[None]
        c, (pairs, triples, _) = self.c, self._layout
        own_bags = [tables[bag] for bag in self._tree.position[: len(c.node_names)]]
        least_of = [table.reshape(len(table), -1).min(axis=1) for table in own_bags]
        at_nodes = np.array(least_of) if self._states is None else self._states.by_executor(least_of)
        at_edges = np.full((len(c.edges), len(c.device_names), len(c.device_names)), -np.inf)
        for (tensor, u, consumer), factor in zip(self._pairs, pairs, strict=True):
            at_edges[self._edge[tensor, consumer]] = self._by_devices(_least(tables, factor), u, consumer)
        for (tensor, u, first, second), factor in zip(self._triples, triples, strict=True):
            table = _least(tables, factor)
            at_edges[self._edge[tensor, first]] = self._by_devices(table.min(axis=2), u, first)
            at_edges[self._edge[tensor, second]] = self._by_devices(table.min(axis=1), u, second)
        return Marginals(at_nodes, at_edges[:, c.pair_origin, c.pair_destination])

    def _impossible(self) -> Marginals:
        """Return the marginals where there is no plan."""
        c = self.c
        return Marginals(np.full(c.time.shape, np.inf), np.full((len(c.edges), len(c.pair_origin)), np.inf))

    def _by_devices(self, table: Array, u: int, v: int) -> Array:
        """Return the least entries (D, D) of a table over what two nodes may have."""
        size = len(self.c.device_names)
        if table.shape == (size, size):
            return table
        at_u, at_v = (self._at[np.arange(self._size[node]) % len(self._at)] for node in (u, v))
        least = np.full((size, size), np.inf)
        np.minimum.at(least, (at_u[:, None], at_v[None, :]), table)
        return least


def _sorted(axes: list[int]) -> tuple[int, ...]:
    """Return the positions of some axes in ascending order of the axes."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def _spread(axes: list[int], size: int) -> tuple[slice | None, ...]:
    """Return an index that puts an array's axes, in ascending order, at these of `size` axes."""
    return tuple([_ALL if axis in axes else None for axis in range(size)])


def _least(tables: list[Array], factor: _Factor) -> Array:
    """Return the least entries of a bag's table over a factor's variables, in the factor's order."""
    outside = tuple(axis for axis, place in enumerate(factor.index) if place is None)
    return tables[factor.bag].min(axis=outside).transpose(np.argsort(factor.order))
