"""Items: layers that share a device in some best plan, and the order that contiguity gives them.

Layers share a device where they are colocated, and where paths lead from one to the other and back. A layer that costs
nothing (a reshape, a state that is kept) is put beside a neighbour where it is nowhere better:

- beside the producer of what it gets, if it sends nothing that costs, or one tensor that costs no more than the one it
  gets, which nothing else uses;
- beside its first consumer, if it gets nothing that costs, and what it sends costs nothing or goes there alone.
- beside any that is not loose, if it is loose and neither gets nor sends anything that costs.

Costs are seconds for a period; for a sum, its charges. Items without a layer that is contiguous are loose; none is put
beside such a one but another of these.

Ideals are sets of items with all that come before them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import MemoryLimit
from dnnopt.compiled.logical import Colocation, Contiguity
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.methods.programs.loose import Exchange, LooseItem, follows, with_loose

_AT_ONCE = 4096  # ideals
_MOST_ENTRIES = 20_000_000  # truth values at once


@dataclass(frozen=True, eq=False)
class Items:
    """Layers by item.

    Attributes
    ----------
    of_node : array (N,)
        Item of each layer; -1 for inputs and outputs.
    before : array (I, I)
        Whether the first item comes before the second.
    loose : tuple of LooseItem
        Items that have no place in the order.
    """

    of_node: Index
    before: Mask
    loose: tuple[LooseItem, ...] = ()

    def ideals(self, most: int) -> Mask | None:
        """Return which items all ideals hold (ideals, I), smaller ones first; None: there are more than `most`.

        Loose items that follow are in them only where that may be.
        """
        ordered = np.ones(len(self.before), dtype=bool)
        ordered[[one.item for one in self.loose]] = False
        found = _ideals_of(self.before[np.ix_(ordered, ordered)], most)
        if found is None:
            return None
        held = np.zeros((len(found), len(ordered)), dtype=bool)
        held[:, ordered] = found
        if not self.loose:
            return held
        packed = np.packbits(held, axis=1, bitorder="little")
        numbers = with_loose([int.from_bytes(row.tobytes(), "little") for row in packed], self.loose, most)
        return None if numbers is None else _as_mask(numbers, len(ordered))


def _ideals_of(before: Mask, most: int) -> Mask | None:
    """Return all ideals of an order, smaller ones first; None: there are more than `most`.

    An ideal comes from that without the last of its maximal items, so each comes once.
    """
    count, after = len(before), before.T.copy()
    held = np.zeros((1, count), dtype=bool)
    maximal, missing = held, before.sum(axis=0, dtype=np.int32)[None, :]
    found, total = [held], 1
    while len(held):
        rows, items = np.nonzero(~held & (missing == 0))
        parts: list[Index] = []
        size = max(1, _MOST_ENTRIES // max(1, count))
        for start in range(0, len(rows), size):
            row, item = rows[start : start + size], items[start : start + size]
            others = maximal[row] & ~after[item]
            last = np.where(others.any(axis=1), count - 1 - others[:, ::-1].argmax(axis=1), -1)
            parts.append(start + np.flatnonzero(last < item))
            total += len(parts[-1])
            if total > most:
                return None
        kept = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        rows, items = rows[kept], items[kept]
        at = np.arange(len(kept))
        maximal = maximal[rows] & ~after[items]
        maximal[at, items] = True
        missing = missing[rows] - before[items]
        held = held[rows]
        held[at, items] = True
        found.append(held)
    return np.concatenate(found)


def _as_mask(numbers: Sequence[int], count: int) -> Mask:
    """Return which of so many bits each number has (numbers, count)."""
    size = (count + 7) // 8
    together = b"".join(number.to_bytes(size, "little") for number in numbers)
    packed = np.frombuffer(together, dtype=np.uint8).reshape(len(numbers), size)
    return np.unpackbits(packed, axis=1, count=count, bitorder="little").astype(bool)


def bits(number: int) -> Iterator[int]:
    """Yield the positions of a number's bits."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def sums_over(held: Mask, values: Array) -> Array:
    """Return the sum over what each ideal holds of values of items (I,)."""
    return np.concatenate([held[start : start + _AT_ONCE] @ values for start in range(0, len(held), _AT_ONCE)])


