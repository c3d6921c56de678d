"""Musical Chair: stages on several Raspberry Pis each."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.groups import taking_turns
from dnnopt.approaches.settings import pipeline
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.variants import Variants


def _build(network: Network, platform: Platform) -> Variants:
    """Least period of stages within memory, over all ways to put identical devices into groups that take turns."""
    return taking_turns(platform, lambda groups, _: pipeline(network, groups))


APPROACH = Approach(
    name="musical-chair",
    title="Musical Chair",
    venue="arXiv",
    year=2018,
    locations=("multi-end",),
    granularities=("replicas", "channels", "segments"),
    constraints=("memory", "capacity"),
    objectives=("throughput",),
    algorithms=("heuristic",),
    communication="what stages hand on, over Wi-Fi",
    source="arXiv 1802.02138",
    evidence="A",
    claims=(
        Claim(
            "twice the performance of a Jetson TX2 for actions, at about the same energy",
            "A",
            "not reproducible",
            "its profiles are not public",
        ),
    ),
    build=_build,
    missing="Parts of a layer's outputs on several devices; several cameras, and devices that come and go.",
    example=("vit-l@block", "four-pi3-lan-blocking"),
    method="multi-cut",
    stands_for="Cuts for each way to group the devices, in place of rules on measured times.",
)
