"""EdgeShard: a language model over end devices, edge and cloud."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.settings import at_end
from dnnopt.problem.constraints import Contiguous, Placement, memory
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import latency
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least latency of contiguous parts within memory, of which the first layer stays where the prompt is."""
    own = at_end(network, platform, answer=True)
    first = Placement(layer=network.layers[network.order[0]].name, allowed=(str(own.source),))
    return Problem(own, platform, "sequential", latency(), subject_to=(memory("weights"), Contiguous(), first))


APPROACH = Approach(
    name="edgeshard",
    title="EdgeShard",
    venue="IEEE IoT Journal",
    year=2024,
    locations=("end-edge-cloud",),
    granularities=("segments",),
    constraints=("memory", "privacy", "support"),
    objectives=("latency", "throughput"),
    algorithms=("dynamic-programming",),
    communication="activations at each cut, over the link between two devices",
    source="Zhang, Shen, Cao, Cui, Jiang: EdgeShard, IEEE IoT Journal 2024",
    evidence="I",
    build=_build,
    example=("gpt2@block", "tx2-wifi-pc-wan-a100"),
    method="multi-cut",
    stands_for="A dynamic program for each order of devices.",
    instances=("papers/gpt2-generate",),
)
