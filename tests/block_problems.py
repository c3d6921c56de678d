"""Hypothesis strategies: blocks with costs of their own, added to random small problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

from hypothesis import strategies as st
from kept import integers, lists, sampled_from

from dnnopt.base.errors import InputError
from dnnopt.problem.blocks import FusedBlock, check_blocks
from dnnopt.problem.networks import Network
from dnnopt.problem.platforms import Platform
from dnnopt.problem.profiles import Profile, layer_seconds

Draw = Callable[[st.SearchStrategy[Any]], Any]
_FACTORS = (0.0, 0.25, 0.5, 0.5, 0.75, 1.0, 2.0)
_MOST = 3
MIXED = ("modes", "forms", "reach", "state", "scenarios")


def possible_blocks(network: Network, most: int) -> Iterator[tuple[str, ...]]:
    """Yield the layers of every block of at most so many layers that a network may have."""
    names = [layer.name for layer in network.layers]
    for size in range(1, most + 1):
        for layers in combinations(names, size):
            try:
                check_blocks(
                    [FusedBlock(network=network.name, layers=layers, time={"x": 1})], {network.name: network}, {"x"}
                )
            except InputError:
                continue
            yield layers


@st.composite
def with_blocks(draw: Draw, networks: tuple[Network, ...], platform: Platform, profile: Profile) -> Profile:
    """Draw up to three blocks: what they take is a multiple of what their layers do."""
    listed = [(network, layers) for network in networks for layers in possible_blocks(network, 4)]
    longer = [one for one in listed if len(one[1]) > 1]
    chosen = draw(lists(sampled_from(longer or listed), min_size=1, max_size=_MOST))
    if draw(integers(0, 3)) == 0:
        chosen = [*chosen[: _MOST - 1], draw(sampled_from(listed))]
    return profile.replace(blocks=[draw(_block(network, layers, platform, profile)) for network, layers in chosen])


@st.composite
def _block(draw: Draw, network: Network, names: tuple[str, ...], platform: Platform, profile: Profile) -> FusedBlock:
    layers = [layer for layer in network.layers if layer.name in names]
    executors = platform.executors()
    places = [*(executor.name for executor in executors), *platform.device_names()]
    able = draw(lists(sampled_from(places), min_size=1, unique=True))
    if draw(st.booleans()):
        able = list(platform.device_names())
    time = {}
    for place in dict.fromkeys(able):
        executor = next(one for one in executors if place in (one.name, one.device.name))
        alone = [layer_seconds(profile, network, layer, executor) for layer in layers]
        time[place] = draw(sampled_from(_FACTORS)) * sum(seconds or 1.0 for seconds in alone)
    energy = {place: draw(sampled_from((0.0, 1.0, 5.0))) for place in able if draw(integers(0, 3)) == 0}
    return FusedBlock(network=network.name, layers=draw(st.permutations(names)), time=time, energy=energy)
