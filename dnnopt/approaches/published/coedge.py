"""CoEdge: rows of each layer in one proportion, at the least energy within a deadline."""

from __future__ import annotations

from itertools import combinations_with_replacement, pairwise

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import at_end, parts_on
from dnnopt.base.errors import InputError
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.scheduling import plan_of
from dnnopt.methods.solving import solve
from dnnopt.problem.constraints import Deadline
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import energy, latency
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.transforms.granularity import in_pieces
from dnnopt.referee import evaluate

_UNITS, _FEW = 2, 4  # parts of each layer's rows for each device; one part, where devices are not few
_SHARE = 0.8  # of the time of the fastest device alone: the deadline


def _build(network: Network, platform: Platform) -> Problem:
    """Least energy of rows in one or two parts for each device, within 0.8 of the time of the fastest one alone."""
    parts = at_end(in_pieces(network, f"rows:{_units(platform)}").network, platform, answer=True)
    alone = solve(Problem(parts, platform, "sequential", latency()), method="all-on-one").objective
    if alone is None:
        raise InputError("a device that runs all layers", field="platform", value=list(platform.device_names()))
    return Problem(parts, platform, "scheduled", energy(), subject_to=(Deadline(limit=_SHARE * alone),))


def _units(platform: Platform) -> int:
    count = len(platform.devices)
    return _UNITS * count if count <= _FEW else count


def _plan(problem: Problem) -> Plan:
    """Try all ways to give each device parts that follow each other, the same of each layer."""
    devices, compiled = problem.platform.device_names(), compile_problem(problem)
    units = _units(problem.platform)
    plans = []
    for inner in combinations_with_replacement(range(units + 1), len(devices) - 1):
        runs = zip(devices, pairwise((0, *inner, units)), strict=True)
        homes = [device for device, (first, end) in runs for _ in range(first, end)]
        plans.append(plan_of(compiled, compiled.placement(parts_on(problem, homes))))

    def rank(plan: Plan) -> tuple[bool, float]:
        found = evaluate(problem, plan)
        return bool(found.violations), found.objective

    return min(plans, key=rank)


APPROACH = Approach(
    name="coedge",
    title="CoEdge",
    venue="ToN",
    year=2020,
    locations=("multi-end", "multi-edge"),
    granularities=("rows",),
    constraints=("deadline", "capacity"),
    objectives=("energy",),
    algorithms=("linear-programming",),
    communication="raw rows at first, then halos between neighbours",
    source="Zeng, Chen, Zhou, Yang, Zhang: CoEdge, IEEE/ACM ToN 2020, arXiv 2012.03257",
    evidence="A",
    claims=(Claim("25.5 to 66.9 % less energy at about the same latency, with 4 networks", "A"),),
    build=_build,
    missing="Shares of any size; the paper's deadlines.",
    example=("resnet18", "four-pi3-lan-blocking"),
    stands_for="All shares in units, the same for each layer, in place of a linear program that is rounded.",
    plan=_plan,
    instances=("papers/coedge-alexnet",),
    reading="Energy falls while the deadline holds, and shares of one proportion for all layers can be best here: "
    "all devices are alike. Published savings are against other splits on unlike devices.",
)
