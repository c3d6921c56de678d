"""DistrEdge: volumes of fused layers in shares that are learned."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="distredge",
    title="DistrEdge",
    venue="IPDPS",
    year=2022,
    locations=("multi-edge",),
    granularities=("fused", "rows"),
    constraints=("capacity",),
    objectives=("latency",),
    algorithms=("learning", "heuristic"),
    communication="each volume's parts, over Wi-Fi",
    source="arXiv 2202.01699",
    evidence="A",
    claims=(
        Claim(
            "1.1 to 3 times faster than the state of the art",
            "A",
            "not reproducible",
            "it needs measured times of parts of all sizes",
        ),
    ),
    missing="Times of parts that are no share of the layer's.",
)
