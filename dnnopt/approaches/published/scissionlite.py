"""ScissionLite: one cut, whose tensor a learned codec makes smaller."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="scissionlite",
    title="ScissionLite",
    venue="arXiv",
    year=2021,
    locations=("end-edge",),
    granularities=("split",),
    constraints=(),
    objectives=("latency",),
    algorithms=("enumeration",),
    communication="the tensor at the cut as the transfer layer leaves it; it takes time on both sides",
    source="ScissionLite, ScissionTL, 2021",
    evidence="I",
    claims=(
        Claim(
            "DenseNet-169: 0.1261 s, 0.1588 MB, cut after layer 1",
            "T",
            "not reproducible",
            "its profiles are not among what the package reads",
        ),
        Claim(
            "the codec lowers the optimum by 13 to 53 % on 18 networks",
            "T",
            "not reproducible",
            "its profiles are not among what the package reads",
        ),
    ),
    missing="Bytes and times of the transfer layer at each cut; forms of a tensor have room for them.",
)
