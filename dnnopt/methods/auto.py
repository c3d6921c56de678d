"""`auto`: what `solve` does where no formulation is named.

Where an exact method fits (shortest path, minimum cut, blocks, tree program, ideals), that is all. Layers that some
optimal plan has together are merged, where these are many. Relaxations that an exact method fits come next. Then
presolve with the best simple plan. For a linear objective, prices on the limits give a bound, and what each choice
costs at least: what costs more than the plan is forbidden. The formulation is given a glance, in which what is easy
ends, and constraint programming a longer one; where layers choose modes, blocks or forms, the problem without these
choices gives plans. For a critical path, the sum of all times comes first.
Searches (groups of layers, local search, neighbourhoods) improve the plan. Then label search, as long as it promises to
close the gap.

What is left between plan and bound goes to the formulation as a whole; for a maximum (period, critical path), after a
destructive bound and a search for any plan below a cap, with caps from the bound upwards: low caps leave little to
search, and each one that has no plan is a bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.constraints import LinearTerm, ObjectiveLimit, WorstLeakageTerm
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.compiled.needs import needs_critical_path
from dnnopt.compiled.presolve import presolve
from dnnopt.compiled.scaling import total_load
from dnnopt.formulations import registry
from dnnopt.formulations.formulation import Formulation
from dnnopt.methods.bounds import capped_loads, critical_paths, merged_devices
from dnnopt.methods.bounds.chains import add_chain_bound
from dnnopt.methods.bounds.contiguous import bound_stages
from dnnopt.methods.bounds.destructive import destructive_bound
from dnnopt.methods.bounds.escapes import escapes
from dnnopt.methods.bounds.loads import add_load_bound
from dnnopt.methods.exact import blocks, chain, groups, ideals, labels, min_cut, tree
from dnnopt.methods.formulated import default_solver, is_too_large, offer_values, run_formulation
from dnnopt.methods.heuristics import BASELINES
from dnnopt.methods.heuristics.cutting import cut
from dnnopt.methods.heuristics.effort import Effort
from dnnopt.methods.merging import merged_pool
from dnnopt.methods.numbers import is_reliable
from dnnopt.methods.pool import Pool
from dnnopt.methods.programs import rows as sums
from dnnopt.methods.programs.lagrangian import Lagrangian, below
from dnnopt.models.solvers import solver as solver_of
from dnnopt.models.solvers.interface import Clock, Control, Limits, Outcome
from dnnopt.problem.constraints import Deadline
from dnnopt.problem.plainer import without_choices

# Parts of the time: a share of it, and at most so many seconds.
_IDEALS = 0.6, 1800.0
_STAGES = 0.3, 60.0
_PRICES = 0.05, 2.0
_GLANCE = 0.03, 3.0
_PLAINER = 0.1, 10.0
_PROPAGATION = 0.2, 20.0
_SUM = 0.1, 10.0
_GROUPS, _GROUPS_ON_PATHS = (0.06, 8.0), (0.15, 20.0)  # searches for critical paths need longer
_SEARCHES = (("local-search", (0.03, 3.0)), ("neighbourhood-search", (0.08, 10.0)))
_LABELS = 0.3, 60.0
_DECOMPOSITION, _DECOMPOSITION_ON = (0.4, 400.0), (0.3, 300.0)
_CLUSTERS = 0.3, 100.0
_LOADS = 0.25, 100.0
_PATHS, _MORE_PATHS = (0.2, 60.0), (0.3, 150.0)
_FAR = 0.15  # gap from which on no formulation closes it
_CLOSE = 0.05  # gap within which it is not left for searches
_RELAXATION = 0.15, 20.0
_BOUND = 0.25, 30.0
_CAP_SHARE = 0.4
_WORTH = 0.01  # of the bound: escapes that raise it by less are left out
_ROOM = 1e-9
_PROPAGATING, _LINEAR = "cp-assignment", "edgewise"
_NOTHING = Outcome("no_solution")  # of a phase that does not say more than its plans and bounds
# Caps as multiples of the bound.
_CAPS = (1.0005, 1.01, 1.05, 1.2)
# A gap at which a search ends with its first plan.
_ANY = 1e9


def run_auto(
    pool: Pool, formulation: Formulation, solver: str, limits: Limits, control: Control, *, any_solver: bool = True
) -> Outcome:
    """Solve a problem; plans and bounds go to the pool.

    Parameters
    ----------
    pool : Pool
    formulation : Formulation
    solver : str
    limits : Limits
    control : Control
    any_solver : bool
        Whether other solvers may be tried too.

    Returns
    -------
    Outcome
        Of the last search.
    """
    return _Auto(pool, formulation, solver, limits, control, any_solver).run()


def place_by_sum(pool: Pool, limits: Limits, control: Control) -> None:
    """Offer the pool the placements that are best, and on the way to the best, if only one thing happens at a time.

    Their sum of times is never below the critical path, and mostly not far above it. Deadlines are left to the pool's
    referee.
    """
    limits_kept = [one for one in pool.problem.subject_to if not isinstance(one, Deadline)]
    problem = pool.problem.replace(execution="sequential", subject_to=limits_kept)
    compiled = compile_problem(problem).at_stage(pool.stage, {})
    formulation = registry.formulation(_LINEAR, compiled)
    relay = Pool(problem, compiled, pool.stage)
    relay.pass_on = lambda placement, source, times: pool.offer_placement(placement, source)
    run_auto(relay, formulation, default_solver(formulation), limits, control)


def place_without_choices(pool: Pool, limits: Limits, control: Control) -> None:
    """Offer the pool the placements that are best, and on the way to the best, in first modes and with plain tensors.

    Where there are blocks, these placements are cut into such. More methods know problems without such choices; what a
    plan breaks with them is left to the pool's referee.
    """
    problem = without_choices(pool.problem)
    compiled = compile_problem(problem).at_stage(pool.stage, {})
    formulation = registry.formulation(_LINEAR, compiled)
    first = np.unique(pool.compiled.host_device, return_index=True)[1]
    relay = Pool(problem, compiled, pool.stage)
    relay.pass_on = lambda placement, source, times: pool.offer_placement(cut(pool.compiled, first[placement]), source)
    effort = Effort(Clock(limits.time_limit), seed=limits.seed, stop=control.stop)
    for source, placement in BASELINES["multi-cut"].placements(compiled, effort):
        relay.offer_placement(placement, source)
    run_auto(relay, formulation, default_solver(formulation), limits, control)


class _Auto:
    """A run: phases one after the other, until one proves the best plan or there is none left."""

    def __init__(
        self, pool: Pool, formulation: Formulation, solver: str, limits: Limits, control: Control, any_solver: bool
    ) -> None:
        self.pool, self.formulation, self.solver = pool, formulation, solver
        self.limits, self.control, self.any_solver = limits, control, any_solver
        self.clock = Clock(limits.time_limit)
        self.kept = pool.compiled  # the problem, without choices that are too expensive
        self.groups: groups.GroupSearch | None = None
        self.paths: critical_paths.PathSearch | None = None

    def run(self) -> Outcome:
        outcome = _NOTHING
        for phase in self._phases():
            outcome = phase()
            if outcome.status == "infeasible" or self._done():
                break
        return outcome

    def _phases(self) -> Iterator[Callable[[], Outcome]]:
        """Yield the phases; which come next may depend on what the earlier ones have found."""
        yield from (self._fitting, self._merged, self._stages)
        if self.formulation.kind == "milp":
            yield from (self._prices, self._glance, self._plainer)
            if not self.pool.is_closed(_CLOSE) and groups.suits(self.pool.compiled):
                yield from (self._decompose(_DECOMPOSITION, _CLOSE), self._improvement)
                yield from (self._decompose(_DECOMPOSITION), self._propagation_if_close)
                yield from (self._decompose(_DECOMPOSITION_ON), self._propagation)
            else:
                yield from (self._propagation, self._sequential, self._follow_paths, self._improvement)
                yield from (self._follow_paths_on, self._loads, self._labels, self._clusters)
            yield from (self._escapes, self._maximum)
            if not self.pool.is_closed(_FAR):
                yield self._follow_paths_on
        yield self._whole

    def _done(self) -> bool:
        return self.pool.is_closed(self.limits.gap) or self.clock.expired() or self.control.stop.is_set()

    def _fitting(self) -> Outcome:
        """Solve the problem by an exact method, if it is of the kind of one."""
        for method in (chain, min_cut, *((blocks,) if self.pool.compiled.blocks else ()), tree):
            if method.refuses(self.pool.compiled) is None:
                return method.run(self.pool, self.limits, self.control)
        if self._has_ideals:
            return ideals.run(self.pool, self._part(_IDEALS), self.control)
        return _NOTHING

    def _merged(self) -> Outcome:
        """Solve the problem with layers merged that some optimal plan has together, where that leaves far fewer."""
        relay = merged_pool(self.pool)
        if relay is None:
            return _NOTHING
        formulation = registry.formulation(self.formulation.name, relay.compiled)
        limits = self.limits.within(self.clock.left())
        return run_auto(relay, formulation, self.solver, limits, self.control, any_solver=self.any_solver)

    def _stages(self) -> Outcome:
        """Solve relaxations of contiguous stages, whose plans are good ones too."""
        add_chain_bound(self.pool)
        add_load_bound(self.pool)
        if self._has_ideals:
            return _NOTHING
        return bound_stages(self.pool, self._part(_STAGES), self.control)

    def _prices(self) -> Outcome:
        """Raise the bound by prices on limits; leave out choices that cost more than the best plan."""
        c = self.pool.compiled
        if is_maximum(c) or Lagrangian.refuses(c) is not None:
            return _NOTHING
        tried = self._part(_PRICES)
        lagrangian = Lagrangian(c)
        lagrangian.maximize(tried, self.control)
        self.pool.add_bound(min(lagrangian.bound, self.pool.cap), "Lagrangian")
        if not self.pool.is_closed(self.limits.gap) and math.isfinite(self.pool.cap):
            marginals = lagrangian.marginals(tried, self.control, seed=self.limits.seed)
            self.kept = below(c, marginals, self.pool.cap)
        return _NOTHING

    def _glance(self) -> Outcome:
        """Try the formulation for a moment."""
        return self._try(self.formulation, self.solver, _GLANCE)

    def _decompose(self, part: tuple[float, float], gap: float = math.inf) -> Callable[[], Outcome]:
        """Return a phase that searches with the tables of groups of devices, and leaves out what costs too much."""

        def phase() -> Outcome:
            if self.groups is None:
                self.groups = groups.GroupSearch(self.pool, self.kept, self.control)
            outcome = self.groups.run(self._part(part), gap)
            self.kept = self.groups.kept
            return outcome

        return phase

    def _follow_paths(self) -> Outcome:
        """Search with the tables of groups of devices for critical paths, where memory is tight."""
        c = self.pool.compiled
        if c.execution != "parallel" or not critical_paths.is_tight(c):
            return _NOTHING
        clock = Clock(self._part(_PATHS).time_limit)
        self.paths = critical_paths.PathSearch(self.pool, self.kept, self.control, clock)
        return self._run_paths(_PATHS)

    def _follow_paths_on(self) -> Outcome:
        """Go on with that, where it seems to end soon, or much is missing."""
        if self.paths is None or not (self.paths.promising or not self.pool.is_closed(_FAR)):
            return _NOTHING
        return self._run_paths(_MORE_PATHS)

    def _run_paths(self, part: tuple[float, float]) -> Outcome:
        assert self.paths is not None
        outcome = self.paths.run(self._part(part))
        self.kept = self.paths.kept
        return outcome

    def _plainer(self) -> Outcome:
        """Search for plans in first modes and with plain tensors."""
        c = self.pool.compiled
        left_out = bool(c.choices or c.blocks) or any(device.modes for device in self.pool.problem.platform.devices)
        if c.has_choices and left_out and not needs_critical_path(c):
            place_without_choices(self.pool, self._part(_PLAINER), self.control)
        return _NOTHING

    def _propagation(self) -> Outcome:
        """Try constraint programming."""
        c = self.pool.compiled
        if not self.any_solver or needs_critical_path(c) or _PROPAGATING not in registry.supporting(c, "cp"):
            return _NOTHING
        formulation = registry.formulation(_PROPAGATING, c)
        return self._try(formulation, default_solver(formulation), _PROPAGATION)

    def _propagation_if_close(self) -> Outcome:
        """Try constraint programming on what is left where little is missing."""
        return self._propagation() if self.pool.is_closed(_CLOSE) else _NOTHING

    def _sequential(self) -> Outcome:
        """Search for plans of a short critical path among those with a small sum of times."""
        c = self.pool.compiled
        if c.execution == "parallel" and needs_critical_path(c):
            place_by_sum(self.pool, self._part(_SUM), self.control)
        return _NOTHING

    def _improvement(self) -> Outcome:
        """Search for better plans, at first of groups of layers, then around the best one."""
        pool, c = self.pool, self.pool.compiled
        proving = self.groups is not None and pool.is_closed(_CLOSE)
        if pool.best is None or proving or Evaluator.refuses(c) is not None:
            return _NOTHING
        groups = _GROUPS_ON_PATHS if needs_critical_path(c) else _GROUPS
        for name, part in (("coarsening", groups), *_SEARCHES):
            clock = Clock(self._part(part).time_limit)
            effort = Effort(clock, seed=self.limits.seed, start=pool.best.placement, stop=self.control.stop)
            for source, placement in BASELINES[name].placements(c, effort):
                pool.offer_placement(placement, source)
        return _NOTHING

    def _loads(self) -> Outcome:
        """Raise the bound of a period where devices are busy for most of it, below caps."""
        if capped_loads.refuses(self.pool.compiled) is None:
            capped_loads.bound_loads(self.pool, self.kept, self._part(_LOADS), self.control)
        return _NOTHING

    def _labels(self) -> Outcome:
        """Search labels, and price out again with what they found."""
        if not self._has_labels:
            return _NOTHING
        outcome = labels.run_while_promising(self.pool, self._part(_LABELS), self.control)
        return outcome if outcome.status == "infeasible" else self._prices()

    def _clusters(self) -> Outcome:
        """Raise the bound by that of fewer tensors or devices, where there are too many for tables."""
        c = self.pool.compiled
        if self._has_labels or self.pool.is_closed(_CLOSE) or merged_devices.refuses(c) is not None:
            return _NOTHING
        return merged_devices.bound_merged(self.pool, self.kept, self._part(_CLUSTERS), self.control)

    def _maximum(self) -> Outcome:
        """Raise the bound of a maximum, and search for plans just above it."""
        if is_maximum(self.pool.compiled) and not is_too_large(self.kept, self.clock.left()):
            if not self._has_labels:  # else their bounds are as good
                destructive_bound(self.pool, self.formulation, self._part(_BOUND), self.control)
            self._search_below_caps()
        return _NOTHING

    def _search_below_caps(self) -> None:
        """Search for a plan below the lowest cap that has one; caps without one raise the bound."""
        for factor in _CAPS:
            if self._done():
                return
            cap = (self.pool.bound or 0.0) * factor
            if not 0 < cap < self.pool.cap:
                continue
            left = self.clock.left()
            seconds = None if left is None else _CAP_SHARE * left
            if self._find_below(cap, self.limits.within(seconds)):
                return

    def _find_below(self, cap: float, limits: Limits) -> bool:
        """Offer a plan with an objective of at most `cap` to the pool, or raise its bound; return whether there is one.

        The search takes the first plan, and is led by the total load, which tells plans apart that a maximum does not.
        """
        pool, formulation, solver = self.pool, self.formulation, self.solver
        reduced = presolve(pool.compiled, cap)
        if reduced.infeasible:
            pool.add_bound(cap, "presolve")
            return False
        limit = ObjectiveLimit("cap", pool.compiled.objective[0], cap)
        compiled = replace(
            reduced.compiled,
            objective=((LinearTerm(1.0, total_load(pool.compiled)),),),
            cap=math.inf,
            constraints=(*reduced.compiled.constraints, limit),
        )
        model = formulation.build(compiled)
        if not is_reliable(model):
            return False
        quiet = Control(stop=self.control.stop, log=self.control.log)
        outcome = solver_of(solver, formulation.kind)(model, replace(limits, gap=_ANY), None, quiet)
        source = f"{formulation.name} ({solver}) below a cap"
        if outcome.status == "infeasible":
            pool.add_bound(cap, source, solver)
        if outcome.values is None:
            return False
        return pool.accepts(offer_values(pool, formulation, compiled, model, outcome.values, source))

    def _escapes(self) -> Outcome:
        """Keep what memory implies of moves, if it raises the bound."""
        found = escapes(self.kept) if self._is_sums() and not is_too_large(self.kept, self.clock.left()) else []
        if not found:
            return _NOTHING
        from dnnopt.models.solvers.highs import relaxation

        extended = replace(self.kept, constraints=(*self.kept.constraints, *found))
        before, cap = self.pool.bound, self.pool.cap
        model = self.formulation.build(replace(extended, cap=min(cap, extended.cap)))
        outcome = relaxation(model, self._part(_RELAXATION)) if is_reliable(model) else _NOTHING
        if outcome.status == "optimal" and outcome.objective is not None:
            bound = outcome.objective * model.objective_unit
            bound -= _ROOM * abs(bound)
            self.pool.add_bound(min(bound, cap), "escapes", "highs")
            if before is None or bound > before + _WORTH * abs(bound):
                self.kept = extended
        return _NOTHING

    def _whole(self) -> Outcome:
        """Give what is left to the formulation, with the time that is left."""
        outcome = self._try(self.formulation, self.solver, None)
        able = registry.supporting(self.pool.compiled, "cp")
        if outcome.status == "refused" and self.any_solver and able:
            formulation = registry.formulation(able[0], self.pool.compiled)
            return self._try(formulation, default_solver(formulation), None)
        return outcome

    def _try(self, formulation: Formulation, solver: str, part: tuple[float, float] | None) -> Outcome:
        """Try a formulation on what is left of the problem, for a part of the time or all that is left."""
        reduced = presolve(self.kept, self.pool.cap)
        if reduced.infeasible:
            if math.isinf(self.pool.cap):
                return Outcome("infeasible")
            self.pool.add_bound(self.pool.cap, "presolve")
            return _NOTHING
        if is_too_large(reduced.compiled, self.clock.left()):
            return _NOTHING
        limits = self.limits.within(self.clock.left()) if part is None else self._part(part)
        return run_formulation(self.pool, formulation, solver, limits, self.control, reduced.compiled, self.pool.cap)

    @cached_property
    def _has_ideals(self) -> bool:
        return ideals.refuses(self.pool.compiled) is None

    @cached_property
    def _has_labels(self) -> bool:
        return labels.refuses(self.pool.compiled) is None

    def _is_sums(self) -> bool:
        return sums.refuses(self.pool.compiled) is None

    def _part(self, part: tuple[float, float]) -> Limits:
        """Return limits for a part of the time: a share of the time limit, at most so many seconds."""
        share, most = part
        left = self.clock.left()
        if self.limits.time_limit is None or left is None:
            return self.limits.within(most)
        return self.limits.within(min(most, share * self.limits.time_limit, left))


def is_maximum(compiled: CompiledProblem) -> bool:
    """Return whether the objective has a maximum that presolve can use."""
    return any(not isinstance(term, LinearTerm | WorstLeakageTerm) for term in compiled.objective[0])
