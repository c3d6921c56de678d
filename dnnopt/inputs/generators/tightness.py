"""How tight memory and deadlines are, against bounds that no solver is needed for: see ``docs/generators.md``."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

from dnnopt.inputs.generators.draft import Draft
from dnnopt.inputs.generators.platforms import Machine

DeviceOfLayer = list[list[int]]  # a device for each layer of each network


def blocks(drafts: Sequence[Draft], shares: Sequence[Fraction]) -> DeviceOfLayer:
    """Return the block placement: the layers in order, a block to each device in order, by their own weights.

    A device takes layers until it and those before it have (at least) their shares of all these. Layers that share a
    device go where the first of them goes.

    Parameters
    ----------
    drafts : sequence of Draft
    shares : sequence of Fraction
        Of each device; they add up to 1.
    """
    total = sum(work.weights for draft in drafts for work in draft.works)
    placement: DeviceOfLayer = []
    device, placed, until = 0, 0, shares[0] * total
    for draft in drafts:
        leader = {v: group[0] for group in draft.together for v in group}
        members = {group[0]: group for group in draft.together}
        where: list[int] = []
        for v in range(len(draft.works)):
            if leader.get(v, v) != v:
                where.append(where[leader[v]])
                continue
            while placed >= until and device < len(shares) - 1 and total:
                device += 1
                until += shares[device] * total
            where.append(device)
            placed += sum(draft.works[member].weights for member in members.get(v, (v,)))
        placement.append(where)
    return placement


def weights_on(drafts: Sequence[Draft], placement: DeviceOfLayer, devices: int) -> list[int]:
    """Return the bytes of weights on each device; what layers share counts once on each."""
    held = [0] * devices
    for draft, where in zip(drafts, placement, strict=True):
        for work, device in zip(draft.works, where, strict=True):
            held[device] += work.weights
        for tied in draft.tied:
            for device in {where[v] for v in tied.layers}:
                held[device] += tied.bytes
    return held


def capacities(drafts: Sequence[Draft], shares: Sequence[Fraction], memory: Fraction) -> list[int]:
    """Return the bytes of each device.

    How many devices like it hold all W bytes of weights, `W / M_i`, goes linearly from 1, where tightness is 0, to
    `W / c_i`, where it is 1; `c_i` is the larger one of the device's share and its part of the block placement.
    """
    held = weights_on(drafts, blocks(drafts, shares), len(shares))
    total = sum(work.weights for draft in drafts for work in draft.works)
    total += sum(tied.bytes for draft in drafts for tied in draft.tied)
    tightest = [max(share * total, Fraction(block)) for share, block in zip(shares, held, strict=True)]
    return [ceil(total / (1 - memory + memory * total / least)) for least in tightest]


def lower_bound(draft: Draft, machines: Sequence[Machine], execution: str) -> float:
    """Return seconds that no plan's latency is below: each layer on its fastest device, nothing sent.

    One layer after the other under ``sequential`` and ``pipelined`` execution, the longest path under the others.
    """
    # Times are rounded up, by less than one nanosecond.
    fastest = [min(machine.nanoseconds(work) for machine in machines) - 1 for work in draft.works]
    if execution in ("sequential", "pipelined"):
        return sum(fastest) / 10**9
    finish: list[int] = []
    for work, seconds in zip(draft.works, fastest, strict=True):
        finish.append(seconds + max((finish[source] for source in work.sources if source >= 0), default=0))
    return max(finish) / 10**9


def deadline(lower: float, known: float, upper: float, tightness: Fraction) -> float:
    """Return seconds, in whole nanoseconds, rounded up: `upper` where tightness is 0, `known` at 1/2, `lower` at 1."""
    first, last = (upper, known) if 2 * tightness < 1 else (known, lower)
    part = 2 * tightness if 2 * tightness < 1 else 2 * tightness - 1
    return ceil(10**9 * (Fraction(first) + part * (Fraction(last) - Fraction(first)))) / 10**9
