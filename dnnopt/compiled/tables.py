"""The first arrays of a problem: its nodes, on what they may run, and what they make and use.

Everything that may be chosen of a layer is one choice: its executor, which is a device in one of its modes, with the
block in which the layer runs, or none, and a form for each of the layer's tensors that has several. What a block costs
is its first layer's; the layers of a block have it together (see `blocks.py`). A tensor whose bytes depend on that
choice has several entries among the tensors, each made under some choices alone; so has one with consumers that inputs
reach in different shares, where the difference of two shares is what an entry weighs:

    share · cost of a copy to all consumers of reach r_1 or more
        = r_1 · (copy to them) + (r_2 - r_1) · (copy to those of reach r_2 or more) + ...        r_1 < r_2 < ...
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from dnnopt.base.errors import UnsupportedError
from dnnopt.base.numbers import counted
from dnnopt.compiled.blocks import tied_blocks
from dnnopt.compiled.constraints import WeightGroups
from dnnopt.compiled.events import EventRow, all_events
from dnnopt.compiled.metrics import Array, Index, Mask
from dnnopt.problem.forms import Form
from dnnopt.problem.networks import INPUT, OUTPUT, Network, Tensor
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import coding_seconds, layer_joules, layer_loss, layer_seconds

_MOST_FORMS = 1000  # combinations of forms of the tensors that one layer makes


@dataclass(frozen=True)
class TensorEntry:
    """A tensor as it is made under some choices, for its consumers of some reach or more.

    Attributes
    ----------
    tensor : int
        Among all tensors of the problem.
    form : Form or None
    bytes, share : float
    consumers : tuple of str
    made : array (k,) or None
        Executors of the producer that make it; None: all.
    whole : bool
        Whether it is for all consumers.
    """

    tensor: int
    form: Form | None
    bytes: float
    share: float
    consumers: tuple[str, ...]
    made: Mask | None
    whole: bool


class Tables:
    """Builds the arrays in the order in which they depend on each other."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        platform = problem.platform
        self.devices = {device.name: index for index, device in enumerate(platform.devices)}
        self.links = {link.name: index for index, link in enumerate(platform.links)}
        self.networks = {network.name: index for index, network in enumerate(problem.networks)}
        self.hosts = platform.executors()
        self.host_device = np.array([self.devices[host.device.name] for host in self.hosts], dtype=np.int64)
        self.nodes: dict[tuple[str, str], int] = {}
        self.inputs: dict[tuple[str, str], int] = {}  # nodes of raw input, by network and device
        self.node_names: list[str] = []
        self.node_network: list[int] = []
        self.layer_keys: list[tuple[str, str] | None] = []
        self.pins: list[int] = []
        for network in problem.networks:
            self._add_nodes(network)
        self._fill_executors()
        self._fill_times()
        self._fill_tensors()
        self._fill_weights()

    def _add_node(self, network: Network, name: str, *, layer: bool, pin: int = -1) -> None:
        self.nodes[network.name, name] = len(self.node_names)
        prefix = f"{network.name}." if len(self.networks) > 1 else ""
        self.node_names.append(prefix + name)
        self.node_network.append(self.networks[network.name])
        self.layer_keys.append((network.name, name) if layer else None)
        self.pins.append(pin)

    def _add_nodes(self, network: Network) -> None:
        """Add the inputs (one for each device where raw input starts), the layers, and the output."""
        sources = [
            self.problem.source_of(network, tensor.source)
            for tensor in network.tensors
            if tensor.producer == INPUT and tensor.consumers
        ]
        located = list(dict.fromkeys(source for source in sources if source is not None))
        for source in located:
            name = INPUT if len(located) == 1 else f"{INPUT}.{source}"
            self.inputs[network.name, source] = len(self.node_names)
            self._add_node(network, name, layer=False, pin=self.devices[source])
        for index in network.order:
            self._add_node(network, network.layers[index].name, layer=True)
        if network.sink is not None and any(OUTPUT in tensor.consumers for tensor in network.tensors):
            self._add_node(network, OUTPUT, layer=False, pin=self.devices[network.sink])

    def _producer(self, network: Network, tensor: Tensor) -> int:
        """Return the node that makes a tensor; -1 for raw input that is everywhere, or that nobody uses."""
        if tensor.producer != INPUT:
            return self.nodes[network.name, tensor.producer]
        source = self.problem.source_of(network, tensor.source)
        return -1 if source is None or not tensor.consumers else self.inputs[network.name, source]

    def _tensors(self) -> Iterator[tuple[int, Network, Tensor, int]]:
        """Yield each tensor with its number, its network and the node that makes it."""
        number = 0
        for network in self.problem.networks:
            for tensor in network.tensors:
                yield number, network, tensor, self._producer(network, tensor)
                number += 1

    def _fill_executors(self) -> None:
        """Number the executors: those without block and form first, which are the hosts, then the others.

        An executor's choice counts combinations: the k-th of one node is a form, or none, for each of its tensors with
        forms; then the same in the first of its blocks, and so on.
        """
        formed: dict[int, list[tuple[int, Tensor]]] = {}
        for number, _, tensor, node in self._tensors():
            if tensor.forms and node >= 0:
                formed.setdefault(node, []).append((number, tensor))
        self.choices: dict[int, list[dict[int, Form | None]]] = {}
        for node, tensors in formed.items():
            count = int(np.prod([1.0 + len(tensor.forms) for _, tensor in tensors]))
            if count > _MOST_FORMS:
                what = f"{counted(count, 'combination')} of forms of what {self.node_names[node]} makes"
                raise UnsupportedError("", problem=f"{what}; at most {_MOST_FORMS} are looked at")
            options = product(*((None, *tensor.forms) for _, tensor in tensors))
            numbers = [number for number, _ in tensors]
            self.choices[node] = [dict(zip(numbers, option, strict=True)) for option in options]
        self.blocks = tied_blocks(self.problem, self.nodes)
        self.in_block: dict[int, list[int]] = {}  # by the number of a choice: the block, or -1
        for number, block in enumerate(self.blocks):
            for node in block.nodes:
                count = len(self.choices.get(node, ((),)))
                self.in_block.setdefault(node, [-1] * count).extend([number] * count)
        for node, members in self.in_block.items():
            if len(members) > _MOST_FORMS:
                what = f"{counted(len(members), 'combination')} of blocks and forms of {self.node_names[node]}"
                raise UnsupportedError("", problem=f"{what}; at most {_MOST_FORMS} are looked at")
            if node in self.choices:
                self.choices[node] *= len(members) // len(self.choices[node])
        counts = [len(some) for table in (self.choices, self.in_block) for some in table.values()]
        most = max(counts, default=1)
        hosts = len(self.hosts)
        self.executor_host = np.tile(np.arange(hosts), most)
        self.executor_choice = np.repeat(np.arange(most), hosts)
        self.executor_device = self.host_device[self.executor_host]
        self.executor_names = tuple(
            self.hosts[host].name + (f"/{choice}" if choice else "")
            for host, choice in zip(self.executor_host, self.executor_choice, strict=True)
        )

    def _fill_times(self) -> None:
        shape = (len(self.node_names), len(self.hosts))
        time, energy, loss = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.is_layer = np.array([key is not None for key in self.layer_keys], dtype=bool)
        layers = {(n.name, layer.name): (n, layer) for n in self.problem.networks for layer in n.layers}
        profile, loses = self.problem.profile, self.problem.can_lose_accuracy
        reach = np.ones(len(self.node_names))
        for node, key in enumerate(self.layer_keys):
            if key is None:
                continue
            network, layer = layers[key]
            reach[node] = layer.reach
            for i, host in enumerate(self.hosts):
                seconds = layer_seconds(profile, network, layer, host)
                if seconds is None:
                    time[node, i] = np.inf
                else:
                    time[node, i] = layer.reach * seconds
                    energy[node, i] = layer.reach * layer_joules(profile, network, layer, host, seconds)
                if loses and (seconds is not None or self.blocks):  # in a block it may run where it cannot by itself
                    loss[node, i] = layer_loss(profile, network, layer, host)
        self.reach = reach
        self.time, self.energy, self.loss = (part[:, self.executor_host] for part in (time, energy, loss))
        self._fill_blocks()
        self.allowed = np.isfinite(self.time) & self._with_known_choice()
        for node, pin in enumerate(self.pins):
            if pin >= 0:
                here = (self.executor_device == pin) & (self.host_first[self.executor_host])
                self.allowed[node] &= here
        self.finite_time = np.where(np.isfinite(self.time), self.time, 0.0)
        links = self.problem.platform.links
        self.link_latency = np.array([link.latency for link in links], dtype=float)
        self.link_bandwidth = np.array([link.bandwidth for link in links], dtype=float)
        self.seconds_per_byte = np.array([1.0 / link.bandwidth for link in links], dtype=float)

    def _fill_blocks(self) -> None:
        """Put what blocks cost in place of what their layers do: all of it at the first one."""
        self.block: Index | None = None
        if not self.blocks:
            return
        self.block = np.full(self.time.shape, -1)
        for node, members in self.in_block.items():
            mine = np.flatnonzero(self.executor_choice < len(members))
            self.block[node, mine] = np.array(members)[self.executor_choice[mine]]
        for number, block in enumerate(self.blocks):
            seconds, joules = np.full(len(self.hosts), np.inf), np.zeros(len(self.hosts))
            for i, host in enumerate(self.hosts):
                known = block.named.seconds(host)
                if known is not None:
                    seconds[i] = block.named.reach * known
                    joules[i] = block.named.reach * block.named.joules(host, known)
            for node in block.nodes:
                here = np.flatnonzero(self.block[node] == number)
                at = self.executor_host[here]
                first = node == block.nodes[0]
                self.time[node, here] = seconds[at] if first else np.where(np.isfinite(seconds[at]), 0.0, np.inf)
                self.energy[node, here] = joules[at] if first else 0.0

    @property
    def host_first(self) -> Mask:
        """Whether a host is the first of its device: where inputs and outputs are (H,)."""
        first = np.zeros(len(self.hosts), dtype=bool)
        first[np.unique(self.host_device, return_index=True)[1]] = True
        return first

    def _with_known_choice(self) -> Mask:
        """Return which executors a node may have as far as forms go (N, k): those that can encode them."""
        found = np.tile(self.executor_choice == 0, (len(self.node_names), 1))
        for node in self.in_block.keys() - self.choices.keys():
            found[node] = self.executor_choice < len(self.in_block[node])
        for node, choices in self.choices.items():
            for number, forms in enumerate(choices):
                able = [all(self._encode(form, device) is not None for form in forms.values()) for device in self._all]
                found[node] |= (self.executor_choice == number) & np.array(able)[self.executor_device]
        return found

    @property
    def _all(self) -> range:
        return range(len(self.devices))

    def _encode(self, form: Form | None, device: int) -> float | None:
        return 0.0 if form is None else coding_seconds(form.encode, self.problem.platform.devices[device], "encode")

    def _decode(self, form: Form, device: int) -> float | None:
        return coding_seconds(form.decode, self.problem.platform.devices[device], "decode")

    def _entries(self, number: int, network: Network, tensor: Tensor, node: int) -> Iterator[TensorEntry]:
        """Yield a tensor's entries: for each size that choices of its producer give it, one for each level of reach."""
        consumers = tuple(name for name in tensor.consumers if (network.name, name) in self.nodes)
        if network.name not in self.exiting:
            for form, size, made in self._sizes(number, tensor, node):
                yield TensorEntry(number, form, size, 1.0, consumers, made, True)
            return
        reaches = {name: network.reach_of(tensor, name) for name in consumers}
        levels = sorted(set(reaches.values())) or [1.0]
        for form, size, made in self._sizes(number, tensor, node):
            for below, reach in zip([0.0, *levels], levels, strict=False):
                some = tuple(name for name in consumers if reaches[name] >= reach)
                yield TensorEntry(number, form, size, reach - below, some, made, below == 0.0)

    def _sizes(self, number: int, tensor: Tensor, node: int) -> Iterator[tuple[Form | None, float, Mask | None]]:
        """Yield the forms and bytes that a tensor may have, and the executors of its producer that make it so."""
        own = node >= 0 and self.layer_keys[node] is not None
        if node < 0 or (node not in self.choices and not (own and self.resizes)):
            yield None, tensor.bytes, None
            return
        factor = np.array([host.mode.output_bytes if own else 1.0 for host in self.hosts])[self.executor_host]
        chosen = [choice.get(number) for choice in self.choices.get(node, [{}])]
        for form in (None, *(tensor.forms if node in self.choices else ())):
            mine = np.array([one is form for one in chosen])
            made = mine[np.minimum(self.executor_choice, len(mine) - 1)]
            if form is not None:
                yield form, form.bytes, made
                continue
            factors = np.unique(factor[self.allowed[node] & made])
            for value in factors if len(factors) else [1.0]:
                some = made & (factor == value)
                yield None, tensor.bytes * value, None if some[self.allowed[node]].all() else some

    def _fill_tensors(self) -> None:
        self.resizes = any(host.mode.output_bytes != 1 for host in self.hosts)
        self.exiting = {network.name for network in self.problem.networks if network.has_exits}
        self.entries: list[TensorEntry] = []
        self.tensor_names: list[str] = []
        owner, sensitivity, producer, use_tensor, use_consumer = [], [], [], [], []
        self.tensor_node: list[int] = []
        events: list[EventRow] = []
        self.barred: list[tuple[int, int]] = []  # edges to devices that cannot decode; -1: to none
        edges = 0
        for number, network, tensor, node in self._tensors():
            prefix = f"{network.name}." if len(self.networks) > 1 else ""
            self.tensor_node.append(node)
            found = list(self._entries(number, network, tensor, node))
            sized = [entry for entry in found if entry.whole]
            first_edge = []
            for entry in found:
                index = len(self.tensor_names)
                name = prefix + tensor.name
                if len(sized) > 1:
                    name += f"@{entry.form.name}" if entry.form else f"@{entry.bytes:.12g}"
                self.tensor_names.append(name if entry.whole else f"{name}>{entry.share:.12g}")
                owner.append(self.networks[network.name])
                known = tensor.sensitivity if entry.whole and len(sized) == 1 else 0.0
                sensitivity.append(np.nan if known is None else known)
                producer.append(node)
                first_edge.append(edges)
                for consumer in entry.consumers:
                    use_tensor.append(index)
                    use_consumer.append(self.nodes[network.name, consumer])
                    if node >= 0:
                        if entry.form is None and not tensor.plain:
                            self.barred.append((edges, -1))
                        elif entry.form is not None:
                            unable = [j for j in self._all if self._decode(entry.form, j) is None]
                            self.barred.extend((edges, device) for device in unable)
                        edges += 1
            self.entries.extend(found)
            if node >= 0 and len(sized) > 1:
                events += self._events(network, tensor, list(zip(found, first_edge, strict=True)))
        untrusted = [device.trusted is False for device in self.problem.platform.devices]
        self.events = all_events(events, np.array(untrusted, dtype=bool))
        self.tensor_network = np.array(owner, dtype=np.int64)
        self.tensor_bytes = np.array([entry.bytes for entry in self.entries], dtype=float)
        self.tensor_share = np.array([entry.share for entry in self.entries], dtype=float)
        self.sensitivity = np.array(sensitivity, dtype=float)
        self.producer = np.array(producer, dtype=np.int64)
        self.use_tensor = np.array(use_tensor, dtype=np.int64)
        self.use_consumer = np.array(use_consumer, dtype=np.int64)

    def _events(self, network: Network, tensor: Tensor, found: list[tuple[TensorEntry, int]]) -> Iterator[EventRow]:
        """Yield what is paid, lost or seen if a tensor with several sizes is sent, given its entries' first edges."""
        owner = self.networks[network.name]
        name = f"{network.name}.{tensor.name}" if len(self.networks) > 1 else tensor.name
        devices = tuple(self.devices)

        def edges(entry: TensorEntry, first: int) -> Index:
            return np.arange(first, first + len(entry.consumers))

        for entry, first in found:
            if entry.form is None:
                continue
            mine, label = edges(entry, first), f"{name}@{entry.form.name}"
            if entry.whole and entry.form.loss > 0:
                yield EventRow(f"lost({label})", owner, mine, loss=entry.form.loss)
            for device in self._all:
                encode, decode = self._encode(entry.form, device), self._decode(entry.form, device)
                paid = EventRow("", owner, mine, device=device)
                if encode:
                    title, seconds = f"encode({label},{devices[device]})", entry.share * encode
                    yield replace(paid, name=title, seconds=seconds, origin=device)
                if decode:
                    title, seconds = f"decode({label},{devices[device]})", entry.share * decode
                    yield replace(paid, name=title, seconds=seconds, destination=device)
        if tensor.sensitivity is None:
            return
        whole = [(entry, edges(entry, first)) for entry, first in found if entry.whole]
        plain, below = tensor.sensitivity, 0.0
        values = [
            plain if one.form is None or one.form.sensitivity is None else one.form.sensitivity for one, _ in whole
        ]
        for level, value in enumerate(sorted({plain, *values})):
            seen = [mine for (_, mine), least in zip(whole, values, strict=True) if least >= value]
            yield EventRow(
                name=f"seen({name},{level})",
                network=owner,
                edges=np.concatenate(seen) if seen else whole[0][1][:0],
                sensitivity=value,
                step=value - below,
                tensor=whole[0][0].tensor if level == 0 else -1,
                exposes=True,
                stays=whole[0][1] if plain >= value else None,  # of the edges of one use, one stands for what stays
            )
            below = value

    def _fill_weights(self) -> None:
        """Fill the bytes of each layer; weights that are shared by one layer alone are its own."""
        count = len(self.node_names)
        self.weights, self.activations, self.state = np.zeros(count), np.zeros(count), np.zeros(count)
        for network in self.problem.networks:
            for layer in network.layers:
                node = self.nodes[network.name, layer.name]
                self.weights[node], self.activations[node] = layer.weights or 0.0, layer.activations or 0.0
                self.state[node] = layer.state
        names, size, readers = [], [], []
        for shared in self.problem.all_shared_weights():
            nodes = [self.nodes[reader] for reader in shared.layers]
            if len(nodes) == 1:
                self.weights[nodes] += shared.bytes
            elif shared.bytes > 0:
                names.append(shared.name)
                size.append(shared.bytes)
                readers.append(np.isin(np.arange(count), nodes))
        mask = np.array(readers, dtype=bool).reshape(len(names), count)
        self.shared_weights = WeightGroups(tuple(names), np.array(size, dtype=float), mask)

    @property
    def made(self) -> Mask | None:
        """Whether an executor of its producer makes each entry (T, k); None: every one makes all."""
        if all(entry.made is None for entry in self.entries):
            return None
        every = np.ones(len(self.executor_names), dtype=bool)
        return np.array([every if entry.made is None else entry.made for entry in self.entries])

    def by_executor(self, factor: str, values: Array) -> Array:
        """Return values of nodes (N,) times the factor of that name of each executor's mode (N, k)."""
        factors = np.array([getattr(host.mode, factor) for host in self.hosts])[self.executor_host]
        return values[:, None] * factors
