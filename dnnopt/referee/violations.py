"""What a plan violates: the listed constraints, one function for each kind, and what the platform cannot do."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

from dnnopt.base.numbers import format_number
from dnnopt.problem import constraints as c
from dnnopt.problem.custom import CustomConstraint
from dnnopt.problem.networks import INPUT, OUTPUT, Network
from dnnopt.problem.objectives import Term
from dnnopt.problem.platforms import TIERS
from dnnopt.referee import metrics
from dnnopt.referee.contiguity import why_not_contiguous
from dnnopt.referee.evaluation import Violation, told_apart
from dnnopt.referee.facts import Facts
from dnnopt.referee.metrics import Latencies

TOLERANCE = 1e-9
TINY = sys.float_info.min
HALF_A_BYTE = 0.5  # memory is in whole bytes, and must stay exact where 1e-9 of it is more than one
_INEXACT = 2.0**53  # from there on floats are not whole bytes

Violations = Iterator[Violation]


def platform_violations(facts: Facts) -> Violations:
    """Yield the layers on devices that do not support them, and the pairs of devices without the route they need."""
    for key, seconds in facts.seconds.items():
        if math.isinf(seconds):
            name, device = facts.title(*key), facts.device_of[key]
            yield Violation(f"unsupported({name} on {device})", math.inf, "", f"{device} does not support layer {name}")
    tensors = defaultdict(list)
    for copy in facts.unrouted():
        tensors[copy.origin, copy.destination].append(facts.title(copy.network, copy.tensor.name))
    for (origin, destination), names in tensors.items():
        message = f"no route from {origin} to {destination}, for {_listed(list(dict.fromkeys(names)))}"
        yield Violation(f"route({origin}->{destination})", math.inf, "", message)


def constraint_violations(facts: Facts, latencies: Latencies) -> Violations:
    """Yield what violates the problem's constraints, in their order."""
    for constraint in facts.problem.subject_to:
        check = _custom if isinstance(constraint, CustomConstraint) else CHECKS[type(constraint)]
        yield from check(facts, latencies, constraint)


def _exceeds(value: float, limit: float, cap: float = math.inf) -> bool:
    return value - limit > min(TOLERANCE * max(abs(limit), TINY), cap)


def _over(label: str, what: str, value: float, limit: float, unit: str, *, cap: float = math.inf) -> Violations:
    """Yield a violation if `value` is above `limit` by more than rounding explains."""
    if _exceeds(value, limit, cap):
        found, allowed = told_apart(value, limit, unit)
        yield Violation(label, value - limit, unit, f"{what}: {found}, {allowed} allowed")


