"""DeepSlicing: slices of blocks between points where devices meet."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="deepslicing",
    title="DeepSlicing",
    venue="TPDS",
    year=2021,
    locations=("multi-end",),
    granularities=(
        "fused",
        "rows",
    ),
    constraints=(
        "memory",
        "capacity",
    ),
    objectives=("latency",),
    algorithms=("heuristic",),
    communication="slices' halos, and all of a block's result where devices meet",
    source="Zhang, Zhang, Zhang, et al.: DeepSlicing: collaborative and adaptive CNN inference "
    "with low latency, IEEE TPDS 2021",
    evidence="A",
    claims=(Claim("up to 5.79 times less latency, 14.72 times less memory", "A"),),
    missing="Its proportional scheduler; papers/deepslicing-vgg16 has slices at the best points.",
    instances=("papers/deepslicing-vgg16",),
)
