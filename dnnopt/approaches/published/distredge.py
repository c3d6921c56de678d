"""DistrEdge: volumes of fused layers in shares that are learned."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import at_end
from dnnopt.compiled.compiler import compile_problem
from dnnopt.compiled.scheduling import plan_of
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import latency
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.transforms.fusion import best_fusion
from dnnopt.referee import evaluate

_UNITS = 2  # parts of each volume for each device
_ROUNDS, _SEED = 100, 0


def _build(network: Network, platform: Platform) -> Problem:
    """Least time of a schedule of fused volumes, each in two parts for each device, between the best points to meet."""
    grid = (_UNITS * len(platform.devices), 1)
    volumes = best_fusion(network, platform, [grid]).transformed().network
    return Problem(at_end(volumes, platform, answer=True), platform, "scheduled", latency())


def _plan(problem: Problem) -> Plan:
    """Change the shares of one volume at random, again and again, and keep what is not slower."""
    random, devices, (network,) = Random(_SEED), problem.platform.device_names(), problem.networks
    units = _UNITS * len(devices)
    volumes = sorted({layer.name.rpartition("#")[0] for layer in network.layers} - {""})
    homes = {name: [device for device in devices for _ in range(_UNITS)] for name in volumes}
    compiled = compile_problem(problem)

    def plan() -> Plan:
        places = {}
        for layer in network.layers:
            name, _, part = layer.name.rpartition("#")
            places[layer.name] = homes[name][(int(part) - 1) % units] if name in homes else devices[0]
        return plan_of(compiled, compiled.placement(Plan(placement={network.name: places})))

    best = plan()
    reward = -evaluate(problem, best).objective
    for _ in range(_ROUNDS):
        name = random.choice(volumes)
        before, ends = homes[name], sorted(random.randint(0, units) for _ in devices[1:])
        runs = zip(devices, pairwise((0, *ends, units)), strict=True)
        homes[name] = [device for device, (first, end) in runs for _ in range(first, end)]
        tried = plan()
        found = -evaluate(problem, tried).objective
        if found >= reward:
            best, reward = tried, found
        else:
            homes[name] = before
    return best


APPROACH = Approach(
    name="distredge",
    title="DistrEdge",
    venue="IPDPS",
    year=2022,
    locations=("multi-edge",),
    granularities=("fused", "rows"),
    constraints=("capacity",),
    objectives=("latency",),
    algorithms=("learning", "heuristic"),
    communication="each volume's parts, over Wi-Fi",
    source="arXiv 2202.01699",
    evidence="A",
    claims=(
        Claim(
            "1.1 to 3 times faster than the state of the art",
            "A",
            "not reproducible",
            "it needs measured times of parts of all sizes",
        ),
    ),
    build=_build,
    plan=_plan,
    missing="Measured times of parts of all sizes: here a part has its share of the work, its halo and all weights.",
    example=("squeezenet", "four-pi3-lan-blocking"),
    stands_for="A stand-in: random search with the reward of its reinforcement learning, less time.",
)
