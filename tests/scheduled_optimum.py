"""The optimum of a small problem with scheduled execution: every placement, and for each every useful order of tasks.

Tasks come from the referee's facts and plans are judged by the referee, so that nothing is shared with what is tested.
The orders are found by branching: start everything as early as the precedences allow; where two tasks overlap on a
resource, one of them has to come first.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

from hypothesis import strategies as st
from kept import lists, sampled_from
from limits import placement_plan
from strategies import Draw, problems

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.metrics import Index
from dnnopt.problem.networks import INPUT, OUTPUT
from dnnopt.problem.plan import Plan, Schedule, Transfer
from dnnopt.problem.problem import Problem
from dnnopt.referee import evaluate, objectives_if_feasible
from dnnopt.referee.facts import Facts, gather

SAME = 1e-9


class _Tasks:
    """Tasks of a placement: seconds, resources, precedences, and how to write them as a plan."""

    def __init__(self, problem: Problem, plan: Plan) -> None:
        self.problem, self.placed = problem, plan
        facts = gather(problem, plan)
        self.keys: list[tuple] = [("layer", *key) for key in facts.seconds]
        self.seconds: dict[tuple, float] = {("layer", *key): seconds for key, seconds in facts.seconds.items()}
        self.after: list[tuple[tuple, tuple]] = []
        resources = problem.platform.all_resources()
        self.resources = {
            key: {r.name for r in resources if facts.device_of[key[1:]] in r.devices} for key in self.keys
        }
        self._add_transfers(facts)
        for key in self.keys[len(facts.seconds) :]:
            self.resources[key] = {r.name for r in resources if key[3] in r.links}

    def _add_transfers(self, facts: Facts) -> None:
        brought: dict[tuple, tuple] = {}
        for number, use in enumerate(facts.uses):
            made = None if use.tensor.producer == INPUT else ("layer", use.network, use.tensor.producer)
            last = made
            if use.sent:
                copy = (use.network, use.tensor.name, use.device)
                again = number if facts.problem.transport == "per_edge" else 0
                if (copy, again) not in brought:
                    brought[copy, again] = self._hops(facts, use, copy, again, made)
                last = brought[copy, again]
            if use.consumer != OUTPUT and last is not None:
                self.after.append((last, ("layer", use.network, use.consumer)))

    def _hops(self, facts, use, copy, again, made):
        (links,) = {c.links for c in facts.copies if (c.network, c.tensor.name, c.destination) == copy}
        last = made
        for link in links or ():
            target = None if facts.problem.transport == "multicast" else use.device
            hop = ("hop", use.network, use.tensor.name, link.name, target, again)
            if hop not in self.seconds:
                self.keys.append(hop)
                self.seconds[hop] = link.latency + use.tensor.bytes / link.bandwidth
            if last is not None:
                self.after.append((last, hop))
            last = hop
        return last

    def earliest(self, orders: list[tuple[tuple, tuple]]) -> dict[tuple, float] | None:
        """Return the earliest starts with some more precedences, or None for a cycle."""
        starts = dict.fromkeys(self.keys, 0.0)
        for _ in range(len(self.keys) + 1):
            changed = False
            for before, after in [*self.after, *orders]:
                end = starts[before] + self.seconds[before]
                if end > starts[after]:
                    starts[after], changed = end, True
            if not changed:
                return starts
        return None

    def overlap(self, starts: dict[tuple, float]) -> tuple[tuple, tuple] | None:
        """Return two tasks that overlap on a resource."""
        busy = sorted((key for key in self.keys if self.seconds[key] > 0), key=lambda key: starts[key])
        for position, first in enumerate(busy):
            for second in busy[position + 1 :]:
                if self.resources[first] & self.resources[second]:
                    overlap = starts[first] + self.seconds[first] - starts[second]
                    if overlap > SAME * min(self.seconds[first], self.seconds[second]):
                        return first, second
        return None

    def plan(self, starts: dict[tuple, float]) -> Plan:
        layers: dict[str, dict[str, float]] = {network.name: {} for network in self.problem.networks}
        transfers = []
        for key, start in starts.items():
            if key[0] == "layer":
                layers[key[1]][key[2]] = start
            else:
                transfers.append(Transfer(network=key[1], tensor=key[2], link=key[3], destination=key[4], start=start))
        return self.placed.model_copy(update={"schedule": Schedule(layers=layers, transfers=tuple(transfers))})


def scheduled_optimum(problem: Problem) -> float | None:
    """Return the least objective of a feasible plan; None: there is none."""
    best: float | None = None
    layers = sum(len(network.layers) for network in problem.networks)
    for devices in product(problem.platform.device_names(), repeat=layers):
        best = best_schedule(problem, placement_plan(problem, devices), best)
    return best


class TooManyOrdersError(Exception):
    """A placement has more orders than may be tried."""


def best_schedule(
    problem: Problem, placed: Plan, best: float | None = None, most_nodes: float = math.inf
) -> float | None:
    """Return the least objective of a feasible schedule of a placement, or `best` if that is less.

    Raises
    ------
    TooManyOrdersError
        After so many nodes of the search.
    """
    if any(v.constraint.startswith(("unsupported(", "route(")) for v in evaluate(problem, placed).violations):
        return best
    tasks = _Tasks(problem, placed)
    open_nodes: list[list[tuple[tuple, tuple]]] = [[]]
    nodes = 0
    while open_nodes:
        nodes += 1
        if nodes > most_nodes:
            raise TooManyOrdersError
        orders = open_nodes.pop()
        starts = tasks.earliest(orders)
        if starts is None:
            continue
        objectives = objectives_if_feasible(problem, tasks.plan(starts), but="overlap(")
        if objectives is None:
            continue  # starts only become later
        if best is not None and objectives[0] >= best:
            continue
        pair = tasks.overlap(starts)
        if pair is None:
            best = objectives[0]
        else:
            open_nodes += [[*orders, pair], [*orders, pair[::-1]]]
    return best


@st.composite
def scheduled(draw: Draw, **options: Any) -> Problem:
    """Draw a problem with scheduled execution; deadlines are drawn for critical paths, as there is no schedule yet."""
    problem: Problem = draw(problems(executions=("parallel",), **options))
    return problem.model_copy(update={"execution": "scheduled"})


@st.composite
def placed(draw: Draw, **options: Any) -> tuple[Problem, CompiledProblem, Index]:
    """Draw a problem with scheduled execution and no constraints, compiled, and a placement."""
    problem = draw(scheduled(most_constraints=0, **options))
    compiled = compile_problem(problem)
    count = sum(len(network.layers) for network in problem.networks)
    devices = sampled_from(problem.platform.device_names())
    plan = placement_plan(problem, draw(lists(devices, min_size=count, max_size=count)))
    return problem, compiled, compiled.placement(plan)
