"""HaX-CoNN: two networks on the GPU and the accelerator of one chip."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import two_sides
from dnnopt.problem.constraints import Contiguous
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import largest, latency
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least time until a network has run twice at once on two devices, between which each run changes once at most."""
    two_sides(platform)
    names = (network.name, f"{network.name}-again")
    both = [network.model_copy(update={"name": name, "source": None, "sink": None}) for name in names]
    once = [Contiguous(network=name) for name in names]
    return Problem(both, platform, "scheduled", largest(latency()), subject_to=once)


APPROACH = Approach(
    name="hax-conn",
    title="HaX-CoNN",
    venue="PPoPP",
    year=2024,
    locations=("accelerators",),
    granularities=("segments",),
    constraints=("transitions", "exclusive"),
    objectives=("latency",),
    algorithms=("integer-programming",),
    communication="what it costs to change the accelerator, by layer",
    source="HaX-CoNN, PPoPP 2024",
    evidence="T",
    claims=(
        Claim(
            "GoogLeNet and ResNet: 7.8 ms, 8.1 ms on the GPU alone",
            "T",
            "not reproducible",
            "both slow each other down in memory, which the model does not know",
        ),
    ),
    build=_build,
    method="cp-schedule",
    stands_for="CP-SAT in place of Z3.",
    example=("alexnet@block", "pi3-wifi-pc"),
    missing="Other networks side by side; how much networks that share memory slow each other down.",
)
