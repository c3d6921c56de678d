"""The bound of loads under a cap: a period that every device has to be busy for, or nearly so.

The Lagrangian bound of a period is a weighted mean of loads, and plans that fill one device after the other have the
same mean as those that share the work. Under a cap T this changes: no device is busy for more than T, which is to loads
what limited memory is to bytes. So group decomposition (see `groups.py`), with a grid of load in place of the grid of
memory, bounds

    min Σ_q λ_q load_q   over plans with load_q <= T for all q

and where that is more than T there is no such plan: T is a bound of the period. Layers v in a group g of devices count
Σ_v min_i a_i t_vi of Σ_i a_i T, where a_i makes devices alike that differ in speed. Caps climb from the mean of loads,
each with the multipliers of the last one, which is worth more than the time it saves: high caps are hardly refuted from
scratch. Plans within a cap are offered.

It is for devices that have much to do: where two of four could do all the work within the best period, and links or
memory decide, a mean over all four says little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import LinearTerm, MemoryLimit, ObjectiveLimit, PeriodTerm
from dnnopt.compiled.metrics import Array, Index
from dnnopt.compiled.presolve import presolve
from dnnopt.compiled.scope import Scope
from dnnopt.methods.bounds import merged_devices
from dnnopt.methods.bounds.loads import least_costs, load_weights
from dnnopt.methods.bounds.merged_devices import MergedPool, alone, fill_members, has_tables, relaxed, unmergeable
from dnnopt.methods.exact import groups
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.frontier import Frontier
from dnnopt.methods.programs.lagrangian import Lagrangian
from dnnopt.methods.result import OPTIMAL_GAP
from dnnopt.models.solvers.interface import Clock, Control, Limits

SCOPE = Scope(relaxes=True, terms=frozenset({LinearTerm, PeriodTerm}))
SOURCE = "capped loads"
_FULL = 0.75  # of the best period, for which devices are busy in the mean: with less, the bound would not be above it
_PRICES = 0.1
_EACH = 0.3  # of the time that is left, for each cap
_STRIDE = 0.125  # of what is missing, from where it begins to the first cap; each one after it is twice as long
_NEAR = 2e-3  # of the best plan, where its own period, or hardly less, is the next cap
_SHORT = 0.05  # what is left of the time is not enough for one more cap
_CLOSE = 3e-4
_ROOM = 1e-9


def refuses(compiled: CompiledProblem) -> str | None:
    """Return why there is no such bound for a problem, or None."""
    reason = SCOPE.refuses(compiled)
    if reason is not None:
        return reason
    periods = [term for term in compiled.objective[0] if isinstance(term, PeriodTerm)]
    if len(periods) != 1 or periods[0].weight <= 0:
        return "an objective without a period, or with several"
    if (compiled.executor_device != np.arange(len(compiled.device_names))).any():
        return "executors that are no devices"
    return unmergeable(compiled)


def bound_loads(pool: Pool, compiled: CompiledProblem, limits: Limits, control: Control) -> None:
    """Raise the pool's bound by caps between it and the pool's own one; offer plans that are found on the way.

    Parameters
    ----------
    pool : Pool
        With a plan or a cutoff.
    compiled : CompiledProblem
        Of the pool, perhaps without choices that are too expensive for its cap; `refuses` must not refuse it.
    limits : Limits
    control : Control
    """
    clock = Clock(limits.time_limit)
    mean, weights = _mean_load(pool, compiled, _part(limits, clock, _PRICES), control)
    refuted, failed, multipliers = mean, math.inf, None
    stride = _STRIDE * (pool.cap - refuted)
    while pool.cap < math.inf and not control.stop.is_set() and not _is_short(limits, clock):
        upper = min(pool.cap, failed)
        missing = upper - max(refuted, pool.bound or 0.0)
        if missing <= (OPTIMAL_GAP if math.isinf(failed) else _CLOSE) * upper or mean < _FULL * upper:
            break
        cap = min(refuted + stride, (refuted + upper) / 2)
        if math.isinf(failed) and missing <= _NEAR * upper:
            cap = (1.0 - 0.5 * OPTIMAL_GAP) * upper
        multipliers = _try(pool, compiled, cap, weights, _part(limits, clock, _EACH), control, multipliers)
        if (pool.bound or 0.0) >= (1.0 - OPTIMAL_GAP) * cap:
            refuted, stride = cap, 2.0 * stride
        elif refuted == mean and not math.isinf(failed):  # the second one, and the lowest: it is no use
            break
        else:
            failed, stride = cap, math.inf


def _is_short(limits: Limits, clock: Clock) -> bool:
    left = clock.left()
    return limits.time_limit is not None and left is not None and left < _SHORT * limits.time_limit


def _part(limits: Limits, clock: Clock, share: float) -> Limits:
    left = clock.left()
    return limits.within(None if left is None else share * left)


def _mean_load(pool: Pool, c: CompiledProblem, limits: Limits, control: Control) -> tuple[float, Array]:
    """Return about what the best weighted mean of loads, and what else costs, comes to, and the weights."""
    if Lagrangian.refuses(c) is None:
        lagrangian = Lagrangian(c)
        lagrangian.maximize(limits, control)
        pool.add_bound(min(lagrangian.bound, pool.cap), "Lagrangian")
        return lagrangian.bound, lagrangian.prices[: len(lagrangian.objective)]
    value, weights = load_weights(c, np.ones(len(c.node_names), dtype=bool))
    return _period(c).weight * value, weights


def _period(c: CompiledProblem) -> PeriodTerm:
    return next(term for term in c.objective[0] if isinstance(term, PeriodTerm))


def capped(c: CompiledProblem, cap: float, weights: Array) -> CompiledProblem:
    """Return the problem of the least weighted mean of loads, and what else costs, in plans that cost at most `cap`.

    The first limit of each device is one of load. Constraints that a walk along the network does not keep track of are
    left out. Every node must be allowed somewhere.
    """
    devices, links = weights @ c.resource_devices, weights @ c.resource_links
    period = _period(c)
    others = [term for term in c.objective[0] if isinstance(term, LinearTerm)]
    mean = LinearTerm(period.weight, c.busy("weighted loads", devices, links))
    plain = replace(c, objective=((mean, *others),), constraints=(), cap=np.inf, floor=-np.inf)
    kept = Frontier.followed(plain, (*c.constraints, ObjectiveLimit("cap", c.objective[0], cap)))
    costs = least_costs(c)
    room = _ROOM * (abs(cap) + float(np.abs(costs).sum()))
    seconds = max(cap - float(costs.sum()) + room, room) / period.weight
    return replace(plain, constraints=(*_load_limits(c, seconds), *kept))


def _load_limits(c: CompiledProblem, seconds: float) -> list[MemoryLimit]:
    """Return a limit on the seconds for which each device is busy, in units that make devices alike."""
    busy = np.where(c.allowed & np.isfinite(c.seconds), c.seconds, 0.0)
    pace = 1.0 / np.where(busy.any(axis=0), busy.sum(axis=0), 1.0)
    return [
        MemoryLimit.plain(
            f"busy({c.device_names[device]})", device, pace[device] * seconds, pace[device] * busy[:, device]
        )
        for device in np.flatnonzero(c.resource_devices.any(axis=0)).tolist()
    ]


def _try(
    pool: Pool,
    compiled: CompiledProblem,
    cap: float,
    weights: Array,
    limits: Limits,
    control: Control,
    multipliers: Array | None,
) -> Array | None:
    """Show that no plan costs less than a cap, or offer one that does; return multipliers for the next cap."""
    clock = Clock(limits.time_limit)
    reduced = presolve(compiled, cap)
    if reduced.infeasible or not reduced.compiled.allowed.any(axis=1).all():
        pool.add_bound(cap, SOURCE)
        return multipliers
    below = capped(reduced.compiled, cap, weights)
    searched, clusters = below, alone(below)
    if clock.expired() or control.stop.is_set():
        return multipliers
    if not has_tables(below):
        found = relaxed(below, clock) if merged_devices.refuses(below) is None else None
        if found is None:
            return multipliers
        searched, clusters = found.compiled, found.clusters
    relay = _CapPool(pool, clusters, searched, SOURCE, below=below, limit=cap)
    search = groups.GroupSearch(relay, searched, control, multipliers=multipliers)
    search.run(limits.within(clock.left()))
    return search.multipliers


@dataclass(eq=False)
class _CapPool(MergedPool):
    """Plans and bounds of the problem below a cap.

    Attributes
    ----------
    below : CompiledProblem
        That problem, before devices were merged.
    limit : float
        The cap.
    has_plan : bool
        Whether a plan was found, perhaps one that merged devices or constraints that were left out allow.
    """

    below: CompiledProblem = field(kw_only=True)
    limit: float = field(kw_only=True)
    has_plan: bool = field(default=False, init=False)

    @property
    def cap(self) -> float:
        """Return the cap."""
        return self.limit

    def is_closed(self, gap: float) -> bool:
        """Return whether there is nothing left to be shown."""
        return self.has_plan or super().is_closed(gap)

    def offer_placement(self, placement: Index, source: str) -> float:
        """Offer the pool a plan."""
        self.has_plan = True
        self.pool.offer_placement(fill_members(self.below, self.clusters, placement), SOURCE)
        return 0.0
