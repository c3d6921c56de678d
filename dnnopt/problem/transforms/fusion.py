"""Which layers to fuse, in how many tiles: the best of all ways to cut a network into blocks, for devices in a group.

The devices work on one block after the other. The hub has a block's input; it sends each tile what the tile reads,
the devices compute their tiles, and the hub collects the results:

    cost(block, grid) = Σ_tiles elsewhere send(hub, d) + max_d Σ_tiles of d time + Σ_tiles elsewhere send(d, hub)

A tile's time is that of the layer that `fuse` makes of it. A network is cut at its articulation layers, through which
all ways lead, so a cut is a path from its input to its result, and the best one is a shortest path over the blocks
(AOFL, SEC 2019; Legion, ICCD 2021; the synchronisation points of DeepSlicing, TPDS 2021). Every fixed fusion is one of
the paths. `Fusion.problem` is the same as a problem whose profile lists the blocks, to prove it or to go on from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.problem.blocks import FusedBlock
from dnnopt.problem.networks import Layer, Network
from dnnopt.problem.objectives import latency
from dnnopt.problem.platforms import Device, Executor, Platform
from dnnopt.problem.problem import Problem
from dnnopt.problem.profiles import Profile, layer_seconds, roofline_seconds
from dnnopt.problem.transforms.fusing import fuse
from dnnopt.problem.transforms.pieces import Region, Transformed, amounts_of_part, share_of
from dnnopt.problem.transforms.sharding import Division, grid_of, hull
from dnnopt.problem.transforms.tiling import Tiling

_MOST_BLOCKS = 200_000

Grids = Annotated[Sequence[tuple[int, int]], "grids: (rows, columns) of tiles, such as [(2, 2), (4, 1)]"]


@dataclass(frozen=True)
class FusedRun:
    """Layers that are fused, one after the other.

    Attributes
    ----------
    layers : tuple of str
    grid : (int, int)
        Rows and columns of tiles; (1, 1): all on the hub.
    seconds : float
    """

    layers: tuple[str, ...]
    grid: tuple[int, int]
    seconds: float


@dataclass(frozen=True)
class Fusion:
    """The best way to fuse a network.

    Attributes
    ----------
    runs : tuple of FusedRun
        From the input on.
    seconds : float
        The sum.
    network : Network
        The original.
    choices : tuple of FusedRun
        All the runs that there are to choose from, each in its best grid.
    group : str
        Names the devices together.
    """

    runs: tuple[FusedRun, ...]
    seconds: float
    network: Network
    choices: tuple[FusedRun, ...]
    group: str

    @cached_property
    def problem(self) -> Problem:
        """To cut the network into blocks at least latency, on one device that stands for the group."""
        single = {run.layers[0]: run.seconds for run in self.choices if len(run.layers) == 1}
        times = {layer.name: {self.group: single.get(layer.name)} for layer in self.network.layers}
        blocks = (
            FusedBlock(
                network=self.network.name,
                layers=run.layers,
                time={self.group: run.seconds},
                name=f"{run.layers[0]}..{run.layers[-1]} {run.grid[0]}x{run.grid[1]}",
            )
            for run in self.choices
            if len(run.layers) > 1
        )
        return Problem(
            self.network.model_copy(update={"source": None, "sink": None}),
            Platform(devices=[Device(name=self.group)], name=self.group),
            "sequential",
            latency(),
            profile=Profile(time={self.network.name: times}, blocks=tuple(blocks)),
            name=f"fusion of {self.network.name} on {self.group}",
        )

    def transformed(self) -> Transformed:
        """Return the network with these tiles.

        Raises
        ------
        InputError
            If nothing is fused.
        """
        tiled = [run for run in self.runs if run.grid != (1, 1)]
        if not tiled:
            raise InputError("", field="network", problem=f"it is best not to fuse any layers of {self.network.name!r}")
        return fuse(self.network, [run.layers for run in tiled], [run.grid for run in tiled])


@checked
def best_fusion(
    network: Network,
    platform: Platform,
    grids: Grids = ((2, 2),),
    *,
    devices: Sequence[str] | None = None,
    profile: Profile | None = None,
) -> Fusion:
    """Return which layers to fuse in how many tiles, of all ways to do so the best.

    Parameters
    ----------
    network : Network
        With shapes, as `read_onnx` and the library give it.
    platform : Platform
    grids : sequence of (int, int)
        Of tiles; to leave layers on the hub, (1, 1), is always possible.
    devices : sequence of str, optional
        That work together, the first of them the hub; None: all, and the network's source first.
    profile : Profile, optional
        Measured times; the roofline serves where there is none.

    Returns
    -------
    Fusion

    Raises
    ------
    InputError
        For devices that there are not or that have no route to the hub, for a network without shapes, and for
        operators that the hub cannot run.
    """
    group = _group(network, platform, devices)
    sides = list(dict.fromkeys([(1, 1), *(grid_of(grid, f"grids[{k}]") for k, grid in enumerate(grids))]))
    costs = BlockCosts(network, platform, group, profile or Profile())
    stages = costs.stages
    if len(stages) ** 2 * len(sides) > 2 * _MOST_BLOCKS:
        raise InputError(f"a network and grids with at most {_MOST_BLOCKS} blocks", field="grids", value=sides)
    if costs.tiling.shapes.tensors and all(tensor.shape is None for tensor in network.tensors):
        raise InputError("", field="network", problem=f"nothing of {network.name!r} can be fused: {costs.tiling.why}")
    runs: dict[tuple[int, int], FusedRun] = {}  # the best tiling of each
    for grid in sides:
        for first, last, seconds in costs.of(grid):
            if (first, last) not in runs or seconds < runs[first, last].seconds:
                members = tuple(name for stage in stages[first : last + 1] for name in stage)
                runs[first, last] = FusedRun(members, grid, seconds)
    best: list[tuple[float, int, FusedRun | None]] = [(0.0, 0, None)]
    for end in range(1, len(stages) + 1):
        ways = ((first, runs[first, end - 1]) for first in range(end) if (first, end - 1) in runs)
        costed = ((best[first][0] + run.seconds, first, run) for first, run in ways)
        best.append(min(costed, key=lambda way: way[0]))
    chosen, end = [], len(stages)
    while end:
        _, before, run_there = best[end]
        assert run_there is not None
        chosen.append(run_there)
        end = before
    return Fusion(tuple(reversed(chosen)), best[-1][0], network, tuple(runs.values()), "+".join(group))


def _group(network: Network, platform: Platform, devices: Sequence[str] | None) -> list[str]:
    known = platform.device_names()
    named = list(devices) if devices is not None else list(known)
    for name in named:
        if name not in known:
            raise InputError(f"one of {', '.join(known)}", field="devices", value=name)
    if not named or len(set(named)) < len(named):
        raise InputError("at least one device, each once", field="devices", value=named)
    if devices is None and network.source in named:
        named.remove(network.source)
        named.insert(0, network.source)
    return named


class BlockCosts:
    """What blocks of layers cost on a group of devices."""

    def __init__(self, network: Network, platform: Platform, group: Sequence[str], profile: Profile) -> None:
        self.network, self.profile = network, profile
        self.tiling = Tiling(network)
        self.stages = self.tiling.stages()
        executors = {one.device.name: one for one in reversed(platform.executors())}  # the first mode of each
        self.executors = [executors[name] for name in group]
        self.is_measured = network.name in profile.time
        self.seconds = {layer.name: [self._seconds(layer, one) for one in self.executors] for layer in network.layers}
        self.there = [(0.0, 0.0)] + [_send(platform, group[0], name) for name in group[1:]]
        self.back = [(0.0, 0.0)] + [_send(platform, name, group[0]) for name in group[1:]]

    def of(self, grid: tuple[int, int]) -> Iterator[tuple[int, int, float]]:
        """Yield the first and the last stage of each block that can be cut into such tiles, and its cost."""
        division = Division("grid", grid)
        for last in range(len(self.stages)):
            name = self.stages[last][-1]
            if grid != (1, 1) and (self.tiling.axes(name) is None or not self.tiling.has_sides(name, division)):
                continue
            if grid == (1, 1):
                yield from self._alone(last)
            else:
                yield from self._tiled(last, division)

    def _seconds(self, layer: Layer, executor: Executor) -> float:
        found = layer_seconds(self.profile, self.network, layer, executor)
        return math.inf if found is None else found

    def _alone(self, last: int) -> Iterator[tuple[int, int, float]]:
        """Yield each stage by itself on the hub: to run several there costs what they do."""
        for name in self.stages[last]:
            if math.isinf(self.seconds[name][0]):
                raise InputError(f"an operator that {self.executors[0].name} runs", field="network", value=name)
        yield last, last, math.fsum(self.seconds[name][0] for name in self.stages[last])

    def _tiled(self, last: int, division: Division) -> Iterator[tuple[int, int, float]]:
        tiles = [_Tile(self, last, cell) for _, cell in self.tiling.cells(self.stages[last][-1], division, "grids")]
        for first in range(last, -1, -1):
            extended = [tile.extend(self.stages[first]) for tile in tiles]
            if not all(extended):
                return
            cost = self._cost(tiles)
            if math.isfinite(cost):
                yield first, last, cost

    def _cost(self, tiles: Sequence[_Tile]) -> float:
        """Return the cost of a block: the next tile goes where it is done first."""
        busy = [0.0] * len(self.executors)
        sent = 0.0
        for tile in tiles:
            times = [tile.seconds(k) for k in range(len(busy))]
            home = min(range(len(busy)), key=lambda k: busy[k] + times[k])
            busy[home] += times[home]
            (wait, per_byte), (wait_back, per_byte_back) = self.there[home], self.back[home]
            sent += wait + per_byte * tile.read + wait_back + per_byte_back * tile.made
        return sent + max(busy)


class _Tile:
    """A tile of a stage's result, which grows back towards the input stage by stage."""

    def __init__(self, costs: BlockCosts, last: int, cell: Region) -> None:
        self.costs = costs
        tiling, name = costs.tiling, costs.stages[last][-1]
        self.wanted: dict[str, Region] = {name: cell}
        self.flops = self.bytes = 0.0
        self.read = 0.0
        self.measured = [0.0] * len(costs.executors)
        self.made = sum(
            tiling.shapes.tensors[one].bytes * share_of(cell, tiling.shapes.tensors[one].shape)
            for one in tiling.shapes.makes[name]
        )

    def extend(self, stage: Sequence[str]) -> bool:
        """Take one more stage into the tile; False: it cannot be."""
        costs = self.costs
        computed, outer = costs.tiling.back(stage, self.wanted)
        for name, region, read in computed:
            layer = costs.tiling.layers[name]
            share, _, moved = amounts_of_part(layer, costs.tiling.shapes, region, read, weights=1.0)
            if layer.flops is None or moved is None:
                return False
            self.flops += layer.flops * share
            self.bytes += moved
            for k, seconds in enumerate(costs.seconds[name]):
                self.measured[k] += share * seconds
        self.read, self.wanted = 0.0, {}
        for name, region in outer.items():
            tensor = costs.tiling.shapes.tensors[name]
            self.read += tensor.bytes * share_of(region, tensor.shape)
            known = self.wanted.get(tensor.producer)
            self.wanted[tensor.producer] = region if known is None else hull(known, region)
        return True

    def seconds(self, k: int) -> float:
        """Return the time of the tile on the k-th device: measured shares, or the roofline of all that it does."""
        if self.costs.is_measured:
            return self.measured[k]
        tile = Layer.model_construct(name="tile", flops=self.flops, bytes=self.bytes)  # nothing to check
        found = roofline_seconds(tile, self.costs.executors[k].device)
        return self.measured[k] if found is None or math.isinf(self.measured[k]) else found


def _send(platform: Platform, origin: str, destination: str) -> tuple[float, float]:
    """Return the seconds that a message takes on a route, and those of each byte."""
    links = {link.name: link for link in platform.links}
    for route in platform.routes:
        if (route.origin, route.destination) == (origin, destination):
            on = [links[name] for name in route.links]
            return sum(link.latency for link in on), sum(1.0 / link.bandwidth for link in on)
    raise InputError(f"devices with a route from {origin}", field="devices", value=destination)
