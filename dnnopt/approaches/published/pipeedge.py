"""PipeEdge: a pipeline of transformer layers over unlike devices."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import pipeline
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least period of contiguous stages within memory."""
    return pipeline(network, platform)


APPROACH = Approach(
    name="pipeedge",
    title="PipeEdge",
    venue="DSD",
    year=2022,
    locations=("multi-edge",),
    granularities=("segments",),
    constraints=("memory", "contiguity", "capacity", "bandwidth"),
    objectives=("throughput",),
    algorithms=("dynamic-programming",),
    communication="each cut on a link of its own, next to computing: the slowest stage or link counts",
    source="arXiv 2110.14895, and its repository",
    evidence="T",
    claims=(
        Claim(
            "11.88 times (ViT-Huge) and 12.78 times (BERT-Large) with 16 devices",
            "A",
            "not reproducible",
            "the profiles that the paper used are not all published",
        ),
        Claim(
            "up to 4.16 times PipeDream on unlike devices",
            "A",
            "not reproducible",
            "the profiles that the paper used are not all published",
        ),
    ),
    build=_build,
    missing="Its profiles are read by 'dnnopt import pipeedge', with buffers by micro-batch.",
    example=("vit-b@block", "8-jetson-mixed-lan"),
    method="ideals",
    reading="Its dynamic program is the method `ideals` on a chain. Eight devices of three kinds are faster than the "
    "best of them by less than their number, as on its testbed, where 16 devices reached 11.88 times a "
    "single one. Its unit of bandwidth and its buffers are read by `dnnopt import pipeedge` with the "
    "published profiles.",
)
