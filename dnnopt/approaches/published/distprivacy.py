"""DistPrivacy: channels of each layer over devices, none of which sees enough."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach

APPROACH = Approach(
    name="distprivacy",
    title="DistPrivacy",
    venue="GLOBECOM",
    year=2020,
    locations=("multi-end",),
    granularities=("channels",),
    constraints=(
        "memory",
        "capacity",
        "privacy",
    ),
    objectives=("latency",),
    algorithms=(
        "integer-programming",
        "heuristic",
        "learning",
    ),
    communication="each part's channels to all parts of the next layer",
    source="arXiv 2010.13234, 2208.13032",
    evidence="A",
    missing="How many maps of a layer give how much away; 'separate(...) <= n' limits how many a device has.",
)
