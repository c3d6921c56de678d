"""AAIoT: a chain over the tiers of the Internet of things."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.settings import forward
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least latency of layers that go up the tiers, and never down."""
    return forward(network, platform)


APPROACH = Approach(
    name="aaiot",
    title="AAIoT",
    venue="LWC",
    year=2019,
    locations=("end-edge-cloud",),
    granularities=("segments",),
    constraints=("one-way", "contiguity"),
    objectives=("latency",),
    algorithms=("dynamic-programming",),
    communication="the tensor at each cut, over the links between tiers",
    source="DOI 10.1109/LWC.2019.2894703",
    evidence="A",
    build=_build,
    example=("vgg16", "pi4-wifi-nx-wan-t4"),
    method="chain",
)
