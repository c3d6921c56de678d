"""Platforms: devices from slow to fast, and the links between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations

from dnnopt.inputs.generators.draft import Draft, Work
from dnnopt.inputs.generators.stream import Stream
from dnnopt.problem.platforms import TIERS, Device, Link, Platform, Resource, Route, Tier
from dnnopt.problem.wiring import Wire, Wiring, line_wiring, mesh_wiring, star_wiring

FLOPS_PER_S = 10**10  # of the slowest device
BYTES_PER_S = 4 * 10**9
OVERHEAD_US = 10
_BUS = 8  # how much faster links inside a host are
_NANO = 10**9


@dataclass(frozen=True)
class Machine:
    """A device in whole numbers: rates per second, mW, and micro-USD per 1000 s."""

    name: str
    tier: Tier
    flops_per_s: int
    bytes_per_s: int
    power: int
    price: int

    def nanoseconds(self, work: Work) -> int:
        """Return the time of a layer by the roofline, each part rounded up."""
        compute, memory = -(-work.flops * _NANO // self.flops_per_s), -(-work.moved * _NANO // self.bytes_per_s)
        return 1000 * OVERHEAD_US + max(compute, memory)


def ramp(ratio: Fraction, position: int, count: int) -> Fraction:
    """Return the factor of one of `count` devices or links in line: from 1 for the first to `ratio` for the last."""
    return 1 + (ratio - 1) * Fraction(position, max(count - 1, 1))


def _varied(factor: Fraction, ratio: Fraction, stream: Stream) -> Fraction:
    """Return a factor, up to a tenth off; as it is where all are to be alike."""
    percent = stream.between(90, 110)
    return factor if ratio == 1 else factor * Fraction(percent, 100)


def machines(count: int, ratio: Fraction, stream: Stream) -> list[Machine]:
    """Return devices from the slowest, at the end, to the fastest, in the cloud; `ratio` lies between their rates."""
    found = []
    for index in range(count):
        factor = ramp(ratio, index, count)
        tier = TIERS[(2 * index + (count - 1) // 2) // max(count - 1, 1)]
        found.append(
            Machine(
                name=f"d{index + 1}",
                tier=tier,
                flops_per_s=int(FLOPS_PER_S * _varied(factor, ratio, stream)),
                bytes_per_s=int(BYTES_PER_S * _varied(factor, ratio, stream)),
                power=2000 + int(1000 * factor),
                price=int(50 * factor) if tier == "cloud" else 0,
            )
        )
    return found


# Topologies


def _shared(names: Sequence[str], hosts: int) -> Wiring:
    """Let every device send over one medium, which carries one thing at a time."""
    wires = tuple(Wire(f"{name}-send", name, None) for name in names)
    media = (tuple(wire.name for wire in wires),) if wires else ()
    return Wiring(wires, {(i, j): (f"{i}-send",) for i, j in permutations(names, 2)}, media)


def _hosts(names: Sequence[str], hosts: int) -> Wiring:
    """Put neighbouring devices into hosts: fast links inside each, and slow ones from each host to a switch."""
    host = {name: f"host{index * min(hosts, len(names)) // len(names) + 1}" for index, name in enumerate(names)}
    wires = [
        wire for name in names for wire in (Wire(f"{name}-out", name, None, True), Wire(f"{name}-in", None, name, True))
    ]
    wires += [Wire(f"{one}-{way}", None, None) for one in dict.fromkeys(host.values()) for way in ("up", "down")]
    routes = {}
    for i, j in permutations(names, 2):
        between = () if host[i] == host[j] else (f"{host[i]}-up", f"{host[j]}-down")
        routes[i, j] = (f"{i}-out", *between, f"{j}-in")
    used = {name for route in routes.values() for name in route}
    return Wiring(tuple(wire for wire in wires if wire.name in used), routes)


TOPOLOGIES: dict[str, Callable[[Sequence[str], int], Wiring]] = {
    "mesh": lambda names, hosts: mesh_wiring(names),
    "star": lambda names, hosts: star_wiring(names),
    "shared": _shared,
    "line": lambda names, hosts: line_wiring(names),
    "hosts": _hosts,
}


def build_platform(
    devices: Sequence[Machine],
    memory: Sequence[int],
    wiring: Wiring,
    drafts: Sequence[Draft],
    ratio: Fraction,
    communication: Fraction,
    stream: Stream,
) -> Platform:
    """Return the platform.

    Parameters
    ----------
    devices : sequence of Machine
    memory : sequence of int
        Bytes of each device.
    wiring : Wiring
    drafts : sequence of Draft
        The networks, which say how fast the links are.
    ratio : Fraction
        Fastest bandwidth through slowest, inside hosts aside.
    communication : Fraction
        Time to send every tensor once over the slowest link, as a multiple of that of all layers on the slowest device.
    stream : Stream
    """
    cloud = {machine.name for machine in devices if machine.tier == "cloud"}
    computing = sum(devices[0].nanoseconds(work) for draft in drafts for work in draft.works)
    sent = sum(draft.sent() for draft in drafts)
    slowest = Fraction(sent * _NANO, computing) / communication
    tensors = sum(len(draft.users()) + draft.answer for draft in drafts)
    latency = int(Fraction(sent, tensors) / slowest * 10**6 / 10)  # us: a tenth of the slowest link's mean time
    places = stream.sample(range(len(wiring.wires)), len(wiring.wires))
    untrusted = {name for pair, links in wiring.routes.items() if cloud.intersection(pair) for name in links}
    trusted = {name for pair, links in wiring.routes.items() if not cloud.intersection(pair) for name in links}
    links = []
    for wire, place in zip(wiring.wires, places, strict=True):
        factor = _varied(ramp(ratio, place, len(places)), ratio, stream) * (_BUS if wire.fast else 1)
        links.append(
            Link(
                name=wire.name,
                bandwidth=max(1, int(slowest * factor)),
                latency=(latency // _BUS if wire.fast else latency) / 10**6,
                sender=wire.sender,
                receiver=wire.receiver,
                send_energy_per_byte=50 / 10**9 if wire.sender else 0.0,
                receive_energy_per_byte=25 / 10**9 if wire.receiver else 0.0,
                trusted=wire.name in trusted or wire.name not in untrusted,
            )
        )
    return Platform(
        devices=tuple(
            Device(
                name=machine.name,
                tier=machine.tier,
                memory=size,
                flops_per_s=machine.flops_per_s,
                bytes_per_s=machine.bytes_per_s,
                overhead=OVERHEAD_US / 10**6,
                power=machine.power / 10**3,
                idle_power=machine.power // 5 / 10**3,
                price=machine.price / 10**9,
                trusted=machine.tier != "cloud",
            )
            for machine, size in zip(devices, memory, strict=True)
        ),
        links=tuple(links),
        routes=tuple(Route(origin=i, destination=j, links=links) for (i, j), links in wiring.routes.items()),
        resources=tuple(
            Resource(name="medium" if index == 0 else f"medium{index + 1}", links=names)
            for index, names in enumerate(wiring.media)
        ),
    )
