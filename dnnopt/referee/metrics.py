"""The metrics of a plan, each from its definition, and the objectives that weigh them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

from dnnopt.problem.constraints import Memory, MemoryRule
from dnnopt.problem.metrics import STANDARD, about
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import Term
from dnnopt.problem.platforms import Device, Resource
from dnnopt.problem.profiles import layer_loss
from dnnopt.referee.facts import Copy, Facts, Key

Latencies = dict[str, float]  # of each network


def total_latency(facts: Facts, latencies: Latencies) -> float:
    """Return `Σ_a ω_a · latency_a`."""
    return math.fsum(times(network.weight, latencies[network.name]) for network in facts.problem.networks)


def busy(facts: Facts, device: str) -> float:
    """Return the seconds `Σ t_vi` of the layers on a device, with those of encoding and decoding there."""
    computing = [seconds for key, seconds in facts.seconds.items() if facts.device_of[key] == device]
    return math.fsum([*computing, *(coding.seconds for coding in facts.codings if coding.device == device)])


def resource_load(facts: Facts, resource: Resource, network: str | None = None) -> float:
    """Return `Σ t_vi + Σ s_τℓ w_τℓ` over the devices and links of a resource, for one network or all."""
    computing = [
        seconds
        for key, seconds in facts.seconds.items()
        if facts.device_of[key] in resource.devices and network in (None, key[0])
    ]
    sending = [
        crossing.seconds
        for crossing in facts.crossings
        if crossing.link.name in resource.links and network in (None, crossing.network)
    ]
    coding = [
        coding.seconds
        for coding in facts.codings
        if coding.device in resource.devices and network in (None, coding.network)
    ]
    return math.fsum(computing + sending + coding)


def period(facts: Facts) -> float:
    """Return the largest load, with one sample of every network."""
    if facts.unrouted():
        return math.inf
    return max(resource_load(facts, resource) for resource in facts.problem.platform.all_resources())


def batch_latency(facts: Facts, latencies: Latencies, rounds: int) -> float:
    """Return the total latency of so many rounds, of which each begins a period after the one before."""
    return math.fsum([total_latency(facts, latencies), times(rounds - 1, period(facts))])


def energy(facts: Facts, devices: Collection[str] | None = None) -> float:
    """Return the joules of everything, or of some devices with their parts of the links' energy."""

    def counts(name: str | None) -> bool:
        return devices is None or name in devices

    if any(counts(copy.origin) or counts(copy.destination) for copy in facts.unrouted()):
        return math.inf
    joules = [joules for key, joules in facts.joules.items() if counts(facts.device_of[key])]
    for crossing in facts.crossings:
        if counts(crossing.link.sender):
            joules.append(crossing.link.send_energy_per_byte * crossing.bytes)
        if counts(crossing.link.receiver):
            joules.append(crossing.link.receive_energy_per_byte * crossing.bytes)
    power = {device.name: device.power for device in facts.problem.platform.devices}
    joules += [times(power[one.device], one.seconds) for one in facts.codings if counts(one.device)]
    return math.fsum(joules)


def idle_energy(facts: Facts, devices: Collection[str] | None, latency: float) -> float:
    """Return `Σ_i P⁰_i · (latency - busy_i)`, over some devices or all."""
    if math.isinf(latency):
        return math.inf
    return math.fsum(
        device.idle_power * (latency - busy(facts, device.name))
        for device in facts.problem.platform.devices
        if devices is None or device.name in devices
    )


def cost(facts: Facts) -> float:
    """Return the USD `Σ π_i t_vi + Σ κ_ℓ b_τ w_τℓ`."""
    if facts.unrouted() or math.inf in facts.seconds.values():
        return math.inf
    computing = [facts.executor_of[key].device.price * seconds for key, seconds in facts.seconds.items()]
    sending = [crossing.link.price_per_byte * crossing.bytes for crossing in facts.crossings]
    price = {device.name: device.price for device in facts.problem.platform.devices}
    coding = [times(price[one.device], one.seconds) for one in facts.codings]
    return math.fsum(computing + sending + coding)


def traffic(facts: Facts, links: Collection[str] | None = None, network: str | None = None) -> float:
    """Return the bytes over some links or all, of one network or all."""
    if links is None and facts.unrouted(network):
        return math.inf
    return math.fsum(
        crossing.bytes
        for crossing in facts.crossings
        if (links is None or crossing.link.name in links) and network in (None, crossing.network)
    )


