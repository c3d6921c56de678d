"""Latency under `call` execution: each device but pools runs what it has of a network as one call."""

from __future__ import annotations

import math
from collections import defaultdict

from dnnopt.problem.networks import Network
from dnnopt.referee.evaluation import Violation
from dnnopt.referee.facts import Facts

Step = tuple[str, str]  # ("call", a device), or ("layer", a layer on a pool; "input" and "output" too)


def call_latency(facts: Facts, network: Network) -> tuple[float, list[Violation]]:
    """Return when the last call or layer ends, and what is wrong: calls that wait for each other never start."""
    steps = _steps(facts, network)
    waits_for = _waits_for(facts, network, steps)
    order, round_trip = _in_order({*steps.values(), *waits_for}, waits_for)
    if round_trip:
        words = " -> ".join(name for _, name in round_trip)
        return math.inf, [Violation(f"call({network.name})", math.inf, "", f"calls wait for each other: {words}")]
    if facts.unrouted(network.name):
        return math.inf, []
    finish: dict[Step, float] = {}
    for step in order:
        ready = max((finish[other] for other in waits_for.get(step, ())), default=0.0)
        finish[step] = ready + _seconds(facts, network, step)
    return max(finish.values()), []


def _pools(facts: Facts) -> set[str]:
    return {device.name for device in facts.problem.platform.devices if device.pool}


def _steps(facts: Facts, network: Network) -> dict[str, Step]:
    """Return the step in which each layer runs."""
    pools = _pools(facts)
    steps = {}
    for _, layer in facts.layers_of(network.name):
        device = facts.device_of[network.name, layer]
        steps[layer] = ("layer", layer) if device in pools else ("call", device)
    return steps


def _waits_for(facts: Facts, network: Network, steps: dict[str, Step]) -> dict[Step, set[Step]]:
    """Return which steps each step needs something of."""
    waits_for: dict[Step, set[Step]] = defaultdict(set)
    for use in facts.uses:
        if use.network == network.name:
            before = steps.get(use.tensor.producer, ("layer", use.tensor.producer))
            after = steps.get(use.consumer, ("layer", use.consumer))
            if before != after:
                waits_for[after].add(before)
    return waits_for


def _seconds(facts: Facts, network: Network, step: Step) -> float:
    """Return the time of a layer, or of a call: its layers, and all that its device receives and sends."""
    kind, name = step
    if kind == "layer":
        return facts.seconds.get((network.name, name), 0.0)
    computing = [facts.seconds[key] for key in facts.layers_of(network.name) if facts.device_of[key] == name]
    sending = [
        crossing.seconds
        for crossing in facts.crossings
        if crossing.network == network.name and name in (crossing.link.sender, crossing.link.receiver)
    ]
    return math.fsum(computing + sending)


def _in_order(steps: set[Step], waits_for: dict[Step, set[Step]]) -> tuple[list[Step], list[Step]]:
    """Return the steps, each after those it waits for; where one waits for itself, that one and those between."""
    order: list[Step] = []
    for first in sorted(steps):
        path = [first] if first not in order else []
        todo = [sorted(waits_for.get(first, ()))] if path else []
        while path:
            if todo[-1]:
                step = todo[-1].pop()
                if step in path:
                    return order, [step, *reversed(path[path.index(step) :])]
                if step not in order:
                    path.append(step)
                    todo.append(sorted(waits_for.get(step, ())))
            else:
                order.append(path.pop())
                todo.pop()
    return order, []
