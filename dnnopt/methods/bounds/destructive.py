"""Destructive bounds: guess a cap, forbid what no plan below it can have, and show that nothing is left.

For objectives that are a maximum (period, critical path), where plain relaxations are weak: presolve forbids every
placement and move that alone breaks the cap; if the linear relaxation of what is left exceeds the cap, the cap is a
bound. Bisection finds the best one (Klein, Scholl: Computing lower bounds by destructive improvement, EJOR 112(2),
1999).
"""

from __future__ import annotations

import math

from dnnopt.compiled.presolve import presolve
from dnnopt.formulations.formulation import Formulation
from dnnopt.methods.numbers import is_reliable
from dnnopt.methods.pool import Pool
from dnnopt.models.solvers.interface import Clock, Control, Limits

SOURCE = "destructive bound"
# Bisection ends where the two ends are this close, relatively.
_CLOSE = 3e-4
_ROOM = 1e-9


def destructive_bound(pool: Pool, formulation: Formulation, limits: Limits, control: Control) -> None:
    """Raise the pool's bound by bisection between it and the pool's cap.

    Parameters
    ----------
    pool : Pool
        With a plan or a cutoff.
    formulation : Formulation
        A MILP formulation that supports the problem.
    limits : Limits
    control : Control
    """
    from dnnopt.models.solvers.highs import relaxation

    clock = Clock(limits.time_limit)
    upper = pool.cap
    while upper < math.inf and not clock.expired() and not control.stop.is_set():
        lower = pool.bound or 0.0
        if upper - lower <= _CLOSE * upper or "highs" in pool.doubted:
            return
        cap = lower**0.5 * upper**0.5 if lower > 0 and upper > 4 * lower else (lower + upper) / 2
        reduced = presolve(pool.compiled, cap)
        if reduced.infeasible:
            pool.add_bound(cap, SOURCE)
            continue
        model = formulation.build(reduced.compiled)
        if not is_reliable(model):
            return
        left = limits.within(clock.left())
        outcome = relaxation(model, left, control.stop)
        if outcome.status == "infeasible":
            pool.add_bound(cap, SOURCE, "highs")
        elif outcome.status == "optimal" and outcome.objective is not None:
            # Either no plan is below the cap, or the relaxation bounds those that are. Its own rounding is left out.
            value = outcome.objective * model.objective_unit
            value -= _ROOM * abs(value)
            pool.add_bound(min(cap, value), SOURCE, "highs")
            if value <= cap:
                upper = cap
        else:
            return
