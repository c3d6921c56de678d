"""DADS under light load: a minimum cut between an edge device and a cloud."""

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
    name="dads",
    title="DADS",
    venue="INFOCOM",
    year=2019,
    locations=("end-cloud", "edge-cloud"),
    granularities=("graph-cut",),
    constraints=("one-way", "bandwidth"),
    objectives=("latency", "throughput"),
    algorithms=("min-cut", "approximation"),
    communication="each tensor that is cut once, however many layers read it",
    source="Hu, Bao, Wang, Liang: Dynamic adaptive DNN surgery for inference acceleration on the edge, INFOCOM 2019",
    evidence="A",
    claims=(
        Claim("latency up to 6.45 times less than on the edge alone, 8.08 times less than in the cloud alone", "A"),
        Claim(
            "throughput up to 8.31 and 14.01 times",
            "A",
            "not reproducible",
            "the problem here is that of light load; the last digits of 14.01 are from memory",
        ),
    ),
    build=_build,
    missing="Heavy load: the largest of three loads, for which DADS has a 3-approximation.",
    example=("resnet34@layer", "pi3-lte-k80"),
    method="min-cut",
    reading="A minimum cut is exact for this problem, so there is no gap to find; what the published factors measure "
    "is the gain over one side alone. On a residual network over LTE that is a little here: its tensors are "
    "large until late. Under heavy load DADS minimises the busiest of the two sides and the link, which is "
    "the pipelined problem of ParetoPipe here.",
)
