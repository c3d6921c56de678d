"""Hypothesis strategies: random small problems with everything that a placement decides.

Numbers are small whole numbers times a unit, so that ties are common, and within one problem they may spread over
several powers of ten. Limits are what a random plan uses (as the referee measures it) times a factor that is mostly 1,
so that they often bind exactly, or leave no plan at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from dnnopt import constraints as c
from dnnopt.networks import Layer, Network, Tensor
from dnnopt.platforms import TIERS, Device, Link, Platform
from dnnopt.problem import Problem

MOST_PLACEMENTS = 800
_MANTISSAS = (0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 7.0, 9.0, 0.1, 0.3)
_FACTORS = (1.0, 1.0, 1.0, 1.0, 1.5, 3.0, 0.9, 0.5, 1 - 1e-7)
Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(frozen=True)
class Magnitudes:
    """Units of the numbers in a problem, and over how many powers of ten each kind of them spreads."""

    seconds: float
    bytes: float
    spread: int

    def amount(self, draw: Draw, unit: float, *, positive: bool = False) -> float:
        """Draw a number of `unit`."""
        mantissa = draw(st.sampled_from(_MANTISSAS[1:] if positive else _MANTISSAS))
        power = draw(st.integers(0, self.spread)) if self.spread else 0
        return mantissa * unit * 10.0**power


magnitudes = st.builds(
    Magnitudes,
    seconds=st.sampled_from((1.0, 1e-3, 1e-6)),
    bytes=st.sampled_from((1.0, 1e3, 1e6)),
    spread=st.sampled_from((0, 0, 2, 5)),
)


@st.composite
def problems(
    draw: Draw,
    executions: tuple[str, ...] = ("sequential", "parallel", "pipelined"),
    most_placements: int = MOST_PLACEMENTS,
    constraints: st.SearchStrategy[int] = st.integers(0, 3),
) -> Problem:
    """Draw a problem with at most `most_placements` placements and so many constraints."""
    scale = draw(magnitudes)
    device_count = draw(st.integers(1, 3))
    names = tuple("pqr"[:device_count])
    most_layers = min(7, int(math.log(most_placements) / math.log(device_count)) if device_count > 1 else 7)
    sizes = [draw(st.integers(1, most_layers))]
    if sizes[0] < most_layers and draw(st.integers(0, 3)) == 0:
        sizes.append(draw(st.integers(1, most_layers - sizes[0])))
    networks = tuple(draw(_networks(f"net{a}", size, names, scale)) for a, size in enumerate(sizes))
    platform = draw(_platforms(names, scale))
    problem = Problem(
        networks=networks,
        platform=platform,
        execution=draw(st.sampled_from(executions)),  # type: ignore[arg-type]
        transport=draw(st.sampled_from(("unicast", "multicast", "per_edge"))),
        profile=draw(_profiles(networks, names, scale)),
        minimize=draw(_objectives(networks, platform)),
        name="random",
    )
    listed: list[c.Constraint] = []
    for _ in range(draw(constraints)):
        problem, constraint = draw(_constraints(problem))
        listed.append(constraint)
    return problem.model_copy(update={"subject_to": tuple(listed)})


@st.composite
def _networks(draw: Draw, name: str, size: int, devices: tuple[str, ...], scale: Magnitudes) -> Network:
    """Draw a DAG: each tensor goes from a layer, or the input, to some later layers and perhaps the output."""
    words = [f"{name[-1]}{'abcdefg'[v]}" for v in range(size)]
    tensors = []

    def add(producer: str, consumers: list[str], source: str | None = None) -> None:
        tensors.append(
            Tensor(
                name=f"t{len(tensors)}",
                producer=producer,
                consumers=tuple(consumers),
                bytes=scale.amount(draw, scale.bytes),
                sensitivity=draw(st.sampled_from((0.0, 0.25, 0.5, 0.5, 1.0))),
                source=source,
            )
        )

    for _ in range(draw(st.integers(0, 2))):
        consumers = draw(st.lists(st.sampled_from([*words, "output"]), min_size=1, max_size=2, unique=True))
        add("input", consumers, draw(st.sampled_from((None, None, *devices))))
    for v, word in enumerate(words):
        # Several tensors of one layer may share consumers; none leaves the layer without a successor.
        for _ in range(draw(st.sampled_from((1, 1, 1, 2, 0)))):
            later = [*words[v + 1 :], "output"]
            following = words[v + 1 : v + 2] if draw(st.booleans()) else []
            others = draw(st.lists(st.sampled_from(later), max_size=2, unique=True))
            add(word, list(dict.fromkeys([*following, *others])))
    shown = draw(st.permutations(words)) if draw(st.booleans()) else words
    return Network(
        name=name,
        layers=tuple(
            Layer(
                name=word,
                flops=scale.amount(draw, 1.0),
                bytes=scale.amount(draw, 1.0),
                weights=scale.amount(draw, scale.bytes),
                activations=scale.amount(draw, scale.bytes),
            )
            for word in shown
        ),
        tensors=tuple(tensors),
        source=draw(st.sampled_from((None, *devices))),
        sink=draw(st.sampled_from((None, *devices))),
        rate=draw(st.sampled_from((0.5, 1.0, 3.0))) / scale.seconds,
        deadline=scale.amount(draw, scale.seconds),
        weight=draw(st.sampled_from((1.0, 1.0, 1.0, 2.0, 0.0))),
    )


@st.composite
def _platforms(draw: Draw, names: tuple[str, ...], scale: Magnitudes) -> Platform:
    devices = tuple(
        Device(
            name=name,
            tier=draw(st.sampled_from(TIERS)),
            trusted=draw(st.booleans()),
            flops_per_s=draw(st.sampled_from((1.0, 2.0, 5.0))) / scale.seconds,
            bytes_per_s=draw(st.sampled_from((1.0, 3.0))) / scale.seconds,
            overhead=scale.amount(draw, scale.seconds),
            power=draw(st.sampled_from((0.0, 1.0, 2.0, 10.0))),
            idle_power=draw(st.sampled_from((0.0, 0.0, 1.0, 3.0))),
            price=draw(st.sampled_from((0.0, 1.0, 5.0))),
        )
        for name in names
    )
    links: list[Link] = []

    def add(name: str, sender: str | None = None, receiver: str | None = None) -> str:
        links.append(
            Link(
                name=name,
                bandwidth=scale.bytes / scale.seconds * draw(st.sampled_from((0.5, 1.0, 1.0, 3.0, 100.0))),
                latency=scale.amount(draw, scale.seconds) if draw(st.booleans()) else 0.0,
                sender=sender,
                receiver=receiver,
                send_energy_per_byte=draw(st.sampled_from((0.0, 1.0, 2.0))) * scale.seconds / scale.bytes,
                receive_energy_per_byte=draw(st.sampled_from((0.0, 1.0))) * scale.seconds / scale.bytes,
                price_per_byte=draw(st.sampled_from((0.0, 1.0))) * scale.seconds / scale.bytes,
                trusted=draw(st.booleans()),
            )
        )
        return name

    pairs = [(i, j) for i in names for j in names if i != j]
    ways: dict[tuple[str, str], list[str]] = {}
    shape = draw(st.sampled_from(("direct", "hub", "chain", "free-form"))) if pairs else "direct"
    if shape == "direct":
        ways = {(i, j): [add(f"{i}-{j}", i, j)] for i, j in pairs}
    elif shape == "hub":
        up = {i: add(f"{i}-up", sender=i) for i in names}
        down = {i: add(f"{i}-down", receiver=i) for i in names}
        ways = {(i, j): [up[i], down[j]] for i, j in pairs}
    elif shape == "chain":
        for here, there in (names, names[::-1]):
            hop = [add(f"{i}-{j}", i, j) for i, j in zip(here, here[1:], strict=False)] if False else []
            del hop, there
    return Platform(devices=devices, links=tuple(links))
