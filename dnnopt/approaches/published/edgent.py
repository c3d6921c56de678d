"""Edgent: the exit and the cut, at the best accuracy within a deadline."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim

APPROACH = Approach(
    name="edgent",
    title="Edgent",
    venue="MECOMM",
    year=2018,
    locations=("end-edge",),
    granularities=("exits", "split"),
    constraints=("deadline", "bandwidth"),
    objectives=("accuracy",),
    algorithms=("enumeration",),
    communication="the tensor at the cut, over Wi-Fi",
    source="Li, Zhou, Chen: Edge intelligence, MECOMM 2018, arXiv 1806.07840; IEEE TWC 2020, arXiv 1910.05316",
    evidence="A",
    claims=(
        Claim("BranchyNet AlexNet with 5 exits keeps deadlines of 100 to 300 ms that device and edge alone miss", "M"),
    ),
    missing="A choice of exits is one of networks: 'dnnopt solve "
    "instances/variants/edgent-branchynet.json' finds exit and cut together.",
    instances=("papers/edgent-exit1", "papers/edgent-exit2", "papers/edgent-exit3"),
)
