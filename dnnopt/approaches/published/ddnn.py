"""DDNN: a network trained with an exit on each tier."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="ddnn",
    title="DDNN",
    venue="ICDCS",
    year=2017,
    locations=("end-edge-cloud",),
    granularities=("exits",),
    constraints=("accuracy", "memory"),
    objectives=("traffic", "accuracy"),
    algorithms=("learning", "manual"),
    communication="bytes of a sample: the scores of all classes, and features of those that go on",
    source="arXiv 1709.01921",
    evidence="A",
    claims=(
        Claim(
            "more than 20 times less communication than sending raw data",
            "A",
            "not reproducible",
            "the architecture places all layers, and the share that goes on is learned",
        ),
    ),
    missing="Nothing to choose: training decides.",
)
