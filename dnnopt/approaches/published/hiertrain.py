"""HierTrain: training over device, edge and cloud."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="hiertrain",
    title="HierTrain",
    venue="OJ-COMS",
    year=2020,
    locations=("end-edge-cloud",),
    granularities=("segments", "samples"),
    constraints=(),
    objectives=("latency",),
    algorithms=("enumeration", "linear-programming"),
    communication="activations at cuts, raw samples, and gradients of what several workers train",
    source="arXiv 2003.09876",
    evidence="A",
    claims=(
        Claim(
            "up to 6.9 times faster than training in the cloud",
            "A",
            "not reproducible",
            "training over parts of a batch is not in the model",
        ),
    ),
    missing="A training step whose samples are divided, with weights that are made the same again.",
)
