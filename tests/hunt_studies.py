"""What the hunt asks of studies, which solve a problem many times, and of files: models, plans and results."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

import readers
from choice_problems import choices_of
from hunt_truth import CLOSE, EARLY, GAP, SECONDS, Choice, Mismatch, Truth
from oracle_times import TooManyOrdersError

from dnnopt.compiled.compiler import compile_problem
from dnnopt.formulations import registry
from dnnopt.methods.result import read_result
from dnnopt.methods.solutions import plan_from_file
from dnnopt.methods.solving import formulate, solve
from dnnopt.problem.plan import read_plan
from dnnopt.problem.problem import Problem, read_problem, write_problem
from dnnopt.referee import evaluate
from dnnopt.studies import explain
from dnnopt.studies.comparison import compare
from dnnopt.studies.explanation import Explanation
from dnnopt.studies.pareto import Front, pareto
from dnnopt.studies.ranking import BestPlans, best_plans
from dnnopt.studies.sweeping import sweep

RANKED = 4
SEVERAL = 4 * SECONDS  # for all the problems of a study


def check_ranking(truth: Truth, found: BestPlans) -> str:
    """Assert that the plans are the best ones, and no other is missing but for the names of devices."""
    ranked = {truth.choice(one.plan): one for one in found.plans}
    if len(ranked) < len(found.plans):
        raise Mismatch("a plan is there twice")
    for one in found.plans:
        truth.check_plan(one.plan, one.evaluation.objectives)
    proved = [one for one in found.plans if one.proved]
    worst = max((Fraction(one.objective) for one in proved), default=None)
    for choice, verdicts in truth.verdicts.items():
        value = min((one.objectives[0] for one in verdicts if one.strictly_feasible), default=None)
        if value is None or choice in ranked:
            continue
        better = worst is not None and value < worst - GAP * abs(worst) - truth.noise
        if (better or found.exhausted) and not _is_renamed(truth, choice, set(ranked)):
            said = "exhausted" if found.exhausted else f"proved {float(worst or 0)!r}"
            raise Mismatch(f"{said}, but {choice} with {float(value)!r} is missing")
    if len(proved) == len(found.plans) and (found.exhausted or len(proved) == found.asked):
        return "optimal" if found.plans else "infeasible"
    return "unproved" if found.runtime > EARLY * SECONDS else "unproved early"


def _is_renamed(truth: Truth, choice: Choice, known: set[Choice]) -> bool:
    """Return whether known choices are these with other names of devices that make no difference."""
    devices = truth.problem.platform.devices
    layers = sum(len(network.layers) for network in truth.problem.networks)
    for order in permutations(devices):
        if any(len(one.executors) != len(other.executors) for one, other in zip(devices, order, strict=True)):
            continue
        rename = {
            executor.name: renamed.name
            for one, other in zip(devices, order, strict=True)
            for executor, renamed in zip(one.executors, other.executors, strict=True)
        }

        def other_names(one: Choice, rename: dict[str, str] = rename) -> Choice:
            return (*(rename[name] for name in one[:layers]), *one[layers:])

        if other_names(choice) in known and all(
            truth.best_objective(one) == truth.best_objective(other_names(one)) for one in truth.verdicts
        ):
            return True
    return False


def check_front(truth: Truth, front: Front) -> str:
    """Assert that the points are plans' own, and that no plan is better than all of them beyond the tolerance."""
    for point in front.points:
        truth.check_plan(point.plan, point.objectives)
    if not front.complete:
        return "unproved" if front.runtime > EARLY * SEVERAL else "unproved early"
    slack = 2 * Fraction(front.tolerance)
    points = [[Fraction(value) for value in point.objectives] for point in front.points]
    for objectives in truth.strictly:
        most = [value + slack * abs(value) + truth.noise for value in objectives]
        if not any(all(a <= b for a, b in zip(point, most, strict=True)) for point in points):
            raise Mismatch(f"complete, but no point is as good as {[float(one) for one in objectives]}")
    return "optimal" if front.points else "infeasible"


def check_explanation(truth: Truth, found: Explanation) -> str:
    """Assert that a plan is one; else that the groups make the problem infeasible and, where said, all are needed."""
    if found.plan is not None:
        truth.check_plan(found.plan, evaluate(truth.problem, found.plan).objectives)
        return "optimal"
    if found.status == "unknown":
        return "unproved"
    if truth.strictly:
        raise Mismatch("infeasible, but there are plans")
    by_label = {group.label: group for group in explain._groups(truth.problem)}
    needed = [by_label[label] for label in found.groups]
    if Truth(explain._relaxed(truth.problem, needed)).strictly:
        raise Mismatch(f"{found.groups} can hold together")
    if not found.minimal:
        return "unproved"
    for group in needed:
        rest = [other for other in needed if other != group]
        if Truth(explain._relaxed(truth.problem, rest)).infeasible:
            raise Mismatch(f"{group.label} is not needed among {found.groups}")
    return "optimal"


