"""An approach tried: its problem, what its own algorithm finds, and what is proved to be best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.registry import approach_named
from dnnopt.approaches.settings import in_tiers
from dnnopt.base.arguments import Duration, checked
from dnnopt.base.console import table, words
from dnnopt.base.errors import UnsupportedError
from dnnopt.base.frozen import FrozenDict
from dnnopt.base.numbers import format_number, format_percent, format_quantity, is_rounding
from dnnopt.base.tables import Heading, Tabular
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.scaling import all_on_one
from dnnopt.compiled.scheduling import plan_of
from dnnopt.formulations import registry as formulations
from dnnopt.methods.result import STATUS, Result
from dnnopt.methods.solving import is_search, solve
from dnnopt.models.solvers.interface import Clock
from dnnopt.problem.library import network as network_named
from dnnopt.problem.library import platform as platform_named
from dnnopt.problem.networks import Network
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.words import moved, objective_name, print_strips
from dnnopt.referee import Evaluation, evaluate
from dnnopt.studies.variants import best_of

if TYPE_CHECKING:
    from rich.console import Console

_ROUNDS = 200  # of a search
_MOST_NAMED = 8  # layers


@dataclass(frozen=True, repr=False)
class Trial(Tabular):
    """What the algorithm of an approach finds, beside the best plan.

    Attributes
    ----------
    approach : Approach
    problem : Problem
        Where there are variants, that of its plan.
    own : Plan, optional
        That of the approach's algorithm; None: it has none, or found none.
    evaluation : Evaluation, optional
        What the referee says of it.
    refusal : str
        Why there is none.
    best : Result
        What `solve` finds of the same problem, from its plan on where that breaks no limit; of variants, `best_of`.
    seconds : float
        That its algorithm took.
    variant, best_variant : str
        Which variant of its problem the approach takes, and which one is best; "": there are none, or it has no plan.
    alone : mapping
        Device -> what the referee says of everything on it: the device of the lowest tier and that of the highest one,
        against which most authors compare.
    """

    approach: Approach
    problem: Problem
    own: Plan | None
    evaluation: Evaluation | None
    refusal: str
    best: Result
    seconds: float
    alone: Mapping[str, Evaluation]
    variant: str = ""
    best_variant: str = ""

    row_noun = "plan"

    @property
    def gap(self) -> float | None:
        """By how much its plan is above the best one, as a share; None: one is missing, or its plan breaks a limit."""
        best = self.best.objective
        if self.evaluation is None or self.evaluation.violations or best is None:
            return None
        above = self.evaluation.objective - best
        return above / abs(best) if best else (0.0 if above == 0 else math.inf)

    @property
    def against(self) -> dict[str, float]:
        """Device -> how many times the objective of its plan all on that device has, where that breaks no limit."""
        own = self.evaluation
        if own is None or own.violations or own.objective <= 0:
            return {}
        return {name: one.objective / own.objective for name, one in self.alone.items() if not one.violations}

    @property
    def elsewhere(self) -> list[str]:
        """The layers that the best plan has on another device; none where it is of another variant."""
        if self.own is None or self.best.plan is None or self.variant != self.best_variant:
            return []
        return moved(self.problem, self.own, self.best.plan)

    def headline(self) -> str:
        """Return how far its plan is from the best one."""
        broken = self.evaluation.violations if self.evaluation else ()
        if broken:
            return f"{self.approach.title} finds a plan that breaks {broken[0].constraint}"
        if self.gap is None:
            return f"{self.approach.title}: {self.refusal or STATUS[self.best.status]}"
        known = "the optimum" if self.best.status == "optimal" else "the best plan known"
        if is_rounding(self.gap):
            return f"{self.approach.title} finds {known}"
        return f"{self.approach.title} finds a plan {format_percent(self.gap)} above {known}"

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a row for its plan and one for the best one."""
        broken = self.evaluation.violations if self.evaluation else ()
        status = "breaks a limit" if broken else "feasible" if self.evaluation else self.refusal
        return [
            {
                "plan": (self.approach.algorithm or "no algorithm") + _of(self.variant),
                "status": status,
                "objective": self.evaluation.objective if self.evaluation else None,
                "gap": self.gap,
                "layers_elsewhere": len(self.elsewhere) if self.own and self.variant == self.best_variant else None,
                "seconds": self.seconds if self.own else None,
            },
            {
                "plan": f"best, by {self.best.method}{_of(self.best_variant)}",
                "status": STATUS[self.best.status],
                "objective": self.best.objective,
                "gap": None if self.best.objective is None else 0.0,
                "layers_elsewhere": None if self.best.plan is None else 0,
                "seconds": self.best.runtime,
            },
        ]

    def headings(self) -> dict[str, Heading]:
        """Return what stands above the columns."""
        name, unit = objective_name(self.problem)
        return {"objective": Heading(name, unit), "gap": Heading("gap", "%"), "seconds": Heading("time", "s")}

    def report(self, console: Console) -> None:
        """Print it for a person."""
        name, unit = objective_name(self.problem)
        rows = [
            [
                row["plan"],
                row["status"],
                "" if row["objective"] is None else format_quantity(row["objective"], unit, 6),
                "" if row["gap"] is None else format_percent(row["gap"]),
                "" if row["layers_elsewhere"] is None else str(row["layers_elsewhere"]),
            ]
            for row in self.to_rows()
        ]
        columns = [("plan", "left"), ("", "left"), (name, "right"), ("above", "right"), ("layers elsewhere", "right")]
        console.print(table(self.problem.title, columns, rows))
        console.print()
        console.print(words(f"{self.headline()}."))
        if self.against:
            compared = (
                f"{format_number(ratio, 3)} times its {name} on {device}" for device, ratio in self.against.items()
            )
            console.print(words(f"All on one device: {', '.join(compared)}."))
        if self.approach.stands_for:
            console.print(words(f"{self.approach.algorithm}: {self.approach.stands_for}"))
        if not self.elsewhere:
            return
        shown = ", ".join(self.elsewhere[:_MOST_NAMED]) + (", ..." if len(self.elsewhere) > _MOST_NAMED else "")
        console.print(words(f"Elsewhere in the best plan: {shown}"))
        console.print()
        if self.own is not None and self.best.plan is not None:
            print_strips(console, self.problem, {self.approach.name: self.own, "best": self.best.plan})


