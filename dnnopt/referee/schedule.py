"""Scheduled execution: latency of a schedule, and what is wrong with it.

Every layer and every hop of a copy is a task. A hop starts when the one before it has ended (store and forward), a
layer when all its tensors have arrived, and a resource does one thing at a time. Times are compared with a tolerance of
1e-9 of the makespan. No start is negative: `Schedule` refuses those.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from dnnopt.problem.networks import INPUT, OUTPUT
from dnnopt.problem.plan import Schedule
from dnnopt.referee.evaluation import Violation, told_apart
from dnnopt.referee.facts import Copy, Crossing, Facts, Key, Use

TOLERANCE = 1e-9
UNKNOWN = -math.inf  # an end that no start follows from: what waits for it cannot be judged

Hop = tuple[str, str, str, str | None]  # network, tensor, link, destination (None under multicast)


@dataclass(frozen=True)
class Task:
    """A layer or a hop in time."""

    title: str
    start: float
    seconds: float

    @property
    def end(self) -> float:
        """Where it ends."""
        return self.start + self.seconds


@dataclass(frozen=True)
class Timetable:
    """A schedule matched with what the placement asks for.

    Attributes
    ----------
    facts : Facts
    layers : dict of Key to Task
        The layers that have a start.
    count : dict of Hop to int
        The hops that there must be, and how many of each: more than one only under per_edge.
    hops : dict of Hop to list of Task
        Those of them that there are, by start.
    superfluous : list of str
        What the schedule has beyond them, named as in violations.
    """

    facts: Facts
    layers: dict[Key, Task]
    count: dict[Hop, int]
    hops: dict[Hop, list[Task]]
    superfluous: list[str]

    def tolerance(self) -> float:
        """Return the seconds by which times may be off."""
        tasks = [*self.layers.values(), *(task for hops in self.hops.values() for task in hops)]
        return TOLERANCE * max((task.end for task in tasks if math.isfinite(task.end)), default=0.0)

    def made(self, network: str, producer: str) -> float:
        """Return when the tensors of a layer, or raw input, are there; `UNKNOWN` without a start."""
        if producer == INPUT:
            return 0.0
        task = self.layers.get((network, producer))
        return task.end if task is not None and math.isfinite(task.end) else UNKNOWN

    def hops_of(self, copy: Copy) -> list[Hop]:
        """Return the hops of a copy that has a route, in order."""
        destination = None if self.facts.problem.transport == "multicast" else copy.destination
        return [(copy.network, copy.tensor.name, link.name, destination) for link in copy.links or ()]

    def arrivals(self, copy: Copy) -> list[float]:
        """Return when the tensor of a copy arrives at its destination, ascending: once, or under per_edge once per use.

        Empty where the schedule lacks the last hop or has too many of it.
        """
        hops = self.hops_of(copy)
        if not hops:
            return [self.made(copy.network, copy.tensor.producer)] if copy.links is not None else []
        last = self.hops.get(hops[-1], [])
        return sorted(task.end for task in last) if len(last) == self.count[hops[-1]] else []


def match(facts: Facts, schedule: Schedule) -> Timetable:
    """Match a schedule's starts with the layers and hops that there must be."""
    layers = {
        key: Task(facts.title(*key), schedule.layers[key[0]][key[1]], seconds)
        for key, seconds in facts.seconds.items()
        if key[1] in schedule.layers.get(key[0], {})
    }
    superfluous = [
        f"start({facts.title(network, layer)})"
        for network, starts in schedule.layers.items()
        for layer in starts
        if (network, layer) not in facts.seconds
    ]
    every = [(_hop(crossing), crossing) for crossing in facts.crossings]
    asked, count = dict(every), Counter(hop for hop, _ in every)
    hops: dict[Hop, list[Task]] = defaultdict(list)
    for transfer in schedule.transfers:
        destination = None if facts.problem.transport == "multicast" else transfer.destination
        hop = (transfer.network, transfer.tensor, transfer.link, destination)
        if hop in asked:
            hops[hop].append(Task(_title(facts, hop), transfer.start, asked[hop].seconds))
        else:
            superfluous.append(f"transfer({_title(facts, hop)})")
    for tasks in hops.values():
        tasks.sort(key=lambda task: task.start)
    return Timetable(facts, layers, count, hops, superfluous)


def scheduled_latency(timetable: Timetable, network: str) -> float:
    """Return when a network's last layer ends or result arrives at the sink; infinite if that is not known."""
    facts = timetable.facts
    if facts.unrouted(network) or any(key not in timetable.layers for key in facts.layers_of(network)):
        return math.inf
    ends = [timetable.layers[key].end for key in facts.layers_of(network)]
    awaited = {(use.tensor.name, use.device) for use in facts.uses if use.network == network and use.consumer == OUTPUT}
    for copy in facts.copies:
        if copy.network == network and (copy.tensor.name, copy.destination) in awaited:
            # Under per_edge the last arrival may be another consumer's, which then ends no earlier.
            ends.append(max(timetable.arrivals(copy), default=math.inf))
    return max(ends)


def schedule_violations(timetable: Timetable) -> Iterator[Violation]:
    """Yield what is wrong with a schedule."""
    yield from _missing_and_superfluous(timetable)
    if timetable.facts.problem.transport == "multicast":
        yield from _not_a_tree(timetable)
    tolerance = timetable.tolerance()
    yield from dict.fromkeys(_early_hops(timetable, tolerance))  # multicast: a hop on several routes is named once
    yield from _early_layers(timetable, tolerance)
    yield from _overlaps(timetable, tolerance)


