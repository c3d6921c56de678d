"""DNN surgery: DADS where the cloud costs money."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import two_sided, two_sides
from dnnopt.problem.constraints import Cost
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import layer_seconds


def _build(network: Network, platform: Platform) -> Problem:
    """As DADS, and at most a quarter of what all layers cost in the cloud."""
    problem = two_sided(network, platform)
    _, cloud = two_sides(platform)
    times = [layer_seconds(problem.profile, network, layer, cloud.executors[0]) for layer in network.layers]
    spent = cloud.price * sum(time for time in times if time is not None)
    return problem.replace(subject_to=(Cost(limit=spent / 4),))


APPROACH = Approach(
    name="dnn-surgery",
    title="DNN surgery",
    venue="TCC",
    year=2023,
    locations=("edge-cloud",),
    granularities=("graph-cut",),
    constraints=("one-way", "budget"),
    objectives=("latency", "throughput"),
    algorithms=("min-cut", "approximation"),
    communication="each tensor that is cut once",
    source="IEEE TCC 11(3):3111-3125, 2023",
    evidence="A",
    claims=(Claim("latency up to 6.45 times less, throughput up to 8.31 times", "A"),),
    build=_build,
    example=("resnet34@layer", "pi3-lte-k80"),
    method="repaired-min-cut",
    stands_for="The cut of DADS, repaired where it is too dear: details of the authors' algorithm are not known.",
)
