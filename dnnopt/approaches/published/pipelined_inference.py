"""Archer et al.: slices of an order for a pipeline, and bounds for them."""

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
    name="pipelined-inference",
    title="Archer et al., pipelined inference",
    venue="ICML",
    year=2024,
    locations=("accelerators",),
    granularities=("segments",),
    constraints=("contiguity", "memory"),
    objectives=("throughput",),
    algorithms=("dynamic-programming", "evolutionary", "integer-programming"),
    communication="what a stage reads and makes takes the stage's own time",
    source="arXiv 2311.03703",
    evidence="A",
    claims=(
        Claim(
            "bound over best plan with 16 stages, on 369 production models: 0.4598 by "
            "combinatorial bounds, 0.9452 by their programs",
            "A",
            "not reproducible",
            "the production models are not public",
        ),
    ),
    build=_build,
    missing="Memory that does not fit is charged as time there; here it is a limit.",
    example=("googlenet@block", "4-jetson-nx-lan"),
    method="multi-cut",
    stands_for="The best slices of one order; theirs tries orders by a genetic algorithm.",
)
