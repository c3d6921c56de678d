"""Platforms: devices, directed links, the routes between devices, and what can do only one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.files import read_data, write_data
from dnnopt.base.numbers import counted
from dnnopt.base.records import (
    Bytes,
    BytesPerSecond,
    DollarsPerByte,
    DollarsPerSecond,
    Flag,
    Fraction,
    JoulesPerByte,
    Name,
    Record,
    Seconds,
    Watts,
    check_known,
    check_unique,
)
from dnnopt.base.sizes import check_layers_and_devices
from dnnopt.base.tables import Described
from dnnopt.problem.modes import Mode
from dnnopt.problem.precision import Rates

Tier = Literal["end", "edge", "cloud"]
TIERS: tuple[Tier, ...] = ("end", "edge", "cloud")
SEPARATOR = ":"
_TIMES = ("flops_per_s", "bytes_per_s", "overhead", "efficiency")
_OVERRIDES = (*_TIMES, "power", "price")


class Device(Record):
    """A device `i`.

    Attributes
    ----------
    name : str
    tier : {"end", "edge", "cloud"}, optional
    memory : float, optional
        Bytes `M_i`; None: no limit. Enforced only where a memory constraint is listed.
    flops_per_s : float or mapping of str to float, optional
        Peak compute rate: of all types of numbers, or of each that has one of its own, ``float32`` among them, whose
        rate is that of the others. The roofline needs it.
    bytes_per_s : float, optional
        Memory bandwidth. The roofline needs it.
    overhead : float
        Seconds `o_i` that every layer costs on top (kernel launch, framework).
    efficiency : float
        Share of both peak rates that is achieved, in (0, 1]: `F_i` = efficiency x flops_per_s, `W_i` likewise.
    power, idle_power : float
        Busy and idle power `P_i`, `P⁰_i` (W).
    price : float
        `π_i`, USD per busy second.
    trusted : bool, optional
        Inside the data owner's trust domain; needed where leakage is measured.
    pool : bool
        Under `call` execution: runs any number of layers at a time, as they come; other devices run calls.
    modes : tuple of Mode
        Among which each layer on it has one; none: as the device is.
    one_mode : bool
        Whether all layers on it run in one mode, as where a mode is the clock of the whole device.
    provenance : str
        Where the numbers come from.

    Raises
    ------
    InputError
        For two modes of one name.
    """

    name: Name
    tier: Tier | None = None
    memory: Bytes | None = None
    flops_per_s: Rates | None = None
    bytes_per_s: BytesPerSecond | None = None
    overhead: Seconds = 0.0
    efficiency: Fraction = 1.0
    power: Watts = 0.0
    idle_power: Watts = 0.0
    price: DollarsPerSecond = 0.0
    trusted: Flag | None = None
    pool: Flag = False
    modes: tuple[Mode, ...] = ()
    one_mode: Flag = False
    provenance: str = ""

    @model_validator(mode="after")
    def _check(self) -> Device:
        check_unique((mode.name for mode in self.modes), "modes", "mode")
        return self

    @property
    def executors(self) -> tuple[Executor, ...]:
        """The device in each of its modes."""
        return _executors(self)


@dataclass(frozen=True)
class Executor:
    """A device in one of its modes: what a layer is placed on.

    Attributes
    ----------
    name : str
        ``nx:int8``; of a device with one mode, the device's.
    device : Device
        With what the mode overrides.
    mode : Mode
    same_times, same_energies : bool
        Whether what was measured of the device itself holds in the mode.
    """

    name: str
    device: Device
    mode: Mode
    same_times: bool
    same_energies: bool

    def runs(self, op: str) -> bool:
        """Return whether the mode can run an operator, or all of those that a merged layer has."""
        ops = self.mode.ops
        return ops is None or op in ops or all(part in ops for part in op.split("+"))


@lru_cache(maxsize=1024)
def _executors(device: Device) -> tuple[Executor, ...]:
    """Return a device in each of its modes."""
    modes = device.modes or (Mode(name=device.name),)
    found = []
    for mode in modes:
        own = {name: getattr(mode, name) for name in _OVERRIDES if getattr(mode, name) is not None}
        same = not any(name in own for name in _TIMES)
        found.append(
            Executor(
                name=device.name if len(modes) == 1 else f"{device.name}{SEPARATOR}{mode.name}",
                device=device.model_copy(update=own) if own else device,
                mode=mode,
                same_times=same,
                same_energies=same and "power" not in own,
            )
        )
    return tuple(found)


class Link(Record):
    """A directed physical link `ℓ`.

    Attributes
    ----------
    name : str
    bandwidth : float
        `β_ℓ`, bytes per second.
    latency : float
        `δ_ℓ`, seconds; one copy of a tensor occupies the link for latency + bytes / bandwidth.
    sender, receiver : str, optional
        The devices at its ends, where it has them; whose energy the two parts below are.
    send_energy_per_byte, receive_energy_per_byte : float
        Joules per byte at either end; together `η_ℓ`.
    price_per_byte : float
        `κ_ℓ`, USD per byte.
    trusted : bool, optional
        Whether data on it stays in the trust domain; needed where leakage is measured.
    provenance : str
    """

    name: Name
    bandwidth: BytesPerSecond
    latency: Seconds
    sender: Name | None = None
    receiver: Name | None = None
    send_energy_per_byte: JoulesPerByte = 0.0
    receive_energy_per_byte: JoulesPerByte = 0.0
    price_per_byte: DollarsPerByte = 0.0
    trusted: Flag | None = None
    provenance: str = ""


class Route(Record):
    """The links that carry data from one device to another, in order; an empty list is a free route."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    origin: Name = Field(alias="from")
    destination: Name = Field(alias="to")
    links: tuple[Name, ...] = ()


