"""Pesto: an integer program for placement and order of coarse operators."""

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
    name="pesto",
    title="Pesto",
    venue="Middleware",
    year=2021,
    locations=("accelerators",),
    granularities=("layers",),
    constraints=("memory", "exclusive", "colocation"),
    objectives=("latency",),
    algorithms=("integer-programming",),
    communication="each tensor occupies its link, one at a time",
    source="Pesto, Middleware 2021",
    evidence="M",
    claims=(Claim("steps up to 14 % faster than the best baseline", "M"),),
    build=_build,
    missing="Training, and its rules to make the graph coarser.",
    example=("squeezenet@block", "pcie-host-4xa100"),
    method="product+disjunctive",
)
