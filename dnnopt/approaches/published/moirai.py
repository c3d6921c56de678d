"""Moirai: a mixed-integer program for placement and order together."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.problem.constraints import memory
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import latency
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least time of a schedule within memory, in which devices and links do one thing at a time."""
    return Problem(network, platform, "scheduled", latency(), subject_to=(memory("weights"),))


APPROACH = Approach(
    name="moirai",
    title="Moirai",
    venue="arXiv",
    year=2023,
    locations=("accelerators",),
    granularities=("layers",),
    constraints=("memory", "exclusive"),
    objectives=("latency",),
    algorithms=("integer-programming",),
    communication="each tensor occupies its link, one at a time",
    source="arXiv 2312.04025",
    evidence="A",
    claims=(Claim("up to 4.28 times less latency than Placeto, m-SCT and GETF on 11 networks", "A"),),
    build=_build,
    missing="Its rules for what a backend fuses.",
    example=("squeezenet@block", "pcie-host-4xa100"),
    method="edgewise+disjunctive",
)
