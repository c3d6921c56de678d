"""DEFER: a chain of like nodes behind a dispatcher."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import in_equal_counts, pipeline
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least period of contiguous stages."""
    return pipeline(network, platform, in_memory=False)


APPROACH = Approach(
    name="defer",
    title="DEFER",
    venue="COMSNETS",
    year=2022,
    locations=("multi-edge",),
    granularities=("segments",),
    constraints=("contiguity",),
    objectives=("throughput",),
    algorithms=("manual",),
    communication="each cut on the link to the next node, compressed by ZFP and LZ4",
    source="arXiv 2201.06769",
    evidence="A",
    claims=(
        Claim("ResNet-50 on 8 nodes: 53 % more throughput, 63 % less energy of each node than on one device", "A"),
    ),
    build=_build,
    plan=in_equal_counts,
    stands_for="As many layers on each node, where the user of DEFER says the cuts.",
    missing="What compression leaves of a tensor.",
    example=("resnet50@block", "8-jetson-mixed-lan"),
)
