"""Baechi: list scheduling within memory."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.problem.constraints import memory
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import latency
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least time of a schedule within memory; the input is everywhere."""
    return Problem(network, platform, "scheduled", latency(), subject_to=(memory("weights"),))


APPROACH = Approach(
    name="baechi",
    title="Baechi",
    venue="SoCC",
    year=2020,
    locations=("accelerators",),
    granularities=("layers",),
    constraints=("memory", "colocation", "exclusive"),
    objectives=("latency",),
    algorithms=("heuristic", "linear-programming"),
    communication="each tensor occupies the link, one at a time",
    source="Baechi, SoCC 2020",
    evidence="A",
    claims=(
        Claim(
            "a plan 654 to 206K times faster than by reinforcement learning",
            "A",
            "not reproducible",
            "it compares with runs of other programs",
        ),
        Claim("steps at most 6.2 % slower than an expert's plan", "A"),
    ),
    build=_build,
    missing="Training, colocated groups, and m-SCT, which asks a linear program for each layer's favourite child.",
    example=("squeezenet@block", "pcie-host-4xa100"),
    method="etf",
)