def _hop(crossing: Crossing) -> Hop:
    return crossing.network, crossing.tensor.name, crossing.link.name, crossing.destination


def _title(facts: Facts, hop: Hop) -> str:
    network, tensor, link, destination = hop
    return f"{facts.title(network, tensor)} over {link}" + (f" to {destination}" if destination is not None else "")


def _missing_and_superfluous(timetable: Timetable) -> Iterator[Violation]:
    facts = timetable.facts
    for key in facts.seconds:
        if key not in timetable.layers:
            name = facts.title(*key)
            yield Violation(f"start({name})", math.inf, "s", f"layer {name} has no start in the schedule")
    for hop, count in timetable.count.items():
        found = len(timetable.hops.get(hop, ()))
        if found != count:
            name = _title(facts, hop)
            what = "missing from" if found < count else "superfluous in"
            message = f"transfer of {name} is {what} the schedule: {found} there, {count} expected"
            yield Violation(f"transfer({name})", abs(found - count), "", message)
    for label, count in Counter(timetable.superfluous).items():
        message = f"{label} is superfluous in the schedule: {count} there, none expected"
        yield Violation(label, count, "", message)


def _not_a_tree(timetable: Timetable) -> Iterator[Violation]:
    facts = timetable.facts
    before: dict[Key, dict[str, set[str | None]]] = defaultdict(lambda: defaultdict(set))
    for copy in facts.copies:
        previous = None
        for link in copy.links or ():
            before[copy.network, copy.tensor.name][link.name].add(previous)
            previous = link.name
    for key, links in before.items():
        joined = [link for link, predecessors in links.items() if len(predecessors) > 1]
        if joined:
            name = facts.title(*key)
            message = f"the routes that multicast {name} form no tree: they reach {', '.join(joined)} in two ways"
            yield Violation(f"multicast_tree({name})", 1, "", message)


def _early_hops(timetable: Timetable, tolerance: float) -> Iterator[Violation]:
    """Compare each hop with the one before it.

    Copies for one destination (per_edge) are alike, so the k-th earliest of each hop belong together: if any assignment
    of hops to copies is in order, this one is.
    """
    for copy in timetable.facts.copies:
        ready = [timetable.made(copy.network, copy.tensor.producer)]
        for hop in timetable.hops_of(copy):
            tasks = timetable.hops.get(hop, [])
            if len(tasks) != timetable.count[hop]:
                continue  # reported as missing or superfluous
            if len(ready) == 1:
                ready = ready * len(tasks)
            for earliest, task in zip(ready, tasks, strict=True):
                yield from _early(task, earliest, "the tensor is there", tolerance)
            ready = [task.end for task in tasks]


def _early_layers(timetable: Timetable, tolerance: float) -> Iterator[Violation]:
    """Compare each layer's start with the arrival of its tensors.

    Under per_edge the copies for one device go to its consumers in the order of their starts; the output, which only
    waits, takes the last.
    """
    copies = {(copy.network, copy.tensor.name, copy.destination): copy for copy in timetable.facts.copies}
    users: dict[tuple[str, str, str], list[Use]] = defaultdict(list)
    for use in timetable.facts.uses:
        users[use.network, use.tensor.name, use.device].append(use)
    for place, uses in users.items():
        if place in copies:
            arrivals = timetable.arrivals(copies[place])
        else:
            arrivals = [timetable.made(place[0], uses[0].tensor.producer)]
        starts = [timetable.layers.get((use.network, use.consumer)) for use in uses if use.consumer != OUTPUT]
        tasks = sorted((task for task in starts if task is not None), key=lambda task: task.start)
        if len(arrivals) == 1:
            arrivals = arrivals * len(tasks)
        name = timetable.facts.title(place[0], place[1])
        for earliest, task in zip(arrivals, tasks, strict=False):
            yield from _early(task, earliest, f"{name} is there", tolerance)


def _early(task: Task, earliest: float, awaited: str, tolerance: float) -> Iterator[Violation]:
    if task.start < earliest - tolerance:
        starts, arrives = told_apart(task.start, earliest, "s")
        message = f"{task.title} starts at {starts}, before {awaited} at {arrives}"
        yield Violation(f"precedence({task.title})", earliest - task.start, "s", message)


def _overlaps(timetable: Timetable, tolerance: float) -> Iterator[Violation]:
    """Yield one violation for each resource that does two things at a time, with the longest overlap."""
    facts = timetable.facts
    for resource in facts.problem.platform.all_resources():
        tasks = [task for key, task in timetable.layers.items() if facts.device_of[key] in resource.devices]
        tasks += [task for hop, hops in timetable.hops.items() if hop[2] in resource.links for task in hops]
        occupying = sorted(
            (task for task in tasks if task.seconds > 0 and math.isfinite(task.seconds)), key=lambda task: task.start
        )
        overlaps = []
        latest = occupying[0] if occupying else None
        for task in occupying[1:]:
            assert latest is not None
            overlap = min(latest.end, task.end) - task.start
            if overlap > tolerance:
                overlaps.append((overlap, latest.title, task.title))
            latest = max(latest, task, key=lambda one: one.end)
        if overlaps:
            amount, first, second = max(overlaps)
            others = f" (and {len(overlaps) - 1} more)" if len(overlaps) > 1 else ""
            message = f"{resource.name} does two things at a time: {first} and {second}{others}"
            yield Violation(f"overlap({resource.name})", amount, "s", message)
