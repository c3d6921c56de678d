"""What a plan violates: the listed constraints, one function for each kind, and what the platform cannot do."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dnnopt.base.numbers import format_number
from dnnopt.problem import constraints as c
from dnnopt.problem.custom import CustomConstraint
from dnnopt.problem.networks import INPUT, OUTPUT, Network
from dnnopt.problem.platforms import TIERS
from dnnopt.problem.scenarios import across_label
from dnnopt.referee import metrics
from dnnopt.referee.contiguity import why_not_contiguous
from dnnopt.referee.evaluation import Violation, told_apart
from dnnopt.referee.facts import Facts
from dnnopt.referee.metrics import Latencies
from dnnopt.referee.scenarios import Case, across

TOLERANCE = 1e-9
TINY = sys.float_info.min
HALF_A_BYTE = 0.5  # memory is in whole bytes, and must stay exact where 1e-9 of it is more than one
_INEXACT = 2.0**53  # from there on floats are not whole bytes

Violations = Iterator[Violation]
_Check = Callable[[Sequence[Case], Any], Violations]


def platform_violations(facts: Facts) -> Violations:
    """Yield the layers on devices that do not support them, and the pairs of devices without the route they need."""
    first_of = {(block.network, block.layers[0].name): block for block in facts.fused}
    for key, seconds in facts.seconds.items():
        if math.isinf(seconds):
            block, device = first_of.get(key), facts.executor_of[key].name
            name = facts.title(*key) if block is None else facts.title(block.network, block.name)
            message = f"{device} does not support {'layer' if block is None else 'block'} {name}"
            yield Violation(f"unsupported({name} on {device})", math.inf, "", message)
    for block in facts.torn:
        name, keys = facts.title(block.network, block.name), [(block.network, layer.name) for layer in block.layers]
        places = _listed(list(dict.fromkeys(facts.executor_of[key].name for key in keys)))
        yield Violation(f"block({name})", 1, "", f"the layers of block {name} are on {places}, not on one of them")
    for coding in facts.codings:
        if math.isinf(coding.seconds):
            tensor, verb = facts.title(coding.network, coding.tensor), "encode" if coding.encodes else "decode"
            label = f"form({tensor} as {coding.form} on {coding.device})"
            yield Violation(label, math.inf, "", f"{coding.device} cannot {verb} {tensor} as {coding.form}")
    for key in dict.fromkeys((copy.network, copy.tensor.name) for copy in facts.copies if not copy.tensor.plain):
        if key not in facts.form_of:
            tensor = facts.title(*key)
            yield Violation(f"form({tensor})", math.inf, "", f"{tensor} may not be sent as it is")
    for one in facts.problem.platform.devices:
        used = dict.fromkeys(each.name for each in facts.executor_of.values() if each.device.name == one.name)
        if one.one_mode and len(used) > 1:
            message = f"layers run in {len(used)} modes of {one.name} ({_listed(list(used))}), all in one allowed"
            yield Violation(f"one_mode({one.name})", len(used) - 1, "modes", message)
    tensors = defaultdict(list)
    for copy in facts.unrouted():
        tensors[copy.origin, copy.destination].append(facts.title(copy.network, copy.tensor.name))
    for (origin, destination), names in tensors.items():
        message = f"no route from {origin} to {destination}, for {_listed(list(dict.fromkeys(names)))}"
        yield Violation(f"route({origin}->{destination})", math.inf, "", message)


def constraint_violations(cases: Sequence[Case]) -> Violations:
    """Yield what violates the problem's constraints, in their order."""
    for constraint in cases[0].facts.problem.subject_to:
        yield from (_CUSTOM if isinstance(constraint, CustomConstraint) else CHECKS[type(constraint)])(
            cases, constraint
        )


def _in_every_case(check: Callable[[Facts, Latencies, Any], Violations]) -> _Check:
    """Return a check that looks at every case, and yields each violation at its worst."""

    def checked(cases: Sequence[Case], entry: Any) -> Violations:
        worst: dict[str, Violation] = {}
        for case in cases:
            for found in check(case.facts, case.latencies, entry):
                if found.constraint not in worst or found.amount > worst[found.constraint].amount:
                    worst[found.constraint] = found
        yield from worst.values()

    return checked


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


def _latency_of(network: str) -> Callable[[Case], float]:
    return lambda case: case.latencies[network]


def _deadline(cases: Sequence[Case], entry: c.Deadline) -> Violations:
    for network in cases[0].facts.problem.networks:
        if entry.network not in (None, network.name):
            continue
        limit = entry.limit if entry.limit is not None else network.deadline
        assert limit is not None, "Problem refuses a deadline without limit"
        name, label = network.name, f"deadline({network.name})"
        if entry.share is None:
            value = across(cases, _latency_of(name), entry)
            yield from _over(label, f"{across_label(entry)}latency of {name}", value, limit, "s")
            continue
        kept = math.fsum(case.probability for case in cases if not _exceeds(case.latencies[name], limit))
        if kept < entry.share - TOLERANCE:
            message = f"latency of {name}: kept with probability {kept:g}, {entry.share:g} demanded"
            yield Violation(label, entry.share - kept, "", message)


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