def items_of(
    compiled: CompiledProblem,
    contiguity: Contiguity,
    alpha: Array,
    beta: Array,
    ends: tuple[Mask, Mask, Index] | None = None,
) -> Items:
    """Return the items of a problem's layers.

    Parameters
    ----------
    compiled : CompiledProblem
    contiguity : Contiguity
    alpha : array (N, k)
        What a layer costs on each executor.
    beta : array (T, L)
        What a copy of each tensor costs over each link.
    ends : tuple of three arrays, optional
        For a period: the links that each device sends by and receives by (D, L), and the device that alone loads each
        resource, or -1 (Q,). Without them, no loose item follows.
    """
    c = compiled
    labels = np.where(c.is_layer, np.arange(len(c.node_names)), -1)
    for constraint in c.constraints:
        if isinstance(constraint, Colocation):
            together = labels[list(constraint.nodes)]
            labels[np.isin(labels, together)] = together.min()
    while True:
        state = _Grouping(c, contiguity, labels, alpha, beta)
        merged = state.without_cycles()
        if merged is None:
            merged = state.without_idle_items()
        loose = list(state.loose_items(ends)) if merged is None else []
        if merged is None:
            merged = state.without_followers(loose)
        if merged is None:
            return Items(state.of_node, state.before, tuple(loose))
        labels = merged


def common_items(compiled: CompiledProblem, contiguity: Contiguity, several: list[Items]) -> Items:
    """Return the items of layers that share one in each of several lots, of problems of the same network."""
    labels = np.unique(np.stack([items.of_node for items in several]), axis=1, return_inverse=True)[1]
    none = np.zeros((len(compiled.node_names), 1)), np.zeros((len(compiled.tensor_names), len(compiled.link_names)))
    state = _Grouping(compiled, contiguity, np.where(compiled.is_layer, labels.reshape(-1), -1), *none)
    return Items(state.of_node, state.before)


