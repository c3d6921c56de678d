"""Links of a platform, between processes of one machine: messages arrive when they would there.

A message is sent at once, with the moment at which it is due; who receives it waits for that. Each link (or all that
are one resource) carries one message at a time, whichever process sends it: a small file, which all of them map into
memory, has the moment from which each is free.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.problem.platforms import Platform

_MOMENT = struct.Struct("<d")


@dataclass(frozen=True)
class Leg:
    """One link on the way: the place of its clock, seconds before the first byte, and bytes per second."""

    link: str
    slot: int
    latency: float
    bandwidth: float

    def seconds(self, size: float) -> float:
        return self.latency + size / self.bandwidth


def hops_of(platform: Platform, sender: str, receiver: str) -> tuple[Leg, ...]:
    """Return the links between two devices.

    Raises
    ------
    InputError
        If the platform has no route.
    """
    if sender == receiver:
        return ()
    links = {link.name: link for link in platform.links}
    slots = clock_slots(platform)
    for route in platform.routes:
        if (route.origin, route.destination) == (sender, receiver):
            return tuple(Leg(name, slots[name], links[name].latency, links[name].bandwidth) for name in route.links)
    raise InputError("", field="routes", problem=f"there is no route from {sender!r} to {receiver!r}")


def clock_slots(platform: Platform) -> dict[str, int]:
    """Return the place of each link's clock; links of one resource share one."""
    found: dict[str, int] = {}
    for number, resource in enumerate(platform.all_resources()):
        for link in resource.links:
            found.setdefault(link, number)
    return found


def idle_overlaps(platform: Platform) -> list[str]:
    """Return the resources that hold devices and links, which here may be busy at the same time."""
    return [one.name for one in platform.all_resources() if (one.devices and one.links) or len(one.devices) > 1]


class LinkClocks:
    """When each link of a platform is free, for all processes of this machine that map the same file.

    Parameters
    ----------
    path : Path
        Of a file that `make_clocks` has written.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR)
        self._map = mmap.mmap(self._file, 0)

    def close(self) -> None:
        self._map.close()
        os.close(self._file)

    def reserve(self, hops: Sequence[Leg], size: float) -> list[tuple[str, float, float]]:
        """Return for each link of a route when a message of that size crosses it: its name, start and end.

        Moments are those of ``time.monotonic``. The message waits at each link until that is free.
        """
        lock = _locking()
        lock.flock(self._file, lock.LOCK_EX)
        try:
            found = []
            moment = time.monotonic()
            for hop in hops:
                place = hop.slot * _MOMENT.size
                start = max(moment, _MOMENT.unpack_from(self._map, place)[0])
                moment = start + hop.seconds(size)
                _MOMENT.pack_into(self._map, place, moment)
                found.append((hop.link, start, moment))
            return found
        finally:
            lock.flock(self._file, lock.LOCK_UN)


def make_clocks(path: Path, platform: Platform) -> None:
    """Write the file of a platform's clocks, all of them free."""
    slots = clock_slots(platform)
    path.write_bytes(bytes(_MOMENT.size * (1 + max(slots.values(), default=0))))
    _locking()


def _locking() -> Any:
    try:
        import fcntl
    except ImportError:
        raise InputError("", problem="links can be imitated on Linux and macOS alone, not here") from None
    return fcntl
