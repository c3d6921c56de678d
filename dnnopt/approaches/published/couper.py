"""Couper: slices of a network in containers, from camera to cloud."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import pipeline
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least period of contiguous stages."""
    return pipeline(network, platform, in_memory=False)


APPROACH = Approach(
    name="couper",
    title="Couper",
    venue="SEC",
    year=2019,
    locations=("multi-edge", "edge-cloud"),
    granularities=("segments",),
    constraints=("capacity", "contiguity"),
    objectives=("throughput", "latency"),
    algorithms=("enumeration", "heuristic"),
    communication="what crosses between slices, on the link between their nodes",
    source="Couper, SEC 2019",
    evidence="A",
    claims=(
        Claim(
            "evaluated on 7 production networks", "A", "not reproducible", "the networks are not named in the abstract"
        ),
    ),
    build=_build,
    example=("googlenet@block", "pi4-wifi-nx-wan-t4"),
    method="multi-cut",
    stands_for="The best cuts of one order; Couper ranks candidates at articulation points.",
)
