"""What the plans of a small problem are worth: the definitions of docs/model.md, in exact arithmetic.

It reads a problem's records and shares nothing else with the package: neither the referee nor the arrays that all
others work on. Numbers are the floats' exact values, so that ties, and differences of 1 beside 1e9, are decided as they
are. Limits hold with the tolerance that is promised for plans: 1e-9 of the limit, and for memory never more than half a
byte.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, permutations, product
from typing import Any

from oracle_times import StuckError, latencies

from dnnopt.problem.networks import Network, Tensor
from dnnopt.problem.objectives import Term
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Link
from dnnopt.problem.problem import Problem

TOLERANCE = Fraction(1, 10**9)
ROUNDING = Fraction(1, 10**13)  # relative; what a limit may be off that was computed in floats
TINY = Fraction(sys.float_info.min)
HALF_A_BYTE = Fraction(1, 2)
Key = tuple[str, str]  # a network and one of its layers or tensors
Numbers = tuple[Fraction, ...]


@dataclass(frozen=True)
class Limit:
    """A quantity and what it may be at most."""

    label: str
    used: Fraction
    most: Fraction
    largest_tolerance: Fraction | None = None

    def holds(self, tolerance: Fraction = TOLERANCE) -> bool:
        slack = tolerance * max(abs(self.most), TINY)
        if self.largest_tolerance is not None:
            slack = min(slack, self.largest_tolerance)
        return self.used - self.most <= slack


@dataclass(frozen=True)
class Verdict:
    """A placement, with one choice of latencies: objectives by priority, and all limits."""

    objectives: Numbers
    limits: tuple[Limit, ...]

    @property
    def feasible(self) -> bool:
        return all(limit.holds() for limit in self.limits)

    @property
    def strictly_feasible(self) -> bool:
        """Whether no limit is exceeded by more than rounding."""
        return all(limit.holds(ROUNDING) for limit in self.limits)


@dataclass(frozen=True)
class Use:
    """A tensor and one consumer; `place` is where that is, `origin` where the tensor is (None: everywhere)."""

    network: str
    tensor: Tensor
    origin: str | None
    consumer: str
    place: str

    @property
    def sent(self) -> bool:
        return self.origin not in (None, self.place)


class Placed:
    """A problem whose layers have devices: `where[network, layer]`."""

    def __init__(self, problem: Problem, where: dict[Key, str]) -> None:
        self.problem, self.where = problem, where
        self.devices = {device.name: device for device in problem.platform.devices}
        self.links = {link.name: link for link in problem.platform.links}
        self.routes = {(route.origin, route.destination): route.links for route in problem.platform.routes}
        self.seconds = {key: seconds(problem, *key, device) for key, device in where.items()}
        self.uses = [use for network in problem.networks for use in self._uses(network)]
        self.copies = self._copies()

    def _uses(self, network: Network) -> Iterator[Use]:
        for tensor in network.tensors:
            origin = tensor.source or network.source
            if tensor.producer != "input":
                origin = self.where[network.name, tensor.producer]
            for consumer in tensor.consumers:
                place = network.sink if consumer == "output" else self.where[network.name, consumer]
                if place is not None:
                    yield Use(network.name, tensor, origin, consumer, place)

    @property
    def possible(self) -> bool:
        """Whether every device can run its layers, and every copy has a route."""
        routed = all((use.origin, use.place) in self.routes for use in self.uses if use.sent)
        return routed and None not in self.seconds.values()

    def _copies(self) -> list[tuple[str, Tensor, Link]]:
        """Return `w`: an entry for each copy of a tensor over a link."""
        charged = {}
        for position, use in enumerate(self.uses):
            for link in self.routes.get((use.origin, use.place), ()) if use.sent else ():
                again = {"unicast": use.place, "multicast": None, "per_edge": position}[self.problem.transport]
                charged[use.network, use.tensor.name, link, again] = use.network, use.tensor, self.links[link]
        return list(charged.values())

    def resources(self) -> list[tuple[str, set[str], set[str]]]:
        """Return name, devices and links of each resource; what no list has is one of its own."""
        listed = [(one.name, set(one.devices), set(one.links)) for one in self.problem.platform.resources]
        taken = {device for _, devices, _ in listed for device in devices}
        carried = {link for _, _, links in listed for link in links}
        own = [(device, {device}, set[str]()) for device in self.devices if device not in taken]
        return [*listed, *own, *((link, set[str](), {link}) for link in self.links if link not in carried)]

    def layers(self, devices: Any = None, network: str | None = None) -> list[Key]:
        """Return the layers on some devices, or all; of one network, or all."""
        return [
            key
            for key, device in self.where.items()
            if (devices is None or device in devices) and network in (None, key[0])
        ]

    def crossing(self, links: Any = None, network: str | None = None) -> list[tuple[Tensor, Link]]:
        """Return the copies over some links, or all; of one network, or all."""
        return [
            (tensor, link)
            for of, tensor, link in self.copies
            if (links is None or link.name in links) and network in (None, of)
        ]

    def load(self, devices: set[str], links: set[str], network: str | None = None) -> Fraction:
        computing = sum((self.seconds[key] for key in self.layers(devices, network)), Fraction())
        return computing + sum((occupied(*one) for one in self.crossing(links, network)), Fraction())

    def joules(self, devices: Any = None) -> Fraction:
        total = Fraction()
        for network, layer in self.layers(devices):
            device = self.devices[self.where[network, layer]]
            measured = self.problem.profile.energy.get(network, {}).get(layer, {}).get(device.name)
            busy = Fraction(device.power) * self.seconds[network, layer]
            total += busy if measured is None else Fraction(measured)
        for tensor, link in self.crossing():
            if devices is None or link.sender in devices:
                total += Fraction(link.send_energy_per_byte) * Fraction(tensor.bytes)
            if devices is None or link.receiver in devices:
                total += Fraction(link.receive_energy_per_byte) * Fraction(tensor.bytes)
        return total

    def idle_joules(self, devices: Any, latency: Fraction) -> Fraction:
        named = [one for one in self.devices.values() if devices is None or one.name in devices]
        return sum((Fraction(one.idle_power) * (latency - self.load({one.name}, set())) for one in named), Fraction())

    def dollars(self) -> Fraction:
        computing = (Fraction(self.devices[self.where[key]].price) * self.seconds[key] for key in self.where)
        sending = (Fraction(link.price_per_byte) * Fraction(tensor.bytes) for tensor, link in self.crossing())
        return sum(computing, Fraction()) + sum(sending, Fraction())

    def traffic(self, links: Any = None, network: str | None = None) -> Fraction:
        return sum((Fraction(tensor.bytes) for tensor, _ in self.crossing(links, network)), Fraction())

    def exposed(self) -> dict[Key, Fraction]:
        """Return the sensitivities of the tensors that untrusted devices use or untrusted links carry."""
        seen = [(use.network, use.tensor) for use in self.uses if self.devices[use.place].trusted is False]
        seen += [(network, tensor) for network, tensor, link in self.copies if link.trusted is False]
        return {(network, tensor.name): Fraction(tensor.sensitivity or 0) for network, tensor in seen}

    def own(self, name: str) -> Fraction:
        """Return the value of one of the problem's own metrics."""
        (metric,) = (one for one in self.problem.metrics if one.name == name)
        total = Fraction()
        for (network, layer), device in self.where.items():
            total += Fraction(metric.layers.get(network, {}).get(layer, {}).get(device, 0.0))
        for tensor, link in self.crossing(metric.links):
            charge = metric.links[link.name]
            total += Fraction(charge.per_copy) + Fraction(charge.per_byte) * Fraction(tensor.bytes)
        exposed = self.exposed()
        return total + sum((Fraction(metric.exposed.get(a, {}).get(tau, 0.0)) for a, tau in exposed), Fraction())

    def memory(self, device: str, rule: str, buffers: int) -> Fraction:
        hosted = [one for a in self.problem.networks for one in a.layers if self.where[a.name, one.name] == device]
        total = sum((Fraction(one.weights) for one in hosted), Fraction())
        for readers, size in shared_weights(self.problem):
            total += size if device in {self.where[reader] for reader in readers} else 0
        if rule != "weights":
            activations = [Fraction(one.activations) for one in hosted]
            total += sum(activations) if rule == "weights+activations" else max(activations, default=0)
        exchanged = {
            (use.network, use.tensor.name): Fraction(use.tensor.bytes)
            for use in self.uses
            if use.sent and device in (use.origin, use.place)
        }
        return total + buffers * sum(exchanged.values(), Fraction())

    def term(self, term: Term, latency: dict[str, Fraction]) -> Fraction:
        """Return the value of a term of the objective, without its weight."""
        together = sum((Fraction(one.weight) * latency[one.name] for one in self.problem.networks), Fraction())
        if term.over == "max":
            if term.metric == "latency":
                return max(latency.values())
            if term.metric == "energy":
                return max(self.joules({device}) for device in term.devices or self.devices)
            return max((self.traffic({link}) for link in term.links or self.links), default=Fraction())
        match term.metric:
            case "latency":
                return together if term.network is None else latency[term.network]
            case "period":
                return max(self.load(devices, links) for _, devices, links in self.resources())
            case "energy":
                idle = self.idle_joules(term.devices, together) if term.idle else 0
                return self.joules(term.devices) + idle
            case "cost":
                return self.dollars()
            case "leakage":
                return sum(self.exposed().values(), Fraction())
            case "worst_leakage":
                return max(self.exposed().values(), default=Fraction())
            case "traffic":
                return self.traffic(term.links)
        return self.own(term.metric)

    def limits(self, latency: dict[str, Fraction]) -> Iterator[Limit]:
        for entry in self.problem.subject_to:
            for label, used, most, *largest_tolerance in getattr(self, f"_{entry.constraint}")(entry, latency):
                yield Limit(label, Fraction(used), Fraction(most), *largest_tolerance)

    def _memory(self, entry: Any, latency: Any) -> Iterator[Any]:
        for name, device in self.devices.items():
            most = entry.limits.get(name, device.memory)
            if most is not None:
                yield f"memory({name})", self.memory(name, entry.rule, entry.buffers), most, HALF_A_BYTE

    def _deadline(self, entry: Any, latency: Any) -> Iterator[Any]:
        for network in self.problem.networks:
            if entry.network in (None, network.name):
                most = network.deadline if entry.limit is None else entry.limit
                yield f"deadline({network.name})", latency[network.name], most

    def _bandwidth(self, entry: Any, latency: Any) -> Iterator[Any]:
        for link in self.links.values():
            if entry.link in (None, link.name):
                if entry.limit is not None:
                    yield f"bandwidth({link.name})", self.traffic({link.name}), entry.limit
                else:
                    rates = [(Fraction(one.rate), one.name) for one in self.problem.networks]
                    used = sum(rate * self.traffic({link.name}, network) for rate, network in rates)
                    yield f"bandwidth({link.name})", used, link.bandwidth

    def _utilisation(self, entry: Any, latency: Any) -> Iterator[Any]:
        for name, devices, links in self.resources():
            rates = [(Fraction(one.rate), one.name) for one in self.problem.networks]
            used = sum(rate * self.load(devices, links, network) for rate, network in rates)
            yield f"utilisation({name})", used, entry.limit

    def _energy(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, self.joules(entry.devices), entry.limit

    def _cost(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, self.dollars(), entry.limit

    def _traffic(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, self.traffic(entry.links), entry.limit

    def _leakage(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, sum(self.exposed().values(), Fraction()), entry.limit

    def _worst_leakage(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, max(self.exposed().values(), default=0), entry.limit

    def _metric(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, self.term(Term(metric=entry.metric), latency), entry.limit

    def _placement(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, self.where[entry.network, entry.layer] not in entry.allowed, 0

    def _colocate(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, len({self.where[entry.network, layer] for layer in entry.layers}) - 1, 0

    def _separate(self, entry: Any, latency: Any) -> Iterator[Any]:
        where = [self.where[entry.network, layer] for layer in entry.layers]
        yield entry.label, sum(first == second for first, second in combinations(where, 2)), 0

    def _contiguous(self, entry: Any, latency: Any) -> Iterator[Any]:
        """Contiguous: the devices can be put in an order in which every path goes forwards."""
        for network in self.problem.networks:
            if entry.network in (None, network.name):
                members = entry.layers or [layer.name for layer in network.layers]
                steps = {
                    (self.where[network.name, u], self.where[network.name, v])
                    for u, v in paths(network)
                    if u in members and v in members
                }
                orders = permutations(self.devices)
                forwards = any(all(order.index(i) <= order.index(j) for i, j in steps) for order in orders)
                yield f"contiguous({network.name})", not forwards, 0

    def _monotone_tiers(self, entry: Any, latency: Any) -> Iterator[Any]:
        tiers = {name: ("end", "edge", "cloud").index(one.tier) for name, one in self.devices.items()}
        between = [one for one in self.uses if one.tensor.producer != "input" and one.consumer != "output"]
        yield entry.label, any(tiers[use.origin] > tiers[use.place] for use in between), 0

    def _max_devices(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, len(set(self.where.values())), entry.limit

    def _max_cuts(self, entry: Any, latency: Any) -> Iterator[Any]:
        cuts = {(use.network, use.tensor.name, use.place) for use in self.uses if use.sent}
        yield entry.label, len(cuts), entry.limit


def seconds(problem: Problem, network: str, layer: str, device: str) -> Fraction | None:
    """Return `t_vi`: measured, else by the roofline; None: unsupported."""
    measured = problem.profile.time.get(network, {}).get(layer, {})
    if device in measured:
        return None if measured[device] is None else Fraction(measured[device])
    (v,) = (one for one in problem.network(network).layers if one.name == layer)
    (i,) = (one for one in problem.platform.devices if one.name == device)
    compute = Fraction(v.flops) / (Fraction(i.efficiency) * Fraction(i.flops_per_s))
    memory = Fraction(v.bytes) / (Fraction(i.efficiency) * Fraction(i.bytes_per_s))
    return Fraction(i.overhead) + max(compute, memory)


def occupied(tensor: Tensor, link: Link) -> Fraction:
    """Return `s_τℓ`."""
    return Fraction(link.latency) + Fraction(tensor.bytes) / Fraction(link.bandwidth)


def shared_weights(problem: Problem) -> list[tuple[list[Key], Fraction]]:
    """Return the readers and bytes of all weights that several layers read."""
    found = [(list(one.layers), Fraction(one.bytes)) for one in problem.shared_weights]
    for network in problem.networks:
        found += [([(network.name, v) for v in one.layers], Fraction(one.bytes)) for one in network.shared_weights]
    return found


def paths(network: Network) -> set[tuple[str, str]]:
    """Return the pairs of layers with a path from the first to the second."""
    steps = {(t.producer, v) for t in network.tensors for v in t.consumers if t.producer != "input" and v != "output"}
    while True:
        longer = steps | {(u, w) for u, v in steps for first, w in steps if v == first}
        if longer == steps:
            return steps
        steps = longer


def judge(problem: Problem, where: dict[Key, str], most_nodes: int | None = None) -> list[Verdict]:
    """Return a verdict on a placement for each choice of latencies that no other beats in all networks.

    There are several only under scheduled execution, and none where the placement is impossible.
    """
    placed = Placed(problem, where)
    if not placed.possible:
        return []
    verdicts = []
    try:
        for latency in latencies(placed, most_nodes):
            weighed: dict[int, Fraction] = defaultdict(Fraction)
            for term in problem.minimize:
                weighed[term.priority] += Fraction(term.weight) * placed.term(term, latency)
            objectives = tuple(value for _, value in sorted(weighed.items()))
            verdicts.append(Verdict(objectives, tuple(placed.limits(latency))))
    except StuckError:
        return []
    return verdicts


def places(plan: Plan) -> dict[Key, str]:
    """Return the devices of a plan."""
    return {(network, layer): device for network, row in plan.placement.items() for layer, device in row.items()}


def placements(problem: Problem) -> Iterator[dict[Key, str]]:
    """Yield every placement."""
    keys = [(network.name, layer.name) for network in problem.networks for layer in network.layers]
    for devices in product(problem.platform.device_names(), repeat=len(keys)):
        yield dict(zip(keys, devices, strict=True))
