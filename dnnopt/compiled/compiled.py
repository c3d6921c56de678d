"""CompiledProblem: a Problem as indices and numpy arrays. Every algorithm reads these, none reads Problem.

The records that the arrays were made from are there for pieces of a user's own: `problem`, and in the order of the
arrays `layers`, `devices`, `tensors` and `links`.

Nodes are the layers and the pseudo-layers ``input`` and ``output``, in a topological order, network after network, so a
producer's index is always below its consumers'. Executors are what a node can be placed on: a device in one of its
modes (a *host*), in one of the node's blocks or in none, with forms for the tensors that it makes. With one mode per
device, no blocks and no forms they are the devices.
Communication is between devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dnnopt.compiled.blocks import TiedBlock
from dnnopt.compiled.constraints import CompiledConstraint, MaxTerm, ObjectiveLimit, ObjectiveTerm, WeightGroups
from dnnopt.compiled.events import Events
from dnnopt.compiled.metrics import Array, Index, LinearMetric, Mask
from dnnopt.problem.forms import Form
from dnnopt.problem.networks import Layer, Tensor
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Device, Link
from dnnopt.problem.problem import Problem

Scalar = TypeVar("Scalar", bound=np.generic)
Made = TypeVar("Made")


def kept(make: Callable[[CompiledProblem], Made]) -> Callable[[CompiledProblem], Made]:
    """Let a function of a problem do its work once for each problem, which keeps the result."""

    @wraps(make)
    def made(compiled: CompiledProblem) -> Made:
        if make not in compiled._made:
            compiled._made[make] = make(compiled)
        result: Made = compiled._made[make]
        return result

    return made


@dataclass(frozen=True, eq=False)
class CompiledProblem:
    """A problem as arrays.

    Sizes: N nodes, k executors, D devices, H hosts, T tensors, E edges, L links, Q resources, A networks, X events.

    Attributes
    ----------
    problem : Problem
        As it was stated; bounds, limits by priority and what presolve finds are in the arrays alone.
    node_network, is_layer : (N,)
    time, energy : (N, k)
        Expected seconds and joules; infinite seconds where a node cannot run (then 0 J).
    allowed : (N, k)
        Where a node may be placed: supported there, and no placement constraint or pin against it.
    executor_device, executor_host : (k,)
        The executors without blocks and forms come first, and are the hosts.
    host_device : (H,)
    tensor_network, tensor_bytes, sensitivity : (T,)
        A tensor whose size or reach depends on more has several entries: see `tables.py`.
    tensor_share : (T,)
        By what copies of the entry are multiplied in all metrics.
    tensor_number, tensor_whole : (T,)
        Which tensor of the problem an entry is of, and whether it is for all consumers: others do not count again.
    producer : (T,)
        Node that makes the tensor; -1 for raw input that is everywhere.
    use_tensor, use_consumer : (U,)
        Every use of a tensor by a node, ordered by tensor.
    edge_tensor, edge_producer, edge_consumer : (E,)
        The uses whose tensor has a producer: what may have to be sent.
    route_links : D x D nested tuples
        Links from one device to another, in order; None: no route.
    resource_devices, resource_links : (Q, D), (Q, L)
    shared_weights : WeightGroups
        What several nodes read; weights of one reader alone are its own.
    events : Events
        What happens as tensors with choices are sent.
    choices : mapping
        For nodes that make tensors with forms: by the number of a choice, the form of each of these tensors.
    blocks : tuple of TiedBlock
        Blocks with costs of their own: nodes that have such an executor together.
    block : (N, k), optional
        In which block a node is on each executor; -1: in none. None: there are no blocks.
    made : (T, k), optional
        Whether an executor of its producer makes an entry; None: every one makes all.
    barred_moves : (E, P), optional
        Pairs of devices that an edge may not go over in any plan: its form is not for them.
    forbidden_moves : (E, P), optional
        Those that are left out, though there is a route.
    call_links : (D, L), optional
        Under `call` execution: the links at each device that runs calls; none at pools, which have rows of zeros.
    pools : (D,), optional
        Under `call` execution: which devices are pools.
    floor, cap : float
        What is known of the optimum (SI): no plan is below the floor, and plans above the cap need not be found.
    """

    problem: Problem
    problem_name: str
    execution: str
    transport: str
    network_names: tuple[str, ...]
    node_names: tuple[str, ...]
    node_network: Index
    is_layer: Mask
    time: Array
    energy: Array
    allowed: Mask
    executor_names: tuple[str, ...]
    executor_device: Index
    executor_host: Index
    host_names: tuple[str, ...]
    host_device: Index
    device_names: tuple[str, ...]
    device_tier: Index
    device_trusted: Mask
    tensor_names: tuple[str, ...]
    tensor_network: Index
    tensor_bytes: Array
    tensor_share: Array
    tensor_number: Index
    tensor_whole: Mask
    sensitivity: Array
    producer: Index
    use_tensor: Index
    use_consumer: Index
    link_names: tuple[str, ...]
    link_bandwidth: Array
    link_latency: Array
    link_trusted: Mask
    route_links: tuple[tuple[tuple[int, ...] | None, ...], ...]
    resource_names: tuple[str, ...]
    resource_devices: Mask
    resource_links: Mask
    objective: tuple[tuple[ObjectiveTerm, ...], ...]
    constraints: tuple[CompiledConstraint, ...]
    layer_keys: tuple[tuple[str, str] | None, ...]
    shared_weights: WeightGroups
    events: Events
    choices: Mapping[int, Sequence[Mapping[int, Form | None]]]
    blocks: tuple[TiedBlock, ...] = ()
    block: Index | None = None
    made: Mask | None = None
    barred_moves: Mask | None = None
    forbidden_moves: Mask | None = None
    call_links: Mask | None = None
    pools: Mask | None = None
    floor: float = -np.inf
    cap: float = np.inf

    @cached_property
    def _made(self) -> dict[Callable[[CompiledProblem], Any], Any]:
        """What functions under `kept` have made of the problem."""
        return {}

    @cached_property
    def layers(self) -> tuple[Layer | None, ...]:
        """The layer of each node (N,), with operator, weights and all; None where input starts or output is wanted."""
        found = {(net.name, layer.name): layer for net in self.problem.networks for layer in net.layers}
        return tuple(None if key is None else found[key] for key in self.layer_keys)

    @cached_property
    def devices(self) -> tuple[Device, ...]:
        """The device of each executor (k,)."""
        return tuple(self.problem.platform.devices[device] for device in self.executor_device)

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors (T,)."""
        tensors = [tensor for network in self.problem.networks for tensor in network.tensors]
        return tuple(tensors[number] for number in self.tensor_number)

    @property
    def links(self) -> tuple[Link, ...]:
        """The links (L,)."""
        return self.problem.platform.links

    @property
    def has_choices(self) -> bool:
        """Whether executors are more than devices or tell how large tensors are, or some tensors may not be sent."""
        more = len(self.executor_device) > len(self.device_names)
        return more or self.made is not None or self.barred_moves is not None

    @property
    def has_other_choices(self) -> bool:
        """Whether there are such beside blocks: modes and forms, that is."""
        only_blocks = self.blocks and len(self.host_names) == len(self.device_names) and not self.choices
        return self.has_choices and not (only_blocks and self.made is None and self.barred_moves is None)

    @cached_property
    def makes(self) -> Mask:
        """Whether an executor of its producer makes an edge's tensor (E, k)."""
        if self.made is None:
            return np.ones((len(self.edges), len(self.executor_names)), dtype=bool)
        return self.made[self.edge_tensor]

    @cached_property
    def buffer_bytes(self) -> Array:
        """Bytes of each tensor where it is sent or received (T,): of several entries of one, one counts."""
        return self.tensor_bytes * self.tensor_whole

    @cached_property
    def seconds(self) -> Array:
        """Seconds of each node on each executor (N, k); 0 where it cannot run."""
        return np.where(np.isfinite(self.time), self.time, 0.0)

    @cached_property
    def allowed_time(self) -> Array:
        """Seconds of each node on each executor (N, k); infinite where it may not be placed."""
        return np.where(self.allowed, self.time, np.inf)

    @cached_property
    def edges(self) -> Index:
        """Indices of the uses that may have to be sent."""
        return np.flatnonzero(self.producer[self.use_tensor] >= 0)

    @cached_property
    def edge_tensor(self) -> Index:
        return self.use_tensor[self.edges]

    @cached_property
    def edge_consumer(self) -> Index:
        return self.use_consumer[self.edges]

    @cached_property
    def edge_producer(self) -> Index:
        return self.producer[self.edge_tensor]

    @cached_property
    def fan_out(self) -> Index:
        """Number of edges of each tensor (T,)."""
        return np.bincount(self.edge_tensor, minlength=len(self.tensor_names))

    @cached_property
    def pair_origin(self) -> Index:
        """Origin device of each ordered pair of two devices (P,); pairs are ordered by origin, then destination."""
        size = len(self.device_names)
        return np.repeat(np.arange(size), max(size - 1, 0))

    @cached_property
    def pair_destination(self) -> Index:
        size = len(self.device_names)
        others = np.arange(size * (size - 1)) % max(size - 1, 1)
        return others + (others >= self.pair_origin)

    @cached_property
    def pair_number(self) -> Index:
        """Number of the pair from one device to another (D, D); -1 from a device to itself."""
        return self.by_devices(np.arange(len(self.pair_origin)), same=-1)

    def by_devices(self, values: NDArray[Scalar], same: float = 0.0) -> NDArray[Scalar]:
        """Return values of pairs (..., P) from device to device (..., D, D); `same` from a device to itself."""
        size = len(self.device_names)
        table = np.full((*values.shape[:-1], size, size), same, dtype=values.dtype)
        table[..., self.pair_origin, self.pair_destination] = values
        return table

    def edge_pairs(self, placements: Index) -> Index:
        """Return the number of the pair over which each edge goes (..., E) in placements (..., N); -1: none."""
        device = self.executor_device[placements]
        pairs = self.pair_number[device[..., self.edge_producer], device[..., self.edge_consumer]]
        if self.made is None:
            return pairs
        makes = self.makes[np.arange(len(self.edges)), placements[..., self.edge_producer]]
        return np.where(makes, pairs, -1)

    @cached_property
    def pair_routed(self) -> Mask:
        """Whether the pair may talk (P,)."""
        routes = [self.route_links[i][j] for i, j in zip(self.pair_origin, self.pair_destination, strict=True)]
        return np.array([route is not None for route in routes], dtype=bool)

    @cached_property
    def edge_moves(self) -> Mask:
        """Whether each edge may go over each pair of devices (E, P)."""
        routed = np.broadcast_to(self.pair_routed, (len(self.edges), len(self.pair_routed)))
        if self.barred_moves is not None:
            routed = routed & ~self.barred_moves
        return routed if self.forbidden_moves is None else routed & ~self.forbidden_moves

    @cached_property
    def usable_moves(self) -> Mask:
        """Whether each edge may go over each pair of devices, at which its ends may be (E, P)."""
        at = self.at_devices(self.allowed)
        before, after = at[self.edge_producer], at[self.edge_consumer]
        return self.edge_moves & before[:, self.pair_origin] & after[:, self.pair_destination]

    def at_devices(self, allowed: Mask) -> Mask:
        """Return the devices at which rows of executors (R, k) are allowed (R, D)."""
        at = np.zeros((len(allowed), len(self.device_names)), dtype=bool)
        for executor, device in enumerate(self.executor_device):
            at[:, device] |= allowed[:, executor]
        return at

    @cached_property
    def pair_uses_link(self) -> Mask:
        """Whether the pair's route has the link (P, L)."""
        uses = np.zeros((len(self.pair_origin), len(self.link_names)), dtype=bool)
        for pair, (i, j) in enumerate(zip(self.pair_origin, self.pair_destination, strict=True)):
            uses[pair, list(self.route_links[i][j] or ())] = True
        return uses

    @cached_property
    def pair_seconds(self) -> tuple[Array, Array]:
        """Seconds per copy and per byte over each pair's route, one hop after the other (P,), (P,)."""
        uses = self.pair_uses_link
        return uses @ self.link_latency, uses @ (1.0 / self.link_bandwidth)

    @cached_property
    def copy_seconds(self) -> Array:
        """Seconds of one copy of each tensor over each pair's route, one hop after the other (T, P)."""
        per_copy, per_byte = self.pair_seconds
        return self.tensor_share[:, None] * (per_copy + self.tensor_bytes[:, None] * per_byte)

    @cached_property
    def coding_seconds(self) -> Array:
        """Seconds of encoding each edge's tensor at the origin and decoding it at the destination of pairs (E, P)."""
        seconds, events = np.zeros((len(self.edges), len(self.pair_origin))), self.events
        np.add.at(seconds, events.edge, (events.seconds[:, None] * self.event_pairs)[events.event])
        return seconds

    @cached_property
    def edge_seconds(self) -> Array:
        """Seconds from the end of an edge's producer to when its tensor is there, over each pair (E, P)."""
        return self.copy_seconds[self.edge_tensor] + self.coding_seconds

    @cached_property
    def event_pairs(self) -> Mask:
        """Over which pairs an edge must go to bring each event about (X, P)."""
        events = self.events
        found = events.origins[:, self.pair_origin] & events.destinations[:, self.pair_destination]
        over = (self.pair_uses_link & ~self.link_trusted).any(axis=1) | ~self.device_trusted[self.pair_destination]
        return found & (over | ~events.exposes[:, None])

    @cached_property
    def hop_seconds(self) -> Array:
        """Seconds for which one copy of each tensor occupies each link (T, L)."""
        return self.tensor_share[:, None] * (self.link_latency + self.tensor_bytes[:, None] / self.link_bandwidth)

    @cached_property
    def loads(self) -> tuple[LinearMetric, ...]:
        """The load of each resource."""
        members = zip(self.resource_names, self.resource_devices, self.resource_links, strict=True)
        return tuple(self.busy(f"load({name})", devices, links) for name, devices, links in members)

    def busy(self, name: str, devices: Array | Mask, links: Array | Mask) -> LinearMetric:
        """Return the seconds for which devices and links are busy, each counted so many times (D,), (L,)."""
        return replace(
            self.zero_metric(name, "s"),
            alpha=self.seconds * devices[self.executor_device],
            per_copy=self.link_latency * links,
            per_byte=links / self.link_bandwidth,
            on_event=self.events.seconds * np.append(devices, 0.0)[self.events.device],
        )

    def zero_metric(self, name: str, unit: str) -> LinearMetric:
        """Return a metric without any coefficient, of the right shapes."""
        links = len(self.link_names)
        return LinearMetric(
            name=name,
            unit=unit,
            alpha=np.zeros(self.time.shape),
            per_copy=np.zeros(links),
            per_byte=np.zeros(links),
            scale=self.tensor_share,
            gamma=np.zeros(len(self.tensor_names)),
            on_event=np.zeros(len(self.events)),
        )

    def terms(self) -> Iterator[ObjectiveTerm]:
        """Yield every objective term, of objectives and of limits on them, and the parts of maxima."""
        limits = [constraint.terms for constraint in self.constraints if isinstance(constraint, ObjectiveLimit)]
        for terms in (*self.objective, *limits):
            for term in terms:
                yield term
                if isinstance(term, MaxTerm):
                    yield from term.parts

    def at_stage(self, stage: int, caps: Mapping[int, float]) -> CompiledProblem:
        """Return the problem of minimising one priority's objective, with limits on some of the others.

        Parameters
        ----------
        stage : int
            Index into `objective`.
        caps : mapping of int to float
            Limits (SI), by index into `objective`.
        """
        limits = tuple(
            ObjectiveLimit(f"objective {index} (priority)", self.objective[index], limit)
            for index, limit in sorted(caps.items())
            if self.objective[index]  # the largest traffic of no links is no term
        )
        if len(self.objective) == 1 and not limits:
            return self
        constraints = (*self.constraints, *limits)
        return replace(self, objective=(self.objective[stage],), constraints=constraints)

    def plan(self, placement: Sequence[int] | Index) -> Plan:
        """Return the plan of a placement: an executor for each node (N,)."""
        placement = np.asarray(placement)
        placed: dict[str, dict[str, str]] = {name: {} for name in self.network_names}
        for key, executor in zip(self.layer_keys, placement, strict=True):
            if key is not None:
                placed[key[0]][key[1]] = self.host_names[self.executor_host[executor]]
        forms: dict[str, dict[str, str]] = {}
        for index in self._sent(placement) if self.choices else ():
            number, node = self.tensor_number[index], self.producer[index]
            form = self._forms_of(int(node), int(placement[node])).get(int(number))
            if form is not None:
                network = self.network_names[self.tensor_network[index]]
                forms.setdefault(network, {})[self.tensors[index].name] = form.name
        return Plan(placement=placed, forms=forms, blocks=self._whole_blocks(placement) if self.blocks else {})

    def _whole_blocks(self, placement: Index) -> dict[str, list[str]]:
        """Return the names of the blocks that all of their nodes are in, on one host; the others do not run as one."""
        assert self.block is not None
        inside = self.block[np.arange(len(placement)), placement]
        names: dict[str, list[str]] = {}
        for number, block in enumerate(self.blocks):
            nodes = list(block.nodes)
            if (inside[nodes] == number).all() and len(set(self.executor_host[placement[nodes]].tolist())) == 1:
                names.setdefault(block.named.network, []).append(block.named.name)
        return names

    def _sent(self, placement: Index) -> Index:
        """Return the tensors that are sent, in their order."""
        return np.unique(self.edge_tensor[self.edge_pairs(placement) >= 0])

    def _forms_of(self, node: int, executor: int) -> Mapping[int, Form | None]:
        """Return the forms, by tensor, that a node's executor stands for."""
        return self.choices[node][executor // len(self.host_names)] if node in self.choices else {}

    def placement(self, plan: Plan) -> Index:
        """Return the executor of each node (N,) in `plan`; pseudo-layers are where they are pinned."""
        host = {name: index for index, name in enumerate(self.host_names)}
        pinned = self.allowed.argmax(axis=1)
        found = [
            int(pinned[node]) if key is None else host[plan.placement[key[0]][key[1]]]
            for node, key in enumerate(self.layer_keys)
        ]
        hosts = len(self.host_names)
        device = self.executor_device[found]
        moves = device[self.edge_producer] != device[self.edge_consumer]
        sent = set(self.tensor_number[self.edge_tensor[moves]].tolist()) if self.choices else set()
        for node, choices in self.choices.items():
            wanted = plan.forms.get(self.network_names[self.node_network[node]], {})
            stated = {n: wanted.get(self._tensor_names[n]) if n in sent else None for n in choices[0]}
            told = [{number: None if form is None else form.name for number, form in one.items()} for one in choices]
            found[node] = found[node] % hosts + hosts * told.index(stated)
        for number, block in enumerate(self.blocks if plan.blocks else ()):
            if block.named.name in plan.blocks.get(block.named.network, ()):
                for node in block.nodes:
                    found[node] += hosts * self._first_choice(node, number)
        return np.array(found, dtype=np.int64)

    def _first_choice(self, node: int, block: int) -> int:
        """Return the first choice of a node in a block: that without forms."""
        assert self.block is not None
        return int((self.block[node] == block).argmax()) // len(self.host_names)

    def of_same_plan(self, placement: Index) -> Mask:
        """Return which executors of each node (N, k) are all one in a plan: they differ in forms that are not sent."""
        found = np.zeros(self.allowed.shape, dtype=bool)
        found[np.arange(len(placement)), placement] = True
        sent = set(self.tensor_number[self._sent(placement)].tolist())
        hosts = len(self.host_names)
        for node, choices in self.choices.items():
            chosen = choices[placement[node] // hosts]
            for number, other in enumerate(choices):
                same = all(other[tensor] == form for tensor, form in chosen.items() if tensor in sent)
                found[node, placement[node] % hosts + hosts * number] |= same
        if self.block is not None:
            found &= self.block == self.block[np.arange(len(placement)), placement][:, None]
        return found

    @cached_property
    def _tensor_names(self) -> tuple[str, ...]:
        """Names of the problem's tensors, by their numbers."""
        return tuple(tensor.name for network in self.problem.networks for tensor in network.tensors)
