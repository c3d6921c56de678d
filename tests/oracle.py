"""What the plans of a small problem are worth: the definitions of docs/model.md and choices.md, in exact arithmetic.

It reads a problem's records and shares nothing else with the package: neither the referee nor the arrays that all
others work on. Numbers are the floats' exact values, so that ties, and differences of 1 beside 1e9, are decided as they
are. Limits hold with the tolerance that is promised for plans: 1e-9 of the limit, and for memory never more than half a
byte.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations, permutations, product
from typing import Any

from oracle_placed import Key, Placed, executors
from oracle_times import StuckError, latencies

from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import Term
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem

TOLERANCE = Fraction(1, 10**9)
ROUNDING = Fraction(1, 10**13)  # relative; what a limit may be off that was computed in floats
TINY = Fraction(sys.float_info.min)
HALF_A_BYTE = Fraction(1, 2)
Numbers = tuple[Fraction, ...]


@dataclass(frozen=True)
class Limit:
    """A quantity and what it may be at most."""

    label: str
    used: Fraction
    most: Fraction
    largest_tolerance: Fraction | None = None

    def holds(self, tolerance: Fraction = TOLERANCE) -> bool:
        slack = tolerance * max(abs(self.most), TINY)
        if self.largest_tolerance is not None:
            slack = min(slack, self.largest_tolerance)
        return self.used - self.most <= slack


@dataclass(frozen=True)
class Verdict:
    """A placement, with one choice of latencies: objectives by priority, and all limits."""

    objectives: Numbers
    limits: tuple[Limit, ...]

    @property
    def feasible(self) -> bool:
        return all(limit.holds() for limit in self.limits)

    @property
    def strictly_feasible(self) -> bool:
        """Whether no limit is exceeded by more than rounding."""
        return all(limit.holds(ROUNDING) for limit in self.limits)


class Limited(Placed):
    """What is placed, and what its problem limits."""

    def limits(self, entry: Any, latency: dict[str, Fraction]) -> Iterator[Limit]:
        """Yield what an entry of `subject_to` limits."""
        for label, used, most, *largest_tolerance in getattr(self, f"_{entry.constraint}")(entry, latency):
            yield Limit(label, Fraction(used), Fraction(most), *largest_tolerance)

    def modes(self) -> Iterator[Limit]:
        """Yield the modes in use of each device that has but one at a time."""
        for name, device in self.devices.items():
            used = {self.names[key] for key in self.layers({name})}
            if device.one_mode and used:
                yield Limit(f"one_mode({name})", Fraction(len(used)), Fraction(1))

    def _memory(self, entry: Any, latency: Any) -> Iterator[Any]:
        for name, device in self.devices.items():
            most = entry.limits.get(name, device.memory)
            if most is not None:
                yield f"memory({name})", self.memory(name, entry.rule, entry.buffers), most, HALF_A_BYTE

    def _deadline(self, entry: Any, latency: Any) -> Iterator[Any]:
        for network in self.problem.networks:
            if entry.network in (None, network.name):
                most = network.deadline if entry.limit is None else entry.limit
                yield f"deadline({network.name})", latency[network.name], most

    def _bandwidth(self, entry: Any, latency: Any) -> Iterator[Any]:
        for link in self.links.values():
            if entry.link in (None, link.name):
                if entry.limit is not None:
                    yield f"bandwidth({link.name})", self.traffic({link.name}), entry.limit
                else:
                    rates = [(Fraction(one.rate), one.name) for one in self.problem.networks]
                    used = sum(rate * self.traffic({link.name}, network) for rate, network in rates)
                    yield f"bandwidth({link.name})", used, link.bandwidth

    def _utilisation(self, entry: Any, latency: Any) -> Iterator[Any]:
        for name, devices, links in self.resources():
            rates = [(Fraction(one.rate), one.name) for one in self.problem.networks]
            used = sum(rate * self.load(devices, links, network) for rate, network in rates)
            yield f"utilisation({name})", used, entry.limit

    def _energy(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, self.joules(entry.devices), entry.limit

    def _cost(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, self.dollars(), entry.limit

    def _traffic(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, self.traffic(entry.links), entry.limit

    def _leakage(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, sum(self.exposed().values(), Fraction()), entry.limit

    def _worst_leakage(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, max(self.exposed().values(), default=0), entry.limit

    def _metric(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, self.term(Term(metric=entry.metric, rounds=entry.rounds), latency), entry.limit

    def _accuracy_loss(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, self.lost(), entry.limit

    def _placement(self, entry: Any, latency: Any) -> Iterator[Any]:
        key = entry.network, entry.layer
        yield entry.label, not {self.where[key], self.names[key]} & set(entry.allowed), 0

    def _colocate(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, len({self.where[entry.network, layer] for layer in entry.layers}) - 1, 0

    def _separate(self, entry: Any, latency: Any) -> Iterator[Any]:
        counts = Counter(self.where[entry.network, layer] for layer in entry.layers)
        yield entry.label, max(counts.values()) - entry.at_most, 0

    def _contiguous(self, entry: Any, latency: Any) -> Iterator[Any]:
        """Contiguous: the devices can be put in an order in which every path goes forwards."""
        for network in self.problem.networks:
            if entry.network in (None, network.name):
                members = entry.layers or [layer.name for layer in network.layers]
                steps = {
                    (self.where[network.name, u], self.where[network.name, v])
                    for u, v in paths(network)
                    if u in members and v in members
                }
                orders = permutations(self.devices)
                forwards = any(all(order.index(i) <= order.index(j) for i, j in steps) for order in orders)
                yield f"contiguous({network.name})", not forwards, 0

    def _monotone_tiers(self, entry: Any, latency: Any) -> Iterator[Any]:
        tiers = {name: ("end", "edge", "cloud").index(one.tier) for name, one in self.devices.items()}
        between = [one for one in self.uses if one.tensor.producer != "input" and one.consumer != "output"]
        yield entry.label, any(tiers[use.origin] > tiers[use.place] for use in between), 0

    def _max_devices(self, entry: Any, latency: Any) -> Iterator[Any]:
        yield entry.label, len(set(self.where.values())), entry.limit

    def _max_cuts(self, entry: Any, latency: Any) -> Iterator[Any]:
        cuts = {(use.network, use.tensor.name, use.place) for use in self.uses if use.sent}
        yield entry.label, len(cuts), entry.limit


def paths(network: Network) -> set[tuple[str, str]]:
    """Return the pairs of layers with a path from the first to the second."""
    steps = {(t.producer, v) for t in network.tensors for v in t.consumers if t.producer != "input" and v != "output"}
    while True:
        longer = steps | {(u, w) for u, v in steps for first, w in steps if v == first}
        if longer == steps:
            return steps
        steps = longer


def across(values: list[tuple[Fraction, Fraction]], said: Any) -> Fraction:
    """Return what of (value, probability) in all scenarios a term or a limit looks at."""
    match getattr(said, "across", "expected"):
        case "worst":
            return max(value for value, _ in values)
        case "cvar":
            share = left = min(1 - Fraction(said.level), sum((p for _, p in values), Fraction()))
            total = Fraction()
            for value, probability in sorted(values, reverse=True):
                total += value * min(left, probability)
                left -= min(left, probability)
            return total / share
    return sum((value * probability for value, probability in values), Fraction())


def _limits(cases: list[Limited], latency: list[dict[str, Fraction]]) -> Iterator[Limit]:
    yield from cases[0].modes()
    chances = [Fraction(case.scenario.probability) for case in cases]
    for entry in cases[0].problem.subject_to:
        found = [list(case.limits(entry, of)) for case, of in zip(cases, latency, strict=True)]
        for same in zip(*found, strict=True):
            if entry.constraint in ("utilisation", "bandwidth"):
                yield from same
            elif getattr(entry, "share", None) is not None:
                kept = sum((chance for one, chance in zip(same, chances, strict=True) if one.holds()), Fraction())
                yield Limit(same[0].label, Fraction(entry.share), kept)
            else:
                used = across([(one.used, chance) for one, chance in zip(same, chances, strict=True)], entry)
                yield replace(same[0], used=used)


def judge(
    problem: Problem,
    where: dict[Key, str],
    most_nodes: int | None = None,
    forms: dict[Key, str] | None = None,
    blocks: Collection[int] = (),
) -> list[Verdict]:
    """Return a verdict on a placement for each choice of latencies that no other beats in all networks.

    There are several only under scheduled execution, and none where the placement is impossible.
    """
    cases = [Limited(problem, where, forms, scenario, blocks) for scenario in problem.scenarios or (None,)]
    if not cases[0].possible:
        return []
    verdicts = []
    try:
        for latency in zip(*(latencies(case, most_nodes) for case in cases), strict=True):
            weighed: dict[int, Fraction] = defaultdict(Fraction)
            for term in problem.minimize:
                values = [
                    (case.term(term, of), Fraction(case.scenario.probability))
                    for case, of in zip(cases, latency, strict=True)
                ]
                weighed[term.priority] += Fraction(term.weight) * across(values, term)
            objectives = tuple(value for _, value in sorted(weighed.items()))
            verdicts.append(Verdict(objectives, tuple(_limits(cases, list(latency)))))
    except StuckError:
        return []
    return verdicts


def places(problem: Problem, plan: Plan) -> dict[Key, str]:
    """Return the executors of a plan, in the problem's order."""
    return {(a.name, layer.name): plan.placement[a.name][layer.name] for a in problem.networks for layer in a.layers}


