"""Musical Chair: stages on several Raspberry Pis each."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="musical-chair",
    title="Musical Chair",
    venue="arXiv",
    year=2018,
    locations=("multi-end",),
    granularities=("replicas", "channels", "segments"),
    constraints=("memory", "capacity"),
    objectives=("throughput",),
    algorithms=("heuristic",),
    communication="what stages hand on, over Wi-Fi",
    source="arXiv 1802.02138",
    evidence="A",
    claims=(
        Claim(
            "twice the performance of a Jetson TX2 for actions, at about the same energy",
            "A",
            "not reproducible",
            "stages on several devices are not in the model",
        ),
    ),
    missing="Stages on several devices, which take turns.",
)
