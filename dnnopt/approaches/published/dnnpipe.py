"""DNNPipe: a pipeline over unlike accelerators."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import pipeline
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least period of contiguous stages within memory."""
    return pipeline(network, platform)


APPROACH = Approach(
    name="dnnpipe",
    title="DNNPipe",
    venue="",
    year=2025,
    locations=("accelerators",),
    granularities=("segments",),
    constraints=("memory", "contiguity"),
    objectives=("throughput",),
    algorithms=("dynamic-programming",),
    communication="each cut on the link between its stages",
    source="DNNPipe, 2025, and its repository",
    evidence="T",
    claims=(
        Claim(
            "71, 41, 88 and 73 units: 3.16648912 ms",
            "T",
            "not reproducible",
            "its profiles have no licence, so they are not in the library",
        ),
    ),
    build=_build,
    example=("resnet50@block", "8-jetson-mixed-lan"),
    method="ideals",
)
