"""Fused tiles: a block of layers is computed tile by tile of its result, each from its own part of the block's input.

A tile recomputes what it needs of the layers before, so that tiles of a block exchange nothing; where they overlap,
work is done several times. The farther back from the result, the more a tile needs: fuse more layers, and you exchange
less and compute more (DeepThings, TCAD 37(11), 2018; AOFL, SEC 2019; DeepSlicing, TPDS 2021). A tile is one layer of
the new network, with the FLOP of all that it computes; a device holds a block's weights once, however many tiles it
runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, product
from math import fsum
from typing import Annotated

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.problem.networks import INPUT, OUTPUT, Layer, Network, SharedWeights
from dnnopt.problem.transforms.pieces import (
    WHOLE,
    LayerShapes,
    Piece,
    Region,
    Transformed,
    assemble,
    in_one_piece,
    part_of_layer,
    share_of,
)
from dnnopt.problem.transforms.reading import LayerReading, Span
from dnnopt.problem.transforms.sharding import Division, grid_of, hull, needs, share_weights

REDUNDANCY = 0.25
"""Share of a block's FLOP that tiles may compute again, where nothing says which layers to fuse."""

Blocks = Annotated[
    Sequence[tuple[str, str] | Sequence[str]], "blocks: the names of their layers, or of the first and the last one"
]


@checked
def fuse(
    network: Network,
    blocks: Blocks | None = None,
    grid: tuple[int, int] = (2, 2),
    *,
    redundancy: float = REDUNDANCY,
) -> Transformed:
    """Return a network whose blocks are computed in tiles.

    Parameters
    ----------
    network : Network
        With shapes, as `read_onnx` and the library give it.
    blocks : sequence, optional
        The layers of each block; a pair of names is the first and the last layer of one, with all on the ways between
        them. One layer of a block makes all that others read. None: from the input on, the longest blocks whose tiles
        compute at most `redundancy` of the block's FLOP again.
    grid : (int, int)
        Rows and columns of tiles of each block's result; (n, 1) are n stripes.
    redundancy : float

    Returns
    -------
    Transformed
        The tiles of a block that ends in ``pool2`` are ``pool2#1``, ``pool2#2``, ...; its other layers are parts of
        them. With a grid of (1, 1) and no blocks, the network is the original.

    Raises
    ------
    InputError
        For layers that there are not, or that are in two blocks; for a block that ways leave and enter again, that has
        several layers which others read, or whose result cannot be divided; if there is nothing to fuse.
    """
    division = Division("grid", grid_of(grid))
    if blocks is None and len(division.labels) == 1:
        return in_one_piece(network)
    if not 0 <= redundancy < math.inf:
        raise InputError("a number >= 0", field="redundancy", value=redundancy)
    tiling = Tiling(network)
    found = (
        tiling.widest(division, redundancy)
        if blocks is None
        else [tiling.block(one, k) for k, one in enumerate(blocks)]
    )
    if not found:
        raise InputError("", field="blocks", problem=f"no layers of {network.name!r} can be fused: {tiling.why}")
    owner: dict[str, int] = {}
    for k, members in enumerate(found):
        for name in members:
            if owner.setdefault(name, k) != k:
                raise InputError(
                    f"layers that no other block has (blocks[{owner[name]}])", field=f"blocks[{k}]", value=name
                )
    pieces: list[Piece] = []
    shared: list[SharedWeights] = []
    for layer in network.layers:
        own = owner.get(layer.name)
        if own is None:
            reads = dict.fromkeys(tiling.shapes.reads[layer.name], WHOLE)
            makes = dict.fromkeys(tiling.shapes.makes[layer.name], WHOLE)
            pieces.append(Piece(layer, reads, makes, {layer.name: 1.0}, {layer.name: WHOLE}))
        elif layer.name == found[own][-1]:
            tiles = tiling.tiles(found[own], division, f"blocks[{own}]")
            size = tiling.weights(found[own])
            if size and len(tiles) > 1:
                tiles, weights = share_weights(tiles, f"{layer.name}.block.weights", size)
                shared += weights
            pieces += tiles
    rows, columns = grid
    return assemble(network, f"{network.name}@fused:{rows}x{columns}", pieces, shared)


