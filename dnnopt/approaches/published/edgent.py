"""Edgent: the exit and the cut, at the best accuracy within a deadline."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.exits import exits_of, until
from dnnopt.approaches.settings import two_sided
from dnnopt.base.errors import InputError
from dnnopt.methods.solving import solve
from dnnopt.problem.constraints import Deadline
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import accuracy_loss
from dnnopt.problem.platforms import Platform
from dnnopt.problem.variants import Variants

_LOSS = 0.05  # of accuracy, for each exit that comes after; assumed
_SHARE = 0.9  # of the time for the last exit: the deadline


def _build(network: Network, platform: Platform) -> Variants:
    """Least loss of accuracy over exits, each on two sides, within 0.9 of the time of the last one's best cut."""
    parts = [until(network, name) for name in exits_of(network)]
    seconds = solve(two_sided(parts[-1], platform), method="single-cut").objective
    if seconds is None:
        raise InputError("a platform that runs all layers", field="platform", value=list(platform.device_names()))
    deadline = Deadline(limit=_SHARE * seconds)
    problems = {}
    for number, part in enumerate(parts, 1):
        exact = part.replace(loss=_LOSS * (len(parts) - number))
        problems[f"exit{number}"] = two_sided(exact, platform, minimize=accuracy_loss(), subject_to=(deadline,))
    return Variants(problems)


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
    build=_build,
    missing="Accuracies of exits and deadlines of the paper; bandwidths that change.",
    example=("branchynet", "pi3-wifi-pc"),
    method="single-cut",
    stands_for="All exits and cuts are tried; Edgent goes from the last exit down to the first that is in time.",
    instances=("papers/edgent-exit1", "papers/edgent-exit2", "papers/edgent-exit3"),
    reading="The choice of an exit is one of networks, each with a loss. The deadline here lies just below what the "
    "last exit needs, so the second one is taken, as late as is in time. Which exit is taken is exact; "
    "accuracies and deadlines of the paper are not at hand.",
)
