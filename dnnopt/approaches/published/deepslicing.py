"""DeepSlicing: slices of blocks between points where devices meet."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import at_end, in_turn
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import latency
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.transforms.fusion import best_fusion


def _build(network: Network, platform: Platform) -> Problem:
    """Least time of a schedule of slices, as many as devices, between the best points to meet."""
    slices = best_fusion(network, platform, [(len(platform.devices), 1)]).transformed().network
    return Problem(at_end(slices, platform, answer=True), platform, "scheduled", latency())


APPROACH = Approach(
    name="deepslicing",
    title="DeepSlicing",
    venue="TPDS",
    year=2021,
    locations=("multi-end",),
    granularities=("fused", "rows"),
    constraints=("memory", "capacity"),
    objectives=("latency",),
    algorithms=("heuristic",),
    communication="slices' halos, and all of a block's result where devices meet",
    source="Zhang, Zhang, Zhang, et al.: DeepSlicing: collaborative and adaptive CNN inference "
    "with low latency, IEEE TPDS 2021",
    evidence="A",
    claims=(Claim("up to 5.79 times less latency, 14.72 times less memory", "A"),),
    build=_build,
    plan=in_turn,
    missing="Slices by what each device can do.",
    example=("squeezenet", "four-pi3-lan-blocking"),
    stands_for="Slices of one height, each on a device of its own.",
    instances=("papers/deepslicing-vgg16",),
)
