"""Latency without a schedule: one thing at a time, or the critical path."""

from __future__ import annotations

import math
from collections import defaultdict

from dnnopt.problem.networks import INPUT, OUTPUT, Network
from dnnopt.referee.facts import Facts, Use, link_seconds


def sequential_latency(facts: Facts, network: Network) -> float:
    """Return `Σ t_vi + Σ s_τℓ w_τℓ` over the network's own layers and tensors, with encoding and decoding."""
    if facts.unrouted(network.name):
        return math.inf
    computing = [facts.seconds[key] for key in facts.layers_of(network.name)]
    sending = [crossing.seconds for crossing in facts.crossings if crossing.network == network.name]
    coding = [coding.seconds for coding in facts.codings if coding.network == network.name]
    return math.fsum(computing + sending + coding)


def critical_path(facts: Facts, network: Network) -> float:
    """Return the longest path: a layer starts when all its tensors are there; no device or link is waited for."""
    mine = [coding for coding in facts.codings if coding.network == network.name]
    encoding = {coding.tensor: coding.seconds for coding in mine if coding.encodes}
    decoding = {(coding.tensor, coding.device): coding.seconds for coding in mine if not coding.encodes}
    travel = {}
    for copy in facts.copies:
        if copy.network == network.name:
            name, hops = copy.tensor.name, [link_seconds(copy.tensor, link) for link in copy.links or ()]
            coded = [encoding.get(name, 0.0), decoding.get((name, copy.destination), 0.0)]
            travel[name, copy.destination] = math.inf if copy.links is None else math.fsum(hops + coded)
    used_by: dict[str, list[Use]] = defaultdict(list)
    for use in facts.uses:
        if use.network == network.name:
            used_by[use.consumer].append(use)
    finish = {INPUT: 0.0}

    def ready(consumer: str) -> float:
        arrivals = [
            finish[use.tensor.producer] + travel.get((use.tensor.name, use.device), 0.0) for use in used_by[consumer]
        ]
        return max(arrivals, default=0.0)

    for position in network.order:
        layer = network.layers[position].name
        finish[layer] = ready(layer) + facts.seconds[network.name, layer]
    return max(*finish.values(), ready(OUTPUT))
