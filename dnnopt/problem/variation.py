"""A problem in one of its scenarios: bandwidths, latencies and speeds as they are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dnnopt.problem.forms import Form, Roofline
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Device, Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile
from dnnopt.problem.scenarios import Scenario


def in_scenario(problem: Problem, scenario: Scenario) -> Problem:
    """Return the problem as it is in a scenario, without scenarios."""
    update = {
        "platform": _platform(problem.platform, scenario),
        "profile": _profile(problem, scenario),
        "networks": tuple(_network(network, scenario) for network in problem.networks),
        "scenarios": (),
    }
    return problem.model_copy(update=update)


def _platform(platform: Platform, scenario: Scenario) -> Platform:
    links = tuple(
        link.model_copy(
            update={
                "bandwidth": link.bandwidth * scenario.bandwidth.get(link.name, 1.0),
                "latency": link.latency * scenario.latency.get(link.name, 1.0),
            }
        )
        for link in platform.links
    )
    devices = tuple(_faster(device, scenario.speed.get(device.name, 1.0)) for device in platform.devices)
    return platform.model_copy(update={"links": links, "devices": devices})


def _faster(device: Device, factor: float) -> Device:
    modes = tuple(_scaled(mode, factor) for mode in device.modes)
    return _scaled(device, factor).model_copy(update={"modes": modes}) if factor != 1 else device


def _profile(problem: Problem, scenario: Scenario) -> Profile:
    device = problem.platform.device_of()
    device |= {name: name for name in problem.platform.device_names()}

    def faster(places: Mapping[str, float | None]) -> dict[str, float | None]:
        return {
            place: None if seconds is None else seconds / scenario.speed.get(device[place], 1.0)
            for place, seconds in places.items()
        }

    times = problem.profile.time
    return problem.profile.model_copy(
        update={
            "time": {
                network: {layer: faster(places) for layer, places in layers.items()}
                for network, layers in times.items()
            },
            "blocks": tuple(block.model_copy(update={"time": faster(block.time)}) for block in problem.profile.blocks),
        }
    )


def _network(network: Network, scenario: Scenario) -> Network:
    if not scenario.speed or not any(tensor.forms for tensor in network.tensors):
        return network
    tensors = tuple(
        tensor.model_copy(update={"forms": tuple(_form(form, scenario) for form in tensor.forms)})
        for tensor in network.tensors
    )
    return network.model_copy(update={"tensors": tensors})


def _form(form: Form, scenario: Scenario) -> Form:
    def coding(stated: Any) -> Any:
        if stated is None or isinstance(stated, Roofline):
            return stated
        return {device: seconds / scenario.speed.get(device, 1.0) for device, seconds in stated.items()}

    return form.model_copy(update={"encode": coding(form.encode), "decode": coding(form.decode)})


def _scaled(one: Any, factor: float) -> Any:
    """Return a device or a mode that is so many times as fast."""
    update: dict[str, Any] = {}
    for name in ("flops_per_s", "bytes_per_s"):
        rate = getattr(one, name)
        if isinstance(rate, dict):
            update[name] = {kind: value * factor for kind, value in rate.items()}
        elif rate is not None:
            update[name] = rate * factor
    if one.overhead is not None:
        update["overhead"] = one.overhead / factor
    return one.model_copy(update=update)
