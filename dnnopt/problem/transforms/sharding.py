"""Shards: each layer is divided into parts that compute a share of its result each.

`rows`, `grid`
    Of the feature maps (of sequences: tokens). A part of a convolution reads rows that other parts have made: after
    each layer neighbours exchange what overlaps, its halo (MoDNN, DATE 2017; CoEdge, ToN 2020).
`channels`
    Of the results of convolutions and matrix products, whose weights are divided; each part reads the whole operand
    (DistPrivacy, GLOBECOM 2020). With ``pair=True`` the next product that reads what is divided sums over its own
    part alone, and the partial sums are added up: between the two nothing is exchanged, so heads of attention and
    columns of a feed-forward layer stay where they are (Megatron-LM, arXiv 1909.08053).
`batch`
    Of the samples; a device that has a part has all the weights.

Layers that cannot be divided stay whole. What is computed is the same, and nothing is computed twice: the FLOP of the
parts of a layer add up to its own. Its bytes grow by the halos and the weights that several parts read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise, product
from typing import Annotated, Any

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.problem.networks import Layer, Network, SharedWeights, Tensor
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
from dnnopt.problem.transforms.reading import AxisLink, LayerReading, Span

AXES = ("rows", "grid", "channels", "batch")
_MOST_PARTS = 10_000

Shares = Annotated[
    int | Sequence[float] | Mapping[str, float] | tuple[int, int],
    "a number of parts, their shares, shares by the names of devices, or (rows, columns) of a grid",
]


class Division:
    """How layers are divided: along one dimension of parts or, for a grid, two.

    Attributes
    ----------
    axis : str
    shares : tuple of tuple of float
        For each dimension: the shares of its parts, which add up to 1.
    labels : tuple of str
        Of the parts, in the order of `product` over the dimensions.
    """

    def __init__(self, axis: str, parts: Shares) -> None:
        if axis not in AXES:
            raise InputError(f"one of {', '.join(AXES)}", field="axis", value=axis)
        self.axis = axis
        if axis == "grid":
            rows, columns = grid_of(parts)
            self.shares: tuple[tuple[float, ...], ...] = tuple((1.0 / n,) * n for n in (rows, columns))
        else:
            self.shares = (_shares(parts),)
        count = math.prod(map(len, self.shares))
        if count > _MOST_PARTS:
            raise InputError(f"at most {_MOST_PARTS} parts", field="parts", value=parts)
        names = list(parts) if isinstance(parts, Mapping) else [str(number) for number in range(1, count + 1)]
        self.labels = tuple(f"#{name}" for name in names)

    def axes(self, rank: int) -> tuple[int, ...]:
        """Return the axes of a result that are divided where nothing else tells which."""
        if self.axis == "batch":
            return (0,)
        if self.axis == "grid":
            return (rank - 2, rank - 1) if rank > 3 else ()
        return (rank - 2,) if rank > 2 else ()


def grid_of(parts: Any, field: str = "parts") -> tuple[int, int]:
    """Return the rows and columns of a grid.

    Raises
    ------
    InputError
        For anything but two whole numbers of at least 1.
    """
    is_pair = isinstance(parts, Sequence) and not isinstance(parts, str) and len(parts) == 2
    if not is_pair or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in parts):
        raise InputError("(rows, columns), two whole numbers >= 1", field=field, value=parts)
    return parts[0], parts[1]


def _shares(parts: Any) -> tuple[float, ...]:
    if isinstance(parts, int) and not isinstance(parts, bool):
        if not 1 <= parts <= _MOST_PARTS:
            raise InputError(f"a whole number from 1 to {_MOST_PARTS}", field="parts", value=parts)
        return (1.0 / parts,) * parts
    values = list(parts.values()) if isinstance(parts, Mapping) else parts
    good = isinstance(values, Sequence) and not isinstance(values, str) and len(values) > 0
    if not good or not all(
        isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf for value in values
    ):
        raise InputError("a whole number >= 1, or shares > 0", field="parts", value=parts)
    total = math.fsum(values)
    return tuple(value / total for value in values)


@checked
def shard(
    network: Network, axis: str, parts: Shares, *, pair: bool = False, layers: Sequence[str] | None = None
) -> Transformed:
    """Return a network whose layers are divided.

    Parameters
    ----------
    network : Network
        With shapes, as `read_onnx` and the library give it.
    axis : {"rows", "grid", "channels", "batch"}
    parts : int, sequence or mapping of float, or (int, int)
        How many equal parts, or their shares (of each layer, rounded to whole rows), by the names of devices or others
        if it is a mapping; for a grid, its rows and columns.
    pair : bool
        Of channels: whether every second product sums over its own part (see the module).
    layers : sequence of str, optional
        Those that are divided; None: all that can be.

    Returns
    -------
    Transformed
        The parts of a layer ``conv1`` are ``conv1#1``, ``conv1#2``, ..., or ``conv1#NAME``. With one part, the network
        is the original.

    Raises
    ------
    InputError
        If no layer can be divided, and for arguments that are none.
    """
    division = Division(axis, parts)
    if pair and axis != "channels":
        raise InputError("False, as only channels are paired", field="pair", value=pair)
    if len(division.labels) == 1:
        return in_one_piece(network)
    wanted = network.layer_names if layers is None else frozenset(layers)
    for name in sorted(wanted - network.layer_names):
        raise InputError(f"the name of a layer of {network.name!r}", field="layers", value=name)
    return _Sharding(network, division, pair, wanted).result()


class _Sharding:
    """Divides one network.

    `axes` has, for each divided layer, the axis of its result in each dimension of the parts (None: it is whole in that
    dimension). Where the operand of a layer is divided, the axis that goes with it is chosen, so that as little as can
    be is exchanged. `summed` are the layers that sum over their part of an operand. `units`: the positions between
    which an axis may be cut are multiples of this (heads of attention are not divided).
    """

    def __init__(self, network: Network, division: Division, pair: bool, wanted: frozenset[str]) -> None:
        self.network, self.division, self.pair, self.wanted = network, division, pair, wanted
        self.shapes = LayerShapes(network)
        self.readings: dict[str, LayerReading] = {}
        self.axes: dict[str, list[int | None]] = {}
        self.summed: dict[str, AxisLink] = {}
        self.units: dict[str, list[int]] = {}

    def result(self) -> Transformed:
        for index in self.network.order:
            self._choose(self.network.layers[index])
        if not self.axes and not self.summed:
            why = self.shapes.why_not(f"none has {self.division.axis} to divide")
            raise InputError("", field="axis", problem=f"no layer of {self.network.name!r} can be divided: {why}")
        for index in reversed(self.network.order):
            self._align(self.network.layers[index].name)
        pieces: list[Piece] = []
        shared: list[SharedWeights] = []
        for layer in self.network.layers:
            found, weights = self._pieces(layer)
            pieces += found
            shared += weights
        parts = "x".join(str(len(shares)) for shares in self.division.shares)
        name = f"{self.network.name}@{'paired' if self.pair else self.division.axis}:{parts}"
        return assemble(self.network, name, pieces, shared)

    def _divided(self, tensor: str) -> list[int | None]:
        """Return the axis of a tensor that is divided, in each dimension."""
        producer = self.shapes.tensors[tensor].producer
        return self.axes.get(producer, [None] * len(self.division.shares))

    def _choose(self, layer: Layer) -> None:
        """Choose along which axes a layer is divided."""
        reading = self.shapes.reading(layer) if layer.name in self.wanted else None
        if reading is None:
            return
        self.readings[layer.name] = reading
        operands = self.shapes.operands(layer)
        link = reading.summed if self.pair and operands and operands[0] else None
        if link is not None and self._divided(operands[0])[0] == link.axis:
            self.summed[layer.name] = link
            return
        links = {axis: reading.links(axis) for axis in range(len(reading.result))}
        chosen: list[int | None] = []
        for dimension, shares in enumerate(self.division.shares):
            following = [
                axis
                for axis, found in links.items()
                for link in found or ()
                if self._divided(operands[link.operand] or "")[dimension] == link.axis
                if operands[link.operand]
            ]
            default = self._default(layer, reading, dimension)
            options = [axis for axis in (*following, *default) if self._is_divisible(layer, reading, axis, links)]
            options = [axis for axis in options if axis not in chosen and reading.result[axis] >= min(2, len(shares))]
            chosen.append(options[0] if options else None)
        if any(axis is not None for axis in chosen):
            self.axes[layer.name] = chosen

    def _default(self, layer: Layer, reading: LayerReading, dimension: int) -> list[int]:
        rank = len(reading.result)
        if self.division.axis != "channels":
            axes = self.division.axes(rank)
            return [axes[dimension]] if dimension < len(axes) else []
        if layer.window is not None and layer.weight_axes:
            return [1]
        return [rank - 1] if reading.layer.weight_axes == (rank - 1,) and layer.op in ("MatMul", "Gemm") else []

    def _is_divisible(self, layer: Layer, reading: LayerReading, axis: int, links: Mapping[int, Any]) -> bool:
        return links.get(axis) is not None and self.shapes.alike(layer, axis, reading.result[axis])

    def _align(self, name: str) -> None:
        """Find where the axes of a layer may be cut, from what reads it; consumers come first."""
        if name not in self.axes:
            return
        units = []
        for dimension, axis in enumerate(self.axes[name]):
            unit = 1
            if axis is not None:
                size = self.readings[name].result[axis]
                for link in self.readings[name].links(axis) or ():
                    unit = math.lcm(unit, 1 if link.window else link.blocks[0])
                for tensor in self.shapes.makes[name]:
                    for consumer in self.shapes.tensors[tensor].consumers:
                        demanded = math.lcm(unit, self._demanded(consumer, tensor, axis, dimension))
                        unit = demanded if demanded < size else unit
            units.append(unit)
        self.units[name] = units

    def _demanded(self, consumer: str, tensor: str, axis: int, dimension: int) -> int:
        """Return of what the cuts of a tensor should be multiples, for a consumer to read its own part alone."""
        into = self.axes.get(consumer, [None] * (dimension + 1))[dimension]
        if into is None:
            return 1
        reading = self.readings[consumer]
        operands = self.shapes.operands(reading.layer)
        for link in reading.links(into) or ():
            if operands[link.operand] == tensor and link.axis == axis and link.window is None:
                out, own = link.blocks
                return max(1, self.units[consumer][dimension] // out) * own
        return 1

    def _intervals(self, size: int, dimension: int, unit: int) -> list[Span]:
        """Return what each part has of an axis, in whole units."""
        units = -(-size // unit)
        ends = [min(size, round(share * units) * unit) for share in accumulate(self.division.shares[dimension])]
        return list(pairwise([0, *ends[:-1], size]))

    def _pieces(self, layer: Layer) -> tuple[list[Piece], list[SharedWeights]]:
        """Return what a layer becomes, and the weights that its parts share."""
        made = self.shapes.makes[layer.name]
        if layer.name in self.summed:
            return self._partial_sums(layer), []
        if layer.name not in self.axes:
            return [self.shapes.whole(layer)], []
        reading = self.readings[layer.name]
        intervals = [
            [None] * len(shares) if axis is None else self._intervals(reading.result[axis], k, unit)
            for k, (shares, axis, unit) in enumerate(
                zip(self.division.shares, self.axes[layer.name], self.units[layer.name], strict=True)
            )
        ]
        pieces, seen = [], set()
        for label, cell in zip(self.division.labels, product(*intervals), strict=True):
            region: Region = {
                axis: interval
                for axis, interval in zip(self.axes[layer.name], cell, strict=True)
                if axis is not None and interval is not None
            }
            if any(first >= end for first, end in region.values()) or (key := tuple(sorted(region.items()))) in seen:
                continue  # nothing is left for it, or another part does the same
            seen.add(key)
            reads = needs(self.shapes, layer, reading, region)
            part = part_of_layer(layer, layer.name + label, self.shapes, region, reads)
            share = share_of(region, reading.result)
            makes = dict.fromkeys(made, region)
            pieces.append(Piece(part, reads, makes, {layer.name: share}, {layer.name: region}, label))
        divides = any(axis in layer.weight_axes for axis in self.axes[layer.name] if axis is not None)
        if divides or not layer.weights or len(pieces) == 1:
            return pieces, []
        return share_weights(pieces, f"{layer.name}.weights", layer.weights)

    def _partial_sums(self, layer: Layer) -> list[Piece]:
        """Return the parts that sum over a share of an operand, and the layer that adds up what they make."""
        link, reading, made = self.summed[layer.name], self.readings[layer.name], self.shapes.makes[layer.name]
        operand = self.shapes.operands(layer)[0]
        producer = self.shapes.tensors[operand].producer
        unit = self.units[producer][0]
        total, result = layer.name + "#sum", self.shapes.tensors[made[0]]
        pieces = []
        for label, (first, end) in zip(self.division.labels, self._intervals(link.size, 0, unit), strict=True):
            if first >= end:
                continue
            share = (end - first) / link.size
            reads = {operand: {link.axis: (first, end)}}
            part = part_of_layer(layer, layer.name + label, self.shapes, WHOLE, reads, weights=share)
            part = part.model_copy(update={"flops": (layer.flops or 0.0) * share, "state": layer.state * share})
            sent = Tensor(
                name=result.name + label,
                producer=part.name,
                consumers=(total,),
                bytes=result.bytes,
                sensitivity=result.sensitivity,
            )
            pieces.append(Piece(part, reads, {}, {layer.name: share}, {layer.name: WHOLE}, label, (sent,)))
        size = result.bytes
        adding = Layer(
            name=total,
            op="Sum",
            flops=float((len(pieces) - 1) * math.prod(reading.result)),
            bytes=(len(pieces) + 1) * size,
            weights=0.0,
            activations=size,
            reach=layer.reach,
            dtype=layer.dtype,
        )
        return [*pieces, Piece(adding, {}, dict.fromkeys(made, WHOLE), {}, {})]


def needs(shapes: LayerShapes, layer: Layer, reading: LayerReading, region: Region) -> Mapping[str, Region]:
    """Return what a region of a layer's result needs of each operand: whole axes, but for those that go with its own.

    The region is along axes that can be divided.
    """
    operands = shapes.operands(layer)
    found: dict[str, dict[int, Span]] = {}
    for index, name in enumerate(operands):
        if not name:
            continue
        read: dict[int, Span] = {}
        for axis, interval in region.items():
            for link in reading.links(axis) or ():
                if link.operand == index:
                    first, end = link.of(interval)
                    if (first, end) != (0, link.size):
                        read[link.axis] = (first, end)
        found[name] = hull(found[name], read) if name in found else read  # an operand may be read twice (x * x)
    return found


def hull(first: Mapping[int, Span], second: Mapping[int, Span]) -> dict[int, Span]:
    """Return the smallest region that holds both."""
    both = first.keys() & second.keys()
    return {axis: (min(first[axis][0], second[axis][0]), max(first[axis][1], second[axis][1])) for axis in both}


def share_weights(pieces: Sequence[Piece], name: str, size: float) -> tuple[list[Piece], list[SharedWeights]]:
    """Return the pieces with weights that a device which runs several of them holds once."""
    bare = [replace(piece, layer=piece.layer.model_copy(update={"weights": 0.0})) for piece in pieces]
    return bare, [SharedWeights(name=name, bytes=size, layers=tuple(piece.layer.name for piece in pieces))]
