"""Alpa: parts of operators within stages, and a pipeline of these."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="alpa",
    title="Alpa",
    venue="OSDI",
    year=2022,
    locations=("accelerators",),
    granularities=("channels", "segments", "samples"),
    constraints=("memory",),
    objectives=("latency",),
    algorithms=("integer-programming", "dynamic-programming"),
    communication="what changes its division between operators, and cuts between stages",
    source="Alpa, OSDI 2022",
    evidence="M",
    claims=(
        Claim(
            "up to 3.5 and 9.7 times faster than DeepSpeed on 2 and 4 nodes",
            "M",
            "not reproducible",
            "it needs costs of dividing anew, which are not published",
        ),
    ),
    missing="Divisions of each operator with the costs of dividing its result anew; 'batch_latency' is its objective.",
)
