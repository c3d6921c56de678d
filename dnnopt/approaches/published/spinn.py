"""SPINN: the cut and how sure an early exit must be."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="spinn",
    title="SPINN",
    venue="MobiCom",
    year=2020,
    locations=("end-cloud",),
    granularities=("exits", "split"),
    constraints=("deadline", "accuracy", "budget"),
    objectives=("throughput", "latency", "accuracy", "cost"),
    algorithms=("enumeration",),
    communication="the tensor at the cut, with 8 bits and packed [M]",
    source="arXiv 2008.06402",
    evidence="A",
    claims=(
        Claim(
            "up to twice the throughput, 6.8 times less cost of the server, 20.7 % more accurate "
            "under the same limit on latency",
            "A",
            "not reproducible",
            "it needs the exits' accuracies by threshold",
        ),
    ),
    missing="For each threshold, the share of inputs that go on and the accuracy; the reach of "
    "layers has room for them.",
)