class Tiling:
    """What the tiles of blocks of one network need."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.shapes = LayerShapes(network)
        self.layers = {layer.name: layer for layer in network.layers}
        self.order = {network.layers[v].name: k for k, v in enumerate(network.order)}
        self._readings: dict[str, LayerReading | None] = {}

    @property
    def why(self) -> str:
        """Why nothing can be fused."""
        if any(tensor.shape is not None for tensor in self.network.tensors):
            return "none has feature maps to divide, or tiles would compute too much again"
        return "it has no shapes (`read_onnx` gives them, as do the networks of the library)"

    def reading(self, name: str) -> LayerReading | None:
        if name not in self._readings:
            self._readings[name] = self.shapes.reading(self.layers[name])
        return self._readings[name]

    def block(self, given: Sequence[str], k: int) -> list[str]:
        """Return the layers of a block in topological order, checked.

        Raises
        ------
        InputError
            See `fuse`.
        """
        field = f"blocks[{k}]"
        for name in given:
            if name not in self.layers:
                raise InputError(f"the name of a layer of {self.network.name!r}", field=field, value=name)
        members = set(given)
        if len(given) == 2:
            members |= self._after(given[0]) & self._before(given[1])
        found = sorted(members, key=self.order.__getitem__)
        if not found:
            raise InputError("at least one layer", field=field, value=list(given))
        ends = [name for name in found if any(reader not in members for reader in self._readers(name))]
        if ends != [found[-1]]:
            value = ends[:-1] if ends[-1:] == [found[-1]] else ends
            expected = f"a block of which others read what its last layer, {found[-1]}, makes"
            raise InputError(expected, field=field, value=value)
        return found

    def _readers(self, name: str) -> list[str]:
        return [one for tensor in self.shapes.makes[name] for one in self.shapes.tensors[tensor].consumers]

    def _producers(self, name: str) -> list[str]:
        producers = (self.shapes.tensors[tensor].producer for tensor in self.shapes.reads[name])
        return [producer for producer in producers if producer != INPUT]

    def _after(self, name: str) -> set[str]:
        return self._reachable(name, lambda one: [r for r in self._readers(one) if r != OUTPUT])

    def _before(self, name: str) -> set[str]:
        return self._reachable(name, self._producers)

    @staticmethod
    def _reachable(start: str, neighbours) -> set[str]:  # type: ignore[no-untyped-def]
        found, stack = {start}, [start]
        while stack:
            for name in neighbours(stack.pop()):
                if name not in found:
                    found.add(name)
                    stack.append(name)
        return found

    def axes(self, name: str) -> tuple[int, int] | None:
        """Return the rows and columns of a layer's result, if both can be divided."""
        reading = self.reading(name)
        rank = 0 if reading is None else len(reading.result)
        if reading is None or rank < 4 or reading.links(rank - 2) is None or reading.links(rank - 1) is None:
            return None
        return rank - 2, rank - 1

    def regions(self, members: Sequence[str], region: Region) -> tuple[dict[str, Region], dict[str, Region]]:
        """Return what a tile computes of each member's result, and what it reads of each tensor from outside.

        Parameters
        ----------
        members : sequence of str
            A block in topological order.
        region : Region
            What the tile is of the last member's result.
        """
        inside = set(members)
        wanted: dict[str, Region] = {members[-1]: region}
        outer: dict[str, Region] = {}
        for name in reversed(members):
            layer, reading = self.layers[name], self.reading(name)
            own = wanted.get(name, WHOLE)
            if reading is None:
                own = WHOLE
            else:
                own = {axis: interval for axis, interval in own.items() if reading.links(axis) is not None}
                alike = all(self.shapes.alike(layer, axis, reading.result[axis]) for axis in own)
                own = own if alike else WHOLE
            wanted[name] = own
            if reading is None or not own:
                read: Mapping[str, Region] = dict.fromkeys(self.shapes.reads[name], WHOLE)
            else:
                read = needs(self.shapes, layer, reading, own)
            for tensor, part in read.items():
                producer = self.shapes.tensors[tensor].producer
                known, key = (wanted, producer) if producer in inside else (outer, tensor)
                known[key] = hull(known[key], part) if key in known else part
        return {name: wanted[name] for name in members}, outer

    def share(self, name: str, region: Region) -> float:
        reading = self.reading(name)
        return share_of(region, None if reading is None else reading.result)

    def cells(self, last: str, division: Division, field: str) -> list[tuple[str, Region]]:
        """Return the tiles of a layer's result, with their labels; none is empty."""
        axes = self.axes(last)
        if axes is None:
            raise InputError("a block whose last layer makes feature maps that can be divided", field=field, value=last)
        reading = self.reading(last)
        assert reading is not None
        sides = [_even(reading.result[axis], len(shares)) for axis, shares in zip(axes, division.shares, strict=True)]
        cells = (
            (label, dict(zip(axes, cell, strict=True)))
            for label, cell in zip(division.labels, product(*sides), strict=True)
        )
        return [(label, cell) for label, cell in cells if all(first < end for first, end in cell.values())]

    def tiles(self, members: Sequence[str], division: Division, field: str) -> list[Piece]:
        """Return the tiles of a block."""
        last = members[-1]
        found = []
        for label, region in self.cells(last, division, field):
            regions, reads = self.regions(members, region)
            parts = []
            for name in members:
                layer, reading = self.layers[name], self.reading(name)
                read: Mapping[str, Region] = dict.fromkeys(self.shapes.reads[name], WHOLE)
                if reading is not None and regions[name]:
                    read = needs(self.shapes, layer, reading, regions[name])
                parts.append(part_of_layer(layer, name, self.shapes, regions[name], read, weights=1.0))
            shares = {name: self.share(name, regions[name]) for name in members}
            tile = _one_layer(parts, last + label if len(division.labels) > 1 else last)
            makes = dict.fromkeys(self.shapes.makes[last], region if len(division.labels) > 1 else WHOLE)
            found.append(Piece(tile, reads, makes, shares, regions, label))
        return found

    def weights(self, members: Iterable[str]) -> float | None:
        """Return the bytes of a block's weights; None: one is not known."""
        sizes = [self.layers[name].weights for name in members]
        return None if None in sizes else fsum(size or 0.0 for size in sizes)

    def redundancy(self, members: Sequence[str], division: Division) -> float:
        """Return the share of a block's FLOP that its tiles compute again."""
        work = {name: self.layers[name].flops or 0.0 for name in members}
        done = fsum(
            work[name] * self.share(name, region)
            for _, cell in self.cells(members[-1], division, "blocks")
            for name, region in self.regions(members, cell)[0].items()
        )
        whole_work = fsum(work.values())
        return done / whole_work - 1 if whole_work else 0.0

    def widest(self, division: Division, most: float) -> list[list[str]]:
        """Return the longest blocks, from the input on, of at most that redundancy."""
        stages = self.stages()
        found: list[list[str]] = []
        start = 0
        while start < len(stages):
            best = start
            members: list[str] = []
            for end in range(start, len(stages)):
                members = members + stages[end]
                if self.axes(members[-1]) is None or not self._has_sides(members[-1], division):
                    break
                if self.redundancy(members, division) > most:
                    break
                best = end + 1
            if best > start:
                found.append([name for stage in stages[start:best] for name in stage])
            start = max(best, start + 1)
        return found

    def _has_sides(self, name: str, division: Division) -> bool:
        reading, axes = self.reading(name), self.axes(name)
        assert reading is not None
        assert axes is not None
        return all(reading.result[axis] >= len(shares) for axis, shares in zip(axes, division.shares, strict=True))

    def stages(self) -> list[list[str]]:
        """Return the network cut after each layer through which all ways lead (an articulation), in order."""
        names = [self.network.layers[v].name for v in self.network.order]
        last_use = [
            max((self.order[reader] if reader != OUTPUT else len(names) for reader in self._readers(name)), default=k)
            for k, name in enumerate(names)
        ]
        inputs = max(
            (self.order[c] for t in self.network.tensors if t.producer == INPUT for c in t.consumers if c != OUTPUT),
            default=-1,
        )
        found: list[list[str]] = []
        start, open_until = 0, inputs
        for k in range(len(names)):
            if open_until <= k:  # all that was made before, and the input, has been read
                found.append(names[start : k + 1])
                start = k + 1
            open_until = max(open_until, last_use[k])
        if start < len(names):
            found.append(names[start:])
        return found


def _even(size: int, parts: int) -> list[Span]:
    return list(pairwise(round(size * k / parts) for k in range(parts + 1)))


def _one_layer(parts: Sequence[Layer], name: str) -> Layer:
    """Return one layer that runs all parts, one after the other."""

    def over(values: Sequence[float | None], largest: bool = False) -> float | None:
        known = [value for value in values if value is not None]
        return None if len(known) < len(values) else max(known) if largest else fsum(known)

    computing = [part for part in parts if part.flops] or list(parts)
    most = max(computing, key=lambda part: part.flops or 0.0)
    if len({part.reach for part in parts}) > 1:
        raise InputError("layers of one reach in a block", field="blocks", value=[part.name for part in parts])
    return Layer(
        name=name,
        op="+".join(dict.fromkeys(part.op for part in computing if part.op)),
        flops=over([part.flops for part in parts]),
        bytes=over([part.bytes for part in parts]),
        weights=over([part.weights for part in parts]),
        activations=over([part.activations for part in parts], largest=True),
        state=fsum(part.state for part in parts),
        reach=most.reach,
        dtype=most.dtype,
    )
