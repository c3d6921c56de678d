"""HiveMind: a graph search through layers and nodes of a mobile network."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import at_end, in_tiers
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import energy, latency
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Half of the seconds and half of the end device's joules (weights are assumed)."""
    end = in_tiers(platform)[0].name
    return Problem(at_end(network, platform), platform, "sequential", 0.5 * latency() + 0.5 * energy(end))


APPROACH = Approach(
    name="hivemind",
    title="HiveMind",
    venue="JSAC",
    year=2022,
    locations=("end-edge-cloud",),
    granularities=("segments", "layers"),
    constraints=("bandwidth", "privacy"),
    objectives=("latency", "energy", "privacy"),
    algorithms=("shortest-path",),
    communication="each tensor that changes nodes, in all parts of the objective",
    source="HiveMind, IEEE JSAC 2022",
    evidence="A",
    claims=(Claim("the optimal efficiency", "A"),),
    build=_build,
    missing="The paper's weights and its costs of signalling.",
    example=("vgg16", "phone-5g-edge-cloud"),
    method="chain",
)
