"""When each layer runs and each hop of a copy crosses its link, for plots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from dnnopt.base.errors import UnsupportedError
from dnnopt.problem.networks import INPUT, OUTPUT, Network
from dnnopt.problem.plan import Plan, Schedule
from dnnopt.problem.problem import Problem
from dnnopt.referee.facts import Copy, Facts, Use, gather, link_seconds
from dnnopt.referee.schedule import match


@dataclass(frozen=True)
class Bar:
    """A device runs a layer, encodes or decodes a tensor, or a link carries one, from `start` for `seconds`."""

    place: str
    network: str
    name: str
    start: float
    seconds: float


def timetable(problem: Problem, plan: Plan) -> list[Bar]:
    """Return what happens when: by the plan's schedule; in turn (sequential); as early as can be (parallel).

    Sequential execution leaves the order open, and the latency does not depend on it: here each layer's tensors are
    sent just before it runs, and networks run one after the other. Seconds are expected ones where inputs leave early;
    of scenarios nothing is shown.

    Raises
    ------
    UnsupportedError
        For pipelined and call execution, where nothing has one start time.
    """
    facts = gather(problem, plan)
    if problem.execution == "scheduled" and plan.schedule is not None:
        return list(_scheduled(facts, plan.schedule))
    if problem.execution == "parallel":
        return [bar for network in problem.networks for bar in _earliest(facts, network)]
    if problem.execution == "sequential":
        return list(_in_turn(facts))
    raise UnsupportedError(
        "", problem=f"a plan under {problem.execution} execution has no start times; dnnopt.plot.loads draws it"
    )


def _scheduled(facts: Facts, schedule: Schedule) -> Iterator[Bar]:
    matched = match(facts, schedule)
    for (network, layer), task in matched.layers.items():
        yield Bar(facts.device_of[network, layer], network, layer, task.start, task.seconds)
    for (network, tensor, link, _), tasks in matched.hops.items():
        for task in tasks:
            yield Bar(link, network, tensor, task.start, task.seconds)


def _earliest(facts: Facts, network: Network) -> Iterator[Bar]:
    """Yield the bars of the critical path's times: no device and no link is waited for."""
    waiting = _copies_by_consumer(facts, network)
    coding = _Coding(facts, network)
    ends = {INPUT: 0.0}
    arrivals: dict[tuple[str, str], float] = {}
    for consumer in [*(network.layers[position].name for position in network.order), OUTPUT]:
        ready = 0.0
        for use, copy in waiting[consumer]:
            producer = use.tensor.producer
            arrives = ends[producer]
            if copy is not None:
                place = (copy.tensor.name, copy.destination)
                if place not in arrivals:
                    arrivals[place] = arrives + coding.seconds(copy.tensor.name)
                    yield from coding.bar(copy.tensor.name, None, arrives)
                    for link in copy.links or ():
                        seconds = link_seconds(copy.tensor, link)
                        yield Bar(link.name, network.name, copy.tensor.name, arrivals[place], seconds)
                        arrivals[place] += seconds
                    yield from coding.bar(*place, arrivals[place])
                    arrivals[place] += coding.seconds(*place)
                arrives = arrivals[place]
            ready = max(ready, arrives)
        if consumer != OUTPUT:
            key = (network.name, consumer)
            yield Bar(facts.device_of[key], network.name, consumer, ready, facts.seconds[key])
            ends[consumer] = ready + facts.seconds[key]


def _in_turn(facts: Facts) -> Iterator[Bar]:
    now = 0.0
    for network in facts.problem.networks:
        waiting = _copies_by_consumer(facts, network)
        coding = _Coding(facts, network)
        crossed: set[tuple[str, str, str]] = set()
        for consumer in [*(network.layers[position].name for position in network.order), OUTPUT]:
            for use, copy in waiting[consumer]:
                if copy is None:
                    continue
                for bar in coding.bar(copy.tensor.name, None, now):
                    yield bar
                    now += bar.seconds
                destination = "" if facts.problem.transport == "multicast" else copy.destination
                for link in copy.links or ():
                    crossing = (copy.tensor.name, destination, link.name)
                    if facts.problem.transport == "per_edge" or crossing not in crossed:
                        crossed.add(crossing)
                        seconds = _reach(facts, use, copy, link.name) * link_seconds(copy.tensor, link)
                        yield Bar(link.name, network.name, copy.tensor.name, now, seconds)
                        now += seconds
                for bar in coding.bar(copy.tensor.name, copy.destination, now):
                    yield bar
                    now += bar.seconds
            if consumer != OUTPUT:
                key = (network.name, consumer)
                yield Bar(facts.device_of[key], network.name, consumer, now, facts.seconds[key])
                now += facts.seconds[key]


class _Coding:
    """Encoding and decoding of a network's tensors: each has one bar, however many copies need it."""

    def __init__(self, facts: Facts, network: Network) -> None:
        self._codings = {
            (one.tensor, None if one.encodes else one.device): one
            for one in facts.codings
            if one.network == network.name
        }
        self._drawn: set[tuple[str, str | None]] = set()

    def seconds(self, tensor: str, destination: str | None = None) -> float:
        """Return how long decoding at the destination takes, or encoding; 0 where there is none."""
        found = self._codings.get((tensor, destination))
        return 0.0 if found is None else found.seconds

    def bar(self, tensor: str, destination: str | None, start: float) -> Iterator[Bar]:
        """Yield the bar of decoding at the destination, or of encoding, the first time that it is asked for."""
        found = self._codings.get((tensor, destination))
        if found is not None and (tensor, destination) not in self._drawn:
            self._drawn.add((tensor, destination))
            name = f"{'encode' if found.encodes else 'decode'} {tensor}"
            yield Bar(found.device, found.network, name, start, found.seconds)


def _reach(facts: Facts, use: Use, copy: Copy, link: str) -> float:
    """Return for which share of the inputs a copy crosses a link."""
    if facts.problem.transport == "per_edge":
        return use.reach
    if facts.problem.transport == "unicast":
        return copy.reach
    named = (copy.network, copy.tensor.name, link)
    return max(one.reach for one in facts.crossings if (one.network, one.tensor.name, one.link.name) == named)


def _copies_by_consumer(facts: Facts, network: Network) -> dict[str, list[tuple[Use, Copy | None]]]:
    """Return for each consumer the uses of tensors that it waits for, each with the copy that brings it, if any."""
    copies = {(copy.tensor.name, copy.destination): copy for copy in facts.copies if copy.network == network.name}
    found: dict[str, list[tuple[Use, Copy | None]]] = defaultdict(list)
    for use in facts.uses:
        if use.network == network.name:
            found[use.consumer].append((use, copies.get((use.tensor.name, use.device))))
    return found


def makespan(bars: list[Bar]) -> float:
    """Return when the last bar ends."""
    return max((bar.start + bar.seconds for bar in bars), default=0.0)
