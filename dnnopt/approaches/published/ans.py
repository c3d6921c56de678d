"""ANS: where to cut, learned online from what each frame took."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import two_sided, two_sides
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.scenarios import Scenario


def _build(network: Network, platform: Platform) -> Problem:
    """Least expected latency of one cut for a free and a busy server and network (assumed, each half of the time)."""
    server = two_sides(platform)[1].name
    slow = {link.name: 0.3 for link in platform.links}
    scenarios = (
        Scenario(name="free", probability=0.5),
        Scenario(name="busy", probability=0.5, bandwidth=slow, speed={server: 0.5}),
    )
    return two_sided(network, platform, scenarios=scenarios)


APPROACH = Approach(
    name="ans",
    title="ANS",
    venue="WWW",
    year=2021,
    locations=("end-edge",),
    granularities=("split",),
    constraints=("capacity", "bandwidth"),
    objectives=("latency",),
    algorithms=("learning",),
    communication="the tensor at the cut, at a rate that is not known",
    source="arXiv 2102.02638",
    evidence="A",
    claims=(
        Claim("significantly outperforms others", "A", "not reproducible", "regret over frames is no objective here"),
        Claim("regret grows less than linearly", "M", "not reproducible", "regret over frames is no objective here"),
    ),
    build=_build,
    method="single-cut",
    stands_for="A stand-in: a scan with the expected times, which ANS learns frame by frame.",
    missing="Learning, and what it loses on the way.",
    example=("alexnet", "pi3-wifi-pc"),
)
