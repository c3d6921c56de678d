"""QDMP: a minimum cut between two adjacent cut vertices."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import two_sided
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least latency of a graph on two sides; the answer need not come back."""
    return two_sided(network, platform)


APPROACH = Approach(
    name="qdmp",
    title="QDMP",
    venue="IMWUT",
    year=2020,
    locations=("end-cloud", "edge-cloud"),
    granularities=("graph-cut",),
    constraints=("one-way",),
    objectives=("latency",),
    algorithms=("min-cut",),
    communication="each tensor that is cut once",
    source="Zhang et al.: Towards real-time cooperative deep inference over the cloud and edge "
    "end devices, IMWUT 4(2), 2020",
    evidence="A",
    claims=(
        Claim(
            "less than 300 ms to decide on hundreds of layers, up to 66.3 times faster than a "
            "minimum cut of the whole graph",
            "A",
        ),
    ),
    build=_build,
    missing="Times of segments that are not the sum of their layers' times: blocks of a profile have them.",
    example=("resnet34@layer", "pi3-lte-k80"),
    method="blocks",
    stands_for="Sections between cut vertices are enumerated; QDMP finds the section first, then its minimum cut.",
    reading="QDMP's point is time, not another optimum: it looks for the cut between two articulation layers only. "
    "`blocks` does the same thing, a shortest path over the blocks between articulation layers, and finds "
    "the optimum of DADS. The published factor is over a minimum cut in the whole graph, which takes "
    "milliseconds here for networks of this size.",
)
