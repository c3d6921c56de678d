"""JointDNN: layers change sides as often as it pays."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import at_end, two_sides
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import latency
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least latency, where data may go to and fro and the answer is wanted on the phone."""
    two_sides(platform)
    return Problem(at_end(network, platform, answer=True), platform, "sequential", latency())


APPROACH = Approach(
    name="jointdnn",
    title="JointDNN",
    venue="TMC",
    year=2019,
    locations=("end-cloud",),
    granularities=("layers",),
    constraints=("energy", "capacity", "deadline", "bandwidth"),
    objectives=("latency", "energy"),
    algorithms=("shortest-path", "integer-programming"),
    communication="each tensor that changes sides, over the uplink or the downlink, at a rate and a power of its own",
    source="JointDNN, 2018, and IEEE TMC 2019",
    evidence="A",
    claims=(Claim("up to 18 times less latency, 32 times less energy of the phone", "A"),),
    build=_build,
    missing="Training: the backward pass as layers of the network.",
    example=("alexnet", "pixel4-lte-v100"),
    method="chain",
    reading="With the way back for data allowed and charged, the shortest path has at least what one cut has. On "
    "AlexNet over LTE it never goes back: nothing is worth sending, so the phone alone is as fast, and "
    "the cloud alone is 18 times slower, of the size of the largest published factor; on average it is "
    "far less.",
)
