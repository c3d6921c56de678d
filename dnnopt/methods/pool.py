"""Pool: the plans and bounds of a run. Every plan in it has passed the referee, every bound holds for all of them.

A bound is a claim of whoever found it: of a solver (an *engine*, by its name), or of the methods here. What a plan
refutes is dropped, with all else that the engine said, and the contradiction is kept.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.evaluator import TOLERANCE
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scheduling import Times, plan_of, times_of
from dnnopt.methods.result import OPTIMAL_GAP, Event
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem
from dnnopt.referee import Evaluation, evaluate

_MOST_KNOWN = 8


@dataclass(frozen=True, eq=False)
class Known:
    """A plan that was accepted.

    Attributes
    ----------
    objective : float
    placement : array (N,)
    times : Times, optional
        Under scheduled execution: of a schedule that is not the placement's list schedule.
    """

    objective: float
    placement: Index
    times: Times | None


class Pool:
    """Best plan and best bound so far, and the trace of both.

    Parameters
    ----------
    problem : Problem
    compiled : CompiledProblem
        As it is at this stage.
    stage : int
        Index of the objective that is minimised, among the problem's priorities.
    caps : mapping of int to float
        Limits on other objectives, by index.
    watch : callable, optional
        Called with each Event of the trace.
    cutoff : float
        Value (SI) of what is known elsewhere: whether there are plans above it is not asked.

    Attributes
    ----------
    plan, evaluation : Plan, Evaluation
        Of the best plan; None: there is none.
    best : Known
        The same plan.
    known : list of Known
        Some of the plans that were accepted, the best ones among them.
    pass_on : callable, optional
        Called as `offer_placement`, with each placement that is offered before it is judged.
    twin : Pool, optional
        Of a problem with the same optimum: bounds that are claimed here hold there, and so does that there is no plan.
    contradictions : list of str
        What engines claimed and plans refuted.
    confirmed_by : str
        Which second engine, or which method that needs none, stands behind the proof.
    confirming : float
        Seconds spent on that.
    """

    def __init__(
        self,
        problem: Problem,
        compiled: CompiledProblem,
        stage: int = 0,
        caps: Mapping[int, float] | None = None,
        watch: Callable[[Event], None] | None = None,
        cutoff: float = math.inf,
    ) -> None:
        self.problem = problem
        self.compiled = compiled
        self.stage = stage
        self.caps = dict(caps or {})
        self.cutoff = cutoff
        self.trace: list[Event] = []
        self.plan: Plan | None = None
        self.evaluation: Evaluation | None = None
        self.best: Known | None = None
        self.known: list[Known] = []
        self.checked: set[tuple[str, Known]] = set()  # formulations, and plans that their rows hold
        self._judged: dict[tuple[object, object], tuple[Known, Plan, Evaluation]] = {}  # by placement and starts
        self.found_by = ""
        self.pass_on: Callable[[Index, str, Times | None], object] | None = None
        self.twin: Pool | None = None
        self.contradictions: list[str] = []
        self.confirmed_by = ""
        self.confirming = 0.0
        self._claims: dict[str, tuple[float, str]] = {}  # engine ("": none): the best bound, and its source
        self._infeasible: dict[str, str] = {}  # engine: source
        self._doubted: set[str] = set()
        self.baselines: list[tuple[str, Evaluation]] = []
        self.resolution = 0.0  # SI; solvers do not tell objectives apart that differ by less
        self._watch = watch
        self._started = time.perf_counter()
        self._lock = threading.Lock()

    @property
    def objective(self) -> float | None:
        """Objective of the best plan, of this stage."""
        return None if self.evaluation is None else self.evaluation.objectives[self.stage]

    @property
    def cap(self) -> float:
        """Value (SI) of the best plan or, if it is lower, the cutoff: plans above it are of no use."""
        return min(self.cutoff, math.inf if self.objective is None else self.objective)

    @property
    def bound(self) -> float | None:
        """The best bound (SI)."""
        return max((bound for bound, _ in self._claims.values()), default=None)

    @property
    def bound_by(self) -> str:
        """Where the best bound came from."""
        return max(self._claims.values(), default=(0.0, ""))[1]

    @property
    def own_bound(self) -> float:
        """The best bound that rests on no solver's word (SI)."""
        return self._claims.get("", (-math.inf, ""))[0]

    @property
    def doubted(self) -> frozenset[str]:
        """Engines whose claims a plan has refuted."""
        return frozenset(self._doubted)

    def claimants(self) -> set[str]:
        """Return the engines on whose word it rests that no plan is below the cap, or that there is none at all."""
        if math.isinf(self.cap) or self._infeasible:
            return set(self._infeasible)
        enough = self.cap - OPTIMAL_GAP * abs(self.cap)
        closing = {engine for engine, (bound, _) in self._claims.items() if bound >= enough}
        return set() if "" in closing else closing

    def accepts(self, evaluation: Evaluation) -> bool:
        """Return whether a plan is feasible and within the caps."""
        capped = all(evaluation.objectives[index] <= cap + TOLERANCE * abs(cap) for index, cap in self.caps.items())
        return evaluation.feasible and capped and math.isfinite(evaluation.objectives[self.stage])

    def is_closed(self, gap: float) -> bool:
        """Return whether the bound meets the cap, within a relative gap."""
        return self._meets(self.cap, gap)

    def is_cut_off(self, gap: float) -> bool:
        """Return whether no plan is below the cutoff, within a relative gap."""
        return self._meets(self.cutoff, gap)

    def _meets(self, cap: float, gap: float) -> bool:
        if math.isinf(cap) or self.bound is None:
            return False
        return cap - self.bound <= max(gap, OPTIMAL_GAP) * abs(cap)

    def elapsed(self) -> float:
        """Return the seconds since the pool was made."""
        return time.perf_counter() - self._started

    def offer(self, plan: Plan, source: str) -> Evaluation:
        """Have the referee look at a plan, and keep it if it is accepted and the best so far."""
        evaluation = evaluate(self.problem, plan)
        if self.accepts(evaluation):
            times = times_of(self.compiled, plan) if self.compiled.execution == "scheduled" else None
            known = Known(evaluation.objectives[self.stage], self.compiled.placement(plan), times)
            self._keep(known, plan, evaluation, source)
        return evaluation

    def offer_placement(self, placement: Index, source: str, times: Times | None = None) -> Evaluation:
        """Offer the plan of a placement (N,); under scheduled execution, with these times or its list schedule."""
        if self.pass_on is not None:
            self.pass_on(placement, source, times)
        key = tuple(placement.tolist()), None if times is None else tuple(times.starts)
        if key not in self._judged:
            plan = plan_of(self.compiled, placement, times)
            evaluation = evaluate(self.problem, plan)
            if self.compiled.blocks:  # those that are torn do not run
                placement = self.compiled.placement(plan)
            self._judged[key] = Known(evaluation.objectives[self.stage], placement.copy(), times), plan, evaluation
        known, plan, evaluation = self._judged[key]
        if self.accepts(evaluation):
            self._keep(known, plan, evaluation, source)
        return evaluation

    def _keep(self, known: Known, plan: Plan, evaluation: Evaluation, source: str) -> None:
        """Keep a plan that is accepted."""
        with self._lock:
            better = self.objective is None or known.objective < self.objective
            if better:
                self.plan, self.evaluation, self.best, self.found_by = plan, evaluation, known, source
                self._record(known.objective, source)
            if better or (len(self.known) < _MOST_KNOWN and known not in self.known):
                self.known = [*self.known[1 - _MOST_KNOWN :], known]
            self._refute(known.objective, source)

    def add_bound(self, bound: float, source: str, engine: str = "") -> None:
        """Keep a bound (SI) if it is better than the one known.

        Parameters
        ----------
        bound : float
        source : str
            Who found it, in words.
        engine : str
            The solver whose word it is; empty: it follows from methods of this package alone.
        """
        if self.twin is not None:
            self.twin.resolution = max(self.twin.resolution, self.resolution)
            self.twin.add_bound(bound, source, engine)
        with self._lock:
            if not math.isfinite(bound) or engine in self._doubted:
                return
            if engine and self.objective is not None and bound > self.objective + self._slack(self.objective):
                self.contradict(engine, self._exceeds(bound, source, self.objective, self.found_by))
                return
            known = self.bound
            if engine not in self._claims or bound > self._claims[engine][0]:
                self._claims[engine] = bound, source
            if known is None or bound > known:
                self._record(None, source)

    def claim_infeasible(self, source: str, engine: str) -> None:
        """Note that an engine says that there is no plan."""
        if self.twin is not None:
            self.twin.claim_infeasible(source, engine)
        with self._lock:
            if self.plan is None:
                self._infeasible[engine] = source
            else:
                self.contradict(engine, f"{source} says infeasible, but the referee accepts a plan of {self.found_by}")

    def contradict(self, engine: str, words: str) -> None:
        """Drop all that an engine claimed, which was wrong."""
        self.contradictions.append(words)
        self._doubted.add(engine)
        self._claims.pop(engine, None)
        self._infeasible.pop(engine, None)

    def _refute(self, objective: float, source: str) -> None:
        """Drop the claims that a plan refutes."""
        for engine, (bound, by) in list(self._claims.items()):
            if engine and bound > objective + self._slack(objective):
                self.contradict(engine, self._exceeds(bound, by, objective, source))
        for engine, by in list(self._infeasible.items()):
            self.contradict(engine, f"{by} says infeasible, but the referee accepts a plan of {source}")

    def _slack(self, objective: float) -> float:
        """Return by how much rounding may take a bound above the objective."""
        return max(OPTIMAL_GAP * abs(objective), self.resolution)

    @staticmethod
    def _exceeds(bound: float, by: str, objective: float, source: str) -> str:
        return f"{by} claims that no plan is below {bound:.9g}, but the referee accepts {objective:.9g} by {source}"

    def report_incumbent(self, objective: float, source: str) -> None:
        """Note that a solver holds a plan with this objective (SI), which it will hand over when it ends."""
        with self._lock:
            known = [event.objective for event in self.trace if event.objective is not None]
            if not known or objective < min(known) * (1 - 1e-12):
                self._record(objective, source)

    def _record(self, objective: float | None, source: str) -> None:
        known = [event.objective for event in self.trace[-1:] if event.objective is not None]
        if objective is not None:
            known.append(objective)
        event = Event(self.elapsed(), min(known, default=None), self.bound, source)
        self.trace.append(event)
        if self._watch is not None:
            self._watch(event)
