"""What the problems of many approaches have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.problem.constraints import Contiguous, memory
from dnnopt.problem.networks import Network
from dnnopt.problem.objectives import latency, period
from dnnopt.problem.plan import Plan
from dnnopt.problem.platforms import TIERS, Device, Platform, Resource
from dnnopt.problem.problem import Problem
from dnnopt.problem.transforms.granularity import in_pieces


def in_tiers(platform: Platform) -> list[Device]:
    """Return the devices from the end to the cloud; within a tier, and without one, in the order of the platform.

    Raises
    ------
    InputError
        If some devices have a tier and others have none.
    """
    without = [device.name for device in platform.devices if device.tier is None]
    if without and len(without) < len(platform.devices):
        raise InputError("a tier of each device, or of none", field="platform", value=without)
    return sorted(platform.devices, key=lambda device: TIERS.index(device.tier) if device.tier else 0)


def two_sides(platform: Platform) -> tuple[Device, Device]:
    """Return the device where the input is, and the other one.

    Raises
    ------
    InputError
        If there are not two devices.
    """
    if len(platform.devices) != 2:
        raise InputError("a platform of two devices", field="platform", value=list(platform.device_names()))
    first, second = in_tiers(platform)
    return first, second


def among(platform: Platform, names: Sequence[str]) -> Platform:
    """Return the platform of some of its devices, with the links that carry data among them."""
    routes = [route for route in platform.routes if route.origin in names and route.destination in names]
    used = {name for route in routes for name in route.links}
    ends = [
        link.replace(
            sender=link.sender if link.sender in names else None,
            receiver=link.receiver if link.receiver in names else None,
        )
        for link in platform.links
        if link.name in used
    ]
    resources = [
        one.replace(
            devices=tuple(name for name in one.devices if name in names),
            links=tuple(name for name in one.links if name in used),
        )
        for one in platform.resources
    ]
    return platform.replace(
        devices=tuple(device for device in platform.devices if device.name in names),
        links=tuple(ends),
        routes=tuple(routes),
        resources=tuple(one for one in resources if one.devices or one.links),
    )


def one_way(platform: Platform) -> Platform:
    """Return the platform without the routes back: from the cloud to the edge, and from there to the end."""
    rank = {device.name: position for position, device in enumerate(in_tiers(platform))}
    return platform.replace(
        routes=tuple(route for route in platform.routes if rank[route.origin] < rank[route.destination])
    )


def charged_to_devices(platform: Platform) -> Platform:
    """Return the platform in which what a device sends and receives takes its own time, but that of a host.

    A host is a device whose links carry what others send each other; the others pay for it.
    """
    ends = {link.name: {link.sender, link.receiver} for link in platform.links}
    hosts = {
        device
        for route in platform.routes
        for name in route.links
        for device in ends[name] - {route.origin, route.destination}
    }
    return platform.replace(
        resources=tuple(
            Resource(
                name=device,
                devices=(device,),
                links=tuple(name for name, those in ends.items() if device in those and device not in hosts),
            )
            for device in platform.device_names()
        )
    )


def at_end(network: Network, platform: Platform, *, answer: bool = False) -> Network:
    """Return the network with its input on the first device of the lowest tier; `answer`: it is wanted there, too."""
    first = in_tiers(platform)[0].name
    return network.model_copy(update={"source": first, "sink": first if answer else None})


def parts_within_memory(network: Network, platform: Platform) -> Problem:
    """Least latency of contiguous parts within memory."""
    limits = (memory("weights"), Contiguous())
    return Problem(at_end(network, platform), platform, "sequential", latency(), subject_to=limits)


def forward(network: Network, platform: Platform, **keys: Any) -> Problem:
    """Return the problem of least latency in which data goes from tier to tier, and never back; `keys` say more."""
    usual: dict[str, Any] = {"execution": "sequential", "minimize": latency()}
    return Problem(at_end(network, platform), one_way(platform), **usual | keys)


def two_sided(network: Network, platform: Platform, **keys: Any) -> Problem:
    """Return the problem of a graph cut in two: what is on the second side never returns; `keys` say more."""
    two_sides(platform)
    return forward(network, platform, **keys)


def pipeline(network: Network, platform: Platform, *, in_memory: bool = True, **keys: Any) -> Problem:
    """Return the problem of least period in contiguous stages (within memory); the input is everywhere."""
    limits = (memory("weights"), Contiguous()) if in_memory else (Contiguous(),)
    free = network.model_copy(update={"source": None, "sink": None})
    usual: dict[str, Any] = {"execution": "pipelined", "minimize": period()}
    return Problem(free, platform, subject_to=limits, **usual | keys)


def in_row(problem: Problem, counts: Sequence[int]) -> dict[str, dict[str, str]]:
    """Return the placement that gives the first device so many layers, the next one those that follow, and so on."""
    (network,) = problem.networks
    names = [network.layers[index].name for index in network.order]
    devices = [
        device for device, count in zip(problem.platform.device_names(), counts, strict=True) for _ in range(count)
    ]
    return {network.name: dict(zip(names, devices, strict=True))}


def some_counts(layers: int, most: int = 12) -> list[int]:
    """Return numbers of layers from 1 to all of them, evenly, and no more than `most`: where to cut is tried."""
    return sorted({-(-layers * step // most) for step in range(1, most + 1)})


def in_equal_counts(problem: Problem) -> Plan:
    """Return the plan with as many layers on each device; the first have one more where that does not come out even."""
    each, more = divmod(len(problem.networks[0].layers), len(problem.platform.devices))
    return Plan(placement=in_row(problem, [each + (k < more) for k in range(len(problem.platform.devices))]))


def in_rows(network: Network, platform: Platform) -> Problem:
    """Return the problem of least time of a schedule in which rows are in as many parts as there are devices."""
    parts = in_pieces(network, f"rows:{len(platform.devices)}").network
    return Problem(at_end(parts, platform, answer=True), platform, "scheduled", latency())


def in_turn(problem: Problem) -> Plan:
    """Return the plan that runs the k-th part of each layer on the k-th device, and whole layers on the first.

    Where there are more parts, the first device follows the last one.
    """
    return parts_on(problem, problem.platform.device_names())


def parts_on(problem: Problem, homes: Sequence[str]) -> Plan:
    """Return the plan that runs the k-th part of each layer on the k-th of the `homes`, over and over."""
    first = problem.platform.device_names()[0]

    def home(layer: str) -> str:
        _, mark, part = layer.rpartition("#")
        return homes[(int(part) - 1) % len(homes)] if mark else first

    return Plan(
        placement={
            network.name: {layer.name: home(layer.name) for layer in network.layers} for network in problem.networks
        }
    )
