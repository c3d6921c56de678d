"""A problem stated in seconds, milliseconds or microseconds has the same plan and the same status in every solver."""

import random
from itertools import pairwise, product

import numpy as np
import pytest
from builders import layer, link, network, platform, problem, tensor

from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.evaluator import Evaluator
from dnnopt.methods.solving import solve
from dnnopt.problem.constraints import Deadline, Memory
from dnnopt.problem.objectives import energy, latency, period
from dnnopt.problem.platforms import Device

LAYERS = "abcdefgh"
SCALES = (1.0, 1e-3, 1e-6)


def stated(execution, minimize, scale, data=1.0, limits=()):
    """Return the problem with all times, and what is measured in them, multiplied by `scale`, and bytes by `data`."""
    draw = random.Random(7)
    times = {name: tuple(scale * round(draw.uniform(1, 3), 3) for _ in range(3)) for name in LAYERS}
    edges = [*pairwise(LAYERS), ("a", "d"), ("c", "g")]
    tensors = [tensor(f"{u}{v}", u, v, data * round(draw.uniform(0.2, 1.5), 3), sensitivity=0.5) for u, v in edges]
    net = network([layer(name, data * draw.randint(1, 9)) for name in LAYERS], tensors, source="p", sink="p")
    devices = [Device(name=name, power=power) for name, power in zip("pqr", (1.0, 2.3, 3.1), strict=True)]
    links = [link(f"{i}{j}", data / scale, 0.05 * scale) for i, j in product("pqr", "pqr") if i != j]
    routes = {f"{i}>{j}": f"{i}{j}" for i, j in product("pqr", "pqr") if i != j}
    return problem(net, platform(devices, links, routes), times, execution, minimize, limits)


def memory(data):
    return Memory(limits=dict.fromkeys("pqr", 18 * data))


KINDS = {
    "sequential": ("sequential", latency(), lambda scale, data: [memory(data)]),
    "deadline": ("sequential", energy(), lambda scale, data: [memory(data), Deadline(limit=16 * scale)]),
    "period": ("pipelined", period(), lambda scale, data: [memory(data)]),
    "parallel": ("parallel", latency(), lambda scale, data: [memory(data)]),
    "path deadline": ("parallel", energy(), lambda scale, data: [memory(data), Deadline(limit=15.2 * scale)]),
}


def in_scale(kind, scale, data=1.0):
    execution, minimize, limits = KINDS[kind]
    return stated(execution, minimize, scale, data, limits(scale, data))


def best_two(one):
    """Return the least objective of all placements, and the least one of the others."""
    compiled = compile_problem(one)
    evaluator = Evaluator(compiled)
    start = compiled.allowed.argmax(axis=1)
    placements = np.repeat(start[None], 3 ** len(LAYERS), axis=0)
    placements[:, compiled.is_layer] = list(product(range(3), repeat=len(LAYERS)))
    feasible = placements[evaluator.excess(placements) == 0]
    return np.sort(evaluator.objectives(feasible))[:2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_problems_have_close_rivals_and_limits_that_bind(kind):
    first, second = best_two(in_scale(kind, 1.0))
    assert first < second < 1.1 * first
    free = in_scale(kind, 1.0)
    for index in range(len(free.subject_to)):
        others = free.subject_to[:index] + free.subject_to[index + 1 :]
        assert best_two(free.model_copy(update={"subject_to": others}))[0] < first - 1e-6


SOLVERS = [
    pytest.param(kind, solver, formulation, id=f"{kind}-{solver}")
    for kind in KINDS
    for solver, formulation in (("highs", "edgewise"), ("cbc", "edgewise"), ("cpsat", None))
    if solver != "cpsat" or KINDS[kind][0] != "parallel"
]


@pytest.mark.parametrize(("kind", "solver", "formulation"), SOLVERS)
def test_scale_changes_neither_plan_nor_status(kind, solver, formulation):
    best = best_two(in_scale(kind, 1.0))[0]
    found = {}
    for scale, data in product(SCALES, (1.0, 1e6)):
        result = solve(in_scale(kind, scale, data), solver=solver, formulation=formulation, threads=1)
        assert result.status == "optimal"
        assert result.objective / scale == pytest.approx(best, rel=1e-9)
        found[scale, data] = result.plan
    assert len(found) == 6
    assert all(plan == found[1.0, 1.0] for plan in found.values())
