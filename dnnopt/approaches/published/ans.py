"""ANS: where to cut, learned online from what each frame took."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="ans",
    title="ANS",
    venue="WWW",
    year=2021,
    locations=("end-edge",),
    granularities=("split",),
    constraints=("capacity", "bandwidth"),
    objectives=("latency",),
    algorithms=("learning",),
    communication="the tensor at the cut, at a rate that is not known",
    source="arXiv 2102.02638",
    evidence="A",
    claims=(
        Claim("significantly outperforms others", "A", "not reproducible", "regret over frames is no objective here"),
        Claim("regret grows less than linearly", "M", "not reproducible", "regret over frames is no objective here"),
    ),
    missing="Feedback frame by frame: with known rates its problem is Neurosurgeon's.",
)
