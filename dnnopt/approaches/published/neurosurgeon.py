"""Neurosurgeon: one cut of a chain between a phone and a cloud."""

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
    name="neurosurgeon",
    title="Neurosurgeon",
    venue="ASPLOS",
    year=2017,
    locations=("end-cloud",),
    granularities=("split",),
    constraints=("capacity", "bandwidth"),
    objectives=("latency", "energy"),
    algorithms=("enumeration",),
    communication="the tensor at the cut once, over the uplink; the answer's way back is free",
    source="Kang et al.: Neurosurgeon: Collaborative intelligence between the cloud and mobile edge, ASPLOS 2017",
    evidence="A",
    claims=(
        Claim("3.1 times less latency on average, up to 40.7 times", "A"),
        Claim("59.5 % less energy of the phone on average, up to 94.7 %", "A"),
        Claim(
            "1.5 times the throughput of the data centre on average, up to 6.7 times",
            "A",
            "not reproducible",
            "throughput of a data centre that serves many phones is no metric here",
        ),
        Claim("AlexNet is best cut after pool5 with a mobile GPU, and not at all with a mobile CPU on Wi-Fi", "M"),
    ),
    build=_build,
    example=("alexnet", "pi3-lte-k80"),
    method="single-cut",
    reading="Here AlexNet over LTE is best cut after its last pooling layer, where tensors are smallest: between the "
    "speed-ups over the two sides lies the published average. That is the cut which is remembered of the "
    "paper for a mobile GPU with Wi-Fi; there (`tk1-wifi-k80`) this model leaves all layers on the TK1, "
    "whose roofline is faster than what the authors measured in 2017. A scan of cuts is exact where a "
    "network is a chain and data never returns.",
)
