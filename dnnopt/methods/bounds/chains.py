"""Chain bounds: what the heaviest path costs alone, where each device runs one piece of it.

The latency of a plan is at least that of a path: the layers on it come one after the other. Under contiguity, and under
`call` execution, what a device runs of a path is an interval of it. So the least latency of the path, with all other
layers left out, is a shortest path through positions and numbers of devices used:

    best(devices, b) = min over a device d of them and a <= b of best(devices - d, a) + cost_d(a, b)

The cost of an interval under `call` is its time and that of all tensors which enter and leave it, once each; otherwise
its time, and that of the tensor over which the path enters it. Pools run single layers, as often as they like. Memory
counts for what a device must have that runs the interval: its layers, those on ways from one of them to another, and
all that is colocated with these; so does time, in a call. Exact where the network is nearly a path; never above the
optimum.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import LatencyTerm, MemoryLimit
from dnnopt.compiled.evaluator import memory_room
from dnnopt.compiled.logical import Colocation, Contiguity
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.scope import Scope
from dnnopt.methods.exact.ideals import device_classes
from dnnopt.methods.pool import Pool

SCOPE = Scope(relaxes=True, terms=frozenset({LatencyTerm}), latencies=frozenset({"parallel", "scheduled", "call"}))
SOURCE = "chain bound"
_MOST_ENTRIES = 400_000_000  # intervals times sets of devices
_ROOM = 1e-9
_ROUNDING = float(np.finfo(float).eps)  # of a sum, relative to the largest one: sums of intervals are differences


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why there is no such bound for a problem, or None."""
    c = compiled
    reason = SCOPE.refuses(c)
    if reason:
        return reason
    if len(c.objective[0]) != 1 or not isinstance(c.objective[0][0], LatencyTerm):
        return "an objective that is not the latency of a network"
    if c.execution != "call":
        mine = set(np.flatnonzero(c.is_layer & (c.node_network == c.objective[0][0].network)).tolist())
        if not any(mine.issubset(one.nodes) for one in c.constraints if isinstance(one, Contiguity)):
            return "layers that need not be contiguous"
    return None


def add_chain_bound(pool: Pool) -> None:
    """Raise the bound of the pool, if its problem is of this kind."""
    if refuses(pool.compiled) is None:
        value = chain_bound(pool.compiled)
        if value is not None:
            pool.add_bound(value, SOURCE)


def chain_bound(compiled: CompiledProblem) -> float | None:
    """Return the bound (SI); None: intervals times sets of devices are too many.

    Infinite: the path has no placement.
    """
    c = compiled
    (term,) = c.objective[0]
    assert isinstance(term, LatencyTerm)
    path, into = _heaviest_path(c, term.network)
    pools = np.zeros(len(c.device_names), dtype=bool) if c.pools is None else c.pools
    classes = [members for members in device_classes(c) if not pools[members[0]]]
    sizes = [len(members) for members in classes]
    if (len(path) + 1) ** 2 * math.prod(size + 1 for size in sizes) > _MOST_ENTRIES:
        return None
    around = _Around(c, path)
    costs = [_interval_costs(c, path, into, members, around) for members in classes]
    alone = c.allowed_time[path][:, pools].min(axis=1, initial=np.inf)
    values = {(0,) * len(sizes): np.where(np.arange(len(path) + 1) == 0, 0.0, np.inf)}
    best = math.inf
    for used in sorted(product(*(range(size + 1) for size in sizes)), key=sum):
        value = values.pop(used)
        for position, seconds in enumerate(alone.tolist()):
            value[position + 1] = min(value[position + 1], value[position] + seconds)
        best = min(best, float(value[-1]))
        for number, cost in enumerate(costs):
            if used[number] < sizes[number]:
                more = (*used[:number], used[number] + 1, *used[number + 1 :])
                through = (value[:, None] + cost).min(axis=0)
                values[more] = np.minimum(values.get(more, np.inf), through)
    largest = max((float(np.max(cost[np.isfinite(cost)], initial=0.0)) for cost in costs), default=0.0)
    return term.weight * max(best * (1 - _ROOM) - around.terms * _ROUNDING * largest, 0.0)


def _heaviest_path(c: CompiledProblem, network: int) -> tuple[Index, Index]:
    """Return the layers of the path that takes longest if all are where they are fastest, and the edge into each.

    The first layer's edge is that from an input, or -1.
    """
    least = c.allowed_time.min(axis=1)
    least = np.where(c.is_layer & np.isfinite(least) & (c.node_network == network), least, 0.0)
    least[c.is_layer] += 1e-9 * least.max(initial=0.0)  # of paths that take as long, the one with more layers
    longest, into = least.copy(), np.full(len(least), -1)
    for edge in np.argsort(c.edge_consumer, kind="stable").tolist():
        u, v = int(c.edge_producer[edge]), int(c.edge_consumer[edge])
        if into[v] < 0 or longest[u] + least[v] > longest[v]:
            longest[v], into[v] = longest[u] + least[v], edge
    mine = c.is_layer & (c.node_network == network)
    node, path = int(np.argmax(np.where(mine, longest, -1.0))), []
    while c.is_layer[node]:
        path.append(node)
        if into[node] < 0:
            break
        node = int(c.edge_producer[into[node]])
    nodes = np.array(path[::-1])
    return nodes, into[nodes]


