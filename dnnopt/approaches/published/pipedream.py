"""PipeDream: stages of a pipeline, some of them on several machines."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import pipeline
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least period of contiguous stages."""
    return pipeline(network, platform, in_memory=False)


APPROACH = Approach(
    name="pipedream",
    title="PipeDream",
    venue="SOSP",
    year=2019,
    locations=("accelerators",),
    granularities=("segments", "replicas"),
    constraints=("contiguity",),
    objectives=("throughput",),
    algorithms=("dynamic-programming",),
    communication="each cut on the link to the next machine, forward and backward",
    source="PipeDream, SOSP 2019, and its repository (MIT)",
    evidence="T",
    claims=(
        Claim(
            "VGG-16 on 4 machines: 0.411041792 s without replicas, 0.205520896 s with (3 + 1)",
            "T",
            "exact",
            "tests/inputs/test_pipedream.py",
        ),
    ),
    build=_build,
    missing="Stages on several machines: 'dnnopt import pipedream --replicated' has them, as variants.",
    example=("vgg16@block", "4-jetson-nx-lan"),
    method="ideals",
    stands_for="Without replicas.",
    reading="Without replicas this is a contiguous pipeline, which `ideals` proves. How communication is charged "
    "decides the value: on a full mesh with unicast ResNet-18 on 4 machines takes 0.191629 s, on PipeDream's "
    "line of forward links 0.201601 s. With replicas, VGG-16 takes 0.205520896 s on 3 + 1 machines, the half "
    "of 0.411041792 s without.",
)
