"""DistPrivacy: channels of each layer over devices, none of which sees enough."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.settings import at_end
from dnnopt.problem.constraints import Constraint, Separate, memory
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import latency
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.transforms.granularity import in_pieces


def _build(network: Network, platform: Platform) -> Problem:
    """Least sum of times where layers' channels are in as many parts as there are devices, of which each sees one."""
    shards = in_pieces(network, f"channels:{len(platform.devices)}").network
    parts: dict[str, list[str]] = {}
    for layer in shards.layers:
        name, mark, _ = layer.name.rpartition("#")
        if mark:
            parts.setdefault(name, []).append(layer.name)
    limits: list[Constraint] = [memory("weights"), *(Separate(layers=tuple(names)) for names in parts.values())]
    return Problem(at_end(shards, platform, answer=True), platform, "sequential", latency(), subject_to=limits)


APPROACH = Approach(
    name="distprivacy",
    title="DistPrivacy",
    venue="GLOBECOM",
    year=2020,
    locations=("multi-end",),
    granularities=("channels",),
    constraints=("memory", "capacity", "privacy"),
    objectives=("latency",),
    algorithms=("integer-programming", "heuristic", "learning"),
    communication="each part's channels to all parts of the next layer",
    source="arXiv 2010.13234, 2208.13032",
    evidence="A",
    build=_build,
    missing="How many maps of a layer give how much away: here each device sees one part.",
    example=("branchynet", "four-pi3-lan-blocking"),
    method="greedy",
    stands_for="A greedy placement: details of their heuristic are not known.",
)
