"""Legion: groups of fused layers, by costs that are measured sparingly."""

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
    name="legion",
    title="Legion",
    venue="ICCD",
    year=2021,
    locations=("multi-end",),
    granularities=("fused",),
    constraints=("capacity",),
    objectives=("latency",),
    algorithms=("shortest-path", "heuristic"),
    communication="within the measured cost of each group of layers",
    source="Legion, ICCD 2021",
    evidence="A",
    claims=(
        Claim(
            "3.4 % slower than full search, and 48.7 times less to measure",
            "A",
            "not reproducible",
            "its matrix of costs is not published",
        ),
    ),
    build=_build,
    missing="A matrix of measured costs; the roofline's stands for it.",
    example=("vgg16", "six-pi4-wifi"),
    method="blocks",
    stands_for="All costs are known; Legion guesses some of them.",
)