def _by_ranking(problem: Problem, truth: Truth) -> str:
    return check_ranking(truth, best_plans(problem, RANKED, threads=1, time_limit=SEVERAL))


def _by_front(problem: Problem, truth: Truth) -> str:
    priorities = sorted({term.priority for term in problem.minimize})
    if len(priorities) < 2:
        return "refused"
    objectives = [tuple(term for term in problem.minimize if term.priority == one) for one in priorities]
    return check_front(truth, pareto(problem, objectives, threads=1, time_limit=SEVERAL))


def _by_explanation(problem: Problem, truth: Truth) -> str:
    try:
        return check_explanation(truth, explain.explain_infeasibility(problem, SEVERAL))
    except TooManyOrdersError:  # of the problem with fewer constraints
        return "not judged"


def _by_comparison(problem: Problem, truth: Truth) -> str:
    found = compare(problem, time_limit=SECONDS, heuristic_limit=0.02, threads=1)
    for row in found.rows:
        if row.plan is not None:
            judged = evaluate(problem, row.plan)
            if judged.feasible:
                truth.check_plan(row.plan, judged.objectives)
            if (row.objective, row.violations) != (judged.objective, judged.violations):
                raise Mismatch(f"{row.name}: the row is not what the referee says")
    for result in found.results:
        truth.check(result)
    return "the same"


def _by_sweep(problem: Problem, truth: Truth) -> str:
    if not problem.platform.links:
        return "refused"
    found = sweep(
        problem, "bandwidth=0.5..2", points=3, most=4, tolerance=0.5, baselines=(), threads=1, time_limit=SECONDS
    )
    for point in found.points:
        there = Truth(found.at(point.value))
        if point.status == "infeasible":
            if there.strictly:
                raise Mismatch(f"infeasible at {point.value}, but there are plans")
        elif point.plan is not None:
            plan = found.plans[point.plan]
            there.check_plan(plan, evaluate(there.problem, plan).objectives)
            least = there.least(0, ()) if there.strictly else None
            claimed = Fraction(point.objective)
            if point.status == "optimal" and least is not None and claimed > least + GAP * abs(least) + there.noise:
                raise Mismatch(f"optimal {point.objective!r} at {point.value}, but the best is {float(least)!r}")
    return "the same"


def _by_files(problem: Problem, truth: Truth) -> str:
    """Write the problem and its result, read them again, and judge the plan that was read."""
    with TemporaryDirectory() as folder:
        path, other = Path(folder) / "problem.json", Path(folder) / "result.json"
        write_problem(problem, path)
        same = read_problem(path)
        if same != problem:
            raise Mismatch("the problem that was written is not the one that is read")
        result = solve(problem, threads=1, time_limit=SECONDS)
        other.write_text(json.dumps(result.to_data()))
        read_result(other)
        if result.plan is None:
            return result.status
        plan = read_plan(other, same)
        if plan != result.plan or evaluate(same, plan).objectives != result.evaluation.objectives:
            raise Mismatch("the plan that was written is not the one that is read")
    return "the same"


def _by_export(problem: Problem, truth: Truth) -> str:
    """Have other programs solve the models that are written, and read their solutions back."""
    if not choices_of(problem):  # those with other models are properties; numbers here may be too far apart for files
        return "refused"
    names = registry.supporting(compile_problem(problem), "milp")
    said = "refused"
    for name in names:
        if registry.formulation(name, compile_problem(problem)).value != "exact":
            continue
        model = formulate(problem, name)
        with TemporaryDirectory() as folder:
            for ending, reader in ((".lp", readers.highs), (".mps", readers.highs), (".lp", readers.cbc)):
                path = Path(folder) / f"model{ending}"
                model.write(path)
                reading = reader(path, seconds=SECONDS)
                if reading.objective is None:
                    continue
                said = "the same"
                plan = plan_from_file(path, reading.solution, problem)
                judged = evaluate(problem, plan)
                if max((one.amount for one in judged.violations), default=0.0) == math.inf:
                    raise Mismatch(f"{name}{ending}: the plan of {reader.__name__} breaks {judged.violations}")
                if judged.feasible:  # others miss limits by what the program takes for nothing
                    if not truth.feasible:
                        raise Mismatch(f"{name}{ending}: {reader.__name__} finds a plan, but none is feasible")
                    truth.check_plan(plan, judged.objectives)
                    best = truth.least(0, ()) if truth.strictly else Fraction(judged.objective)
                    if abs(Fraction(judged.objective) - best) > CLOSE * abs(best) + truth.noise:
                        raise Mismatch(
                            f"{name}{ending}: {reader.__name__} finds {judged.objective!r}, not {float(best)!r}"
                        )
    return said


STUDIES = {
    "best plans": _by_ranking,
    "pareto": _by_front,
    "explain": _by_explanation,
    "compare": _by_comparison,
    "sweep": _by_sweep,
    "files": _by_files,
    "exports": _by_export,
}
