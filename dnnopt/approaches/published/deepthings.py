"""DeepThings: fused tiles of the first layers on small devices."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import at_end, in_turn
from dnnopt.problem.constraints import memory
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import period
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.transforms.granularity import in_pieces

_GRID = "fused:2x2"  # up to 5x5 there


def _build(network: Network, platform: Platform) -> Problem:
    """Least period, within memory, of layers in 2x2 tiles where at most a quarter of the work is done twice."""
    tiles = in_pieces(network, _GRID).network
    limit = memory("weights+largest_activation")
    return Problem(at_end(tiles, platform, answer=True), platform, "pipelined", period(), subject_to=(limit,))


APPROACH = Approach(
    name="deepthings",
    title="DeepThings",
    venue="TCAD",
    year=2018,
    locations=("multi-end",),
    granularities=("fused",),
    constraints=("memory",),
    objectives=("memory", "throughput"),
    algorithms=("heuristic", "manual"),
    communication="each tile's input from the gateway, its result back; tiles share what overlaps",
    source="Zhao, Barijough, Gerstlauer: DeepThings, IEEE TCAD 37(11), 2018",
    evidence="A",
    claims=(
        Claim("at least 68 % less memory", "A"),
        Claim(
            "1.7 to 2.2 times the throughput of sharing work layer by layer, 1.7 to 3.5 times as "
            "fast on 2 to 6 devices",
            "A",
        ),
    ),
    build=_build,
    plan=in_turn,
    missing="Work stealing at run time; there, tiles are of the first 16 layers.",
    example=("alexnet", "six-pi4-wifi"),
    stands_for="Tiles in turn, in place of stealing.",
    instances=("papers/deepthings-vgg16-3x3", "papers/deepthings-vgg16-5x5"),
    reading="Tiles are independent, so they could run on all devices at once; but over Wi-Fi, which is one "
    "medium, sending them takes longer than computing them on one Raspberry Pi 4 (the authors' Pi 3 are "
    "capped), so the optimum keeps nearly all on one device. On slower devices and an Ethernet tiles pay: "
    "'dnnopt approach deepthings vgg16 four-pi3-lan-blocking' has 2.7 times the throughput of one device "
    "with four, within what is published for 2 to 6.",
)
