"""DeepThings: fused tiles of the first layers on small devices."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="deepthings",
    title="DeepThings",
    venue="TCAD",
    year=2018,
    locations=("multi-end",),
    granularities=("fused",),
    constraints=("memory",),
    objectives=(
        "memory",
        "throughput",
    ),
    algorithms=(
        "heuristic",
        "manual",
    ),
    communication="each tile's input from the gateway, its result back; tiles share what overlaps",
    source="Zhao, Barijough, Gerstlauer: DeepThings, IEEE TCAD 37(11), 2018",
    evidence="A",
    claims=(
        Claim("at least 68 % less memory", "A"),
        Claim(
            "1.7 to 2.2 times the throughput of sharing work layer by layer, 1.7 to 3.5 times as "
            "fast on 2 to 6 devices",
            "A",
        ),
    ),
    missing="Work stealing at run time; '--granularity fused:5x5' makes its tiles of a network.",
    instances=("papers/deepthings-vgg16-3x3", "papers/deepthings-vgg16-5x5"),
)
