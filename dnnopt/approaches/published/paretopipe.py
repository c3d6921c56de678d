"""ParetoPipe: one cut, for latency and throughput together."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.settings import two_sided
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import period
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem


def _build(network: Network, platform: Platform) -> Problem:
    """Least period of two stages."""
    return two_sided(network, platform, execution="pipelined", minimize=period())


APPROACH = Approach(
    name="paretopipe",
    title="ParetoPipe",
    venue="arXiv",
    year=2026,
    locations=("multi-end", "end-edge"),
    granularities=("split",),
    constraints=("contiguity", "bandwidth"),
    objectives=("latency", "throughput"),
    algorithms=("enumeration",),
    communication="the tensor at the cut, over one link",
    source="arXiv 2601.08025",
    evidence="A",
    build=_build,
    missing="The front of both at once: 'dnnopt pareto' finds it.",
    example=("mobilenet-v2@block", "pi3-wifi-pc"),
    method="single-cut",
)
