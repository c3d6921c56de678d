"""Stages on several identical devices, which take turns: groups of devices as devices of a platform."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from dnnopt.approaches.settings import among
from dnnopt.base.errors import InputError
from dnnopt.problem.platforms import Device, Link, Platform
from dnnopt.problem.precision import Rates
from dnnopt.problem.problem import Problem
from dnnopt.problem.variants import Variants

_MOST = 6  # devices: they have 11 variants


def taking_turns(platform: Platform, build: Callable[[Platform, Mapping[str, int]], Problem]) -> Variants:
    """Return the problem of a platform for each way to put its devices into groups, such as ``2+1+1``.

    `build` is given the platform of groups, each called like its first device, and how many devices each has.

    The devices of a group take an input each, in turn. So a group of m takes each layer, and each tensor on links of
    its own, in an m-th of the time, on average; each of its devices holds the weights.

    Raises
    ------
    InputError
        If the devices are not identical, or too many.
    """
    devices = platform.devices
    if not 2 <= len(devices) <= _MOST:
        raise InputError(f"a platform of 2 to {_MOST} devices", field="platform", value=list(platform.device_names()))
    if any(_alike(one) != _alike(devices[0]) for one in devices):
        raise InputError("identical devices", field="platform", value=list(platform.device_names()))
    ways = _ways(len(devices), len(devices))
    problems = {}
    for sizes in ways:
        names = platform.device_names()
        size = {names[end - count]: count for count, end in zip(sizes, accumulate(sizes), strict=True)}
        problems["+".join(map(str, sizes))] = build(_grouped(platform, size), size)
    return Variants(problems)


def _alike(device: Device) -> dict[str, Any]:
    return device.to_data() | {"name": "", "provenance": ""}


def _ways(total: int, most: int) -> Iterator[list[int]]:
    """Give all lists of falling numbers with this sum."""
    for first in range(min(total, most), 0, -1):
        yield from ([first, *rest] for rest in _ways(total - first, first))
    if total == 0:
        yield []


def _grouped(platform: Platform, size: Mapping[str, int]) -> Platform:
    """Return the platform in which the first device of each group stands for all of it."""
    some = among(platform, list(size))
    shared = {name for resource in some.resources for name in resource.links}
    return some.replace(
        devices=tuple(_times(device, size[device.name]) for device in some.devices),
        links=tuple(link if link.name in shared else _wider(link, size) for link in some.links),
    )


def _times(device: Device, count: int) -> Device:
    return device.replace(
        flops_per_s=_more(device.flops_per_s, count),
        bytes_per_s=_more(device.bytes_per_s, count),
        overhead=device.overhead / count,
        power=device.power * count,
        idle_power=device.idle_power * count,
        price=device.price * count,
    )


def _more(rate: Rates | None, count: int) -> Any:
    if rate is None or isinstance(rate, float | int):
        return None if rate is None else rate * count
    return {name: value * count for name, value in rate.items()}


def _wider(link: Link, size: Mapping[str, int]) -> Link:
    """Return the links of a group to one of another one; between two groups, as many as the smaller one has devices."""
    ends = [name for name in (link.sender, link.receiver) if name is not None]
    count = min((size[name] for name in ends), default=1)
    return link.replace(bandwidth=link.bandwidth * count, latency=link.latency / count)
