"""Cogent: one cut, and how far each layer is pruned."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="cogent",
    title="Cogent",
    venue="SCN",
    year=2020,
    locations=("end-edge",),
    granularities=("split",),
    constraints=("accuracy", "capacity"),
    objectives=("latency", "accuracy"),
    algorithms=("learning",),
    communication="the tensor at the cut",
    source="DOI 10.1155/2020/8831341",
    evidence="A",
    claims=(
        Claim(
            "up to 8.89 times faster, and at most 7 % less accurate",
            "A",
            "not reproducible",
            "it needs accuracies of pruned networks",
        ),
    ),
    missing="Time, bytes and accuracy of each layer by how far it is pruned.",
)
