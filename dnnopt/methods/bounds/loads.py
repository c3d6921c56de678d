"""The load bound: what each layer costs at least is spread over the devices as well as it can be.

A period is at least the load of every resource, and a schedule at least as long as each device is busy. For weights
w >= 0 of the resources that add up to 1,

    max_q load_q >= Σ_q w_q load_q >= Σ_v min_i t_vi · Σ_{q with i} w_q

as copies add to loads. The best weights are those of a linear program's dual (machines that are not related); they are
found by a multiplicative update, which takes a moment for thousands of layers. Any weights give a bound.
"""

from __future__ import annotations

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.constraints import LatencyTerm, LinearTerm, MaxTerm, PeriodTerm, WorstLeakageTerm
from dnnopt.compiled.metrics import Array, Mask
from dnnopt.compiled.scope import Scope
from dnnopt.methods.pool import Pool

SCOPE = Scope(
    relaxes=True,
    terms=frozenset({LinearTerm, LatencyTerm, PeriodTerm, WorstLeakageTerm, MaxTerm}),
    latencies=frozenset({"parallel", "scheduled", "call"}),
    priorities=True,
    choices=True,
    blocks=True,
)
SOURCE = "load bound"
_ROUNDS = 300
_ROOM = 1e-9


def add_load_bound(pool: Pool) -> None:
    """Offer the bound to the pool: of sums, what each layer costs at least; of a period or a schedule, its loads."""
    c = pool.compiled
    if SCOPE.refuses(c):
        return
    least = least_costs(c)
    if not np.isfinite(least).all():  # a node that may be nowhere
        return
    bound = float(least.sum())
    noise = float(np.abs(least).sum())
    for term in c.objective[0]:
        if isinstance(term, PeriodTerm):
            mine = np.ones(len(c.node_names), dtype=bool)
        elif isinstance(term, LatencyTerm) and c.execution == "scheduled":
            mine = c.node_network == term.network
        else:  # none of the others is below 0
            continue
        load = term.weight * load_bound(c, mine)
        bound, noise = bound + load, noise + abs(load)
    bound -= _ROOM * noise
    if bound > 0:
        pool.add_bound(min(bound, pool.cap), SOURCE)


def least_costs(c: CompiledProblem) -> Array:
    """Return what each node costs at least in the linear terms of the objective (N,); infinite: it may be nowhere."""
    linear = [term for term in c.objective[0] if isinstance(term, LinearTerm)]
    alpha = sum((term.weight * term.metric.alpha for term in linear), np.zeros(c.allowed.shape))
    return np.asarray(np.where(c.allowed, alpha, np.inf).min(axis=1))


def load_bound(c: CompiledProblem, mine: Mask) -> float:
    """Return a lower bound on the largest load of a resource by these nodes (seconds)."""
    return load_weights(c, mine)[0]


def load_weights(c: CompiledProblem, mine: Mask) -> tuple[float, Array]:
    """Return that bound, and the weights of resources that give it."""
    of_all = np.zeros(len(c.resource_devices))
    seconds = np.where(c.allowed, c.seconds, np.inf)[mine & c.is_layer]
    held = c.resource_devices[:, c.executor_device].astype(float)
    busy = held.any(axis=1)
    held = held[busy]
    if not len(seconds) or not len(held) or not np.isfinite(seconds).any(axis=1).all():
        return 0.0, of_all
    barred = ~np.isfinite(seconds)
    seconds = np.where(barred, 0.0, seconds)
    weights = np.full(len(held), 1.0 / len(held))
    best = 0.0
    for k in range(_ROUNDS):
        value, loads = _spread(seconds, barred, held, weights)
        if value >= best:
            best, of_all[busy] = value, weights
        largest = loads.max()
        if largest <= 0:
            break
        weights = weights * np.exp(loads / largest / np.sqrt(k + 1.0))
        weights /= weights.sum()
    return best, of_all


def _spread(seconds: Array, barred: Mask, held: Array, weights: Array) -> tuple[float, Array]:
    """Return the bound of some weights, and the loads of the resources with each layer where it weighs least."""
    cost = np.where(barred, np.inf, seconds * (weights @ held))
    chosen = cost.argmin(axis=1)
    rows = np.arange(len(seconds))
    loads = held @ np.bincount(chosen, weights=seconds[rows, chosen], minlength=seconds.shape[1])
    return float(cost[rows, chosen].sum()), loads
