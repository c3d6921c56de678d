"""When each layer runs and each hop of a copy crosses its link, for plots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from dnnopt.base.errors import UnsupportedError
from dnnopt.problem.networks import INPUT, OUTPUT, Network
from dnnopt.problem.plan import Plan, Schedule
from dnnopt.problem.problem import Problem
from dnnopt.referee.facts import Copy, Facts, gather, link_seconds
from dnnopt.referee.schedule import match


@dataclass(frozen=True)
class Bar:
    """A device runs a layer, or a link carries a tensor, from `start` for `seconds`."""

    place: str
    network: str
    name: str
    start: float
    seconds: float


def timetable(problem: Problem, plan: Plan) -> list[Bar]:
    """Return what happens when: by the plan's schedule; in turn (sequential); as early as can be (parallel).

    Sequential execution leaves the order open, and the latency does not depend on it: here each layer's tensors are
    sent just before it runs, and networks run one after the other.

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
    ends = {INPUT: 0.0}
    arrivals: dict[tuple[str, str], float] = {}
    for consumer in [*(network.layers[position].name for position in network.order), OUTPUT]:
        ready = 0.0
        for producer, copy in waiting[consumer]:
            arrives = ends[producer]
            if copy is not None:
                place = (copy.tensor.name, copy.destination)
                if place not in arrivals:
                    arrivals[place] = arrives
                    for link in copy.links or ():
                        seconds = link_seconds(copy.tensor, link)
                        yield Bar(link.name, network.name, copy.tensor.name, arrivals[place], seconds)
                        arrivals[place] += seconds
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
        crossed: set[tuple[str, str, str]] = set()
        for consumer in [*(network.layers[position].name for position in network.order), OUTPUT]:
            for _, copy in waiting[consumer]:
                if copy is None:
                    continue
                destination = "" if facts.problem.transport == "multicast" else copy.destination
                for link in copy.links or ():
                    crossing = (copy.tensor.name, destination, link.name)
                    if facts.problem.transport == "per_edge" or crossing not in crossed:
                        crossed.add(crossing)
                        seconds = link_seconds(copy.tensor, link)
                        yield Bar(link.name, network.name, copy.tensor.name, now, seconds)
                        now += seconds
            if consumer != OUTPUT:
                key = (network.name, consumer)
                yield Bar(facts.device_of[key], network.name, consumer, now, facts.seconds[key])
                now += facts.seconds[key]


def _copies_by_consumer(facts: Facts, network: Network) -> dict[str, list[tuple[str, Copy | None]]]:
    """Return for each consumer the producers that it waits for, each with the copy that brings the tensor, if any."""
    copies = {(copy.tensor.name, copy.destination): copy for copy in facts.copies if copy.network == network.name}
    found: dict[str, list[tuple[str, Copy | None]]] = defaultdict(list)
    for use in facts.uses:
        if use.network == network.name:
            found[use.consumer].append((use.tensor.producer, copies.get((use.tensor.name, use.device))))
    return found


def makespan(bars: list[Bar]) -> float:
    """Return when the last bar ends."""
    return max((bar.start + bar.seconds for bar in bars), default=0.0)
