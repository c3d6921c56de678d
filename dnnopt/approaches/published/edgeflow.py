"""EdgeFlow: a graph in row ranges, layer by layer."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import in_rows
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least time of a schedule in which each layer's rows are in as many parts as there are devices."""
    return in_rows(network, platform)


APPROACH = Approach(
    name="edgeflow",
    title="EdgeFlow",
    venue="INFOCOM",
    year=2022,
    locations=("multi-edge",),
    granularities=("rows", "layers"),
    constraints=("bandwidth", "capacity"),
    objectives=("latency",),
    algorithms=("heuristic", "linear-programming"),
    communication="the rows that each part needs of others",
    source="EdgeFlow, INFOCOM 2022",
    evidence="A",
    claims=(Claim("up to 40.2 % less latency", "A"),),
    build=_build,
    missing="Row ranges of any length.",
    example=("alexnet", "4-jetson-nx-lan"),
    method="etf",
    stands_for="Equal parts, each where it starts first; EdgeFlow chooses row ranges by a program for each layer.",
)
