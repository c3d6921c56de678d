"""Shredder: learned noise on what leaves the edge."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.settings import two_sided
from dnnopt.base.errors import InputError
from dnnopt.methods.solving import solve
from dnnopt.problem.constraints import AccuracyLoss, Deadline
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import worst_leakage
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem

_DECAY = 0.9  # of what a tensor tells of the input, with each layer; assumed
_NOISY, _LOSS = 0.253, 0.0158  # what the abstract says that noise leaves of it, and takes of accuracy
_LONGER = 1.5  # than the best cut takes: the deadline


def _build(network: Network, platform: Platform) -> Problem:
    """Least of what one tensor tells, with noise, within a loss of 0.02 and 1.5 times what the best cut takes."""
    fast = two_sided(network, platform)
    seconds = solve(fast, method="single-cut").objective
    if seconds is None:
        raise InputError("a platform that runs all layers", field="platform", value=list(platform.device_names()))
    known = network.with_sensitivity(_DECAY)
    noisy = known.replace(
        loss=_LOSS,
        tensors=tuple(tensor.replace(sensitivity=_NOISY * (tensor.sensitivity or 0.0)) for tensor in known.tensors),
    )
    limits = (AccuracyLoss(limit=0.02), Deadline(limit=_LONGER * seconds))
    return two_sided(noisy, platform, minimize=worst_leakage(), subject_to=limits)


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
    build=_build,
    missing="Mutual information and loss of accuracy of each cut's noise, as it is trained; a cut that is given.",
    example=("alexnet@layer", "pi4-lte-t4"),
    method="single-cut",
    stands_for="A scan of cuts, the noise being known.",
)
