"""The catalogue: devices and links by name, each number with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal, TypeVar, get_args

from pydantic import Field, model_validator

from dnnopt.base.errors import InputError
from dnnopt.base.files import read_data
from dnnopt.base.records import DollarsPerByte, Flag, Name, Record, check_unique
from dnnopt.problem import library
from dnnopt.problem.platforms import Device, Link, Tier

# How a number is known: published by the vendor, a standard or a price list, and read there or in a table that quotes
# it; measured by somebody, and read; computed from other numbers; published, but from memory, not looked up; plausible.
Evidence = Literal["datasheet", "measured", "derived", "recalled", "estimate"]
EVIDENCE: tuple[Evidence, ...] = get_args(Evidence)
BY_HAND = "given by hand"


class Figure(Record):
    """A number (with a unit, as a text), how it is known, and from where."""

    value: str | float
    evidence: Evidence
    source: Name


class Entry(Record):
    """An entry of the catalogue: a kind of device or of link, and its numbers by the names of their fields."""

    FIELDS: ClassVar[tuple[str, ...]]

    name: Name
    title: Name
    kind: Name
    figures: dict[str, Figure]

    @model_validator(mode="after")
    def _check(self) -> Entry:
        for field in self.figures:
            if field not in self.FIELDS:
                raise InputError(f"one of {', '.join(self.FIELDS)}", field="figures", value=field)
        return self

    def provenance(self, given: Mapping[str, Any]) -> str:
        """Return a text that says where each number comes from; those in `given` replace the entry's own."""
        sources = {field: f"{figure.source} [{figure.evidence}]" for field, figure in self.figures.items()}
        sources |= {field: BY_HAND for field in given if field in self.FIELDS}
        return f"{self.title}: " + "; ".join(f"{field}: {source}" for field, source in sources.items())

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the numbers, texts with units as they are; those in `given` replace the entry's own."""
        return {field: figure.value for field, figure in self.figures.items()} | dict(given)


class DeviceEntry(Entry):
    """A kind of device. What its rate counts are operations at `precision`; a cloud's devices are rented."""

    FIELDS = (
        "memory", "flops_per_s", "bytes_per_s", "efficiency", "overhead", "power", "idle_power", "price",
    )  # fmt: skip

    tier: Tier
    precision: Literal["FP32", "BF16", "INT8"]

    def device(self, **fields: Any) -> Device:
        """Return the device; `fields` are its own in place of the entry's."""
        data = {
            "name": self.name,
            "tier": self.tier,
            "trusted": fields.get("tier", self.tier) != "cloud",
            "provenance": self.provenance(fields).replace(": ", f", {self.precision}: ", 1),
        }
        found: Device = Device.from_data(self.values(data | fields))
        return found


class Connection(Record):
    """What joins two devices: a link either way.

    Attributes
    ----------
    name : str
        Connections of one name that are shared are one medium.
    up, down : Link
        From the lower to the higher tier (an access point, a switch or a router is between edge and cloud), and back.
        Their names, senders and receivers are replaced by those of the platform.
    shared : bool
        Whether it is a medium, such as a radio channel, that carries one thing at a time, whoever sends.
    egress : float
        USD per byte that a rented cloud (a device of that tier that is not trusted) charges for what it sends.
    """

    name: Name
    up: Link
    down: Link
    shared: Flag = False
    egress: DollarsPerByte = 0.0


