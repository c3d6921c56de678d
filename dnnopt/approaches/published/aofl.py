"""AOFL: which layers to fuse, and for how many devices."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.transforms.fusion import best_fusion


def _build(network: Network, platform: Platform) -> Problem:
    """Least time of blocks in tiles, one block after the other, with all costs as the profile's."""
    grids = [(count, 1) for count in range(2, len(platform.devices) + 1)]
    return best_fusion(network, platform, grids).problem


APPROACH = Approach(
    name="aofl",
    title="AOFL",
    venue="SEC",
    year=2019,
    locations=("multi-end",),
    granularities=("fused",),
    constraints=("capacity", "bandwidth"),
    objectives=("latency",),
    algorithms=("dynamic-programming",),
    communication="each block's input is scattered, its result gathered",
    source="Zhou, Samavatian, Bacha, Majumdar, Teodorescu: Adaptive parallel execution of deep "
    "neural networks on heterogeneous edge devices, SEC 2019",
    evidence="A",
    claims=(Claim("1.9 to 3.7 times as fast with 8 Raspberry Pi 3, 3 networks", "A"),),
    build=_build,
    example=("vgg16", "six-pi4-wifi"),
    method="blocks",
    instances=("papers/aofl-vgg16", "papers/aofl-resnet34"),
)