@checked
def try_approach(
    approach: Approach | str,
    network: Network | str | None = None,
    platform: Platform | str | None = None,
    *,
    time_limit: Duration | None = 60.0,
    seed: int = 0,
) -> Trial:
    """Build the problem of an approach, run its algorithm, and prove the optimum.

    Parameters
    ----------
    approach : Approach or str
    network, platform : Network and Platform, or str
        Names are those of the library; by default the approach's example.
    time_limit : float or str, optional
        Seconds for the proof, and as many for the algorithm.
    seed : int

    Returns
    -------
    Trial

    Raises
    ------
    InputError
        For unknown names, if the approach does not run here (the message says what is missing), and for networks and
        platforms that do not suit it.
    """
    one = approach_named(approach) if isinstance(approach, str) else approach
    network = one.example[0] if network is None else network
    platform = one.example[1] if platform is None else platform
    one.check_runs()
    net = network_named(network) if isinstance(network, str) else network
    where = platform_named(platform) if isinstance(platform, str) else platform
    title = f"{one.title}: {net.name} on {where.name or 'a platform'}"
    problems = {
        name: problem if problem.name else problem.replace(name=title + _of(name))
        for name, problem in one.problems(net, where).items()
    }
    clock = Clock()
    tried = {name: own_plan(one, problem, time_limit, seed) for name, problem in problems.items()}
    seconds = clock.elapsed()
    judged = {name: evaluate(problems[name], plan) for name, (plan, _) in tried.items() if plan is not None}
    variant = min(judged, key=lambda name: (bool(judged[name].violations), judged[name].objective), default=None)
    own, refusal = tried[next(iter(tried)) if variant is None else variant]
    evaluation = None if variant is None else judged[variant]
    start = own if evaluation is not None and not evaluation.violations else None
    if len(problems) == 1:
        best, best_variant = solve(*problems.values(), time_limit=time_limit, seed=seed, start=start), ""
    else:
        best, best_variant = _best_of(problems, time_limit, seed)
    chosen = next(iter(problems)) if variant is None else variant
    return Trial(
        approach=one,
        problem=problems[best_variant if variant is None else variant],
        own=own,
        evaluation=evaluation,
        refusal=refusal,
        best=best,
        seconds=seconds,
        alone=FrozenDict(on_one_side(problems[chosen]) if len(problems) == 1 else {}),
        variant=variant or "",
        best_variant=best_variant,
    )


def _of(variant: str) -> str:
    return f", {variant}" if variant else ""


def _best_of(problems: Mapping[str, Problem], time_limit: float | None, seed: int) -> tuple[Result, str]:
    """Return the best result over variants, proved where no variant can be better, and its variant."""
    found = best_of(problems, time_limit=time_limit, seed=seed)
    name = found.variant or next(iter(found.results))
    best = found.results[name]
    return replace(best, status=found.status, bounds=(found.bound,), runtime=found.runtime), name


def on_one_side(problem: Problem) -> dict[str, Evaluation]:
    """Return what the referee says of everything on the first device, and on the last one, in the order of tiers.

    A device that may not run everything is left out.
    """
    compiled = compile_problem(problem)
    if compiled.blocks or any(len(device.modes) > 1 for device in problem.platform.devices):
        return {}  # of several ways to run on a device, none is the one that authors compare with
    everywhere = dict(zip(compiled.device_names, all_on_one(compiled), strict=True))
    names = [device.name for device in in_tiers(problem.platform)]
    plans = {name: plan_of(compiled, everywhere[name]) for name in (names[0], names[-1])}
    return {
        name: evaluate(problem, plan)
        for name, plan in plans.items()
        if all(device == name for placed in plan.placement.values() for device in placed.values())
    }


def own_plan(approach: Approach, problem: Problem, time_limit: float | None, seed: int) -> tuple[Plan | None, str]:
    """Return the plan of its algorithm, or why there is none."""
    if approach.plan is not None:
        return with_schedule(problem, approach.plan(problem)), ""
    if not approach.method:
        return None, "no algorithm here"
    options: dict[str, Any] = {"time_limit": time_limit, "seed": seed}
    if approach.method in formulations.names():
        options["formulation"] = approach.method
    else:
        options["method"] = approach.method
    if is_search(approach.method):
        options["iterations"] = _ROUNDS
    try:
        found = solve(problem, **options)
    except UnsupportedError as error:
        return None, error.problem
    return found.plan, "" if found.plan is not None else STATUS[found.status]


def with_schedule(problem: Problem, plan: Plan) -> Plan:
    """Return the plan, with a list schedule where the execution needs one."""
    if problem.execution != "scheduled":
        return plan
    compiled = compile_problem(problem)
    return plan_of(compiled, compiled.placement(plan))