def memory(facts: Facts, device: str, rule: MemoryRule = "weights", buffers: int = 0) -> float:
    """Return the bytes that a device holds; the weights, and by some rules the activations, must be known.

    Weights that several layers share count once for each mode of the device in which any of them runs.
    """
    hosted = [
        (layer, facts.executor_of[network.name, layer.name].mode)
        for network in facts.problem.networks
        for layer in network.layers
        if facts.device_of[network.name, layer.name] == device
    ]
    weights = [(layer.weights or 0.0) * mode.weight_bytes + layer.state for layer, mode in hosted]
    for shared in facts.problem.all_shared_weights():
        readers = {facts.executor_of[reader] for reader in shared.layers if facts.device_of[reader] == device}
        weights += [shared.bytes * executor.mode.weight_bytes for executor in readers]
    activations = [(layer.activations or 0.0) * mode.activation_bytes for layer, mode in hosted]
    if rule == "weights":
        resident = 0.0
    elif rule == "weights+activations":
        resident = math.fsum(activations)
    else:
        resident = max(activations, default=0.0)
    exchanged = {
        (copy.network, copy.tensor.name): copy.tensor.bytes
        for copy in facts.copies
        if device in (copy.origin, copy.destination)
    }
    return math.fsum([*weights, resident, *(buffers * size for size in exchanged.values())])


def exposed(facts: Facts) -> dict[Key, float]:
    """Return the sensitivities of the exposed tensors: those with `h_τ = 1`.

    A tensor is exposed if a consumer is on an untrusted device, or a copy crosses an untrusted link. Where it is made,
    and what devices it passes on the way, does not count. What is sent in a form exposes the form's sensitivity; of
    that and the plain tensor's, where both are exposed, the larger counts.
    """
    untrusted = {device.name for device in facts.problem.platform.devices if device.trusted is False}
    seen = [(use.network, use.tensor) for use in facts.uses if use.device in untrusted]
    seen += [(crossing.network, crossing.tensor) for crossing in facts.crossings if crossing.link.trusted is False]
    found: dict[Key, float] = {}
    for network, tensor in seen:
        key = network, tensor.name
        found[key] = max(found.get(key, 0.0), tensor.sensitivity or 0.0)
    return found


def accuracy_loss(facts: Facts) -> float:
    """Return the accuracy lost by networks, by layers in their modes and by forms of what is sent, all added up."""
    problem = facts.problem
    lost = [network.loss for network in problem.networks]
    lost += [
        layer_loss(problem.profile, network, layer, facts.executor_of[network.name, layer.name])
        for network in problem.networks
        for layer in network.layers
    ]
    return math.fsum([*lost, *(form.loss for form in facts.form_of.values())])


def leakage(facts: Facts) -> float:
    """Return `Σ ρ_τ h_τ`."""
    return math.fsum(exposed(facts).values())


def worst_leakage(facts: Facts) -> float:
    """Return `max ρ_τ h_τ`."""
    return max(exposed(facts).values(), default=0.0)


def metric_unit(facts: Facts, name: str) -> str:
    """Return the unit of a metric: a standard one, or one of the problem's own."""
    return next((metric.unit for metric in facts.problem.metrics if metric.name == name), about(name).unit)


def own_value(facts: Facts, name: str) -> float:
    """Return the value of one of the problem's own metrics."""
    own = next(metric for metric in facts.problem.metrics if metric.name == name)
    parts = []
    reach = {(network.name, layer.name): layer.reach for network in facts.problem.networks for layer in network.layers}
    for (network, layer), device in facts.device_of.items():
        parts.append(reach[network, layer] * own.layers.get(network, {}).get(layer, {}).get(device, 0.0))
    for crossing in facts.crossings:
        charge = own.links.get(crossing.link.name)
        if charge is not None:
            parts.append(crossing.reach * (charge.per_copy + charge.per_byte * crossing.tensor.bytes))
    if own.exposed:
        parts.extend(own.exposed.get(network, {}).get(tensor, 0.0) for network, tensor in exposed(facts))
    return math.fsum(parts)


def cuts(facts: Facts) -> tuple[Copy, ...]:
    """Return one copy for each distinct tensor and destination."""
    return tuple({(copy.network, copy.tensor.name, copy.destination): copy for copy in facts.copies}.values())


def fullest(facts: Facts, device: Device) -> tuple[float, float] | None:
    """Return what a device holds and its limit (bytes), by the memory constraint that it fills most; None: no limit."""
    listed = [entry for entry in facts.problem.subject_to if isinstance(entry, Memory)]
    limited = [(entry, limit) for entry in listed if (limit := entry.limit_on(device)) is not None]
    amounts = [(memory(facts, device.name, entry.rule, entry.buffers), limit) for entry, limit in limited]
    return max(amounts, key=lambda amount: amount[0] / (amount[1] or sys.float_info.min), default=None)


