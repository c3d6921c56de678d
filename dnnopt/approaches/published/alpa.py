"""Alpa: parts of operators within stages, and a pipeline of these."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.problem.constraints import Contiguous, memory
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import batch_latency
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem

_ROUNDS = 8  # micro-batches; assumed


def _build(network: Network, platform: Platform) -> Problem:
    """Least time of eight micro-batches in contiguous stages of one device each, within memory."""
    free = network.model_copy(update={"source": None, "sink": None})
    limits = (memory("weights"), Contiguous())
    return Problem(free, platform, "sequential", batch_latency(_ROUNDS), subject_to=limits)


APPROACH = Approach(
    name="alpa",
    title="Alpa",
    venue="OSDI",
    year=2022,
    locations=("accelerators",),
    granularities=("channels", "segments", "samples"),
    constraints=("memory",),
    objectives=("latency", "throughput"),
    algorithms=("integer-programming", "dynamic-programming"),
    communication="what changes its division between operators, and cuts between stages",
    source="Alpa, OSDI 2022",
    evidence="M",
    claims=(
        Claim(
            "up to 3.5 and 9.7 times faster than DeepSpeed on 2 and 4 nodes",
            "M",
            "not reproducible",
            "it needs costs of dividing anew, which are not published",
        ),
    ),
    build=_build,
    missing="Divisions of each operator, with the costs of dividing its result anew: here stages have one device each.",
    example=("gpt2@block", "4-jetson-nx-lan"),
    method="multi-cut",
    stands_for="Its program over stages alone, for the sum and for the largest stage.",
)
