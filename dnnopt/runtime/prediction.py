"""What a problem predicts of a run: seconds of pieces, bytes on links, latency and period, and when things happen."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from dnnopt.problem.manifest import Manifest
from dnnopt.problem.networks import INPUT, OUTPUT
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.referee import evaluate
from dnnopt.referee.facts import gather
from dnnopt.runtime.links import clock_slots, hops_of
from dnnopt.runtime.trace import TraceEvent


@dataclass(frozen=True)
class Prediction:
    """What is expected of a run.

    Attributes
    ----------
    latency, period : float
        By the problem: its execution, its times and links. Where that wants a schedule, and the plan has none any more,
        `as_run` stands for the latency.
    as_run : float
        Latency if each device runs its pieces as soon as what they need is there, and each link carries one value at a
        time: as the processes of a run do.
    pieces, layers : dict of str to float
        Seconds.
    links : dict of str to float
        Bytes for each input of the network.
    events : list
        As in `dnnopt.runtime.trace.Trace`.
    """

    latency: float
    period: float
    as_run: float
    pieces: dict[str, float]
    layers: dict[str, float]
    links: dict[str, float] = field(default_factory=dict)
    events: list[TraceEvent] = field(default_factory=list)


def predict(manifest: Manifest, problem: Problem, plan: Plan) -> Prediction:
    """Return what a problem predicts of its plan, in pieces."""
    found = evaluate(problem, plan)
    facts = gather(problem, plan)
    layers = {layer: facts.seconds[manifest.network, layer] for piece in manifest.pieces for layer in piece.layers}
    pieces = {piece.name: sum(layers[layer] for layer in piece.layers) for piece in manifest.pieces}
    events = imitated(manifest, problem.platform, pieces)
    links: dict[str, float] = {}
    for crossing in facts.crossings:
        if crossing.network == manifest.network:
            links[crossing.link.name] = links.get(crossing.link.name, 0.0) + crossing.bytes
    alone = found.metrics.get(f"latency({manifest.network})", found.metrics["latency"])
    as_run = max((event[5] for event in events), default=0.0)
    return Prediction(
        latency=alone if math.isfinite(alone) else as_run,
        period=found.metrics["period"],
        as_run=as_run,
        pieces=pieces,
        layers=layers,
        links=links,
        events=events,
    )


def imitated(manifest: Manifest, platform: Platform, seconds: Mapping[str, float]) -> list[TraceEvent]:
    """Return when one input's pieces run, and its values cross links, if each begins as soon as it can.

    Devices run pieces in the order in which they are ready, links carry values in that in which they come.
    """
    tensors, slots = manifest.tensor_of(), clock_slots(platform)
    pieces = {piece.name: piece for piece in manifest.pieces}
    order = {piece.name: position for position, piece in enumerate(manifest.pieces)}
    missing = {piece.name: len(piece.inputs) for piece in manifest.pieces}
    free: dict[str | int, float] = {}
    events: list[TraceEvent] = []
    queue: list[tuple[float, int, str, str]] = []  # moment, order, what happens, to which piece or value

    def arrive(value: str, device: str | None, moment: float) -> None:
        for consumer in tensors[value].consumers:
            if consumer != OUTPUT and (device is None or pieces[consumer].device == device):
                missing[consumer] -= 1
                if not missing[consumer]:
                    heapq.heappush(queue, (moment, order[consumer], "run", consumer))

    def made(value: str, device: str | None, moment: float) -> None:
        arrive(value, device, moment)
        for sent in manifest.sends:
            if sent.value == value and sent.sender == device and sent.sender is not None and sent.receiver is not None:
                when = moment
                for hop in hops_of(platform, sent.sender, sent.receiver):
                    start = max(when, free.get(slots[hop.link], 0.0))
                    when = free[slots[hop.link]] = start + hop.seconds(manifest.sent_bytes(value))
                    events.append(("link", hop.link, value, 0, start, when))
                arrive(value, sent.receiver, when)

    for tensor in manifest.tensors:
        if tensor.producer == INPUT:
            made(tensor.value, manifest.source, 0.0)
    while queue:
        moment, _, what, name = heapq.heappop(queue)
        piece = pieces[name]
        if what == "run":
            start = max(moment, free.get(piece.device, 0.0))
            end = free[piece.device] = start + seconds[name]
            events.append(("piece", piece.device, name, 0, start, end))
            heapq.heappush(queue, (end, order[name], "made", name))
        else:
            for value in piece.outputs:
                made(value, piece.device, moment)
    return sorted(events, key=lambda event: event[4])
