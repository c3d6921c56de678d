"""What the hunt asks of every part of the package, and what the oracle says to it."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator
from random import Random

import numpy as np
from choice_problems import choices_of
from hunt_studies import STUDIES
from hunt_truth import SECONDS, Mismatch, Truth

from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.formulations import registry
from dnnopt.methods.exact import EXACT
from dnnopt.methods.heuristics import BASELINES
from dnnopt.methods.solving import Search, solve
from dnnopt.models.solvers import names as solver_names
from dnnopt.models.solvers.interface import Control, Limits
from dnnopt.problem.problem import Problem
from dnnopt.referee import evaluate

ITERATIONS = 30
HEURISTICS = 3
SHARE_WITH_START = 0.3
SHARE_OF_STUDIES = 0.3
REFUSED, MISMATCH = "refused", "MISMATCH"


def check_referee(truth: Truth) -> None:
    """Assert that the referee says of every plan what the oracle says; schedules are judged as they come."""
    if truth.problem.execution == "scheduled":
        return
    for choice, verdicts in truth.verdicts.items():
        plan = truth.plan(choice)
        judged = evaluate(truth.problem, plan)
        if judged.feasible != any(one.feasible for one in verdicts):
            raise Mismatch(f"{choice}: feasible is {not judged.feasible}, not {judged.feasible}: {judged.violations}")
        if judged.feasible:
            truth.check_plan(plan, judged.objectives)


def check_evaluator(truth: Truth) -> None:
    """Assert that the evaluator says of every plan what the referee says."""
    compiled = compile_problem(truth.problem)
    if truth.problem.execution == "scheduled" or Evaluator.refuses(compiled) is not None:
        return
    plans = [truth.plan(choice) for choice in truth.verdicts]
    evaluator = Evaluator(compiled)
    placements = np.array([compiled.placement(plan) for plan in plans])
    excess, objectives = evaluator.excess(placements), evaluator.objectives(placements)
    for plan, over, objective in zip(plans, excess.tolist(), objectives.tolist(), strict=True):
        judged = evaluate(truth.problem, plan)
        if (over == 0) != judged.feasible:
            raise Mismatch(f"{truth.choice(plan)}: feasible is {judged.feasible}, not {over == 0}")
        if judged.feasible and not math.isclose(objective, judged.objective, rel_tol=1e-9, abs_tol=float(truth.noise)):
            raise Mismatch(f"{truth.choice(plan)}: the objective is {judged.objective!r}, not {objective!r}")


Way = Callable[[Problem, Truth], str]


def _by_auto(problem: Problem, truth: Truth) -> str:
    result = solve(problem, threads=1, time_limit=SECONDS)
    said = truth.check(result)
    if result.contradictions:
        raise Mismatch(f"{said}, after contradictions: {'; '.join(result.contradictions)}")
    return said


def _by_method(name: str) -> Way:
    def way(problem: Problem, truth: Truth) -> str:
        return truth.check(solve(problem, method=name, threads=1, time_limit=SECONDS))

    return way


def _by_heuristic(name: str) -> Way:
    def way(problem: Problem, truth: Truth) -> str:
        iterations = ITERATIONS if BASELINES[name].searches else None
        result = solve(problem, method=name, threads=1, time_limit=SECONDS, iterations=iterations)
        said = truth.check(result)
        return "feasible" if said.startswith("unproved") and result.plan is not None else said

    return way


def _by_formulation(name: str, solver: str, *, start: bool) -> Way:
    """A formulation, with a plan to start from (of simple heuristics) or without."""

    def way(problem: Problem, truth: Truth) -> str:
        compiled = compile_problem(problem)
        limits = Limits(SECONDS, threads=1)
        # A second engine would put right what this one says.
        search = Search(problem, compiled, limits, Control(), "auto", name, solver, baselines=start, confirm=False)
        said = truth.check(search.run(range(len(compiled.objective))))
        value = registry.formulation(name, compiled).value
        return said if value == "exact" or not said.startswith("unproved") else value

    return way


def some_ways(problem: Problem, draw: Random) -> Iterator[tuple[str, Way]]:
    """Yield each way that can answer it, but formulations with a start or without one, and few heuristics."""
    heuristics = draw.sample(sorted(BASELINES), HEURISTICS)
    start = False
    for name, way in ways(problem):
        if name.endswith(", no start)"):
            start = draw.random() < SHARE_WITH_START
            wanted = not start
        elif name.endswith(", start)"):
            wanted = start
        else:
            wanted = name in heuristics or name not in (*BASELINES, *STUDIES)
            wanted |= name in STUDIES and draw.random() < SHARE_OF_STUDIES
        if wanted:
            yield name, way


def ways(problem: Problem) -> Iterator[tuple[str, Way]]:
    """Yield everything that can answer the problem, by name."""

    def by_referee(problem: Problem, truth: Truth) -> str:
        check_referee(truth)
        return "the same"

    def by_evaluator(problem: Problem, truth: Truth) -> str:
        check_evaluator(truth)
        return "the same"

    yield "referee", by_referee
    yield "evaluator", by_evaluator
    yield "auto", _by_auto
    for name in EXACT:
        yield name, _by_method(name)
    try:
        supporting = registry.supporting(compile_problem(problem))
    except UnsupportedError:  # which every way says by itself
        supporting = []
    for name in supporting:
        for solver in solver_names(registry.formulation_kind(name)):
            for start in (False, True):
                yield (
                    f"{name} ({solver}, {'start' if start else 'no start'})",
                    _by_formulation(name, solver, start=start),
                )
    yield from STUDIES.items()
    for name, baseline in BASELINES.items():
        if baseline.installed:
            yield name, _by_heuristic(name)


def ask(way: Way, problem: Problem, truth: Truth) -> tuple[str, str]:
    """Return how the answer of one way counts, and what is wrong with it ("": nothing)."""
    try:
        return way(problem, truth), ""
    except UnsupportedError:
        return REFUSED, ""
    except Mismatch as error:
        return MISMATCH, str(error)
    except InputError as error:
        return MISMATCH, f"InputError: {error}"
    except Exception:
        return MISMATCH, traceback.format_exc()


def features(problem: Problem) -> Iterator[str]:
    """Yield what the tables count problems by."""
    yield f"execution {problem.execution}"
    yield f"transport {problem.transport}"
    for kind in choices_of(problem):
        yield f"choice {kind}"
    for entry in problem.subject_to:
        yield f"constraint {entry.constraint}"
    for term in problem.minimize:
        yield f"objective {'largest ' if term.over == 'max' else ''}{term.metric}{' idle' if term.idle else ''}"
    if len({term.priority for term in problem.minimize}) > 1:
        yield "several priorities"
    if len(problem.networks) > 1:
        yield "several networks"