def _energy(cases: Sequence[Case], entry: c.Energy) -> Violations:
    what = across_label(entry) + (f"energy of {', '.join(entry.devices)}" if entry.devices else "energy")
    value = across(cases, lambda case: metrics.energy(case.facts, entry.devices), entry)
    yield from _over(entry.label, what, value, entry.limit, "J")


def _cost(cases: Sequence[Case], entry: c.Cost) -> Violations:
    value = across(cases, lambda case: metrics.cost(case.facts), entry)
    yield from _over(entry.label, f"{across_label(entry)}cost", value, entry.limit, "USD")


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


def _accuracy_loss(facts: Facts, latencies: Latencies, entry: c.AccuracyLoss) -> Violations:
    yield from _over(entry.label, "accuracy loss (a proxy)", metrics.accuracy_loss(facts), entry.limit, "")


def _utilisation(facts: Facts, latencies: Latencies, entry: c.Utilisation) -> Violations:
    for resource in facts.problem.platform.all_resources():
        used = math.fsum(
            _rate(network) * metrics.resource_load(facts, resource, network.name) for network in facts.problem.networks
        )
        yield from _over(f"utilisation({resource.name})", f"utilisation of {resource.name}", used, entry.limit, "")


def _placement(facts: Facts, latencies: Latencies, entry: c.Placement) -> Violations:
    executor = facts.executor_of[entry.network, entry.layer]
    device = executor.name
    if not {device, executor.device.name} & set(entry.allowed):
        name, allowed = facts.title(entry.network, entry.layer), _listed(list(entry.allowed)) or "no device"
        yield Violation(entry.label, 1, "", f"layer {name} is on {device}, {allowed} allowed")


def _colocate(facts: Facts, latencies: Latencies, entry: c.Colocate) -> Violations:
    devices = dict.fromkeys(facts.device_of[key] for key in entry.members)
    if len(devices) > 1:
        names = _listed([facts.title(*key) for key in entry.members])
        yield Violation(entry.label, 1, "", f"layers {names} are on {', '.join(devices)}, not on one device")


def _separate(facts: Facts, latencies: Latencies, entry: c.Separate) -> Violations:
    on: dict[str, list[str]] = {}
    for key in entry.members:
        on.setdefault(facts.device_of[key], []).append(facts.title(*key))
    full = [f"{_listed(names)} on {device}" for device, names in on.items() if len(names) > entry.at_most]
    if full:
        said = "that must be apart are together" if entry.at_most == 1 else f"of which {entry.at_most} may be together"
        yield Violation(entry.label, 1, "", f"layers {said}: {'; '.join(full)}")


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


def _metric_limit(cases: Sequence[Case], entry: c.MetricLimit) -> Violations:
    term, unit = (
        metrics.metric_term(entry.metric, rounds=entry.rounds),
        metrics.metric_unit(cases[0].facts, entry.metric),
    )
    value = across(cases, lambda case: metrics.value_of(case.facts, case.latencies, term), entry)
    yield from _over(entry.label, across_label(entry) + entry.metric, value, entry.limit, unit)


def _custom(facts: Facts, latencies: Latencies, entry: CustomConstraint) -> Violations:
    broken = entry.amount(facts.problem, facts.plan)
    if broken > TOLERANCE:
        yield Violation(entry.label, broken, "", f"{entry.label} is broken by {format_number(broken)}")


CHECKS: dict[type[Any], _Check] = {
    c.Memory: _in_every_case(_memory),
    c.Deadline: _deadline,
    c.Bandwidth: _in_every_case(_bandwidth),
    c.Energy: _energy,
    c.Cost: _cost,
    c.Traffic: _in_every_case(_traffic),
    c.Leakage: _in_every_case(_leakage),
    c.WorstLeakage: _in_every_case(_worst_leakage),
    c.AccuracyLoss: _in_every_case(_accuracy_loss),
    c.MetricLimit: _metric_limit,
    c.Utilisation: _in_every_case(_utilisation),
    c.Placement: _in_every_case(_placement),
    c.Colocate: _in_every_case(_colocate),
    c.Separate: _in_every_case(_separate),
    c.Contiguous: _in_every_case(_contiguous),
    c.MonotoneTiers: _in_every_case(_monotone_tiers),
    c.MaxDevices: _in_every_case(_max_devices),
    c.MaxCuts: _in_every_case(_max_cuts),
}
_CUSTOM = _in_every_case(_custom)
