"""Scission: all cuts of measured blocks over device, edge and cloud."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import forward, in_tiers
from dnnopt.base.errors import InputError
from dnnopt.problem.constraints import Contiguous
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least latency of at most one part on each tier."""
    tiers = [device.tier for device in in_tiers(platform)]
    if len(set(tiers)) < len(tiers):
        raise InputError("devices of different tiers", field="platform", value=tiers)
    return forward(network, platform, subject_to=(Contiguous(),))


APPROACH = Approach(
    name="scission",
    title="Scission",
    venue="UCC",
    year=2020,
    locations=("end-edge-cloud", "end-edge", "end-cloud", "edge-cloud"),
    granularities=("segments",),
    constraints=("one-way", "support", "bandwidth", "deadline", "contiguity"),
    objectives=("latency",),
    algorithms=("enumeration",),
    communication="the tensor at each cut: latency of the hop and bytes over bandwidth; the answer stays",
    source="Lockhart et al.: Scission, UCC 2020, arXiv 2008.03523, and its repository",
    evidence="T",
    claims=(
        Claim(
            "five rankings of cuts on measured profiles",
            "T",
            "not reproducible",
            "its measurements are not in the package",
        ),
    ),
    build=_build,
    missing="Several devices of a tier, of which one takes part. 'dnnopt import scission' reads measurements.",
    example=("resnet50@block", "pi4-wifi-nx-wan-t4"),
    method="multi-cut",
    stands_for="A dynamic program over the same cuts; Scission ranks all of them, as 'dnnopt best-plans' does.",
    reading="Three tiers, contiguous parts, at most as many as tiers, and tiers may be left out: what Scission "
    "ranks exhaustively, multiple cuts scan. Here everything runs at the edge, which is faster than "
    "either end. Its own measured profiles are not shipped, so its five rankings are not among the tests; "
    "the roofline's times stand for them.",
)
