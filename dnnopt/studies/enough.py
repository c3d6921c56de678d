"""How much a limit of an infeasible problem would have to allow: it is taken out, and what it limits is minimised.

Where that is a metric, it is the objective of one search. What is none (memory, utilisation, numbers of devices and
cuts) is bracketed: a plan shows what is enough, a limit at which there is none shows what is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dnnopt.methods.solving import solve
from dnnopt.models.solvers.interface import Clock
from dnnopt.problem import constraints as c
from dnnopt.problem.custom import Metric
from dnnopt.problem.objectives import Term, limit_on
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.problem.scenarios import across_label
from dnnopt.referee import evaluate
from dnnopt.studies.explanation import Enough

_CLOSE = 1e-6  # relative: values closer than this are the same
_OWN = "_enough"


@dataclass(frozen=True)
class Limit:
    """One quantity that an entry of `subject_to` limits.

    Attributes
    ----------
    quantity : str
    allowed : float
    unit : str
    without : tuple of constraints
        What is left of the entry when this quantity has no limit.
    term : Term, optional
        The quantity as an objective, times `factor`.
    factor : float
    at : callable, optional
        Of a quantity that is no metric: the entry with another limit on it.
    label : str
        What the referee calls it where `at` is broken; empty: all that it says.
    whole : bool
        Whether its values are whole numbers.
    """

    quantity: str
    allowed: float
    unit: str
    without: tuple[Any, ...] = ()
    term: Term | None = None
    factor: float = 1.0
    at: Callable[[float], Any] | None = None
    label: str = ""
    whole: bool = False

    def value(self, problem: Problem, plan: Plan) -> float:
        """Return the quantity of a plan: what it is above a limit of 0."""
        assert self.at is not None
        found = evaluate(problem.model_copy(update={"subject_to": (self.at(0.0),)}), plan).violations
        return max((one.amount for one in found if one.constraint == self.label or not self.label), default=0.0)


def limits_of(problem: Problem, entry: Any) -> list[Limit]:
    """Return what an entry of `subject_to` limits; nothing: it is a rule, not a limit."""
    read = _READERS.get(type(entry))
    return [] if read is None else read(problem, entry)


def _memory(problem: Problem, entry: c.Memory) -> list[Limit]:
    modes = [executor.mode for executor in problem.platform.executors()]
    weight = max(mode.weight_bytes for mode in modes)
    activation = max(mode.activation_bytes for mode in modes)
    output = max(mode.output_bytes for mode in modes)
    most_modes = max(len(device.executors) for device in problem.platform.devices)  # each holds shared weights
    sizes = [most_modes * weight * shared.bytes for shared in problem.all_shared_weights()]
    for network in problem.networks:
        for layer in network.layers:
            sizes += [weight * (layer.weights or 0.0), activation * (layer.activations or 0.0), layer.state]
        for tensor in network.tensors:
            sent = max(output * tensor.bytes, *(form.bytes for form in tensor.forms), 0.0)
            sizes.append(2 * entry.buffers * sent)
    plain = all({mode.weight_bytes, mode.activation_bytes, mode.output_bytes} == {1.0} for mode in modes)
    everything, whole = math.fsum(sizes), plain and all(float(size).is_integer() for size in sizes)
    found = []
    for device in problem.platform.devices:
        allowed = entry.limit_on(device)
        if allowed is None:
            continue

        def at(value: float, name: str = device.name) -> c.Memory:
            return entry.model_copy(update={"limits": {**entry.limits, name: value}})

        found.append(
            Limit(
                quantity=f"memory of {device.name}",
                allowed=allowed,
                unit="bytes",
                without=(at(max(allowed, everything)),),
                at=at,
                label=f"{entry.label}({device.name})",
                whole=whole,
            )
        )
    return found


def _deadline(problem: Problem, entry: c.Deadline) -> list[Limit]:
    if entry.share is not None:
        return []  # it is about probability as well
    held = [network for network in problem.networks if entry.network in (None, network.name)]
    found = []
    for network in held:
        allowed = network.deadline if entry.limit is None else entry.limit
        assert allowed is not None, "Problem refuses a deadline without limit"
        others = tuple(entry.replace(network=other.name) for other in held if other != network)
        term = Term(metric="latency", network=network.name, across=entry.across, level=entry.level)
        found.append(Limit(f"{across_label(entry)}latency of {network.name}", allowed, "s", others, term))
    return found


def _bandwidth(problem: Problem, entry: c.Bandwidth) -> list[Limit]:
    held = [link for link in problem.platform.links if entry.link in (None, link.name)]
    rates = {network.rate or 0.0 for network in problem.networks}
    if entry.limit is None and len(rates) > 1:
        return []  # no metric counts the bytes of each network at its own rate
    found = []
    for link in held:
        others = tuple(c.Bandwidth(link=other.name, limit=entry.limit) for other in held if other != link)
        term = Term(metric="traffic", links=(link.name,))
        if entry.limit is None:
            found.append(Limit(f"traffic of {link.name}", link.bandwidth, "bytes/s", others, term, min(rates)))
        else:
            found.append(Limit(f"traffic of {link.name} per inference", entry.limit, "bytes", others, term))
    return found


def _metric(problem: Problem, entry: Any) -> list[Limit]:
    """Return the limit of an entry that is of one metric."""
    options: dict[str, Any] = {
        name: getattr(entry, name)
        for name in ("devices", "links", "across", "level", "rounds")
        if getattr(entry, name, None) is not None
    }
    name = entry.metric if isinstance(entry, c.MetricLimit) else entry.constraint
    term = Term(metric=name, **options)
    assert limit_on(term, entry.limit) == entry
    units = {metric.name: metric.unit for metric in problem.metrics}
    named = options.get("devices") or options.get("links") or ()
    quantity = across_label(term) + name.replace("_", " ") + (f" of {', '.join(named)}" if named else "")
    return [Limit(quantity, entry.limit, units.get(name, term.unit), (), term)]


def _utilisation(problem: Problem, entry: c.Utilisation) -> list[Limit]:
    return [Limit("utilisation", entry.limit, "", at=lambda value: c.Utilisation(limit=value))]


def _count(problem: Problem, entry: c.MaxDevices | c.MaxCuts) -> list[Limit]:
    unit = "devices" if isinstance(entry, c.MaxDevices) else "cuts"
    kind = type(entry)
    quantity = "number of " + unit
    return [Limit(quantity, float(entry.limit), "", at=lambda value: kind(limit=int(value)), whole=True)]


_READERS: dict[type[Any], Callable[[Problem, Any], list[Limit]]] = {
    c.Memory: _memory,
    c.Deadline: _deadline,
    c.Bandwidth: _bandwidth,
    c.Energy: _metric,
    c.Cost: _metric,
    c.Traffic: _metric,
    c.Leakage: _metric,
    c.WorstLeakage: _metric,
    c.AccuracyLoss: _metric,
    c.MetricLimit: _metric,
    c.Utilisation: _utilisation,
    c.MaxDevices: _count,
    c.MaxCuts: _count,
}


def least_enough(problem: Problem, others: Sequence[Any], limit: Limit, group: str, seconds: float) -> Enough:
    """Return what a limit would have to allow.

    Parameters
    ----------
    problem : Problem
        Without constraints that are not to hold; its own `subject_to` and objective do not count.
    others : sequence of constraints
        What is to hold beside it.
    limit : Limit
    group : str
    seconds : float
    """
    clock = Clock(seconds)
    entries = (*others, *limit.without)

    def answer(status: str, value: float | None = None, bound: float | None = None, plan: Plan | None = None) -> Enough:
        return Enough(group, limit.quantity, limit.allowed, limit.unit, status, value, bound, clock.elapsed(), plan)

    first = solve(_asking(problem, entries, limit), time_limit=clock.left(), confirm=False)
    bound = None if first.bound is None else max(limit.factor * first.bound, limit.allowed)
    if first.plan is None:
        return answer("impossible" if first.status == "infeasible" else "unknown", bound=bound)
    if limit.at is None:
        assert first.objective is not None
        status = "exact" if first.status == "optimal" else "found"
        return answer(status, limit.factor * first.objective, bound, first.plan)
    low = limit.allowed
    if bound is not None and bound > low:  # which may be enough itself
        low = math.ceil(bound) - 1.0 if limit.whole else (1 - _CLOSE) * bound
    high, plan = limit.value(problem, first.plan), first.plan
    while not _met(low, high, limit.whole):
        middle = math.floor((low + high) / 2) if limit.whole else (low + high) / 2
        if clock.expired():
            return answer("found", high, low, plan)
        tried = solve(
            problem.replace(subject_to=[*others, limit.at(middle)], minimize=_NOTHING),
            time_limit=clock.left(),
            confirm=False,
        )
        if tried.plan is not None:
            high, plan = limit.value(problem, tried.plan), tried.plan
        elif tried.status == "infeasible":
            low = middle
        else:
            return answer("found", high, low, plan)
    return answer("exact", high, high, plan)


_NOTHING = Term(metric="traffic", weight=0.0)


def _met(low: float, high: float, whole: bool) -> bool:
    """Return whether nothing that counts is between what is too little and what is enough."""
    return high - low <= (1.0 if whole and high < 1 / _CLOSE else _CLOSE * abs(high))


def _asking(problem: Problem, entries: Sequence[Any], limit: Limit) -> Problem:
    """Return the problem that has the least of the quantity, or something close to it, for its objective."""
    if limit.term is not None:
        return problem.replace(subject_to=entries, minimize=limit.term)
    if limit.unit != "bytes":
        return problem.replace(subject_to=entries, minimize=_NOTHING)
    # Of the memory of a device, its weights: no plan needs less than the least of them.
    device = limit.quantity.removeprefix("memory of ")
    (here,) = (one for one in problem.platform.devices if one.name == device)
    factor = min(executor.mode.weight_bytes for executor in here.executors)
    layers = {
        network.name: {layer.name: {device: factor * (layer.weights or 0.0) + layer.state} for layer in network.layers}
        for network in problem.networks
    }
    own = Metric(name=_OWN, unit="bytes", layers=layers)
    return problem.replace(subject_to=entries, minimize=Term(metric=_OWN), metrics=[*problem.metrics, own])
