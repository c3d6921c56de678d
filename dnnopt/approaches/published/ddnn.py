"""DDNN: a network trained with an exit on each tier."""

from __future__ import annotations

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.exits import leaving, sections
from dnnopt.approaches.settings import forward, in_tiers
from dnnopt.base.errors import InputError
from dnnopt.problem.constraints import memory
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import traffic
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import Platform
from dnnopt.problem.problem import Problem

_STAYS = 0.35  # of the inputs at an exit, that are not sure enough; assumed (BranchyNet: 34.4 % at its first one)


def _build(network: Network, platform: Platform) -> Problem:
    """Least expected bytes within the memory that the layers up to an exit need, on each tier but the last."""
    if network.shared_weights:
        raise InputError("a network without shared weights", field="network", value=network.name)
    homes = _homes(network, platform)
    room: dict[str, float] = {}
    for layer in network.layers:
        room[homes[layer.name]] = room.get(homes[layer.name], 0.0) + (layer.weights or 0.0)
    limits = {name: room.get(name, 0.0) for name in [device.name for device in in_tiers(platform)][:-1]}
    return forward(
        leaving(network, _STAYS), platform, minimize=traffic(), subject_to=(memory("weights", limits=limits),)
    )


def _homes(network: Network, platform: Platform) -> dict[str, str]:
    """Return the device of each layer: what the first exit needs is on the first tier, and so on."""
    tiers = [device.name for device in in_tiers(platform)]
    if len(tiers) < 2:
        raise InputError("a platform of two devices or more", field="platform", value=tiers)
    parts = sections(network)
    return {name: tiers[min(index, len(tiers) - 1)] for index, part in enumerate(parts) for name in part} | {
        layer.name: tiers[-1] for layer in network.layers if not any(layer.name in part for part in parts)
    }


def _plan(problem: Problem) -> Plan:
    """Place the layers up to the k-th exit on the k-th tier."""
    return Plan(placement={network.name: _homes(network, problem.platform) for network in problem.networks})


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
            "the share that goes on is learned",
        ),
    ),
    build=_build,
    plan=_plan,
    missing="The shares of inputs that leave, which training decides; several sensors with features put together.",
    example=("branchynet", "pi4-wifi-nx-wan-t4"),
    stands_for="The architecture: an exit for each tier.",
    reading="Sending scores and features of the inputs that go on, in place of raw data, is what the architecture "
    "does; the placement by exits has the least bytes of all within the memory of its sections. The "
    "published factor of 20 has six cameras and binary layers, and the share that leaves early from "
    "training.",
)