class _Grouping:
    """Some items, and what they exchange."""

    def __init__(
        self, compiled: CompiledProblem, contiguity: Contiguity, labels: Index, alpha: Array, beta: Array
    ) -> None:
        self.c = c = compiled
        self._alpha, self._beta = alpha, np.where(c.pair_uses_link.any(axis=0), beta, 0.0)
        layers = np.flatnonzero(c.is_layer)
        number = np.unique(labels[layers], return_inverse=True)[1]
        self.of_node = np.full(len(labels), -1)
        self.of_node[layers] = number
        self.count = int(number.max()) + 1
        after = np.zeros((self.count, self.count), dtype=bool)
        if contiguity.edges:
            u, v = self.of_node[np.array(contiguity.edges).T]
            after[u, v] = u != v
        for _ in range(self.count.bit_length()):
            further = after.astype(np.float32)
            after |= further @ further > 0
        self.before = after
        self.loose = np.ones(self.count, dtype=bool)
        self.loose[self.of_node[list(contiguity.nodes)]] = False

    def without_cycles(self) -> Index | None:
        """Return labels with the items on each cycle merged; None: there is no cycle."""
        both = self.before & self.before.T
        if not both.any():
            return None
        both |= np.eye(self.count, dtype=bool)
        return self._relabelled(both.argmax(axis=1))

    def _relabelled(self, item: Index) -> Index:
        return np.where(self.of_node < 0, -1, item[self.of_node])

    def _summed(self, values: Array) -> Array:
        """Return the sums over each item's layers of values of nodes (N, ...)."""
        total = np.zeros((self.count, *values.shape[1:]))
        layers = self.c.is_layer
        np.add.at(total, self.of_node[layers], values[layers])
        return total

    def without_idle_items(self) -> Index | None:
        """Return labels with items that cost nothing put beside others; None: there are none to put."""
        c, into = self.c, np.arange(self.count)
        grown = np.zeros(self.count, dtype=bool)
        costs = self._summed(np.where(c.allowed, self._alpha != 0.0, 0.0))
        saves = self._summed(np.where(c.allowed, self._alpha < 0.0, 0.0)).any(axis=1)
        barred = self._summed((~c.allowed).astype(float)) > 0
        for item in np.flatnonzero((costs == 0.0).any(axis=1) & ~saves & self._light()).tolist():
            if grown[item]:
                continue
            for other in self._hosts(item):
                if self.loose[other] and not self.loose[item]:
                    continue
                if not ((barred[item] | (costs[item] > 0.0)) & ~barred[other]).any():
                    into[item] = other
                    grown[other] = True
                    break
        if not grown.any():
            return None
        while (into[into] != into).any():
            into = into[into]
        return self._relabelled(into)

    def _light(self) -> Mask:
        """Return which items may go to any device, as far as memory is concerned."""
        light = np.ones(self.count, dtype=bool)
        for limit in self.c.constraints:
            if not isinstance(limit, MemoryLimit):
                continue
            everything = limit.together(np.arange(len(self.c.node_names)))
            if everything + limit.buffers * self.c.buffer_bytes.sum() > limit.limit:
                light &= limit.buffers == 0
                light &= self._summed(limit.resident + limit.peaks.sum(axis=0)) == 0.0
        return light

    def _hosts(self, item: int) -> Iterator[int]:
        """Yield the items beside which this one, if it costs nothing, is nowhere worse than elsewhere."""
        sent = [tensor for tensor in self._tensors if tensor.producer == item and (tensor.users or tensor.fixed)]
        got = [tensor for tensor in self._tensors if item in tensor.users]
        smaller = (
            len(sent) == len(got) == 1
            and (sent[0].costs <= got[0].costs).all()
            and (self.c.transport != "per_edge" or sent[0].edges == 1)
            and got[0].users == {item}
            and not got[0].fixed
        )
        producers = {tensor.producer for tensor in got} if got else set(np.flatnonzero(self.before[:, item]).tolist())
        if len(producers) == 1 or not got:
            for host in producers - {-1}:
                others = self.before[:, item] & ~self.before[:, host]
                if (not sent or smaller) and others.sum() == others[host]:
                    yield host
        if not got and not sent and self.loose[item]:
            yield from np.flatnonzero(~self.loose).tolist()
        if not got:
            for host in np.flatnonzero(self.before[item]).tolist():
                others = self.before[item] & ~self.before[host]
                if others.sum() == others[host] and all(one.users == {host} and not one.fixed for one in sent):
                    yield host

    def without_followers(self, loose: list[LooseItem]) -> Index | None:
        """Return labels with loose items that follow one neighbour alone put beside it; None: there are none."""
        into = np.arange(self.count)
        for one in loose:
            if one.follows and one.beside.bit_count() == 1:
                host = one.beside.bit_length() - 1
                if into[host] == host and not (into == one.item).sum() > 1:
                    into[one.item] = host
        return self._relabelled(into) if (into != np.arange(self.count)).any() else None

    def loose_items(self, ends: tuple[Mask, Mask, Index] | None) -> Iterator[LooseItem]:
        """Yield the loose items, and whether they follow."""
        if not self.loose.any():
            return
        c = self.c
        able = ends is not None and c.transport == "multicast" and (ends[2] >= 0).all()
        light, barred = self._light(), self._summed((~c.allowed).astype(float)) > 0
        found = self._exchanges(*ends) if ends is not None and able else []
        time = self._summed(np.where(c.allowed, self._alpha, 0.0))
        for item in np.flatnonzero(self.loose).tolist():
            beside = {other for one in self._tensors if one.producer == item for other in one.users} - {item}
            beside |= {one.producer for one in self._tensors if item in one.users} - {-1}
            mine = [one for one in found if item in one.users or one.made == item]
            held = (time[item][None, :] * c.resource_devices).T
            follow = bool(able and light[item]) and follows(item, held, ~barred[item], mine)
            yield LooseItem(item, sum(1 << other for other in beside), follow)

    def _exchanges(self, sends: Mask, receives: Mask, owner: Index) -> list[Exchange]:
        """Return the tensors between items, with what each takes of the resources that a device alone loads."""
        links = self.c.resource_links.astype(float)
        own = (owner[None, :] == np.arange(len(self.c.device_names))[:, None]).astype(float)
        return [
            Exchange(
                one.producer,
                (one.costs * sends) @ links.T * own,
                (one.costs * receives) @ links.T * own,
                one.users,
                one.fixed,
            )
            for one in self._tensors
        ]

    @cached_property
    def _tensors(self) -> list[_Sent]:
        """The tensors that cost anything on some link."""
        c = self.c
        heavy: Mask = np.any(self._beta > 0.0, axis=1)
        found: dict[int, _Sent] = {}
        for tensor, u, v in zip(
            c.edge_tensor.tolist(), c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True
        ):
            producer, consumer = int(self.of_node[u]), int(self.of_node[v])
            if heavy[tensor] and (producer != consumer or producer < 0):
                one = found.setdefault(tensor, _Sent(producer, self._beta[tensor]))
                one.edges += 1
                if consumer < 0:
                    one.fixed = True
                else:
                    one.users.add(consumer)
        return list(found.values())


@dataclass
class _Sent:
    """A tensor between items: from one (-1: an input) to others, and perhaps to an output."""

    producer: int
    costs: Array  # over each link
    users: set[int] = field(default_factory=set)
    fixed: bool = False
    edges: int = 0