def _listed(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _rate(network: Network) -> float:
    assert network.rate is not None, "Problem refuses constraints that need a rate without one"
    return network.rate


def _memory(facts: Facts, latencies: Latencies, entry: c.Memory) -> Violations:
    for device in facts.problem.platform.devices:
        limit = entry.limit_on(device)
        if limit is not None:
            used = metrics.memory(facts, device.name, entry.rule, entry.buffers)
            label, what = f"{entry.label}({device.name})", f"memory of {device.name} ({entry.rule})"
            yield from _over(label, what, used, limit, "bytes", cap=HALF_A_BYTE if limit < _INEXACT else math.inf)


def _deadline(facts: Facts, latencies: Latencies, entry: c.Deadline) -> Violations:
    for network in facts.problem.networks:
        limit = entry.limit if entry.limit is not None else network.deadline
        if entry.network in (None, network.name):
            assert limit is not None, "Problem refuses a deadline without limit"
            yield from _over(
                f"deadline({network.name})", f"latency of {network.name}", latencies[network.name], limit, "s"
            )


def _bandwidth(facts: Facts, latencies: Latencies, entry: c.Bandwidth) -> Violations:
    for link in facts.problem.platform.links:
        if entry.link not in (None, link.name):
            continue
        label = f"bandwidth({link.name})"
        if entry.limit is not None:
            used = metrics.traffic(facts, (link.name,))
            yield from _over(label, f"traffic of {link.name} per inference", used, entry.limit, "bytes")
        else:
            used = math.fsum(
                _rate(network) * metrics.traffic(facts, (link.name,), network.name)
                for network in facts.problem.networks
            )
            yield from _over(label, f"traffic of {link.name}", used, link.bandwidth, "bytes/s")


def _energy(facts: Facts, latencies: Latencies, entry: c.Energy) -> Violations:
    what = f"energy of {', '.join(entry.devices)}" if entry.devices else "energy"
    yield from _over(entry.label, what, metrics.energy(facts, entry.devices), entry.limit, "J")


def _cost(facts: Facts, latencies: Latencies, entry: c.Cost) -> Violations:
    yield from _over(entry.label, "cost", metrics.cost(facts), entry.limit, "USD")


def _traffic(facts: Facts, latencies: Latencies, entry: c.Traffic) -> Violations:
    what = f"traffic of {', '.join(entry.links)}" if entry.links else "traffic"
    yield from _over(entry.label, what, metrics.traffic(facts, entry.links), entry.limit, "bytes")


def _leakage(facts: Facts, latencies: Latencies, entry: c.Leakage) -> Violations:
    what = f"leakage, by {_listed([facts.title(*key) for key in metrics.exposed(facts)])}"
    yield from _over(entry.label, what, metrics.leakage(facts), entry.limit, "")


def _worst_leakage(facts: Facts, latencies: Latencies, entry: c.WorstLeakage) -> Violations:
    exposed = metrics.exposed(facts)
    worst = [facts.title(*key) for key, sensitivity in exposed.items() if _exceeds(sensitivity, entry.limit)]
    what = f"worst leakage, by {_listed(worst)}"
    yield from _over(entry.label, what, metrics.worst_leakage(facts), entry.limit, "")


def _utilisation(facts: Facts, latencies: Latencies, entry: c.Utilisation) -> Violations:
    for resource in facts.problem.platform.all_resources():
        used = math.fsum(
            _rate(network) * metrics.resource_load(facts, resource, network.name) for network in facts.problem.networks
        )
        yield from _over(f"utilisation({resource.name})", f"utilisation of {resource.name}", used, entry.limit, "")


def _placement(facts: Facts, latencies: Latencies, entry: c.Placement) -> Violations:
    device = facts.device_of[entry.network, entry.layer]
    if device not in entry.allowed:
        name, allowed = facts.title(entry.network, entry.layer), _listed(list(entry.allowed)) or "no device"
        yield Violation(entry.label, 1, "", f"layer {name} is on {device}, {allowed} allowed")


def _colocate(facts: Facts, latencies: Latencies, entry: c.Colocate) -> Violations:
    devices = dict.fromkeys(facts.device_of[entry.network, layer] for layer in entry.layers)
    if len(devices) > 1:
        yield Violation(
            entry.label, 1, "", f"layers {_listed(list(entry.layers))} are on {', '.join(devices)}, not on one device"
        )


def _separate(facts: Facts, latencies: Latencies, entry: c.Separate) -> Violations:
    together = [
        f"{u} and {v} on {facts.device_of[entry.network, u]}"
        for u, v in combinations(entry.layers, 2)
        if facts.device_of[entry.network, u] == facts.device_of[entry.network, v]
    ]
    if together:
        yield Violation(entry.label, 1, "", f"layers that must be apart are together: {_listed(together)}")


def _contiguous(facts: Facts, latencies: Latencies, entry: c.Contiguous) -> Violations:
    for network in facts.problem.networks:
        if entry.network in (None, network.name):
            devices = {layer: facts.device_of[network.name, layer] for _, layer in facts.layers_of(network.name)}
            members = set(devices) if entry.layers is None else set(entry.layers)
            reason = why_not_contiguous(network, devices, members)
            if reason:
                yield Violation(f"contiguous({network.name})", 1, "", f"{network.name} is not contiguous: {reason}")


def _monotone_tiers(facts: Facts, latencies: Latencies, entry: c.MonotoneTiers) -> Violations:
    # Problem refuses the constraint for devices without a tier.
    tiers = {device.name: device.tier for device in facts.problem.platform.devices if device.tier is not None}
    back = []
    for use in facts.uses:
        if use.origin is None or use.tensor.producer == INPUT or use.consumer == OUTPUT:
            continue
        origin, destination = tiers[use.origin], tiers[use.device]
        if TIERS.index(origin) > TIERS.index(destination):
            back.append(
                f"{facts.title(use.network, use.tensor.name)} from {origin} to {destination} for {use.consumer}"
            )
    if back:
        yield Violation(entry.label, 1, "", f"tensors go back: {_listed(back)}")


def _max_devices(facts: Facts, latencies: Latencies, entry: c.MaxDevices) -> Violations:
    devices = list(dict.fromkeys(facts.device_of.values()))
    if len(devices) > entry.limit:
        message = f"layers run on {len(devices)} devices ({_listed(devices)}), {entry.limit} allowed"
        yield Violation(entry.label, len(devices) - entry.limit, "devices", message)


def _max_cuts(facts: Facts, latencies: Latencies, entry: c.MaxCuts) -> Violations:
    cuts = [f"{facts.title(copy.network, copy.tensor.name)} to {copy.destination}" for copy in metrics.cuts(facts)]
    if len(cuts) > entry.limit:
        message = f"{len(cuts)} cuts ({_listed(cuts)}), {entry.limit} allowed"
        yield Violation(entry.label, len(cuts) - entry.limit, "cuts", message)


def _metric_limit(facts: Facts, latencies: Latencies, entry: c.MetricLimit) -> Violations:
    value = metrics.value_of(facts, latencies, Term(metric=entry.metric))
    yield from _over(entry.label, entry.metric, value, entry.limit, metrics.metric_unit(facts, entry.metric))


def _custom(facts: Facts, latencies: Latencies, entry: CustomConstraint) -> Violations:
    broken = entry.amount(facts.problem, facts.plan)
    if broken > TOLERANCE:
        yield Violation(entry.label, broken, "", f"{entry.label} is broken by {format_number(broken)}")


CHECKS: dict[type[Any], Callable[[Facts, Latencies, Any], Violations]] = {
    c.Memory: _memory,
    c.Deadline: _deadline,
    c.Bandwidth: _bandwidth,
    c.Energy: _energy,
    c.Cost: _cost,
    c.Traffic: _traffic,
    c.Leakage: _leakage,
    c.WorstLeakage: _worst_leakage,
    c.MetricLimit: _metric_limit,
    c.Utilisation: _utilisation,
    c.Placement: _placement,
    c.Colocate: _colocate,
    c.Separate: _separate,
    c.Contiguous: _contiguous,
    c.MonotoneTiers: _monotone_tiers,
    c.MaxDevices: _max_devices,
    c.MaxCuts: _max_cuts,
}
