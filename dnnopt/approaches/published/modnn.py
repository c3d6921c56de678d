"""MoDNN: rows of each convolution over phones around a group owner."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import in_rows, in_turn
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least time of a schedule in which each layer's rows are in as many parts as there are devices."""
    return in_rows(network, platform)


APPROACH = Approach(
    name="modnn",
    title="MoDNN",
    venue="DATE",
    year=2017,
    locations=("multi-end",),
    granularities=("rows", "channels"),
    constraints=("capacity",),
    objectives=("latency",),
    algorithms=("heuristic",),
    communication="the group owner gathers and scatters each layer's maps",
    source="Mao, Chen, Nixon, Krieger, Chen: MoDNN: local distributed mobile computing system "
    "for deep neural network, DATE 2017",
    evidence="A",
    claims=(
        Claim("2.17 to 4.28 times as fast with 2 to 4 workers", "A"),
        Claim("30.02 % less time of delivery than with a grid", "A"),
    ),
    build=_build,
    plan=in_turn,
    missing="Waiting for a layer to be done everywhere, and parts by what each device can do.",
    example=("vgg16", "four-pi3-lan-blocking"),
    stands_for="Equal parts.",
    instances=("papers/modnn-vgg16-2", "papers/modnn-vgg16-4"),
    reading="Equal rows on four like devices over Ethernet are about twice as fast as one device, the lower end of "
    "what is published for 2 to 4 workers: halos go back and forth after each layer. No better plan is found "
    "in the time given, and none is proved.",
)
