"""HaX-CoNN: two networks on the GPU and the accelerator of one chip."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="hax-conn",
    title="HaX-CoNN",
    venue="PPoPP",
    year=2024,
    locations=("accelerators",),
    granularities=("segments",),
    constraints=("transitions", "exclusive"),
    objectives=("latency",),
    algorithms=("integer-programming",),
    communication="what it costs to change the accelerator, by layer",
    source="HaX-CoNN, PPoPP 2024",
    evidence="T",
    claims=(
        Claim(
            "GoogLeNet and ResNet: 7.8 ms, 8.1 ms on the GPU alone",
            "T",
            "not reproducible",
            "both slow each other down in memory, which the model does not know",
        ),
    ),
    missing="How much networks that share memory slow each other down.",
)
