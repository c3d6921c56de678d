"""BottleNet: a narrow unit, trained for its cut."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="bottlenet",
    title="BottleNet",
    venue="ISLPED",
    year=2019,
    locations=("end-cloud",),
    granularities=("split",),
    constraints=("accuracy",),
    objectives=("latency", "energy"),
    algorithms=("learning", "enumeration"),
    communication="the bottleneck's tensor, as JPEG",
    source="arXiv 1902.01000",
    evidence="A",
    claims=(
        Claim(
            "30 times less latency, 40 times less energy than in the cloud alone (v1)",
            "A",
            "not reproducible",
            "the published abstract says 5.1 and 6.9 times, and both need trained units",
        ),
    ),
    missing="A trained unit for each cut: its layers, its bytes, its loss of accuracy.",
)