class LinkEntry(Entry):
    """A kind of link. Of a ``radio`` both ends pay energy, of an ``access`` link the lower one alone."""

    FIELDS = (
        "bandwidth", "bandwidth_up", "bandwidth_down", "latency",
        "send_energy_per_byte", "receive_energy_per_byte", "egress",
    )  # fmt: skip

    kind: Literal["radio", "access", "wired", "bus"]
    shared: Flag = False

    def connection(self, *, name: str | None = None, shared: bool | None = None, **numbers: Any) -> Connection:
        """Return the links either way; `numbers` replace the entry's own."""
        for field, value in numbers.items():
            if field not in self.FIELDS:
                raise InputError(f"one of {', '.join((*self.FIELDS, 'name', 'shared'))}", field=field, value=value)
        values, name = self.values(numbers), self.name if name is None else name
        if "bandwidth" in numbers:
            values = {field: value for field, value in values.items() if field in numbers or "bandwidth_" not in field}
        data = {
            "name": name,
            "up": self._link("up", name, values, numbers),
            "down": self._link("down", name, values, numbers),
            "shared": self.shared if shared is None else shared,
            "egress": values.get("egress", 0.0),
        }
        try:
            found: Connection = Connection.from_data(data)
        except InputError as error:
            way, _, field = error.field.rpartition(".")
            longer = f"{field}_{way}"
            raise InputError("", field=longer if longer in numbers else field, problem=error.problem) from None
        return found

    def _link(
        self, way: Literal["up", "down"], name: str, values: Mapping[str, Any], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return one of the two links, as data; of an access link, what its upper end pays is left out."""
        data = {field: value for field, value in values.items() if field in Link.model_fields}
        data["bandwidth"] = values.get(f"bandwidth_{way}", values.get("bandwidth"))
        if self.kind == "access":
            data.pop("receive_energy_per_byte" if way == "up" else "send_energy_per_byte", None)
        return data | {"name": name, "trusted": True, "provenance": self.provenance(given)}


_Kind = TypeVar("_Kind", bound=Entry)


class _Devices(Record):
    devices: tuple[DeviceEntry, ...] = Field(min_length=1)


class _Links(Record):
    links: tuple[LinkEntry, ...] = Field(min_length=1)


@cache
def devices() -> dict[str, DeviceEntry]:
    """Return the catalogue's devices by name."""
    path = library.folder("catalogue") / "devices.json"
    found = _Devices.from_data(read_data(path, "devices"), file=str(path)).devices
    check_unique((entry.name for entry in found), "devices", "device")
    return {entry.name: entry for entry in found}


@cache
def links() -> dict[str, LinkEntry]:
    """Return the catalogue's links by name."""
    path = library.folder("catalogue") / "links.json"
    found = _Links.from_data(read_data(path, "links"), file=str(path)).links
    check_unique((entry.name for entry in found), "links", "link")
    return {entry.name: entry for entry in found}


def device(entry: str, /, **fields: Any) -> Device:
    """Return a device of the catalogue.

    Parameters
    ----------
    entry : str
        Such as ``pi5`` (``dnnopt list devices``).
    **fields
        Fields of `Device` in place of the catalogue's: ``memory="4 GiB"``, ``name="camera"``, ``tier="edge"``. Texts
        may have units.

    Raises
    ------
    InputError
        If there is none of that name, or for a field that is wrong.
    """
    return _entry("device", entry, devices()).device(**fields)


def link(entry: str, /, **fields: Any) -> Connection:
    """Return a link of the catalogue, either way.

    Parameters
    ----------
    entry : str
        Such as ``wifi-6`` (``dnnopt list links``).
    **fields
        In place of the catalogue's: ``bandwidth`` (both ways) or ``bandwidth_up`` and ``bandwidth_down``, ``latency``,
        ``send_energy_per_byte``, ``receive_energy_per_byte``, ``egress``; ``name``, ``shared``. Texts may have units.

    Raises
    ------
    InputError
        If there is none of that name, or for a field that is wrong.
    """
    return _entry("link", entry, links()).connection(**fields)


def _entry(kind: str, name: Any, entries: Mapping[str, _Kind]) -> _Kind:
    """Return the entry of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    if not isinstance(name, str):
        raise InputError(f"the name of a {kind} in the catalogue", value=name)
    if name not in entries:
        raise library.unknown(kind, name, list(entries), f"{kind}s")
    return entries[name]
