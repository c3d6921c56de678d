"""Exact method `ideals`: contiguous stages, by dynamic programming over ideals.

For the period or a linear objective (sequential latency, energy, cost, traffic), under contiguity of all layers but for
those that are colocated with one that is contiguous (the backward layers of training), that follow their neighbours
(`programs/loose.py`) or are few, memory limits, colocation, placements and pins. The device of a plan that is first in
the order of contiguity runs an ideal (a set of layers with all that come before them), the first two together run a
larger one, and so on:

    best(devices, I') = min over a device d of them and ideals I in I' of max(best(devices - d, I), load_d(I' - I))

with a sum in place of the maximum for linear objectives. Tarnawski et al.: Efficient algorithms for device placement of
DNN graph operators, NeurIPS 2020. Identical devices are counted, not told apart. What a stage sends must be told by its
layers alone: each route is the sender's links, then the receiver's, and no tensor is sent to several destinations one
by one. Or, for periods, devices are in a line, each of which sends to those after it alone: then they come in this
order, and what crosses the hop after one follows from the ideal I.

For periods, loads above a threshold are left out, and ideals after which the devices left are too slow for the rest;
the threshold is raised from a bound until there is a plan. The bound: within T a device with price λ_d does work of at
most λ_d T, so T Σ_d λ_d >= Σ_v min_d λ_d t_vd.

One resource may be shared by devices, as a radio channel is: its load is a sum over stages. Then the best way to an
ideal is that with the least sum, of those whose own loads are within a threshold, which is lowered until there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import LinearTerm, MemoryLimit, PeriodTerm
from dnnopt.compiled.logical import Colocation, Contiguity
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scope import Scope
from dnnopt.compiled.symmetry import identical_devices
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.items import Items, items_of
from dnnopt.methods.programs.lines import Line, crossings, ends_in_line, line_of
from dnnopt.methods.programs.pipelines import IdealOrder, IdealProgram, Stage
from dnnopt.methods.programs.rows import linear_costs
from dnnopt.methods.programs.stages import Ends, Stages, ends_of, has_loads
from dnnopt.methods.programs.walks import Counts, Sequences, StageWalk
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome

SCOPE = Scope(
    enforces=frozenset({Contiguity, Colocation, MemoryLimit}),
    terms=frozenset({LinearTerm, PeriodTerm}),
    exposure=False,
)
MOST_IDEALS = 100_000
MOST_LOOSE = 6  # layers that go anywhere: each doubles the ideals
_MOST_ENTRIES = 10_000_000  # ideals times sets of devices
_MOST_HELD = 50_000_000  # ideals times items
_FIRST_STEP = 0.02  # of the threshold above the bound; then twice as much, and so on
_CLOSE = 1e-9


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why the problem is not of this kind, or None."""
    c = compiled
    reason = SCOPE.refuses(c)
    if reason:
        return reason
    if has_loads(c) and len(c.objective[0]) > 1:
        return "a sum with the period"
    contiguities = [constraint for constraint in c.constraints if isinstance(constraint, Contiguity)]
    if len(contiguities) != 1:
        return "several contiguity constraints" if contiguities else "layers that need not be contiguous"
    found = _geometry(c)
    if isinstance(found, str):
        return found
    items = _items(c)
    most = _most_ideals(c, found[1], items)
    loose = sum(not one.follows for one in items.loose)
    if loose > MOST_LOOSE:
        item = next(one.item for one in items.loose if not one.follows)
        return f"layers that need not be contiguous ({c.node_names[items.of_node.tolist().index(item)]})"
    return f"more than {most:,} ideals" if items.ideals(most) is None else None


def _items(c: CompiledProblem) -> Items:
    contiguity = next(constraint for constraint in c.constraints if isinstance(constraint, Contiguity))
    if not has_loads(c):
        return items_of(c, contiguity, *linear_costs(c))
    ends = ends_of(c)
    owned = None if isinstance(ends, str) or ends.total is not None else (ends.sends, ends.receives, ends.owner)
    return items_of(c, contiguity, c.time, c.hop_seconds, owned)


