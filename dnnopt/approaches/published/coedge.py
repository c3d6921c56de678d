"""CoEdge: rows of each layer in one proportion, at the least energy within a deadline."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="coedge",
    title="CoEdge",
    venue="ToN",
    year=2020,
    locations=("multi-end", "multi-edge"),
    granularities=("rows",),
    constraints=("deadline", "capacity"),
    objectives=("energy",),
    algorithms=("linear-programming",),
    communication="raw rows at first, then halos between neighbours",
    source="Zeng, Chen, Zhou, Yang, Zhang: CoEdge, IEEE/ACM ToN 2020, arXiv 2012.03257",
    evidence="A",
    claims=(Claim("25.5 to 66.9 % less energy at about the same latency, with 4 networks", "A"),),
    missing="Shares as variables: the parts of a problem are given before it is solved.",
    instances=("papers/coedge-alexnet",),
)
