"""Shredder: learned noise on what leaves the edge."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="shredder",
    title="Shredder",
    venue="ASPLOS",
    year=2020,
    locations=("edge-cloud",),
    granularities=("split",),
    constraints=("accuracy", "privacy"),
    objectives=("privacy", "cost", "accuracy"),
    algorithms=("learning", "enumeration"),
    communication="the noisy tensor at the cut",
    source="arXiv 1905.11814",
    evidence="A",
    claims=(
        Claim("74.70 % less mutual information, 1.58 % less accurate", "A", "not reproducible", "noise is learned"),
        Claim(
            "1.79 times faster than the cloud alone with Wi-Fi, 2.17 times with LTE",
            "A",
            "not reproducible",
            "its cut follows from the noise",
        ),
    ),
    missing="Mutual information and loss of accuracy of each cut's noise; a tensor's forms have a"
    " sensitivity and a loss for them.",
)
