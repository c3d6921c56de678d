"""Pipelines over lines of devices that are alternatives, by one dynamic program over ideals for all of them.

What a device may do, and what a hop takes, is often the same in several alternatives: there are many ways to give
machines to stages, but a stage has few numbers of machines. So each alternative is a sequence of kinds of devices and
hops, and the program walks along all sequences at once (see `dnnopt.methods.programs.walks`): beginnings after which
the same may come are one. Of n machines that share stages there are 2^(n-1) sequences, and at most n (n + 1) / 2
beginnings that differ, those of so many machines, of which the last stage has so many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.logical import Colocation, Contiguity
from dnnopt.compiled.metrics import Index
from dnnopt.methods.exact import ideals
from dnnopt.methods.programs.items import common_items, items_of
from dnnopt.methods.programs.lines import Line, crossing, ends_in_line, hop_loads, line_of
from dnnopt.methods.programs.pipelines import IdealOrder, IdealProgram, Stage
from dnnopt.methods.programs.rows import loads_of
from dnnopt.methods.programs.stages import Stages, has_loads
from dnnopt.methods.programs.walks import Sequences
from dnnopt.models.solvers.interface import Clock, Control

_FIRST_STEP = 0.02  # of the threshold above the bound; then twice as much, and so on
_MOST_ENTRIES = 10_000_000  # ideals times states
_EDGES = ("edge_producer", "edge_consumer", "edge_tensor")


@dataclass(frozen=True, eq=False)
class BestLine:
    """The best plan of all alternatives: which one it is of, its placement (N,), and what none is better than."""

    number: int
    placement: Index
    bound: float


def best_line(problems: Sequence[CompiledProblem], clock: Clock, control: Control) -> BestLine | None:
    """Return the best plan of problems that differ in the devices of their lines alone; None: others, or stopped."""
    lines = []
    for c in problems:
        line = _line(c, problems[0])
        if line is None:
            return None
        lines.append(line)
    found = _Lines(problems, lines)
    return found.search(clock, control) if found.fits else None


def _line(c: CompiledProblem, first: CompiledProblem) -> Line | None:
    """Return a problem's line, if there is nothing else in which it may differ from the first one."""
    contiguities = [one for one in c.constraints if isinstance(one, Contiguity)]
    if not (
        ideals.SCOPE.refuses(c) is None
        and has_loads(c)
        and all(isinstance(one, Contiguity | Colocation) for one in c.constraints)
        and [len(one.nodes) for one in contiguities] == [len(c.node_names)]
        and c.allowed.all()
        and c.objective == first.objective
        and c.transport == first.transport
        and c.node_names == first.node_names
        and c.tensor_names == first.tensor_names
        and all(np.array_equal(getattr(c, name), getattr(first, name)) for name in _EDGES)
        and [vars(one) for one in c.constraints] == [vars(one) for one in first.constraints]
    ):
        return None
    line = line_of(c)
    return None if isinstance(line, str) else line


@dataclass(frozen=True)
class _Kind:
    """A kind of devices or hops: its number, and where there is one, a problem and a device or a hop of its line."""

    number: int
    problem: int
    place: int


class _Lines:
    """The dynamic program of all lines."""

    def __init__(self, problems: Sequence[CompiledProblem], lines: Sequence[Line]) -> None:
        self.problems, self.lines = problems, lines
        self._devices: dict[bytes, _Kind] = {}
        self._hops: dict[bytes, _Kind] = {}
        self.sequences = [self._sequence(number) for number in range(len(problems))]
        beginnings = {tuple(one[:size]) for one in self.sequences for size in range(len(one))}
        self.walk = Sequences([one for one in self.sequences if tuple(one) not in beginnings])
        c = problems[0]
        contiguity = next(one for one in c.constraints if isinstance(one, Contiguity))
        lots = [items_of(one, contiguity, one.time, one.hop_seconds) for one in problems]
        self.items = common_items(c, contiguity, lots)
        states = self.walk.end + 1
        most = min(ideals.MOST_IDEALS, _MOST_ENTRIES // states)
        self.fits = self.items.ideals(most) is not None
        if self.fits:
            self._build(most)

    def _sequence(self, number: int) -> list[tuple[int, int]]:
        """Return the kinds of devices of a line, each with the kind of the hop before it."""
        c, line = self.problems[number], self.lines[number]
        loads = loads_of(c)
        alphas = np.stack([load.alpha for load in loads])
        kinds = []
        for place, device in enumerate(line.devices):
            key = alphas[c.resource_devices[:, device]][:, :, device].tobytes()
            kind = _kind(self._devices, key, number, device)
            hop = -1
            if place:
                key = hop_loads(c, loads, line.hops[place - 1]).tobytes()
                hop = _kind(self._hops, key, number, place - 1)
            kinds.append((kind, hop))
        return kinds

    def _build(self, most: int) -> None:
        time = np.zeros((len(self.items.before), len(self._devices)))
        for kind in self._devices.values():
            seconds = self.problems[kind.problem].allowed_time[:, kind.place]
            np.add.at(time[:, kind.number], self.items.of_node, seconds)
        prices = self.walk.prices(time)
        work = (prices * time).min(axis=1)
        self.bound = float(work.sum())
        hops = max((float(c.hop_seconds.sum()) for c in self.problems), default=0.0)
        self.largest = float(time.sum(axis=0).max()) + hops
        self.noise = len(self.items.before) * float(np.finfo(float).eps) * self.largest
        order = IdealOrder(self.items, most, work)
        stages = []
        for number, c in enumerate(self.problems):
            devices = [kind.place for kind in self._devices.values() if kind.problem == number]
            if devices:  # kinds are numbered problem by problem
                one = Stages(c, self.items, order.held, ends_in_line(c), devices)
                stages += [(one, index) for index in range(len(devices))]
        across = [
            crossing(self.problems[hop.problem], self.items, order.held, self.lines[hop.problem], hop.place)
            for hop in self._hops.values()
        ]
        self.program = IdealProgram(order, stages, self.walk, prices, across)

    def search(self, clock: Clock, control: Control) -> BestLine | None:
        """Return the best plan, or None if stopped."""
        step = _FIRST_STEP
        while True:
            threshold = self.bound * (1.0 + step) if 0.0 < self.bound * (1.0 + step) < self.largest else math.inf
            found = self.program.search(threshold, clock, control)
            if found is not None:
                value, stages = found
                weight = self.problems[0].objective[0][0].weight
                return BestLine(*self._plan(stages), weight * max(value - self.noise, 0.0))
            if math.isinf(threshold) or clock.expired() or control.stop.is_set():
                return None
            step *= 2.0

    def _plan(self, stages: list[Stage]) -> tuple[int, Index]:
        number = self.sequences.index([(stage.step.number, stage.step.crossing) for stage in stages])
        place = np.zeros(len(self.items.before), dtype=np.int64)
        for stage, device in zip(stages, self.lines[number].devices, strict=True):
            place[self.program.items(stage)] = device
        return number, place[self.items.of_node]


def _kind(known: dict[bytes, _Kind], key: bytes, problem: int, place: int) -> int:
    """Return the number of a kind, which is a new one if its key is."""
    return known.setdefault(key, _Kind(len(known), problem, place)).number
