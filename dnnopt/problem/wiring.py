"""Wirings: which links join named devices, over which of them each pair talks, and which share a medium."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations


@dataclass(frozen=True)
class Wire:
    """A link, the device at either end (None: a switch or a medium), and whether it is a fast one inside a host."""

    name: str
    sender: str | None
    receiver: str | None
    fast: bool = False


@dataclass(frozen=True)
class Wiring:
    """Links, the links from one device to another, and the sets of links that carry one thing at a time."""

    wires: tuple[Wire, ...]
    routes: dict[tuple[str, str], tuple[str, ...]]
    media: tuple[tuple[str, ...], ...] = ()


def mesh_wiring(names: Sequence[str]) -> Wiring:
    """Join every two devices by a link either way."""
    wires = tuple(Wire(f"{i}->{j}", i, j) for i, j in permutations(names, 2))
    return Wiring(wires, {pair: (f"{pair[0]}->{pair[1]}",) for pair in permutations(names, 2)})


def star_wiring(names: Sequence[str], centre: str | None = None) -> Wiring:
    """Join every device to a switch by a link either way, or to the device among them that is the centre."""
    leaves = [name for name in names if name != centre]
    wires = tuple(
        wire for name in leaves for wire in (Wire(f"{name}-up", name, centre), Wire(f"{name}-down", centre, name))
    )
    routes = {}
    for i, j in permutations(names, 2):
        up, down = () if i == centre else (f"{i}-up",), () if j == centre else (f"{j}-down",)
        routes[i, j] = (*up, *down)
    return Wiring(wires, routes)


def line_wiring(names: Sequence[str]) -> Wiring:
    """Join neighbours by a link either way; others talk over those between them."""
    hops = [*pairwise(names), *((j, i) for i, j in pairwise(names))]
    routes = {}
    for i, j in permutations(range(len(names)), 2):
        step = 1 if j > i else -1
        routes[names[i], names[j]] = tuple(f"{names[k]}->{names[k + step]}" for k in range(i, j, step))
    return Wiring(tuple(Wire(f"{i}->{j}", i, j) for i, j in hops), routes)
