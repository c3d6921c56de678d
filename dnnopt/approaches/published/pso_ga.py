"""PSO-GA: a swarm with crossover, for the cost of servers within deadlines."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import at_end
from dnnopt.base.errors import InputError
from dnnopt.methods.solving import solve
from dnnopt.problem.constraints import Deadline
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import cost, latency
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem

_LONGER = 1.5  # than the best cuts take: the deadline


def _build(network: Network, platform: Platform) -> Problem:
    """Least cost within 1.5 times what the best cuts take, under sequential execution."""
    fast = Problem(at_end(network, platform), platform, "sequential", latency())
    seconds = solve(fast, method="multi-cut").objective
    if seconds is None:
        raise InputError("a network that can be cut over the platform", field="network", value=network.name)
    return fast.replace(minimize=cost(), subject_to=(Deadline(limit=_LONGER * seconds),))


APPROACH = Approach(
    name="pso-ga",
    title="PSO-GA cost-driven offloading",
    venue="TII",
    year=2020,
    locations=("end-edge-cloud",),
    granularities=("layers",),
    constraints=("deadline", "exclusive"),
    objectives=("cost",),
    algorithms=("evolutionary",),
    communication="bytes at a price, and the time that they take on a link",
    source="Lin et al., IEEE TII 2020, arXiv 1907.13306",
    evidence="A",
    claims=(
        Claim("less cost than genetic and greedy baselines", "A"),
        Claim("deadlines are 1.2 to 8 times the time of HEFT", "M"),
    ),
    build=_build,
    missing="Deadlines by HEFT, whose plans are poor where sending is slow; several networks on "
    "common servers, and servers that are paid from their first layer to their last.",
    example=("vgg16", "pi4-5g-v100"),
    method="pso-ga",
)
