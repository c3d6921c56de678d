"""MeDNN: maps and weights divided greedily, and pruned."""

from __future__ import annotations

from math import isqrt

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import at_end, in_turn
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import latency
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.transforms.granularity import in_pieces


def _build(network: Network, platform: Platform) -> Problem:
    """Least time of a schedule in which each layer's maps are a grid of as many tiles as there are devices."""
    count = len(platform.devices)
    rows = next(rows for rows in range(isqrt(count), 0, -1) if count % rows == 0)
    tiles = in_pieces(network, f"grid:{rows}x{count // rows}").network
    return Problem(at_end(tiles, platform, answer=True), platform, "scheduled", latency())


APPROACH = Approach(
    name="mednn",
    title="MeDNN",
    venue="ICCAD",
    year=2017,
    locations=("multi-end",),
    granularities=("rows", "channels"),
    constraints=("memory", "capacity", "accuracy"),
    objectives=("latency",),
    algorithms=("heuristic",),
    communication="the group owner gathers and scatters each layer's maps",
    source="MeDNN, ICCAD 2017",
    evidence="A",
    claims=(
        Claim("1.86 to 2.44 times as fast with 2 to 4 workers", "A"),
        Claim(
            "26.5 % less computing and 14.2 % less communication by pruning",
            "A",
            "not reproducible",
            "it needs pruned layers",
        ),
    ),
    build=_build,
    missing="Times and bytes of pruned layers; tiles by what each worker can do.",
    example=("vgg16", "four-pi3-lan-blocking"),
    stands_for="Equal tiles, each on a device of its own.",
    plan=in_turn,
)
