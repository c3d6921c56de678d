"""`auto` for `scheduled` execution, where plans and bounds come from different places.

Placements: baselines, the optimum of the sum of all times (one thing at a time), annealing, and those of the
relaxation's solutions; each with its list schedule, the best with its best schedule. Bounds: the relaxation `modules`,
after presolve with the best plan, and that of critical paths where much is missing. What is left goes to an exact
formulation.
"""

from __future__ import annotations

import math
from dataclasses import replace

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.evaluator import evaluator_of
from dnnopt.compiled.needs import needs_critical_path
from dnnopt.compiled.presolve import presolve
from dnnopt.formulations import registry
from dnnopt.formulations.hops import not_a_tree
from dnnopt.methods.auto import place_by_sum
from dnnopt.methods.bounds.chains import add_chain_bound
from dnnopt.methods.bounds.critical_paths import PathSearch, is_tight
from dnnopt.methods.bounds.loads import add_load_bound
from dnnopt.methods.formulated import default_solver, is_too_large, run_formulation
from dnnopt.methods.heuristics.annealing import anneal
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.pool import Pool
from dnnopt.methods.sequencing import sequence
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome

RELAXATION = "edgewise+modules"
_CP, _MILP = "cp-schedule", "edgewise+disjunctive"
# Shares of the time, and seconds where there is no limit.
_FIRST = 0.1, 10.0
_EXACT = 0.25, 30.0
_GLANCE = 0.1, 20.0
_SUM_TIME = 0.1, 30.0
_ANNEALING = 0.15, 30.0
_SEQUENCING = 0.05, 10.0
_PATHS = 0.12, 100.0
_SECOND = 0.6, 300.0
_FAR = 0.1  # gap from which on paths are looked at
# Up to so many layers CP-SAT is better at the whole than MILP; it proves some of the others at once.
_MOST_FOR_CP = 150
_MOST_FOR_SEQUENCING = 2500  # layers: pairs of them on a device are put in order


def is_timed_schedule(c: CompiledProblem) -> bool:
    """Return whether the problem has scheduled execution, and latencies in its objective or its limits."""
    return c.execution == "scheduled" and needs_critical_path(c) and not_a_tree(c) is None


def run_scheduled(pool: Pool, limits: Limits, control: Control) -> Outcome:
    """Solve a problem with scheduled execution; plans and bounds go to the pool.

    Returns
    -------
    Outcome
        Of the last search.
    """
    return _Scheduled(pool, limits, control).run()


class _Scheduled:
    def __init__(self, pool: Pool, limits: Limits, control: Control) -> None:
        self.pool, self.compiled = pool, pool.compiled
        self.limits, self.control = limits, control
        self.clock = Clock(limits.time_limit)

    def run(self) -> Outcome:
        add_chain_bound(self.pool)
        add_load_bound(self.pool)
        outcome = self._relax(_FIRST)
        if self._done() or (outcome.status == "infeasible" and self.pool.plan is None):
            return outcome
        solved = outcome.status in ("optimal", "infeasible")
        outcome = self._search(self._limits(_EXACT if solved else _GLANCE), (_CP,))
        if solved and not self._for_cp and not self._done():
            outcome = self._search(self._limits(_EXACT), (_MILP,))
        if self._done():
            return outcome
        place_by_sum(self.pool, self._limits(_SUM_TIME), self.control)
        self._anneal()
        self._follow_paths()
        if not solved and not self._done():
            outcome = self._relax(_SECOND)
        if self._done():
            return outcome
        return self._search(self.limits.within(self.clock.left()), (_CP, _MILP) if self._for_cp else (_MILP, _CP))

    @property
    def _for_cp(self) -> bool:
        """Whether CP-SAT is better at the whole than MILP."""
        return int(self.compiled.is_layer.sum()) <= _MOST_FOR_CP

    def _limits(self, share: tuple[float, float]) -> Limits:
        """Return limits for a part of the run: a share of all the time, or of what is left of it."""
        left = self.clock.left()
        total = self.limits.time_limit
        seconds = share[1] if left is None or total is None else min(share[0] * total, left)
        return self.limits.within(seconds)

    def _done(self) -> bool:
        return self.pool.is_closed(self.limits.gap) or self.clock.expired() or self.control.stop.is_set()

    def _relax(self, share: tuple[float, float]) -> Outcome:
        """Solve the relaxation below the best plan, and schedule the placements that it finds."""
        cap = self.pool.cap
        formulation = registry.formulation(RELAXATION, self.compiled)
        reduced = presolve(self.compiled, cap)
        if reduced.infeasible:
            return self._nothing_below(cap)
        if is_too_large(reduced.compiled, self.clock.left()):
            return Outcome("no_solution")
        outcome = run_formulation(
            self.pool,
            formulation,
            default_solver(formulation),
            self._limits(share),
            self.control,
            reduced.compiled,
            cap,
        )
        self._sequence()
        return outcome

    def _nothing_below(self, cap: float) -> Outcome:
        if math.isinf(cap):
            return Outcome("infeasible")
        self.pool.add_bound(cap, "presolve")
        return Outcome("no_solution" if self.pool.plan is None else "feasible")

    def _sequence(self) -> None:
        few = self.compiled.is_layer.sum() <= _MOST_FOR_SEQUENCING
        if few and self.pool.plan is not None and not self._done():
            sequence(self.pool, self._limits(_SEQUENCING), self.control)

    def _anneal(self) -> None:
        if self._done() or self.pool.best is None:
            return
        seconds = self._limits(_ANNEALING).time_limit or 0.0
        effort = Effort(Clock(seconds), seed=self.limits.seed, stop=self.control.stop)
        for name, placement in anneal(evaluator_of(self.compiled), self.pool.best.placement, effort):
            self.pool.offer_placement(placement, name)
        self._sequence()

    def _follow_paths(self) -> None:
        """Raise the bound by that of paths, for which nothing is ever busy, where much is missing."""
        if self.pool.is_closed(_FAR) or self._done() or not is_tight(self.compiled):
            return
        reduced = presolve(self.compiled, self.pool.cap)
        if not reduced.infeasible:
            limits = self._limits(_PATHS)
            clock = Clock(limits.time_limit)
            search = PathSearch(self.pool, reduced.compiled, self.control, clock)
            search.run(limits.within(clock.left()))

    def _search(self, limits: Limits, names: tuple[str, ...]) -> Outcome:
        """Search by the first of some formulations that takes it for what is left between plan and bound."""
        cap = self.pool.cap
        reduced = presolve(self.compiled, cap)
        if reduced.infeasible:
            return self._nothing_below(cap)
        able = registry.supporting(self.compiled)
        outcome = Outcome("no_solution", message=registry.why_not(self.compiled, names))
        floor = -math.inf if self.pool.bound is None else self.pool.bound
        compiled = replace(reduced.compiled, floor=floor)
        for name in names if not is_too_large(compiled, self.clock.left()) else ():
            if name in able:
                formulation = registry.formulation(name, self.compiled)
                solver = default_solver(formulation)
                outcome = run_formulation(self.pool, formulation, solver, limits, self.control, compiled, cap)
                if outcome.status != "refused":
                    break
        return outcome
