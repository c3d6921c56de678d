"""Metrics of a problem as arrays: what placements, copies and events cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.across import combined
from dnnopt.compiled.constraints import LatencyTerm, LinearLimit, LinearTerm
from dnnopt.compiled.metrics import Array, LinearMetric
from dnnopt.compiled.tables import Tables
from dnnopt.problem.metrics import STANDARD
from dnnopt.problem.objectives import Term
from dnnopt.problem.platforms import Link
from dnnopt.problem.problem import Problem

_ROUNDING = 1e-12


class Measures(Tables):
    """The metrics, in terms of the tables."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        resources = problem.platform.all_resources()
        self.resource_names = tuple(resource.name for resource in resources)
        self.resource_devices = np.zeros((len(resources), len(self.devices)), dtype=bool)
        self.resource_links = np.zeros((len(resources), len(self.links)), dtype=bool)
        for q, resource in enumerate(resources):
            self.resource_devices[q, [self.devices[name] for name in resource.devices]] = True
            self.resource_links[q, [self.links[name] for name in resource.links]] = True

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
        on_event: Array | None = None,
    ) -> LinearMetric:
        """Return a metric; `factor` (A,) multiplies what belongs to each network."""
        on_event = np.zeros(len(self.events)) if on_event is None else on_event
        factor = np.ones(len(self.networks)) if factor is None else factor
        links = np.zeros(len(self.links))
        alpha = np.zeros(self.time.shape) if alpha is None else alpha
        return LinearMetric(
            name=name,
            unit=unit,
            alpha=alpha * factor[np.array(self.node_network, dtype=np.int64)][:, None],
            per_copy=links if per_copy is None else per_copy,
            per_byte=links if per_byte is None else per_byte,
            scale=factor[self.tensor_network] * self.tensor_share,
            gamma=np.zeros(len(self.tensor_names)) if gamma is None else gamma,
            on_event=on_event * factor[self.events.network],
        )

    def _coding(self, rate: Array) -> Array:
        """Return the seconds of encoding and decoding (X,) times a rate of their devices (D,)."""
        return self.events.seconds * np.append(rate, 0.0)[self.events.device]

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
            on_event=self.events.seconds,
        )

    def _load(self, resource: int, factor: Array) -> LinearMetric:
        on_links = self.resource_links[resource]
        return self._metric(
            f"load({self.resource_names[resource]})",
            "s",
            alpha=self.finite_time * self.resource_devices[resource, self.executor_device],
            per_copy=self.link_latency * on_links,
            per_byte=self.seconds_per_byte * on_links,
            factor=factor,
            on_event=self._coding(self.resource_devices[resource].astype(float)),
        )

    def _energy(self, devices: Sequence[str] | None) -> LinearMetric:
        chosen = np.array([devices is None or name in devices for name in self.devices], dtype=float)
        power = np.array([device.power for device in self.problem.platform.devices])
        per_byte = np.array(
            [
                link.send_energy_per_byte * (devices is None or link.sender in devices)
                + link.receive_energy_per_byte * (devices is None or link.receiver in devices)
                for link in self._links
            ],
            dtype=float,
        )
        alpha, coding = self.energy * chosen[self.executor_device], self._coding(power * chosen)
        return self._metric("energy", "J", alpha=alpha, per_byte=per_byte, on_event=coding)

    def _cost(self) -> LinearMetric:
        price = np.array([host.device.price for host in self.hosts])[self.executor_host]
        coding = self._coding(np.array([device.price for device in self.problem.platform.devices]))
        per_byte = np.array([link.price_per_byte for link in self._links], dtype=float)
        return self._metric("cost", "USD", alpha=self.finite_time * price, per_byte=per_byte, on_event=coding)

    def _leakage(self) -> LinearMetric:
        return self._metric("leakage", "", gamma=self.sensitivity, on_event=self.events.step)

    def _accuracy_loss(self) -> LinearMetric:
        """Return what modes and forms lose; what networks lose anyway is added to what their first layers do."""
        alpha = self.loss.copy()
        for network in self.problem.networks:
            alpha[self.nodes[network.name, network.layers[0].name]] += network.loss
        return self._metric("accuracy loss", "", alpha=alpha, on_event=self.events.loss)

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
                node = self.nodes[network, layer]
                for device, value in places.items():
                    alpha[node, self.executor_device == self.devices[device]] = self.reach[node] * value
        charges = [own.links.get(link) for link in self.links]
        tensors = [(n.name, tensor.name) for n in self.problem.networks for tensor in n.tensors]
        seen = np.array([own.exposed.get(n, {}).get(tensor, 0.0) for n, tensor in tensors], dtype=float)
        several = np.bincount([entry.tensor for entry in self.entries if entry.whole], minlength=len(tensors)) > 1
        by_entry = [0.0 if several[one.tensor] or not one.whole else seen[one.tensor] for one in self.entries]
        return self._metric(
            name,
            own.unit,
            alpha=alpha,
            per_copy=np.array([charge.per_copy if charge else 0.0 for charge in charges], dtype=float),
            per_byte=np.array([charge.per_byte if charge else 0.0 for charge in charges], dtype=float),
            gamma=np.array(by_entry, dtype=float),
            on_event=np.append(seen, 0.0)[self.events.tensor],
        )

    def _latency_terms(self, weight: float, network: str | None) -> list[LinearTerm | LatencyTerm]:
        factor = np.array(
            [(n.weight if network is None else float(n.name == network)) * weight for n in self.problem.networks]
        )
        if self.problem.execution in ("sequential", "pipelined"):
            return [LinearTerm(1.0, self._sequential_latency(factor))]
        return [LatencyTerm(float(w), a) for a, w in enumerate(factor) if w > 0]

    def _idle_terms(self, term: Term) -> list[LinearTerm | LatencyTerm]:
        """Return the energy of devices that wait: that of the latency, less that of when they are busy."""
        idle = np.array(
            [
                device.idle_power * (term.devices is None or device.name in term.devices)
                for device in self.problem.platform.devices
            ]
        )
        weight = term.weight
        saved = self._metric("idle energy", "J", alpha=-self.finite_time * idle[self.executor_device])
        waiting = self._latency_terms(weight * float(idle.sum()), None)
        if not self.events.seconds.any():
            return [LinearTerm(weight, saved), *waiting]
        busy = weight * self._coding(idle)
        latency = next((term.metric for term in waiting if isinstance(term, LinearTerm)), None)
        left = -busy if latency is None else latency.on_event - busy
        if latency is None or (left < -_ROUNDING * busy).any():
            what = "idle energy where what a device encodes or decodes adds less than its own time to the latency"
            raise UnsupportedError("", problem=f"{what} is not looked at")
        less = replace(latency, on_event=np.maximum(left, 0.0))
        return [LinearTerm(weight, saved), LinearTerm(1.0, less)]

    def _linear(self, metric: str, of: Any) -> LinearMetric:
        """Return a linear metric as arrays, of the devices or links that a term or a constraint names."""
        return _LINEAR[metric](self, of) if metric in _LINEAR else self._own_metric(metric)

    def latency_of(self, network: int) -> LinearMetric:
        """Return the latency of one network, where it is linear."""
        factor = np.zeros(len(self.networks))
        factor[network] = 1.0
        return self._sequential_latency(factor)

    def load_limits(self, label: str, limit: float, factor: Array | None = None) -> list[LinearLimit]:
        """Return that the load of every resource, with a factor on each network's or its rate, is at most `limit`."""
        factor = self._rates() if factor is None else factor
        return [
            LinearLimit(f"{label}({name})", self._load(resource, factor), limit)
            for resource, name in enumerate(self.resource_names)
        ]

    def linear_terms(self, term: Term) -> list[LinearTerm]:
        """Return what a term that is linear under this execution is the sum of, without its weight."""
        alone = term.replace(weight=1.0)
        if term.metric == "latency":
            terms = self._latency_terms(1.0, term.network)
        else:
            terms = [LinearTerm(1.0, self._linear(term.metric, term))]
            terms += self._idle_terms(alone) if term.idle else []
        return [one for one in terms if isinstance(one, LinearTerm)]

    def largest_of(self, term: Term) -> list[LinearMetric]:
        """Return linear metrics of which the largest is a term, without its weight."""
        if term.metric == "period":
            ones = np.ones(len(self.networks))
            return [self._load(resource, ones) for resource in range(len(self.resource_names))]
        if term.metric == "batch_latency":
            latency, periods = self.linear_terms(Term(metric="latency")), float((term.rounds or 1) - 1)
            loads = self.largest_of(Term(metric="period"))
            return [combined([*latency, LinearTerm(periods, load)]) for load in loads]
        if term.over == "max":
            return [part.metric for part in self._parts(term) if isinstance(part, LinearTerm)]
        return [combined(self.linear_terms(term))]

    def _parts(self, term: Term) -> list[LinearTerm | LatencyTerm]:
        """Return what the largest of is asked for."""
        parts = STANDARD[term.metric].parts
        if parts == "networks":
            return [part for name in self.networks for part in self._latency_terms(1.0, name)]
        names = getattr(term, parts) or getattr(self, parts)
        alone = [Term(metric=term.metric, **{parts: (name,)}) for name in names]
        return [LinearTerm(1.0, self._linear(term.metric, one)) for one in alone]


# Standard metrics that are linear, as arrays, of the devices or links that a term or a constraint names.
_LINEAR: dict[str, Callable[[Measures, Any], LinearMetric]] = {
    "energy": lambda to, of: to._energy(of.devices),
    "cost": lambda to, of: to._cost(),
    "traffic": lambda to, of: to._traffic(of.links),
    "leakage": lambda to, of: to._leakage(),
    "accuracy_loss": lambda to, of: to._accuracy_loss(),
}
