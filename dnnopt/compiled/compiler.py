"""Compiles a Problem into arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from dnnopt.compiled.across import combined, mean_of_worst
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
    ObjectiveLimit,
    ObjectiveTerm,
    OneMode,
    PeriodTerm,
    ShareLimit,
    WorstLeakageTerm,
)
from dnnopt.compiled.logical import COMPILERS, Nodes
from dnnopt.compiled.measures import Measures
from dnnopt.compiled.metrics import Array, LinearMetric, Mask
from dnnopt.compiled.structure import Routes, conflicts
from dnnopt.problem import constraints as specs
from dnnopt.problem.custom import CustomConstraint
from dnnopt.problem.objectives import Term
from dnnopt.problem.platforms import TIERS
from dnnopt.problem.problem import Problem
from dnnopt.problem.variation import in_scenario

# Metrics that differ between scenarios.
_VARYING = frozenset({"latency", "period", "batch_latency", "energy", "cost"})


def _metric_of(spec: specs.Energy | specs.Cost | specs.MetricLimit) -> str:
    return spec.metric if isinstance(spec, specs.MetricLimit) else spec.constraint


def _largest(weight: float, metrics: Sequence[LinearMetric]) -> MaxTerm:
    return MaxTerm(weight, tuple(LinearTerm(1.0, metric) for metric in metrics))


def compile_problem(problem: Problem) -> CompiledProblem:
    """Return the arrays of a problem."""
    return _Compiler(problem).compile()


class _Compiler(Measures):
    """What is asked for, in terms of the tables."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.memories = 0  # memory constraints so far
        self.cases = [(one.probability, Measures(in_scenario(problem, one))) for one in problem.scenarios]
        if self.cases:
            self._take_means()

    def compile(self) -> CompiledProblem:
        platform = self.problem.platform
        size = len(self.devices)
        routes: list[list[tuple[int, ...] | None]] = [
            [() if i == j else None for j in range(size)] for i in range(size)
        ]
        for route in platform.routes:
            links = tuple(self.links[name] for name in route.links)
            routes[self.devices[route.origin]][self.devices[route.destination]] = links
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
            executor_names=self.executor_names,
            executor_device=self.executor_device,
            executor_host=self.executor_host,
            host_names=tuple(host.name for host in self.hosts),
            host_device=self.host_device,
            device_names=tuple(self.devices),
            device_tier=np.array([TIERS.index(d.tier) if d.tier else -1 for d in platform.devices]),
            device_trusted=np.array([d.trusted is not False for d in platform.devices], dtype=bool),
            tensor_names=tuple(self.tensor_names),
            tensor_network=self.tensor_network,
            tensor_bytes=self.tensor_bytes,
            tensor_share=self.tensor_share,
            tensor_number=np.array([entry.tensor for entry in self.entries], dtype=np.int64),
            tensor_whole=np.array([entry.whole for entry in self.entries], dtype=bool),
            made=self.made,
            events=self.events,
            choices=self.choices,
            blocks=self.blocks,
            block=self.block,
            sensitivity=self.sensitivity,
            producer=self.producer,
            use_tensor=self.use_tensor,
            use_consumer=self.use_consumer,
            link_names=tuple(self.links),
            link_bandwidth=self.link_bandwidth,
            link_latency=self.link_latency,
            link_trusted=np.array([link.trusted is not False for link in platform.links], dtype=bool),
            route_links=tuple(tuple(row) for row in routes),
            resource_names=self.resource_names,
            resource_devices=self.resource_devices,
            resource_links=self.resource_links,
            objective=self._objective(),
            constraints=constraints,
            layer_keys=tuple(self.layer_keys),
            shared_weights=self.shared_weights,
            barred_moves=self._barred_moves(),
            call_links=self._call_links() if self.problem.execution == "call" else None,
            pools=np.array([device.pool for device in platform.devices]) if self.problem.execution == "call" else None,
        )

    def _take_means(self) -> None:
        """Take the expected times of all scenarios, so that linear metrics are the expected ones."""

        def mean(name: str) -> Array:
            return np.asarray(sum(probability * getattr(case, name) for probability, case in self.cases))

        self.finite_time, self.energy = mean("finite_time"), mean("energy")
        self.time = np.where(np.isfinite(self.time), self.finite_time, np.inf)
        self.link_latency, self.seconds_per_byte = mean("link_latency"), mean("seconds_per_byte")
        self.link_bandwidth = 1.0 / self.seconds_per_byte
        seconds = np.asarray(sum(probability * case.events.seconds for probability, case in self.cases))
        self.events = replace(self.events, seconds=seconds)

    def _barred_moves(self) -> Mask | None:
        """Return over which pairs an edge may not go in its form (E, P); None: there are no such."""
        if not self.barred:
            return None
        size = len(self.devices)
        destination = np.array([j for i in range(size) for j in range(size) if i != j], dtype=np.int64)
        barred = np.zeros((int((self.producer[self.use_tensor] >= 0).sum()), len(destination)), dtype=bool)
        for edge, device in self.barred:
            barred[edge] |= (destination == device) | (device < 0)
        return barred

    def _call_links(self) -> Mask:
        """Return the links at each device that is no pool (D, L)."""
        ends = [
            [not device.pool and device.name in (link.sender, link.receiver) for link in self._links]
            for device in self.problem.platform.devices
        ]
        return np.array(ends, dtype=bool).reshape(len(self.devices), len(self.links))

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

    def _objective_term(self, term: Term) -> list[ObjectiveTerm]:
        if self.cases and term.metric in _VARYING and not self._is_mean(term):
            return self._across(term)
        if term.over == "max":
            parts = tuple(self._parts(term))
            return [MaxTerm(term.weight, parts)] if parts else []  # no links: no traffic
        if term.metric == "latency":
            return [*self._latency_terms(term.weight, term.network)]
        if term.metric == "period":
            return [PeriodTerm(term.weight)]
        if term.metric == "batch_latency":
            periods = (term.rounds or 1) - 1
            return [*self._latency_terms(term.weight, None), *([PeriodTerm(term.weight * periods)] if periods else [])]
        if term.metric == "worst_leakage":
            return [WorstLeakageTerm(term.weight)]
        terms: list[LinearTerm | LatencyTerm] = [LinearTerm(term.weight, self._linear(term.metric, term))]
        if term.idle:
            terms += self._idle_terms(term)
        return [*terms]

    # Scenarios

    def _is_mean(self, term: Term) -> bool:
        """Return whether the expected value of a term is its value at the expected times."""
        return term.across == "expected" and term.over == "sum" and term.metric not in ("period", "batch_latency")

    def _across(self, term: Term) -> list[ObjectiveTerm]:
        """Return what a term is across scenarios, as maxima of linear metrics."""
        values = [case.largest_of(term) for _, case in self.cases]
        if not values[0]:  # no links: no traffic
            return []
        if term.across == "expected":
            return [_largest(term.weight * p, some) for (p, _), some in zip(self.cases, values, strict=True)]
        if term.across == "worst":
            return [_largest(term.weight, [metric for some in values for metric in some])]
        probabilities = [probability for probability, _ in self.cases]
        assert term.level is not None  # checked by the record
        return [_largest(term.weight, mean_of_worst(values, probabilities, term.level, term.label))]

    def _limits_across(self, label: str, term: Term, limit: float) -> list[CompiledConstraint]:
        """Return that what a term is across scenarios is at most `limit`."""
        if self._is_mean(term):
            return [LinearLimit(label, combined(self.linear_terms(term)), limit)]
        terms = self._across(term)
        if term.across == "expected":
            return [ObjectiveLimit(label, tuple(terms), limit)]
        (largest,) = terms
        assert isinstance(largest, MaxTerm)
        metrics = [part.metric for part in largest.parts if isinstance(part, LinearTerm)]
        return [LinearLimit(f"{label}[{number}]", metric, limit) for number, metric in enumerate(metrics)]

    # Constraints

    def _of_execution(self, routes: Routes) -> Iterator[CompiledConstraint]:
        """Yield what the execution and the platform themselves ask of every plan."""
        for index, device in enumerate(self.problem.platform.devices):
            if device.one_mode and len(device.modes) > 1:
                yield OneMode(f"one_mode({device.name})", index)
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
                allowed = [bool({host.name, host.device.name} & set(spec.allowed)) for host in self.hosts]
                self.allowed[node] &= np.array(allowed)[self.executor_host]
                return []
            case specs.Memory():
                return list(self._memory(spec))
            case specs.Deadline():
                return list(self._deadline(spec))
            case specs.Bandwidth():
                return list(self._bandwidth(spec))
            case specs.Utilisation():
                return [part for case in self._every_case() for part in case.load_limits(label, spec.limit)]
            case specs.Energy() | specs.Cost() | specs.MetricLimit() if self.cases and _metric_of(spec) in _VARYING:
                said: dict[str, Any] = {"devices": spec.devices} if isinstance(spec, specs.Energy) else {}
                said |= {"rounds": spec.rounds} if isinstance(spec, specs.MetricLimit) else {}
                term = Term(metric=_metric_of(spec), across=spec.across, level=spec.level, **said)
                return self._limits_across(label, term, spec.limit)
            case specs.Energy() | specs.Cost() | specs.Traffic() | specs.Leakage() | specs.AccuracyLoss():
                return [LinearLimit(label, self._linear(spec.constraint, spec), spec.limit)]
            case specs.WorstLeakage():
                most = spec.limit * (1 + 1e-9)
                above, seen = ((part > most).astype(float) for part in (self.sensitivity, self.events.sensitivity))
                too_much = self._metric("tensors exposed above the cap", "", gamma=above, on_event=seen)
                return [LinearLimit(label, too_much, 0.0)]
            case specs.MetricLimit(metric="period"):
                return [*self.load_limits(label, spec.limit, np.ones(len(self.networks)))]
            case specs.MetricLimit(metric="batch_latency"):
                terms = self._objective_term(Term(metric=spec.metric, rounds=spec.rounds))
                return [ObjectiveLimit(label, tuple(terms), spec.limit)]
            case specs.MetricLimit():
                return [LinearLimit(label, self._linear(spec.metric, Term(metric=spec.metric)), spec.limit)]
            case CustomConstraint():
                return [CustomLimit(label, spec, partial(spec.amount, self.problem))]
            case _:
                return [*COMPILERS[type(spec)](spec, self._nodes_of_layers())]

    def _every_case(self) -> list[Measures]:
        """Return the metrics in every scenario; without scenarios those that there are."""
        return [case for _, case in self.cases] or [self]

    def _nodes_of_layers(self) -> Nodes:
        uses = zip(self.producer[self.use_tensor].tolist(), self.use_consumer.tolist(), strict=True)
        edges = tuple((u, v) for u, v in uses if u >= 0)
        return Nodes(tuple(self.networks), self._layer_nodes, edges, len(self.node_names))

    def _layer_nodes(self, network: str, layers: Sequence[str] | None) -> tuple[int, ...]:
        chosen = layers if layers is not None else [layer.name for layer in self.problem.network(network).layers]
        return tuple(sorted(self.nodes[network, name] for name in chosen))

    def _memory(self, spec: specs.Memory) -> list[MemoryLimit]:
        rule = spec.rule
        resident = self.by_executor("weight_bytes", self.weights) + self.state[:, None]
        held = self.by_executor("activation_bytes", self.activations)
        if rule == "weights+activations":
            resident = resident + held
        peak = held if rule == "weights+largest_activation" else np.zeros(resident.shape)
        factor = np.array([host.mode.weight_bytes for host in self.hosts])
        self.memories += 1
        number = self.memories if self.memories > 1 else ""
        limits = []
        for index, device in enumerate(self.problem.platform.devices):
            limit = spec.limit_on(device)
            if limit is not None:
                here = np.flatnonzero(self.executor_device == index)
                limits.append(
                    MemoryLimit(
                        label=f"{spec.label}{number}({device.name})",
                        device=index,
                        limit=limit,
                        executors=here,
                        resident_in=resident[:, here],
                        peak_in=peak[:, here],
                        shared=self.shared_weights,
                        hosts=np.flatnonzero(self.host_device == index),
                        factors=factor[self.host_device == index],
                        buffers=spec.buffers,
                    )
                )
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
                term = Term(metric="latency", network=network.name, across=spec.across, level=spec.level)
                if self.cases and spec.share is not None:
                    metrics = tuple(case.latency_of(index) for _, case in self.cases)
                    probabilities = tuple(probability for probability, _ in self.cases)
                    parts.append(ShareLimit(label, metrics, probabilities, limit, spec.share))
                elif self.cases:
                    parts += self._limits_across(label, term, limit)
                else:
                    parts.append(LinearLimit(label, self.latency_of(index), limit))
            else:
                parts.append(DeadlineLimit(label, index, limit))
        return parts

    def _bandwidth(self, spec: specs.Bandwidth) -> list[LinearLimit]:
        if spec.limit is not None:
            assert spec.link is not None  # checked by the record
            return [LinearLimit(spec.label, self._traffic((spec.link,)), spec.limit)]
        return [
            LinearLimit(
                f"bandwidth({link.name})",
                self._traffic((link.name,), self._rates()),
                min(case.link_bandwidth[index] for case in self._every_case()),
            )
            for index, link in enumerate(self._links)
            if spec.link in (None, link.name)
        ]