def device_classes(c: CompiledProblem) -> list[list[int]]:
    """Return all devices by class: together are those that are identical but for tiers and trust."""
    trusted = np.ones_like(c.device_trusted), np.ones_like(c.link_trusted)
    alike = replace(c, device_tier=np.zeros_like(c.device_tier), device_trusted=trusted[0], link_trusted=trusted[1])
    classes = identical_devices(alike)
    alone = set(range(len(c.device_names))).difference(*classes)
    return sorted([*classes, *([device] for device in alone)])


def _geometry(c: CompiledProblem) -> tuple[Ends, Line | None] | str:
    """Return what stages send and receive by, and the line of devices where hops bear that; or why neither is so."""
    ends = ends_of(c)
    if not isinstance(ends, str):
        return ends, None
    line = line_of(c) if has_loads(c) else ""
    return ends if isinstance(line, str) else (ends_in_line(c), line)


def _most_ideals(c: CompiledProblem, line: Line | None, items: Items) -> int:
    sets = len(c.device_names) + 1
    if line is None:
        sets = math.prod(len(members) + 1 for members in device_classes(c))
    return min(MOST_IDEALS, max(1, _MOST_ENTRIES // sets), max(1, _MOST_HELD // len(items.before)))


def run(pool: Pool, limits: Limits, control: Control) -> Outcome:
    """Solve the pool's problem."""
    return search(pool, pool.compiled, limits, control, "ideals")


def free_layers(c: CompiledProblem) -> list[tuple[int, ...]]:
    """Return the layers of each item that goes anywhere, and follows none; of a problem with one contiguity."""
    if sum(isinstance(one, Contiguity) for one in c.constraints) != 1:
        return []
    items = _items(c)
    return [tuple(np.flatnonzero(items.of_node == one.item).tolist()) for one in items.loose if not one.follows]


def search(
    pool: Pool,
    compiled: CompiledProblem,
    limits: Limits,
    control: Control,
    source: str,
    mend: Callable[[Index], Index] | None = None,
) -> Outcome:
    """Solve a problem that `refuses` accepts: the pool's, or a relaxation of it.

    `mend` makes placements of a relaxation better ones of the problem.

    Returns
    -------
    Outcome
        Of the problem that is solved: of a relaxation, `optimal` need not be the pool's optimum.
    """
    clock, program = Clock(limits.time_limit), _Program(compiled)
    if program.impossible:
        return Outcome("infeasible")
    bound, best, step, low = program.bound, math.inf, _FIRST_STEP, False
    if program.weight > 0.0:
        bound = max(bound, pool.own_bound / program.weight)
    while True:
        pool.add_bound(program.weight * max(bound - program.noise, program.floor), source)
        if best < math.inf and best - bound <= _CLOSE * abs(best):
            return Outcome("optimal")
        cap = math.inf  # above it, nothing is asked for
        if program.weight > 0.0 and pool.cap < math.inf:
            cap = (pool.cap - _CLOSE * abs(pool.cap)) / program.weight
        if pool.is_cut_off(limits.gap) or (bound >= cap and pool.plan is None):
            return Outcome("no_solution" if pool.plan is None else "feasible")
        if bound >= cap:
            return Outcome("optimal")
        if best < math.inf:  # in turn: is it the best one, and is there one half way to the bound?
            threshold, low = (bound + best) / 2.0 if low else best * (1.0 - _CLOSE), not low
        elif 0.0 < bound < program.largest / (1.0 + step):
            threshold, step = bound * (1.0 + step), 2.0 * step
        else:
            threshold = math.inf
        threshold = min(threshold, cap)
        found = program.search(threshold, clock, control)
        if clock.expired() or control.stop.is_set():
            return Outcome("no_solution" if pool.plan is None else "feasible")
        if found is not None:
            best, placement = min(found[0], threshold), found[1]  # else rounding might bring the same plan again
            placement = placement if mend is None else mend(placement)
            judged = pool.offer_placement(placement, source).objectives[pool.stage]
            bound = best if program.is_exact else bound
            if program.is_exact and compiled is pool.compiled:  # the best one, up to rounding
                room = program.weight * program.noise
                least = min(program.weight * best, judged)
                pool.add_bound(max(least - room, min(program.weight * program.floor, least)), source)
        elif math.isinf(threshold):
            return Outcome("infeasible")
        else:
            bound = threshold


class _Program:
    """The dynamic program of a problem.

    Attributes
    ----------
    weight : float
        Of values in the objective.
    impossible : bool
        Whether a layer can run nowhere.
    bound : float
        No value is below it.
    largest : float
        No load exceeds it.
    noise : float
        What rounding may come to, in differences of sums over ideals.
    floor : float
        0 where no cost is negative.
    is_exact : bool
        Whether a search finds the least value, or just one below its threshold.
    """

    def __init__(self, compiled: CompiledProblem) -> None:
        self.c, self.items = c, items = compiled, _items(compiled)
        found = _geometry(c)
        assert not isinstance(found, str)  # asked before
        ends, line = found
        self.classes = device_classes(c) if line is None else [[device] for device in line.devices]
        first = [members[0] for members in self.classes]
        layers = np.flatnonzero(c.is_layer)
        time = np.zeros((len(items.before), len(first)))
        np.add.at(time, items.of_node[layers], c.allowed_time[layers][:, first])
        self.impossible = bool(np.isinf(time).all(axis=1).any())
        if self.impossible:
            return
        self.has_loads = has_loads(c)
        self.weight = c.objective[0][0].weight if self.has_loads else 1.0
        finite = np.where(np.isfinite(time), time, 0.0)
        self.largest = float(finite.sum(axis=0).max() + c.hop_seconds[c.edge_tensor].sum())
        scale, self.floor = self.largest, 0.0
        if not self.has_loads:
            alpha, beta = linear_costs(c)
            self.floor = 0.0 if (alpha[layers] >= 0.0).all() else -math.inf
            scale = float(np.abs(np.where(c.allowed, alpha, 0.0)).max(axis=1).sum() + beta[c.edge_tensor].sum())
        self.noise = len(items.before) * float(np.finfo(float).eps) * scale
        way = [(number, number - 1) for number in range(len(first))]
        walk: StageWalk = (
            Counts(np.array([len(members) for members in self.classes])) if line is None else Sequences([way])
        )
        prices = walk.prices(time)
        work = np.where(np.isinf(time), np.inf, prices * finite).min(axis=1)
        self.bound = float(work.sum()) if self.has_loads else -math.inf
        order = IdealOrder(items, _most_ideals(c, line, items), work)
        stages = Stages(c, items, order.held, ends, first)
        crossing = [] if line is None else crossings(c, items, order.held, line)
        self._program = IdealProgram(order, [(stages, number) for number in range(len(first))], walk, prices, crossing)
        self.is_exact = ends.total is None or not self.has_loads

    def search(self, threshold: float, clock: Clock, control: Control) -> tuple[float, Index] | None:
        """Return a value and a placement (N,) that has it; None: none is at most `threshold`, or stopped."""
        found = self._program.search(threshold, clock, control)
        if found is None:
            return None
        best, stages = found
        if self.has_loads:
            best = max(best, *(self._program.load(stage) for stage in stages))
        return best, self._placement(stages)

    def _placement(self, stages: list[Stage]) -> Index:
        place = np.zeros(len(self.items.before), dtype=np.int64)
        devices = [iter(members) for members in self.classes]
        for stage in stages:
            place[self._program.items(stage)] = next(devices[stage.step.number])
        pinned = self.c.allowed.argmax(axis=1)
        return np.where(self.c.is_layer, place[self.items.of_node], pinned)