class Resource(Record):
    """Devices and links that together do one thing at a time, such as a shared medium."""

    name: Name
    devices: tuple[Name, ...] = ()
    links: tuple[Name, ...] = ()


class Platform(Described, Record):
    """Devices, links, routes and resources.

    A pair of devices without a route may not talk. A device or link in no listed resource is a resource of its own.

    Attributes
    ----------
    devices : tuple of Device
    links : tuple of Link
    routes : tuple of Route
    resources : tuple of Resource
    name, provenance : str

    Raises
    ------
    InputError
        For duplicate names, unknown devices or links, two routes for one pair, a link twice in one route.
    """

    name: str = ""
    devices: tuple[Device, ...] = Field(min_length=1)
    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    resources: tuple[Resource, ...] = ()
    provenance: str = ""

    @model_validator(mode="after")
    def _check(self) -> Platform:
        check_unique((device.name for device in self.devices), "devices", "device")
        check_unique((link.name for link in self.links), "links", "link")
        check_unique((resource.name for resource in self.resources), "resources", "resource")
        devices = {device.name for device in self.devices}
        taken = dict.fromkeys(devices, "a device")
        for index, device in enumerate(self.devices):
            for executor in device.executors if len(device.modes) > 1 else ():
                if executor.name in taken:
                    expected = f"another name, as {executor.name!r} is {taken[executor.name]} too"
                    raise InputError(expected, field=f"devices[{index}].modes", value=executor.mode.name)
                taken[executor.name] = f"a mode of {device.name!r}"
        links = {link.name for link in self.links}
        for index, link in enumerate(self.links):
            check_known(link.sender, devices, f"links[{index}].sender", "device")
            check_known(link.receiver, devices, f"links[{index}].receiver", "device")
        pairs: set[tuple[str, str]] = set()
        for index, route in enumerate(self.routes):
            field = f"routes[{index}]"
            check_known(route.origin, devices, f"{field}.from", "device")
            check_known(route.destination, devices, f"{field}.to", "device")
            if route.origin == route.destination:
                raise InputError("another device than 'from'", field=f"{field}.to", value=route.destination)
            pair = (route.origin, route.destination)
            if pair in pairs:
                raise InputError(f"one route from {pair[0]!r} to {pair[1]!r}", field=field, value=list(pair))
            pairs.add(pair)
            self._check_members(route.links, links, f"{field}.links", "link")
        for index, resource in enumerate(self.resources):
            field = f"resources[{index}]"
            self._check_members(resource.devices, devices, f"{field}.devices", "device")
            self._check_members(resource.links, links, f"{field}.links", "link")
            if resource.name in devices | links and resource.name not in (*resource.devices, *resource.links):
                raise InputError(
                    "a name that no device or link outside it has", field=f"{field}.name", value=resource.name
                )
        return self

    @staticmethod
    def _check_members(names: tuple[str, ...], known: set[str], field: str, what: str) -> None:
        check_unique(names, field, what)
        for position, name in enumerate(names):
            check_known(name, known, f"{field}[{position}]", what)

    def overview(self) -> dict[str, str]:
        """Return what to know of it."""
        return {
            "platform": self.name,
            "devices": f"{counted(len(self.devices), 'device')} ({', '.join(self.device_names())})",
            "links": counted(len(self.links), "link"),
            "routes": counted(len(self.routes), "route"),
        }

    def device_names(self) -> tuple[str, ...]:
        """Return the devices' names, in order."""
        return tuple(device.name for device in self.devices)

    def device_of(self) -> dict[str, str]:
        """Return the device of each executor, both by the names that plans give them."""
        return {executor.name: executor.device.name for executor in self.executors()}

    def executors(self) -> tuple[Executor, ...]:
        """Return the devices in each of their modes, in order."""
        return tuple(executor for device in self.devices for executor in device.executors)

    def all_resources(self) -> tuple[Resource, ...]:
        """Return the listed resources, then one for each device and each link that is in none of them."""
        in_one = {name for resource in self.resources for name in resource.devices}
        links_in_one = {name for resource in self.resources for name in resource.links}
        own = [_alone(device.name, "devices") for device in self.devices if device.name not in in_one]
        own += [_alone(link.name, "links") for link in self.links if link.name not in links_in_one]
        return (*self.resources, *own)


@lru_cache(maxsize=4096)
def _alone(name: str, what: str) -> Resource:
    """Return the resource of one device or link, which has its name."""
    return Resource(name=name, **{what: (name,)})


@checked
def read_platform(path: str | Path | Traversable, *, allow_large: bool = False) -> Platform:
    """Read a platform file; texts with units such as ``"20 Mbit/s"`` are accepted in it."""
    data = read_data(path, "platform", allow_large=allow_large)
    check_layers_and_devices([], data, str(path), allow_large)
    return Platform.from_data(data, file=str(path))


@checked
def write_platform(platform: Platform, path: str | Path) -> None:
    """Write a platform file, in SI units."""
    write_data(path, "platform", platform.to_data())
