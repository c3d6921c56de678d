"""Auto-Split: one cut, and bits for each layer at the edge."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach

APPROACH = Approach(
    name="auto-split",
    title="Auto-Split",
    venue="KDD",
    year=2021,
    locations=("edge-cloud",),
    granularities=(
        "split",
        "graph-cut",
    ),
    constraints=(
        "memory",
        "accuracy",
    ),
    objectives=("latency",),
    algorithms=(
        "enumeration",
        "heuristic",
    ),
    communication="all tensors at the cut, with their bits",
    source="arXiv 2108.13041",
    evidence="T",
    missing="The accuracy that each layer loses by its bits; modes of a device and forms of a tensor have room for it.",
)