class _Around:
    """What a device has that runs an interval of a path: layers between those of the interval, and colocated ones.

    A layer is between those of [a, b) where one that comes before it is at a or later, and one that comes after it
    before b. So the intervals with a class are corners of the plane of a and b: all smaller a and larger b have it too.

    Attributes
    ----------
    terms : int
        How many numbers are summed for an interval, at most.
    """

    def __init__(self, c: CompiledProblem, path: Index) -> None:
        self._size = size = len(path)
        first, last = np.full(len(c.node_names), -1), np.full(len(c.node_names), size)
        first[path] = last[path] = np.arange(size)
        on_path = first >= 0
        edges = np.argsort(c.edge_consumer, kind="stable").tolist()
        for edge in edges:
            u, v = int(c.edge_producer[edge]), int(c.edge_consumer[edge])
            if not on_path[v]:
                first[v] = max(first[v], first[u])
        for edge in sorted(edges, key=lambda edge: -int(c.edge_producer[edge])):
            u, v = int(c.edge_producer[edge]), int(c.edge_consumer[edge])
            if not on_path[u]:
                last[u] = min(last[u], last[v])
        label = np.arange(len(c.node_names))
        for constraint in c.constraints:
            if isinstance(constraint, Colocation):
                label[np.isin(label, label[list(constraint.nodes)])] = label[constraint.nodes[0]]
        corners: dict[int, list[tuple[int, int]]] = {}
        between = c.is_layer & (first >= 0) & (last < size)
        for node in np.flatnonzero(between).tolist():
            corners.setdefault(int(label[node]), []).append((int(first[node]), int(last[node])))
        self._classes = [(np.flatnonzero(c.is_layer & (label == one)), _stairs(at)) for one, at in corners.items()]
        self.terms = 2 * sum(len(stairs) for _, stairs in self._classes) + size

    def sums(self, values: Array) -> Array:
        """Return the sums of values of nodes (N,) from a to b, without b (V + 1, V + 1), of all that is there."""
        total = np.zeros((self._size + 1, self._size + 1))
        for nodes, stairs in self._classes:
            value = float(values[nodes].sum())
            for number, (first, last) in enumerate(stairs):
                total[first, last + 1] += value
                if number:  # the corner before this one has these, too
                    total[stairs[number - 1][0], last + 1] -= value
        return np.cumsum(np.cumsum(total[::-1], axis=0)[::-1], axis=1)


def _stairs(corners: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return those of some corners (largest a, least b) that are not within another one, in order of both."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(corners, key=lambda corner: (-corner[0], corner[1])):
        if not found or last < found[-1][1]:
            found.append((first, last))
    return found[::-1]


def _interval_costs(c: CompiledProblem, path: Index, into: Index, members: list[int], around: _Around) -> Array:
    """Return what a device of a class costs for the layers from a to b, without b (V + 1, V + 1); inf: impossible."""
    device, size = members[0], len(path)
    first, last = np.arange(size + 1)[:, None], np.arange(size + 1)[None, :]
    time = np.where(c.allowed[:, device], c.seconds[:, device], 0.0)  # what is barred bars its intervals below
    if c.execution == "call":
        costs = around.sums(time) + _call_transfers(c, path, device, c.hop_seconds)
    else:
        costs = _between(time[path])
        for position, edge in enumerate(into.tolist()):
            if edge >= 0:
                costs[position] += _arrival(c, edge, members, c.hop_seconds)
    costs[around.sums((~c.allowed[:, device]).astype(float)) > 0] = np.inf
    for limit in c.constraints:
        if isinstance(limit, MemoryLimit) and limit.device == device:
            resident = around.sums(limit.resident)
            room = _ROOM * limit.limit + memory_room(limit.limit) + around.terms * _ROUNDING * float(resident.max())
            costs[resident > limit.limit + room] = np.inf
    return np.where(first < last, costs, np.inf)


def _between(values: Array) -> Array:
    """Return the sums of values from a to b, without b (V + 1, V + 1)."""
    total = np.append(0.0, np.cumsum(values))
    return total[None, :] - total[:, None]


def _arrival(c: CompiledProblem, edge: int, members: list[int], seconds: Array) -> float:
    """Return the least time in which the tensor of an edge reaches a device of a class from another device."""
    producer = int(c.edge_producer[edge])
    origins = np.flatnonzero(c.allowed[producer])
    if not c.is_layer[producer] and set(origins.tolist()) & set(members):
        return 0.0  # the input may be there
    routes = [c.route_links[origin][members[0]] for origin in origins.tolist() if origin != members[0]]
    return min(
        (float(seconds[c.edge_tensor[edge], list(route)].sum()) for route in routes if route is not None), default=0.0
    )


def _call_transfers(c: CompiledProblem, path: Index, device: int, seconds: Array) -> Array:
    """Return the least time that a call takes for what it gets from other layers of the path, and sends to them."""
    assert c.call_links is not None
    here, others = c.call_links[device], [other for other in range(len(c.device_names)) if other != device]
    ways = [[c.route_links[other][device] for other in others], [c.route_links[device][other] for other in others]]
    got, sent = (
        np.min(
            [seconds[:, [link for link in route if here[link]]].sum(axis=1) for route in routes if route is not None]
            or [np.zeros(len(seconds))],
            axis=0,
        )
        for routes in ways
    )
    position = np.full(len(c.node_names), -1)
    position[path] = np.arange(len(path))
    uses: dict[tuple[int, int], list[int]] = {}
    for tensor, u, v in zip(c.edge_tensor.tolist(), c.edge_producer.tolist(), c.edge_consumer.tolist(), strict=True):
        if position[u] >= 0 and position[v] >= 0:
            uses.setdefault((tensor, int(position[u])), []).append(int(position[v]))
    total = np.zeros((len(path) + 1, len(path) + 1))
    for (tensor, made), found in uses.items():
        users = sorted(found)
        total[: made + 1, made + 1 : users[-1] + 1] += sent[tensor]
        following = np.searchsorted(users, np.arange(made + 1, len(path) + 1))  # the first use from a on
        for first, use in enumerate(following.tolist(), made + 1):
            if use < len(users):
                total[first, users[use] + 1 :] += got[tensor]
    return total
