"""Auto-Split: one cut, and bits for each layer at the edge."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach
from dnnopt.approaches.settings import two_sided, two_sides
from dnnopt.problem.constraints import AccuracyLoss, memory
from dnnopt.problem.modes import Mode
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem

_LOSSES = {8: 0.0001, 4: 0.001}  # of each layer, by bits; assumed


def _build(network: Network, platform: Platform) -> Problem:
    """Least latency within the edge's memory and a loss of 0.01, where layers there have 32, 8 or 4 bits a number."""
    edge, _ = two_sides(platform)
    modes = [Mode(name="float32")]
    for bits, loss in _LOSSES.items():
        share = bits / 32
        modes.append(
            Mode(name=f"{bits}-bit", weight_bytes=share, activation_bytes=share, output_bytes=share, loss=loss)
        )
    devices = [one.replace(modes=tuple(modes)) if one.name == edge.name else one for one in platform.devices]
    coded = platform.replace(devices=tuple(devices))
    limits = (memory("weights+largest_activation"), AccuracyLoss(limit=0.01))
    return two_sided(network, coded, subject_to=limits)


APPROACH = Approach(
    name="auto-split",
    title="Auto-Split",
    venue="KDD",
    year=2021,
    locations=("edge-cloud",),
    granularities=("split", "graph-cut"),
    constraints=("memory", "accuracy"),
    objectives=("latency",),
    algorithms=("enumeration", "heuristic"),
    communication="all tensors at the cut, with their bits",
    source="arXiv 2108.13041",
    evidence="T",
    build=_build,
    missing="The accuracy that each layer loses by its bits, as the authors measure it, and its speed.",
    example=("vgg16@layer", "pi4-lte-t4"),
    method="single-cut",
    stands_for="All layers at the edge have the same bits; Auto-Split allots them layer by layer.",
)
