"""A second engine is asked before a solver's proof counts as confirmed.

Solvers were seen to call wrong values optimal, on models with fifteen rows. So where it rests on a solver's word that
the best plan is optimal, or that there is none, another engine is asked for a better plan: every placement is looked at
where they are few, otherwise another solver with, where there is one, another formulation. What the methods of this
package find by themselves needs no confirmation.

A better plan refutes the claim: the pool drops it and keeps the contradiction, and the other engines are given what is
left of the time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.presolve import presolve
from dnnopt.formulations import registry
from dnnopt.formulations.formulation import Formulation
from dnnopt.methods.exact import scan
from dnnopt.methods.formulated import run_formulation
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs.lagrangian import priced_out
from dnnopt.methods.result import OWN
from dnnopt.models.solvers import missing
from dnnopt.models.solvers import solver as solver_of
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem

# A share of the time spent so far, and seconds that are always there.
_SHARE, _LEAST = 0.1, 1.0
_FEW_PLACEMENTS = 20_000
# Prices take a while to find: they are worth it where more than so many seconds are left, a share of which they get.
_WORTH_PRICES, _PRICES, _MOST_PRICES = 1.5, 0.3, 2.0
_EACH = 0.5  # of what is left of the share, for an engine that is not the last
# Solvers with their formulations, the first of which that supports the problem is taken; in the order of asking: with a
# plan known, constraint programming was the quickest on `core` more often than not, then HiGHS and CBC.
_ENGINES = (
    ("cpsat", ("cp-assignment", "cp-schedule")),
    ("highs", ("edgewise", "product")),
    ("cbc", ("edgewise", "product")),
    ("highs-unpresolved", ("boundary", "edgewise", "product")),
    ("cpsat-unpresolved", ("cp-assignment", "cp-schedule")),
)


def confirm(pool: Pool, outcome: Outcome, limits: Limits, control: Control) -> Outcome:
    """Have a second engine look at what the pool says is optimal, or infeasible.

    Parameters
    ----------
    pool : Pool
        Of a run that has ended; it is told what confirmed it (`confirmed_by`), and of contradictions.
    outcome : Outcome
        Of the run.
    limits : Limits
        Of what is left of the run.
    control : Control

    Returns
    -------
    Outcome
        Of the last search: the run's own, unless it was refuted.
    """
    clock = Clock(limits.time_limit)
    begun = Clock()
    share = _LEAST + _SHARE * pool.elapsed()
    pursued: frozenset[str] = frozenset()
    while not control.stop.is_set():
        if _is_claimed(pool, outcome):
            claimants = pool.claimants()
            if not claimants:
                pool.confirmed_by = OWN
                break
            left = clock.left()
            second = _Second(pool, claimants, limits.within(share if left is None else min(share, left)), control)
            pool.confirmed_by = second.ask()
            pool.confirming = begun.elapsed()
            if pool.confirmed_by:
                break
        if pool.doubted == pursued:
            break
        pursued = pool.doubted
        outcome = _pursue(pool, outcome, limits.within(clock.left()), control)
    return outcome


@dataclass(frozen=True)
class Opinion:
    """What second engines say of a proof.

    Attributes
    ----------
    confirmed_by : str
        Empty: none of them said the same in time.
    contradiction : str
        Which plan refutes it; empty: none.
    seconds : float
    """

    confirmed_by: str
    contradiction: str
    seconds: float


def second_opinion(problem: Problem, plan: Plan, claimed_by: str, limits: Limits) -> Opinion:
    """Ask for a better plan than one that was claimed to be optimal, of the problem's first priority.

    Parameters
    ----------
    problem : Problem
    plan : Plan
        Feasible.
    claimed_by : str
        Where its bound came from, with the solver at its end in brackets: it is not asked. Without one, all are.
    limits : Limits
    """
    clock = Clock()
    found = re.search(r"\(([^()]+)\)( below a cap)?$", claimed_by)
    engine = found[1] if found else OWN
    pool = Pool(problem, compile_problem(problem).at_stage(0, {}))
    judged = pool.offer(plan, "the known plan")
    pool.add_bound(judged.objective, claimed_by, engine)
    confirmed = _Second(pool, {engine}, limits, Control()).ask()
    contradiction = "; ".join(pool.contradictions)
    if not confirmed and not contradiction and engine == OWN:
        confirmed = OWN
    return Opinion(confirmed, contradiction, clock.elapsed())


def _is_claimed(pool: Pool, outcome: Outcome) -> bool:
    return pool.is_closed(0.0) or (outcome.status == "infeasible" and pool.plan is None)


def _pursue(pool: Pool, outcome: Outcome, limits: Limits, control: Control) -> Outcome:
    """Give the engines that were not refuted what is left of the time, one after the other."""
    clock = Clock(limits.time_limit)
    for solver, formulation in _engines(pool.compiled, set(pool.doubted)):
        if missing(solver):
            continue
        found = run_formulation(pool, formulation, solver, limits.within(clock.left()), control)
        if found.status == "refused":
            continue
        outcome = found
        if _is_claimed(pool, outcome) or clock.expired() or control.stop.is_set():
            break
    return outcome


def _engines(compiled: CompiledProblem, without: set[str]) -> Iterator[tuple[str, Formulation]]:
    """Yield solvers, and for each a formulation that supports the problem and says no less than its optimum."""
    able = [registry.formulation(name, compiled) for name in registry.suiting(compiled)]
    for solver, names in _ENGINES:
        exact = [one for one in able if one.value == "exact" and one.name.partition("+")[0] in names]
        if exact and solver not in without:
            yield solver, min(exact, key=lambda one: names.index(one.name.partition("+")[0]))


class _Second(Pool):
    """A pool of its own, with the best plan and no bounds; better plans are passed on to the pool of the run."""

    def __init__(self, first: Pool, claimants: set[str], limits: Limits, control: Control) -> None:
        super().__init__(first.problem, first.compiled, first.stage, first.caps, cutoff=first.cutoff)
        self._first, self._claimants, self._limits, self._control = first, claimants, limits, control
        self._judged = first._judged
        if first.best is not None:
            self.offer_placement(first.best.placement, first.found_by, first.best.times)
        self.pass_on = first.offer_placement

    def ask(self) -> str:
        """Return which other engine says what the claimants say; empty: none did, in time or at all."""
        few = math.prod(self.compiled.allowed.sum(axis=1).tolist()) <= _FEW_PLACEMENTS
        if few and scan.refuses(self.compiled) is None:
            return "scan" if self._agrees(scan.run(self, self._limits.within(None), self._control)) else ""
        engines = list(_engines(self.compiled, self._claimants | self._first.doubted))
        for solver, formulation in engines[:1]:
            if not missing(solver):
                solver_of(solver, formulation.kind)  # its import is not the search's
        clock = Clock(self._limits.time_limit)
        cap = self.cap
        compiled = self._reduced(cap, clock.left())
        if compiled is None:
            return "presolve"
        for position, (solver, formulation) in enumerate(engines):
            if missing(solver):
                continue
            left = clock.left() or math.inf
            part = self._limits.within(left if position == len(engines) - 1 else _EACH * left)
            if self._agrees(run_formulation(self, formulation, solver, part, self._control, compiled, cap)):
                return f"{formulation.name} ({solver})"
            if clock.expired() or self._control.stop.is_set() or self._refuted:
                break
        return ""

    def _reduced(self, cap: float, left: float | None) -> CompiledProblem | None:
        """Return the problem without what no plan up to the cap has, with so many seconds left; None: no plan."""
        kept = self.compiled
        if cap < math.inf and (left is None or left > _WORTH_PRICES):
            limits = self._limits.within(_MOST_PRICES if left is None else min(_MOST_PRICES, _PRICES * left))
            kept = priced_out(kept, cap, limits, self._control)
        reduced = presolve(kept, cap)
        if reduced.infeasible:
            return None if self.plan is None else self.compiled
        return reduced.compiled

    @property
    def _refuted(self) -> bool:
        """Whether a plan was found that refutes a claimant."""
        return bool(self._first.doubted & self._claimants)

    def _agrees(self, outcome: Outcome) -> bool:
        """Return whether an engine that has ended says what the claimants say."""
        return not self._refuted and not self.contradictions and _is_claimed(self, outcome)
