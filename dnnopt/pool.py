"""Pool: the plans and bounds of a run. Every plan in it has passed the referee, every bound holds for all of them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping

from dnnopt.compiled import CompiledProblem, Index
from dnnopt.evaluator import TOLERANCE
from dnnopt.plan import Plan
from dnnopt.problem import Problem
from dnnopt.referee import Evaluation, evaluate
from dnnopt.result import OPTIMAL_GAP, Event
from dnnopt.scheduling import plan_of


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
    """

    def __init__(
        self,
        problem: Problem,
        compiled: CompiledProblem,
        stage: int = 0,
        caps: Mapping[int, float] | None = None,
        watch: Callable[[Event], None] | None = None,
    ) -> None:
        self.problem = problem
        self.compiled = compiled
        self.stage = stage
        self._caps = dict(caps or {})
        self.trace: list[Event] = []
        self.plan: Plan | None = None
        self.evaluation: Evaluation | None = None
        self.bound: float | None = None
        self.found_by = ""
        self.bound_by = ""
        self.baselines: list[tuple[str, Evaluation]] = []
        self.resolution = 0.0  # SI; solvers do not tell objectives apart that differ by less
        self._watch = watch
        self._started = time.perf_counter()
        self._lock = threading.Lock()

    @property
    def objective(self) -> float | None:
        """Objective of the best plan, of this stage."""
        return None if self.evaluation is None else self.evaluation.objectives[self.stage]

    def accepts(self, evaluation: Evaluation) -> bool:
        """Return whether a plan is feasible and within the caps."""
        capped = all(evaluation.objectives[index] <= cap + TOLERANCE * abs(cap) for index, cap in self._caps.items())
        return evaluation.feasible and capped and math.isfinite(evaluation.objectives[self.stage])

    def is_closed(self, gap: float) -> bool:
        """Return whether the bound meets the best plan, within a relative gap."""
        if self.objective is None or self.bound is None:
            return False
        return self.objective - self.bound <= max(gap, OPTIMAL_GAP) * abs(self.objective)

    def elapsed(self) -> float:
        """Return the seconds since the pool was made."""
        return time.perf_counter() - self._started

    def offer(self, plan: Plan, source: str) -> Evaluation:
        """Have the referee look at a plan, and keep it if it is accepted and the best so far."""
        evaluation = evaluate(self.problem, plan)
        objective = evaluation.objectives[self.stage]
        with self._lock:
            if self.accepts(evaluation) and (self.objective is None or objective < self.objective):
                self.plan, self.evaluation, self.found_by = plan, evaluation, source
                self._record(objective, source)
        return evaluation

    def offer_placement(self, placement: Index, source: str) -> Evaluation:
        """Offer the plan of a placement (N,); under scheduled execution, with its list schedule."""
        return self.offer(plan_of(self.compiled, placement), source)

    def add_bound(self, bound: float, source: str) -> None:
        """Keep a bound (SI) if it is better than the one known."""
        with self._lock:
            if math.isfinite(bound) and (self.bound is None or bound > self.bound):
                self.bound, self.bound_by = bound, source
                self._record(None, source)

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