def placements(problem: Problem) -> Iterator[dict[Key, str]]:
    """Yield every placement on devices, in each of their modes."""
    keys = [(network.name, layer.name) for network in problem.networks for layer in network.layers]
    for names in product(executors(problem), repeat=len(keys)):
        yield dict(zip(keys, names, strict=True))


def formed(problem: Problem, sent: Collection[Key]) -> Iterator[dict[Key, str]]:
    """Yield every choice of forms of the tensors that are sent; one without is sent as it is."""
    options = {
        (network.name, tensor.name): ("", *(form.name for form in tensor.forms))
        for network in problem.networks
        for tensor in network.tensors
        if tensor.forms and (network.name, tensor.name) in sent
    }
    for chosen in product(*options.values()):
        yield {key: form for key, form in zip(options, chosen, strict=True) if form}


def cuts(problem: Problem, where: dict[Key, str]) -> Iterator[tuple[int, ...]]:
    """Yield every choice of the profile's blocks, by number: no two have a layer in common, each is on one executor."""
    blocks = [{(block.network, layer) for layer in block.layers} for block in problem.profile.blocks]
    whole = [number for number, keys in enumerate(blocks) if len({where[key] for key in keys}) == 1]
    for count in range(len(whole) + 1):
        for some in combinations(whole, count):
            if sum(len(blocks[number]) for number in some) == len(set().union(*(blocks[number] for number in some))):
                yield some
