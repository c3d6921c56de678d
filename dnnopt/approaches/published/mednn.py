"""MeDNN: maps and weights divided greedily, and pruned."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="mednn",
    title="MeDNN",
    venue="ICCAD",
    year=2017,
    locations=("multi-end",),
    granularities=("rows", "channels"),
    constraints=("memory", "capacity", "accuracy"),
    objectives=("latency",),
    algorithms=("heuristic",),
    communication="the group owner gathers and scatters each layer's maps",
    source="MeDNN, ICCAD 2017",
    evidence="A",
    claims=(
        Claim("1.86 to 2.44 times as fast with 2 to 4 workers", "A", "not reproducible", "it needs pruned layers"),
        Claim(
            "26.5 % less computing and 14.2 % less communication by pruning",
            "A",
            "not reproducible",
            "it needs pruned layers",
        ),
    ),
    missing="Times and bytes of pruned layers.",
)