def measure(facts: Facts, latencies: Latencies) -> dict[str, float]:
    """Return all metrics that the problem's data define; `Evaluation` lists their names."""
    problem = facts.problem
    devices = problem.platform.device_names()
    metrics = {"latency": total_latency(facts, latencies)}
    metrics |= {f"latency({network})": seconds for network, seconds in latencies.items()}
    metrics["period"] = period(facts)
    metrics["throughput"] = 1 / metrics["period"] if metrics["period"] else math.inf
    metrics |= {
        f"load({resource.name})": resource_load(facts, resource) for resource in problem.platform.all_resources()
    }
    metrics |= {f"busy({device})": busy(facts, device) for device in devices}
    metrics["energy"] = energy(facts)
    metrics |= {f"energy({device})": energy(facts, (device,)) for device in devices}
    metrics["cost"] = cost(facts)
    metrics["traffic"] = traffic(facts)
    metrics |= {f"traffic({link.name})": traffic(facts, (link.name,)) for link in problem.platform.links}
    if all(layer.weights is not None for network in problem.networks for layer in network.layers):
        listed = next((entry for entry in problem.subject_to if isinstance(entry, Memory)), Memory())
        metrics |= {f"memory({device})": memory(facts, device, listed.rule, listed.buffers) for device in devices}
    exposure = _exposure_is_known(problem.networks, [*problem.platform.devices, *problem.platform.links])
    others = [one.name for one in STANDARD.values() if one.name not in metrics and (exposure or not one.exposure)]
    asked = {one.metric: one for one in problem.minimize}
    for name, known in (("accuracy_loss", problem.can_lose_accuracy), ("batch_latency", "batch_latency" in asked)):
        if not known:
            others.remove(name)
    rounds = {name: asked[name].rounds for name in others if name in asked}
    metrics |= {name: value_of(facts, latencies, metric_term(name, rounds=rounds.get(name))) for name in others}
    metrics |= {metric.name: own_value(facts, metric.name) for metric in problem.metrics}
    return metrics


def _exposure_is_known(networks: tuple[Network, ...], places: list) -> bool:
    sensitivities = [tensor.sensitivity for network in networks for tensor in network.tensors]
    return None not in sensitivities and all(place.trusted is not None for place in places)


def term_value(facts: Facts, latencies: Latencies, term: Term) -> float:
    """Return the value of one term, before its weight."""
    if term.over == "max":
        return _largest(facts, latencies, term)
    return value_of(facts, latencies, term)


@lru_cache(maxsize=4096)
def metric_term(metric: str, **fields: Any) -> Term:
    """Return a term: plans by the thousand are asked for the same few."""
    return Term(metric=metric, **fields)


def value_of(facts: Facts, latencies: Latencies, term: Term) -> float:
    """Return the value of a term's metric: a standard one, or one of the problem's own."""
    if term.metric in DEFINITIONS:
        return DEFINITIONS[term.metric](facts, latencies, term)
    return own_value(facts, term.metric)


def _largest(facts: Facts, latencies: Latencies, term: Term) -> float:
    """Return the largest latency of a network, or the largest value for one of the devices or links."""
    parts = STANDARD[term.metric].parts
    if parts == "networks":
        return max(latencies.values())
    platform = facts.problem.platform
    every = platform.device_names() if parts == "devices" else [link.name for link in platform.links]
    alone = [metric_term(term.metric, **{parts: (name,)}) for name in getattr(term, parts) or every]
    return max((value_of(facts, latencies, one) for one in alone), default=0.0)


def _energy_of(facts: Facts, latencies: Latencies, term: Term) -> float:
    idle = idle_energy(facts, term.devices, total_latency(facts, latencies)) if term.idle else 0.0
    return energy(facts, term.devices) + idle


def _latency_of(facts: Facts, latencies: Latencies, term: Term) -> float:
    return total_latency(facts, latencies) if term.network is None else latencies[term.network]


DEFINITIONS: dict[str, Callable[[Facts, Latencies, Term], float]] = {
    "latency": _latency_of,
    "period": lambda facts, latencies, term: period(facts),
    "energy": _energy_of,
    "cost": lambda facts, latencies, term: cost(facts),
    "traffic": lambda facts, latencies, term: traffic(facts, term.links),
    "leakage": lambda facts, latencies, term: leakage(facts),
    "worst_leakage": lambda facts, latencies, term: worst_leakage(facts),
    "accuracy_loss": lambda facts, latencies, term: accuracy_loss(facts),
    "batch_latency": lambda facts, latencies, term: batch_latency(facts, latencies, term.rounds or 1),
}


def times(weight: float, value: float) -> float:
    """Return the product; a weight of zero counts for nothing, even where the value is infinite."""
    return weight * value if weight else 0.0
