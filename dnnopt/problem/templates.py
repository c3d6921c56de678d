"""Platforms from templates: named devices and links, joined as a star, a mesh or a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import combinations, pairwise
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.problem import catalogue, wiring
from dnnopt.problem.catalogue import BY_HAND, Connection
from dnnopt.problem.platforms import TIERS, Device, Link, Platform, Resource, Route
from dnnopt.problem.wiring import Wire, Wiring

Devices = Sequence[str | Device]
Joint = str | Link | Connection
Joints = Joint | Sequence[Joint]

TOPOLOGIES = ("star", "mesh", "line")
_MIDDLE = TIERS.index("edge") + 0.5  # of a switch or a router: devices of an edge are below it, a cloud's above
_LONGEST_NAME = 60


def star(
    devices: Devices,
    links: Joints,
    *,
    centre: str | None = None,
    name: str = "",
    override: Mapping[str, Any] | None = None,
) -> Platform:
    """Return a platform whose devices are joined to one point: a router, or one of them.

    Parameters
    ----------
    devices : sequence of str or Device
        Names in the catalogue, or devices. A second ``pi5`` is called ``pi5-2``.
    links : str, Link, Connection, or a sequence of them
        That of each device (but the centre), in order; the last one is also that of all further devices. A name is one
        in the catalogue. A shared one is one medium for all devices that have it.
    centre : str, optional
        The device in the middle, which relays; default: a router, or an access point, that computes nothing.
    name : str
    override : mapping
        Numbers in place of others, by device or link and field: ``{"pi5.memory": "2 GiB", "pi5-up.latency": 0.01}``.

    Raises
    ------
    InputError
        For fewer than two devices, more links than there are places, and unknown names.
    """
    known = _named(devices)
    if centre is not None and not isinstance(centre, str):
        raise InputError("the name of a device", field="centre", value=centre)
    if centre is not None and centre not in known:
        raise _unknown("one of the devices", centre, known, "centre")
    leaves = [device for device in known if device != centre]
    joints = _spread(links, len(leaves), "one for each device" + (" but the centre" if centre else ""))
    by_leaf = dict(zip(leaves, joints, strict=True))
    wired = wiring.star_wiring(list(known), centre)
    of = {wire.name: by_leaf[_ends(wire, centre)[0]] for wire in wired.wires}
    return _platform("star", known, wired, of, name, override, centre)


def mesh(devices: Devices, links: Joints, *, name: str = "", override: Mapping[str, Any] | None = None) -> Platform:
    """Return a platform whose devices are joined pair by pair.

    `links` has one for each pair, in the order first and second, first and third, ..., second and third; the last one
    is also that of all further pairs. Otherwise as `star`.
    """
    known = _named(devices)
    names = list(known)
    pairs = list(combinations(names, 2))
    return _pairwise(
        "mesh", known, wiring.mesh_wiring(names), pairs, links, "one for each pair of devices", name, override
    )


def line(devices: Devices, links: Joints, *, name: str = "", override: Mapping[str, Any] | None = None) -> Platform:
    """Return a platform whose devices are joined in a line, and relay for those further away.

    `links` has one between each device and the next; the last one is also that of all further ones. Otherwise as
    `star`.
    """
    known = _named(devices)
    names = list(known)
    pairs = list(pairwise(names))
    return _pairwise(
        "line", known, wiring.line_wiring(names), pairs, links, "one for each two neighbours", name, override
    )


def _pairwise(
    topology: str,
    known: dict[str, Device],
    wired: Wiring,
    pairs: Sequence[tuple[str, str]],
    links: Joints,
    places: str,
    name: str,
    override: Mapping[str, Any] | None,
) -> Platform:
    by_pair = {frozenset(pair): joint for pair, joint in zip(pairs, _spread(links, len(pairs), places), strict=True)}
    of = {wire.name: by_pair[frozenset(_ends(wire))] for wire in wired.wires}
    return _platform(topology, known, wired, of, name, override)


def _named(devices: Devices) -> dict[str, Device]:
    """Return the devices by their names, each of its own; of those of one name, all but the first get a number."""
    if isinstance(devices, str | Device) or not isinstance(devices, Sequence):
        raise InputError("a list of devices", field="devices", value=devices)
    if len(devices) < 2:
        raise InputError("at least two devices", field="devices", value=list(devices))
    found: dict[str, Device] = {}
    given = [_device(device, f"devices[{index}]") for index, device in enumerate(devices)]
    taken = {device.name for device in given}
    for device in given:
        name, number = device.name, 1
        while name in found or (number > 1 and name in taken):
            number += 1
            name = f"{device.name}-{number}"
        found[name] = device if name == device.name else device.replace(name=name)
    return found


def _device(device: str | Device, field: str) -> Device:
    if isinstance(device, Device):
        return device
    if not isinstance(device, str):
        raise InputError("a name in the catalogue, or a Device", field=field, value=device)
    try:
        return catalogue.device(device)
    except InputError as error:
        raise error.within(field=field) from None


def _spread(links: Joints, places: int, what: str) -> list[Connection]:
    """Return the connection at each of so many places; the last one given is at all that are left."""
    single = isinstance(links, str | Link | Connection)
    if not single and not isinstance(links, Sequence):
        raise InputError("a link, or a list of links", field="links", value=links)
    given: list[Any] = [links] if single else list(links)
    if not 1 <= len(given) <= places:
        most = "one link" if places == 1 else f"1 to {places} links"
        raise InputError(f"{most}: {what}", field="links", value=links)
    found = [_connection(link, "links" if single else f"links[{index}]") for index, link in enumerate(given)]
    return found + found[-1:] * (places - len(found))


def _connection(link: Joint, field: str) -> Connection:
    if isinstance(link, Connection):
        return link
    if isinstance(link, Link):
        return Connection(name=link.name, up=link, down=link)
    if not isinstance(link, str):
        raise InputError("a name in the catalogue, a Link or a Connection", field=field, value=link)
    try:
        return catalogue.link(link)
    except InputError as error:
        raise error.within(field=field) from None


def _ends(wire: Wire, centre: str | None = None) -> list[str]:
    return [end for end in (wire.sender, wire.receiver) if end is not None and end != centre]


def _platform(
    topology: str,
    devices: dict[str, Device],
    wired: Wiring,
    of: Mapping[str, Connection],
    name: str,
    override: Mapping[str, Any] | None,
    centre: str | None = None,
) -> Platform:
    """Return the platform; `of` has the connection that each wire belongs to."""
    order = sorted(devices, key=lambda device: device == centre)
    rank: dict[str | None, tuple[float, int]] = {None: (_MIDDLE, 0)}
    rank |= {device: (_tier(devices[device]), position) for position, device in enumerate(order)}
    links = {wire.name: _link(wire, of[wire.name], devices, rank) for wire in wired.wires}
    media: dict[str, list[str]] = {}
    for wire in wired.wires:
        if of[wire.name].shared:
            media.setdefault(of[wire.name].name, []).append(wire.name)
    called = "-".join(devices)
    platform = Platform(
        name=name or (called if len(called) <= _LONGEST_NAME else f"{topology}-of-{len(devices)}"),
        devices=tuple(devices.values()),
        links=tuple(links.values()),
        routes=tuple(Route(origin=i, destination=j, links=over) for (i, j), over in wired.routes.items()),
        resources=tuple(
            Resource(name=_free(medium, {*devices, *links}), links=members) for medium, members in media.items()
        ),
        provenance=f"A {topology} of {', '.join(devices)}. Each device and link says where its numbers are from and, "
        f"in brackets, how they are known: {', '.join(catalogue.EVIDENCE)}.",
    )
    return platform if override is None else overridden(platform, override)


def _tier(device: Device) -> float:
    return TIERS.index(device.tier) if device.tier else 0


def _free(name: str, taken: set[str]) -> str:
    return name if name not in taken else _free(f"{name}-medium", taken)


def _link(
    wire: Wire,
    connection: Connection,
    devices: Mapping[str, Device],
    rank: Mapping[str | None, tuple[float, int]],
) -> Link:
    """Return the link of a wire; an end that is no device pays no energy, and a rented cloud charges egress."""
    link = connection.up if rank[wire.sender] < rank[wire.receiver] else connection.down
    sender = devices[wire.sender] if wire.sender else None
    rented = sender is not None and _rented(sender)
    return link.replace(
        name=wire.name,
        sender=wire.sender,
        receiver=wire.receiver,
        send_energy_per_byte=link.send_energy_per_byte if wire.sender else 0.0,
        receive_energy_per_byte=link.receive_energy_per_byte if wire.receiver else 0.0,
        price_per_byte=link.price_per_byte + (connection.egress if rented else 0.0),
    )


def _rented(device: Device) -> bool:
    return device.tier == "cloud" and not device.trusted


def rented_next_door(platform: Platform) -> list[str]:
    """Return the rented devices that charge nothing for what they send, though not all devices are rented.

    None of their links leads over the Internet, which is what the next one in a list of links easily does to them.
    """
    rented = [device.name for device in platform.devices if _rented(device)]
    charging = {link.sender for link in platform.links if link.price_per_byte}
    return [] if len(rented) == len(platform.devices) else [name for name in rented if name not in charging]


def overridden(platform: Platform, numbers: Mapping[str, Any]) -> Platform:
    """Return the platform with other numbers, by device or link and field: ``{"pi5.memory": "2 GiB"}``.

    Raises
    ------
    InputError
        For a name that is neither, and for a field or a value that is wrong.
    """
    if not isinstance(numbers, Mapping) or not all(isinstance(key, str) for key in numbers):
        raise InputError("numbers by DEVICE.FIELD or LINK.FIELD", field="override", value=numbers)
    devices = {device.name: device for device in platform.devices}
    links = {link.name: link for link in platform.links}
    for key, value in numbers.items():
        name, _, field = key.rpartition(".")
        if name in devices:
            devices[name] = _with(devices[name], field, value, key)
        elif name in links:
            links[name] = _with(links[name], field, value, key)
        else:
            raise _unknown("DEVICE.FIELD or LINK.FIELD, of", key, [*devices, *links], "override")
    return platform.replace(devices=tuple(devices.values()), links=tuple(links.values()))


def _with(item: Any, field: str, value: Any, key: str) -> Any:
    known = [name for name in type(item).model_fields if name not in ("name", "sender", "receiver", "provenance")]
    if field not in known:
        raise _unknown("a field, after the last dot: one of", key, known, "override", close_to=field)
    data = item.to_data() | {field: value, "provenance": f"{item.provenance}; {field} {BY_HAND}".removeprefix("; ")}
    try:
        return type(item).from_data(data)
    except InputError as error:
        within = error.field.removeprefix(field)
        raise InputError("", field=f"override[{key!r}]{within}", problem=error.problem) from None


def _unknown(
    what: str, value: str, known: Sequence[str] | Mapping[str, Any], field: str, close_to: str = ""
) -> InputError:
    close = get_close_matches(close_to or value, list(known), n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return InputError(f"{what} {', '.join(known)}{meant}", field=field, value=value)
