"""DeepWear: a watch and its phone."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import among, in_tiers, two_sided
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import energy
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least energy of the first two end devices, both counted alike."""
    ends = [device.name for device in in_tiers(platform)[:2]]
    return two_sided(network, among(platform, ends), minimize=energy(*ends))


APPROACH = Approach(
    name="deepwear",
    title="DeepWear",
    venue="TMC",
    year=2020,
    locations=("multi-end",),
    granularities=("graph-cut",),
    constraints=("deadline", "energy"),
    objectives=("energy", "latency", "throughput"),
    algorithms=("heuristic", "enumeration"),
    communication="tensors that are cut, over Bluetooth, with the energy of both ends",
    source="DeepWear, IEEE TMC 2020",
    evidence="A",
    claims=(
        Claim("up to 5.08 and 23.0 times faster than on the watch and on the phone alone", "A"),
        Claim("53.5 and 85.5 % less energy than on the watch and on the phone alone", "A"),
    ),
    build=_build,
    missing="Weights by what the batteries hold, and collapsed repetitions.",
    example=("mobilenet-v2@layer", "wearable-bluetooth-phone-wifi-cloud"),
    method="single-cut",
    stands_for="All cuts of one order of the layers; DeepWear enumerates cuts of the graph whose "
    "repetitions are collapsed.",
)
