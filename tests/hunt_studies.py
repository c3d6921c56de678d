"""What the hunt asks of studies, which solve a problem many times: best plans, fronts, why a problem is infeasible."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

from hunt_truth import EARLY, GAP, SECONDS, Mismatch, Truth
from oracle_times import TooManyOrdersError

from dnnopt.problem.problem import Problem
from dnnopt.referee import evaluate
from dnnopt.studies import explain
from dnnopt.studies.explanation import Explanation
from dnnopt.studies.pareto import Front, pareto
from dnnopt.studies.ranking import BestPlans, best_plans

RANKED = 4
SEVERAL = 4 * SECONDS  # for all the problems of a study


def check_ranking(truth: Truth, found: BestPlans) -> str:
    """Assert that the plans are the best ones, and no other is missing but for the names of devices."""
    ranked = {truth.devices(one.plan): one for one in found.plans}
    if len(ranked) < len(found.plans):
        raise Mismatch("a placement is there twice")
    for one in found.plans:
        truth.check_plan(one.plan, one.evaluation.objectives)
    proved = [one for one in found.plans if one.proved]
    worst = max((Fraction(one.objective) for one in proved), default=None)
    for devices, verdicts in truth.verdicts.items():
        value = min((one.objectives[0] for one in verdicts if one.strictly_feasible), default=None)
        if value is None or devices in ranked:
            continue
        better = worst is not None and value < worst - GAP * abs(worst) - truth.noise
        if (better or found.exhausted) and not _is_renamed(truth, devices, set(ranked)):
            said = "exhausted" if found.exhausted else f"proved {float(worst or 0)!r}"
            raise Mismatch(f"{said}, but {devices} with {float(value)!r} is missing")
    if len(proved) == len(found.plans) and (found.exhausted or len(proved) == found.asked):
        return "optimal" if found.plans else "infeasible"
    return "unproved" if found.runtime > EARLY * SECONDS else "unproved early"


def _is_renamed(truth: Truth, devices: tuple[str, ...], known: set[tuple[str, ...]]) -> bool:
    """Return whether a known placement is this one with other names of devices that make no difference."""
    names = truth.problem.platform.device_names()
    for order in permutations(names):
        rename = dict(zip(names, order, strict=True))
        if tuple(rename[one] for one in devices) in known and all(
            truth.best_objective(one) == truth.best_objective(tuple(rename[name] for name in one))
            for one in truth.verdicts
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


STUDIES = {"best plans": _by_ranking, "pareto": _by_front, "explain": _by_explanation}
