"""Compiles a Problem into arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import (
    CallOrder,
    CompiledConstraint,
    CustomLimit,
    DeadlineLimit,
    LatencyTerm,
    LinearLimit,
    LinearTerm,
    MaxTerm,
    MemoryLimit,
    MulticastTrees,
    ObjectiveTerm,
    PeriodTerm,
    WeightGroups,
    WorstLeakageTerm,
)
from dnnopt.compiled.logical import COMPILERS, Nodes
from dnnopt.compiled.metrics import Array, LinearMetric, Mask
from dnnopt.compiled.structure import Routes, conflicts
from dnnopt.problem import constraints as specs
from dnnopt.problem.custom import CustomConstraint
from dnnopt.problem.metrics import STANDARD
from dnnopt.problem.networks import INPUT, OUTPUT, Network
from dnnopt.problem.objectives import Term
from dnnopt.problem.platforms import TIERS, Link
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import layer_joules, layer_seconds


def compile_problem(problem: Problem) -> CompiledProblem:
    """Return the arrays of a problem."""
    return _Compiler(problem).compile()


class _Compiler:
    """Builds the arrays in the order in which they depend on each other."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        platform = problem.platform
        self.devices = {device.name: index for index, device in enumerate(platform.devices)}
        self.links = {link.name: index for index, link in enumerate(platform.links)}
        self.networks = {network.name: index for index, network in enumerate(problem.networks)}
        self.nodes: dict[tuple[str, str], int] = {}
        self.inputs: dict[tuple[str, str], int] = {}  # nodes of raw input, by network and device
        self.node_names: list[str] = []
        self.node_network: list[int] = []
        self.layer_keys: list[tuple[str, str] | None] = []
        self.pins: list[int] = []
        self.memories = 0  # memory constraints so far

    def compile(self) -> CompiledProblem:
        for network in self.problem.networks:
            self._add_nodes(network)
        self._fill_times()
        self._fill_tensors()
        self._fill_weights()
        platform = self.problem.platform
        size = len(self.devices)
        routes: list[list[tuple[int, ...] | None]] = [
            [() if i == j else None for j in range(size)] for i in range(size)
        ]
        for route in platform.routes:
            links = tuple(self.links[name] for name in route.links)
            routes[self.devices[route.origin]][self.devices[route.destination]] = links
        resources = platform.all_resources()
        resource_devices = np.zeros((len(resources), size), dtype=bool)
        resource_links = np.zeros((len(resources), len(self.links)), dtype=bool)
        for q, resource in enumerate(resources):
            resource_devices[q, [self.devices[name] for name in resource.devices]] = True
            resource_links[q, [self.links[name] for name in resource.links]] = True
        self.resource_names = tuple(resource.name for resource in resources)
        self.resource_devices, self.resource_links = resource_devices, resource_links
        listed = [part for spec in self.problem.subject_to for part in self._constraint(spec)]
        constraints = (*listed, *self._of_execution(routes))
        return CompiledProblem(
            problem=self.problem,
            problem_name=self.problem.title,
            execution=self.problem.execution,
            transport=self.problem.transport,
            network_names=tuple(self.networks),
            node_names=tuple(self.node_names),
            node_network=np.array(self.node_network, dtype=np.int64),
            is_layer=self.is_layer,
            time=self.time,
            energy=self.energy,
            allowed=self.allowed,
            executor_names=tuple(self.devices),
            executor_device=np.arange(size),
            device_names=tuple(self.devices),
            device_tier=np.array([TIERS.index(d.tier) if d.tier else -1 for d in platform.devices]),
            device_trusted=np.array([d.trusted is not False for d in platform.devices], dtype=bool),
            tensor_names=tuple(self.tensor_names),
            tensor_network=self.tensor_network,
            tensor_bytes=self.tensor_bytes,
            sensitivity=self.sensitivity,
            producer=self.producer,
            use_tensor=self.use_tensor,
            use_consumer=self.use_consumer,
            link_names=tuple(self.links),
            link_bandwidth=np.array([link.bandwidth for link in platform.links], dtype=float),
            link_latency=self.link_latency,
            link_trusted=np.array([link.trusted is not False for link in platform.links], dtype=bool),
            route_links=tuple(tuple(row) for row in routes),
            resource_names=self.resource_names,
            resource_devices=resource_devices,
            resource_links=resource_links,
            objective=self._objective(),
            constraints=constraints,
            layer_keys=tuple(self.layer_keys),
            shared_weights=self.shared_weights,
            call_links=self._call_links() if self.problem.execution == "call" else None,
            pools=np.array([device.pool for device in platform.devices]) if self.problem.execution == "call" else None,
        )

    def _call_links(self) -> Mask:
        """Return the links at each device that is no pool (D, L)."""
        ends = [
            [not device.pool and device.name in (link.sender, link.receiver) for link in self._links]
            for device in self.problem.platform.devices
        ]
        return np.array(ends, dtype=bool).reshape(len(self.devices), len(self.links))

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

    def _fill_times(self) -> None:
        shape = (len(self.node_names), len(self.devices))
        self.time, self.energy = np.zeros(shape), np.zeros(shape)
        self.is_layer = np.array([key is not None for key in self.layer_keys], dtype=bool)
        layers = {(n.name, layer.name): (n, layer) for n in self.problem.networks for layer in n.layers}
        profile = self.problem.profile
        for node, key in enumerate(self.layer_keys):
            if key is None:
                continue
            network, layer = layers[key]
            for i, device in enumerate(self.problem.platform.devices):
                seconds = layer_seconds(profile, network, layer, device)
                if seconds is None:
                    self.time[node, i] = np.inf
                else:
                    self.time[node, i] = seconds
                    self.energy[node, i] = layer_joules(profile, network, layer, device, seconds)
        self.allowed = np.isfinite(self.time)
        for node, pin in enumerate(self.pins):
            if pin >= 0:
                self.allowed[node] = False
                self.allowed[node, pin] = True
        self.finite_time = np.where(np.isfinite(self.time), self.time, 0.0)
        self.link_latency = np.array([link.latency for link in self._links], dtype=float)
        self.seconds_per_byte = np.array([1.0 / link.bandwidth for link in self._links], dtype=float)

    def _fill_tensors(self) -> None:
        self.tensor_names: list[str] = []
        owner, size, sensitivity, producer, use_tensor, use_consumer = [], [], [], [], [], []
        for network in self.problem.networks:
            prefix = f"{network.name}." if len(self.networks) > 1 else ""
            for tensor in network.tensors:
                index = len(self.tensor_names)
                self.tensor_names.append(prefix + tensor.name)
                owner.append(self.networks[network.name])
                size.append(tensor.bytes)
                sensitivity.append(np.nan if tensor.sensitivity is None else tensor.sensitivity)
                source = self.problem.source_of(network, tensor.source)
                if tensor.producer != INPUT:
                    producer.append(self.nodes[network.name, tensor.producer])
                elif source is None or not tensor.consumers:
                    producer.append(-1)
                else:
                    producer.append(self.inputs[network.name, source])
                for consumer in tensor.consumers:
                    if (network.name, consumer) in self.nodes:  # the output is a node only where there is a sink
                        use_tensor.append(index)
                        use_consumer.append(self.nodes[network.name, consumer])
        self.tensor_network = np.array(owner, dtype=np.int64)
        self.tensor_bytes = np.array(size, dtype=float)
        self.sensitivity = np.array(sensitivity, dtype=float)
        self.producer = np.array(producer, dtype=np.int64)
        self.use_tensor = np.array(use_tensor, dtype=np.int64)
        self.use_consumer = np.array(use_consumer, dtype=np.int64)

    def _fill_weights(self) -> None:
        """Fill the bytes of each layer; weights that are shared by one layer alone are its own."""
        self.weights, self.activations = np.zeros(len(self.node_names)), np.zeros(len(self.node_names))
        for network in self.problem.networks:
            for layer in network.layers:
                node = self.nodes[network.name, layer.name]
                self.weights[node], self.activations[node] = layer.weights or 0.0, layer.activations or 0.0
        names, size, readers = [], [], []
        for shared in self.problem.all_shared_weights():
            nodes = [self.nodes[reader] for reader in shared.layers]
            if len(nodes) == 1:
                self.weights[nodes] += shared.bytes
            elif shared.bytes > 0:
                names.append(shared.name)
                size.append(shared.bytes)
                readers.append(np.isin(np.arange(len(self.node_names)), nodes))
        mask = np.array(readers, dtype=bool).reshape(len(names), len(self.node_names))
        self.shared_weights = WeightGroups(tuple(names), np.array(size, dtype=float), mask)

    # Metrics

    def _metric(
        self,
        name: str,
        unit: str,
        *,
        alpha: Array | None = None,
        per_copy: Array | None = None,
        per_byte: Array | None = None,
        factor: Array | None = None,
        gamma: Array | None = None,
    ) -> LinearMetric:
        """Return a metric; `factor` (A,) multiplies what belongs to each network."""
        factor = np.ones(len(self.networks)) if factor is None else factor
        links = np.zeros(len(self.links))
        alpha = np.zeros(self.time.shape) if alpha is None else alpha
        return LinearMetric(
            name=name,
            unit=unit,
            alpha=alpha * factor[np.array(self.node_network, dtype=np.int64)][:, None],
            per_copy=links if per_copy is None else per_copy,
            per_byte=links if per_byte is None else per_byte,
            scale=factor[self.tensor_network],
            gamma=np.zeros(len(self.tensor_names)) if gamma is None else gamma,
        )

    @property
    def _links(self) -> Sequence[Link]:
        return self.problem.platform.links

    def _sequential_latency(self, factor: Array) -> LinearMetric:
        return self._metric(
            "latency",
            "s",
            alpha=self.finite_time,
            per_copy=self.link_latency,
            per_byte=self.seconds_per_byte,
            factor=factor,
        )

    def _load(self, resource: int, factor: Array) -> LinearMetric:
        on_links = self.resource_links[resource]
        return self._metric(
            f"load({self.resource_names[resource]})",
            "s",
            alpha=self.finite_time * self.resource_devices[resource],
            per_copy=self.link_latency * on_links,
            per_byte=self.seconds_per_byte * on_links,
            factor=factor,
        )

    def _energy(self, devices: Sequence[str] | None) -> LinearMetric:
        chosen = [devices is None or name in devices for name in self.devices]
        per_byte = np.array(
            [
                link.send_energy_per_byte * (devices is None or link.sender in devices)
                + link.receive_energy_per_byte * (devices is None or link.receiver in devices)
                for link in self._links
            ],
            dtype=float,
        )
        return self._metric("energy", "J", alpha=self.energy * np.array(chosen), per_byte=per_byte)

    def _cost(self) -> LinearMetric:
        price = np.array([device.price for device in self.problem.platform.devices])
        per_byte = np.array([link.price_per_byte for link in self._links], dtype=float)
        return self._metric("cost", "USD", alpha=self.finite_time * price, per_byte=per_byte)

    def _traffic(self, links: Sequence[str] | None, factor: Array | None = None) -> LinearMetric:
        per_byte = np.array([links is None or name in links for name in self.links], dtype=float)
        return self._metric("traffic", "bytes", per_byte=per_byte, factor=factor)

    def _rates(self) -> Array:
        return np.array([network.rate or 0.0 for network in self.problem.networks])

    def _own_metric(self, name: str) -> LinearMetric:
        """Return one of the problem's own metrics."""
        own = next(metric for metric in self.problem.metrics if metric.name == name)
        alpha = np.zeros(self.time.shape)
        for network, layers in own.layers.items():
            for layer, places in layers.items():
                for device, value in places.items():
                    alpha[self.nodes[network, layer], self.devices[device]] = value
        charges = [own.links.get(link) for link in self.links]
        tensors = [(n.name, tensor.name) for n in self.problem.networks for tensor in n.tensors]
        return self._metric(
            name,
            own.unit,
            alpha=alpha,
            per_copy=np.array([charge.per_copy if charge else 0.0 for charge in charges], dtype=float),
            per_byte=np.array([charge.per_byte if charge else 0.0 for charge in charges], dtype=float),
            gamma=np.array([own.exposed.get(n, {}).get(tensor, 0.0) for n, tensor in tensors], dtype=float),
        )

    # Objective

    def _objective(self) -> tuple[tuple[ObjectiveTerm, ...], ...]:
        priorities = sorted({term.priority for term in self.problem.minimize})
        return tuple(
            tuple(
                part
                for term in self.problem.minimize
                if term.priority == priority
                for part in self._objective_term(term)
            )
            for priority in priorities
        )

    def _latency_terms(self, weight: float, network: str | None) -> list[LinearTerm | LatencyTerm]:
        factor = np.array(
            [(n.weight if network is None else float(n.name == network)) * weight for n in self.problem.networks]
        )
        if self.problem.execution in ("sequential", "pipelined"):
            return [LinearTerm(1.0, self._sequential_latency(factor))]
        return [LatencyTerm(float(w), a) for a, w in enumerate(factor) if w > 0]

    def _objective_term(self, term: Term) -> list[ObjectiveTerm]:
        if term.over == "max":
            parts = tuple(self._parts(term))
            return [MaxTerm(term.weight, parts)] if parts else []  # no links: no traffic
        if term.metric == "latency":
            return [*self._latency_terms(term.weight, term.network)]
        if term.metric == "period":
            return [PeriodTerm(term.weight)]
        if term.metric == "worst_leakage":
            return [WorstLeakageTerm(term.weight)]
        terms: list[LinearTerm | LatencyTerm] = [LinearTerm(term.weight, self._linear(term.metric, term))]
        if term.idle:
            idle = np.array(
                [
                    device.idle_power * (term.devices is None or device.name in term.devices)
                    for device in self.problem.platform.devices
                ]
            )
            terms.append(LinearTerm(term.weight, self._metric("idle energy", "J", alpha=-self.finite_time * idle)))
            terms.extend(self._latency_terms(term.weight * float(idle.sum()), None))
        return [*terms]

    def _linear(self, metric: str, of: Any) -> LinearMetric:
        """Return a linear metric as arrays, of the devices or links that a term or a constraint names."""
        return _LINEAR[metric](self, of) if metric in _LINEAR else self._own_metric(metric)

    def _parts(self, term: Term) -> list[LinearTerm | LatencyTerm]:
        """Return what the largest of is asked for."""
        parts = STANDARD[term.metric].parts
        if parts == "networks":
            return [part for name in self.networks for part in self._latency_terms(1.0, name)]
        names = getattr(term, parts) or getattr(self, parts)
        alone = [Term(metric=term.metric, **{parts: (name,)}) for name in names]
        return [LinearTerm(1.0, self._linear(term.metric, one)) for one in alone]

    # Constraints

    def _of_execution(self, routes: Routes) -> Iterator[CompiledConstraint]:
        """Yield what the execution itself asks of every plan."""
        if self.problem.execution == "call":
            for index, name in enumerate(self.networks):
                yield CallOrder(f"call({name})", index)
        several = any(len(tensor.consumers) > 1 for network in self.problem.networks for tensor in network.tensors)
        scheduled = self.problem.execution == "scheduled" and self.problem.transport == "multicast"
        if scheduled and several and (meeting := conflicts(routes)):
            yield MulticastTrees("multicast_tree", meeting)

    def _constraint(self, spec: specs.Constraint | CustomConstraint) -> list[CompiledConstraint]:
        label = spec.label
        match spec:
            case specs.Placement():
                node = self.nodes[spec.network, spec.layer]
                allowed = np.array([name in spec.allowed for name in self.devices])
                self.allowed[node] &= allowed
                return []
            case specs.Memory():
                return list(self._memory(spec))
            case specs.Deadline():
                return list(self._deadline(spec))
            case specs.Bandwidth():
                return list(self._bandwidth(spec))
            case specs.Utilisation():
                return self._load_limits(label, self._rates(), spec.limit)
            case specs.Energy() | specs.Cost() | specs.Traffic() | specs.Leakage():
                return [LinearLimit(label, self._linear(spec.constraint, spec), spec.limit)]
            case specs.WorstLeakage():
                above = (self.sensitivity > spec.limit * (1 + 1e-9)).astype(float)
                return [LinearLimit(label, self._metric("tensors exposed above the cap", "", gamma=above), 0.0)]
            case specs.MetricLimit(metric="period"):
                return self._load_limits(label, np.ones(len(self.networks)), spec.limit)
            case specs.MetricLimit():
                return [LinearLimit(label, self._linear(spec.metric, Term(metric=spec.metric)), spec.limit)]
            case CustomConstraint():
                return [CustomLimit(label, spec, partial(spec.amount, self.problem))]
            case _:
                return [*COMPILERS[type(spec)](spec, self._nodes_of_layers())]

    def _load_limits(self, label: str, factor: Array, limit: float) -> list[CompiledConstraint]:
        """Return that the load of every resource, with a factor on each network's, is at most `limit`."""
        return [
            LinearLimit(f"{label}({name})", self._load(resource, factor), limit)
            for resource, name in enumerate(self.resource_names)
        ]

    def _nodes_of_layers(self) -> Nodes:
        uses = zip(self.producer[self.use_tensor].tolist(), self.use_consumer.tolist(), strict=True)
        edges = tuple((u, v) for u, v in uses if u >= 0)
        return Nodes(tuple(self.networks), self._layer_nodes, edges, len(self.node_names))

    def _layer_nodes(self, network: str, layers: Sequence[str] | None) -> tuple[int, ...]:
        chosen = layers if layers is not None else [layer.name for layer in self.problem.network(network).layers]
        return tuple(sorted(self.nodes[network, name] for name in chosen))

    def _memory(self, spec: specs.Memory) -> list[MemoryLimit]:
        resident = self.weights + self.activations if spec.rule == "weights+activations" else self.weights
        peak = self.activations if spec.rule == "weights+largest_activation" else np.zeros(len(self.node_names))
        self.memories += 1
        number = self.memories if self.memories > 1 else ""
        limits = []
        for index, device in enumerate(self.problem.platform.devices):
            limit = spec.limit_on(device)
            if limit is not None:
                label = f"{spec.label}{number}({device.name})"
                limits.append(MemoryLimit(label, index, limit, resident, peak, self.shared_weights, spec.buffers))
        return limits

    def _deadline(self, spec: specs.Deadline) -> list[CompiledConstraint]:
        parts: list[CompiledConstraint] = []
        for index, network in enumerate(self.problem.networks):
            if spec.network not in (None, network.name):
                continue
            limit = spec.limit if spec.limit is not None else network.deadline
            assert limit is not None  # checked by Problem
            label = f"deadline({network.name})"
            if self.problem.execution in ("sequential", "pipelined"):
                factor = np.zeros(len(self.networks))
                factor[index] = 1.0
                parts.append(LinearLimit(label, self._sequential_latency(factor), limit))
            else:
                parts.append(DeadlineLimit(label, index, limit))
        return parts

    def _bandwidth(self, spec: specs.Bandwidth) -> list[LinearLimit]:
        if spec.limit is not None:
            assert spec.link is not None  # checked by the record
            return [LinearLimit(spec.label, self._traffic((spec.link,)), spec.limit)]
        return [
            LinearLimit(f"bandwidth({link.name})", self._traffic((link.name,), self._rates()), link.bandwidth)
            for link in self._links
            if spec.link in (None, link.name)
        ]


# Standard metrics that are linear, as arrays, of the devices or links that a term or a constraint names.
_LINEAR: dict[str, Callable[[_Compiler, Any], LinearMetric]] = {
    "energy": lambda to, of: to._energy(of.devices),
    "cost": lambda to, of: to._cost(),
    "traffic": lambda to, of: to._traffic(of.links),
    "leakage": lambda to, of: to._metric("leakage", "", gamma=to.sensitivity),
}
