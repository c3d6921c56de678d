"""Networks put together from pieces: each makes regions of some tensors of the original network, and reads others.

A region is a box. The tensor that one piece makes is cut where the regions that others read begin and end; what goes to
the same readers is one tensor of the new network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, product
from math import fsum, prod
from typing import Any

from dnnopt.base.errors import InputError
from dnnopt.problem.networks import INPUT, OUTPUT, Layer, Network, SharedWeights, Tensor
from dnnopt.problem.transforms.reading import LayerReading, Shape, Span

Region = Mapping[int, Span]
"""Of a tensor: first position and end of each axis that is not whole."""

WHOLE: Region = {}


@dataclass(frozen=True)
class Piece:
    """A layer of the new network.

    Attributes
    ----------
    layer : Layer
    reads, makes : mapping of str to Region
        What it reads, and makes for others, of each tensor of the original network.
    shares : mapping of str to float
        For each layer of the original network that it computes a part of: the share of its FLOP. Where layers are
        fused, shares of one layer may add up to more than 1.
    regions : mapping of str to Region
        For each of these layers: the part of its result.
    label : str
        Ends the names of what it makes, where that is not whole.
    extra : tuple of Tensor
        Of the new network: what it makes for other pieces that the original has not (partial sums).
    """

    layer: Layer
    reads: Mapping[str, Region]
    makes: Mapping[str, Region]
    shares: Mapping[str, float]
    regions: Mapping[str, Region] = field(default_factory=dict)
    label: str = ""
    extra: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Lifted:
    """What a plan of a transformed network means for the original one.

    Attributes
    ----------
    shares : mapping
        Layer of the original -> device (or device in a mode) -> the share of its FLOP that runs there. Where layers are
        fused, the shares of one layer may add up to more than 1.
    placement : mapping or None
        Network -> layer -> device, as a plan of the original has it, where each of its layers runs on one device.
    """

    shares: Mapping[str, Mapping[str, float]]
    placement: Mapping[str, Mapping[str, str]] | None


@dataclass(frozen=True)
class Transformed:
    """A network in other pieces.

    Attributes
    ----------
    network, original : Network
    pieces : tuple of Piece
        One for each layer of `network`.
    """

    network: Network
    original: Network
    pieces: tuple[Piece, ...]

    @cached_property
    def members(self) -> dict[str, Mapping[str, float]]:
        """Layer of the new network -> layers of the original that it computes, with the share of their FLOP."""
        return {piece.layer.name: piece.shares for piece in self.pieces}

    @cached_property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Layer of the original -> layers of the new network that compute it, or parts of it."""
        found: dict[str, list[str]] = {layer.name: [] for layer in self.original.layers}
        for name, shares in self.members.items():
            for member in shares:
                found[member].append(name)
        return {name: tuple(parts) for name, parts in found.items()}

    @property
    def redundancy(self) -> float:
        """FLOP of the new network over those of the original, less 1; 0 where nothing is computed twice."""
        before = fsum(layer.flops or 0.0 for layer in self.original.layers)
        return fsum(layer.flops or 0.0 for layer in self.network.layers) / before - 1 if before else 0.0

    def lift(self, plan: Any) -> Lifted:
        """Return what a plan of the new network means for the original one.

        Parameters
        ----------
        plan : Plan, or mapping of str to str
            A mapping is from layers to devices.

        Raises
        ------
        InputError
            If the plan is not one of the new network.
        """
        placement = getattr(plan, "placement", None)
        placed = plan if placement is None else placement.get(self.network.name)
        if not isinstance(placed, Mapping) or placed.keys() != self.members.keys():
            raise InputError(f"a plan of the network {self.network.name!r}", field="plan", value=plan)
        shares: dict[str, dict[str, float]] = {layer.name: {} for layer in self.original.layers}
        for name, members in self.members.items():
            for member, share in members.items():
                there = shares[member]
                there[placed[name]] = there.get(placed[name], 0.0) + share
        if any(len(there) != 1 for there in shares.values()):
            return Lifted(shares, None)
        whole = {name: next(iter(there)) for name, there in shares.items()}
        return Lifted(shares, {self.original.name: whole})


class LayerShapes:
    """What a network says of its layers' operands and results."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.tensors = {tensor.name: tensor for tensor in network.tensors}
        self.reads: dict[str, list[str]] = {layer.name: [] for layer in network.layers}
        self.makes: dict[str, list[str]] = {layer.name: [] for layer in network.layers}
        for tensor in network.tensors:
            if tensor.producer != INPUT:
                self.makes[tensor.producer].append(tensor.name)
            for consumer in tensor.consumers:
                if consumer != OUTPUT:
                    self.reads[consumer].append(tensor.name)

    def operands(self, layer: Layer) -> tuple[str, ...]:
        """Return the names of what a layer reads, in the order of its operator ("": a constant)."""
        return layer.inputs or tuple(self.reads[layer.name])

    def reading(self, layer: Layer) -> LayerReading | None:
        """Return what tells how the layer's result can be divided; None where shapes are not known."""
        operands = self.operands(layer)
        if len(self.reads[layer.name]) > 1 and not layer.inputs:
            return None
        shapes = [self.tensors[name].shape if name else None for name in operands]
        results = [self.tensors[name].shape for name in self.makes[layer.name]]
        unknown = any(name and shape is None for name, shape in zip(operands, shapes, strict=True))
        if unknown or not results or results[0] is None or layer.flops is None:
            return None
        return LayerReading(layer, tuple(shapes), results[0])

    def whole(self, layer: Layer) -> Piece:
        """Return the piece that is a layer as it is."""
        reads, makes = (dict.fromkeys(names[layer.name], WHOLE) for names in (self.reads, self.makes))
        return Piece(layer, reads, makes, {layer.name: 1.0}, {layer.name: WHOLE})

    def why_not(self, otherwise: str) -> str:
        """Return why nothing can be divided: there are no shapes or, where there are, another reason."""
        if any(tensor.shape is not None for tensor in self.network.tensors):
            return otherwise
        return "it has no shapes (`read_onnx` gives them, as do the networks of the library)"

    def alike(self, layer: Layer, axis: int, size: int) -> bool:
        """Return whether all results of a layer have an axis of that length."""
        shapes = (self.tensors[name].shape for name in self.makes[layer.name])
        return all(shape is not None and axis < len(shape) and shape[axis] == size for shape in shapes)


def in_one_piece(network: Network) -> Transformed:
    """Return a network in its own layers."""
    shapes = LayerShapes(network)
    return Transformed(network, network, tuple(map(shapes.whole, network.layers)))


def share_of(region: Region, shape: Shape | None) -> float:
    """Return the share of a tensor's elements in a region."""
    return prod((end - first) / shape[axis] for axis, (first, end) in region.items()) if region and shape else 1.0


def amounts_of_part(
    layer: Layer, shapes: LayerShapes, region: Region, reads: Mapping[str, Region], weights: float | None = None
) -> tuple[float, float, float | None]:
    """Return what a region of a layer's result takes: the shares of the result and of the weights, and the bytes.

    Parameters
    ----------
    reads : mapping of str to Region
        What it reads of each operand.
    weights : float, optional
        The share of the weights that it reads; by default what `Layer.weight_axes` say.
    """
    tensors, made = shapes.tensors, shapes.makes[layer.name]
    result = tensors[made[0]].shape if made else None
    share = share_of(region, result)
    part = weights
    if part is None:
        part = share_of({axis: span for axis, span in region.items() if axis in layer.weight_axes}, result)
    if layer.bytes is None:
        return share, part, None
    own = layer.weights or 0.0
    results = sum(tensors[one].bytes for one in made)
    before = sum(tensors[read].bytes for read in reads) + own + results
    moved = sum(tensors[read].bytes * share_of(one, tensors[read].shape) for read, one in reads.items())
    return share, part, layer.bytes * ((moved + part * own + share * results) / before if before else share)


def part_of_layer(
    layer: Layer,
    name: str,
    shapes: LayerShapes,
    region: Region,
    reads: Mapping[str, Region],
    weights: float | None = None,
) -> Layer:
    """Return the layer that computes a region of a layer's result; the parameters are those of `amounts_of_part`.

    `Layer.weights` is what it reads of them: what parts have in common is left to the caller.
    """
    share, part, moved = amounts_of_part(layer, shapes, region, reads, weights)
    return Layer(
        name=name,
        op=layer.op,
        flops=None if layer.flops is None else layer.flops * share,
        bytes=moved,
        weights=None if layer.weights is None else layer.weights * part,
        activations=None if layer.activations is None else layer.activations * share,
        state=layer.state * share,
        reach=layer.reach,
        dtype=layer.dtype,
    )


def assemble(
    network: Network, name: str, pieces: Sequence[Piece], shared_weights: Sequence[SharedWeights]
) -> Transformed:
    """Return the network that the pieces make.

    Parameters
    ----------
    shared_weights : sequence of SharedWeights
        Those that come beside the network's own, by names of pieces.
    """
    makers: dict[str, list[Piece]] = {}
    readers: dict[str, list[tuple[str, Region]]] = {}
    for piece in pieces:
        for made in piece.makes:
            makers.setdefault(made, []).append(piece)
        for read, region in piece.reads.items():
            readers.setdefault(read, []).append((piece.layer.name, region))
    tensors: list[Tensor] = []
    for tensor in network.tensors:
        found = readers.get(tensor.name, [])
        if OUTPUT in tensor.consumers:
            found = [*found, (OUTPUT, WHOLE)]
        by = makers.get(tensor.name, [])
        cuts = _Cuts(tensor, found, [piece.makes[tensor.name] for piece in by])
        if tensor.producer == INPUT:
            tensors += cuts.parts(INPUT, "", WHOLE)
        for piece in by:
            region = piece.makes[tensor.name]
            tensors += cuts.parts(piece.layer.name, piece.label if region else "", region)
    tensors += [tensor for piece in pieces for tensor in piece.extra]
    parts: dict[str, list[str]] = {}
    for piece in pieces:
        for member in piece.shares:
            parts.setdefault(member, []).append(piece.layer.name)
    kept = [
        shared.model_copy(update={"layers": tuple(dict.fromkeys(part for one in shared.layers for part in parts[one]))})
        for shared in network.shared_weights
    ]
    known = {tensor.name for tensor in tensors}
    layers = (piece.layer for piece in pieces)  # what reads parts of a tensor does not read it in the operator's order
    fields = {key: getattr(network, key) for key in Network.model_fields}
    changed = {
        "name": name,
        "layers": tuple(
            layer if known.issuperset(filter(None, layer.inputs)) else layer.model_copy(update={"inputs": ()})
            for layer in layers
        ),
        "tensors": tuple(tensors),
        "shared_weights": (*kept, *(one for one in shared_weights if len(one.layers) > 0)),
    }
    return Transformed(Network(**{**fields, **changed}), network, tuple(pieces))


class _Cuts:
    """How a tensor is cut: where the regions that others read begin and end.

    Parameters
    ----------
    tensor : Tensor
        Of the original network.
    readers : sequence of (str, Region)
        Pieces, or the output, and what they read of it.
    made : iterable of Region
        What the pieces that make it do.
    """

    def __init__(self, tensor: Tensor, readers: Sequence[tuple[str, Region]], made: Iterable[Region]) -> None:
        self.tensor, self.readers = tensor, readers
        self.axes = sorted({axis for region in (*made, *(read for _, read in readers)) for axis in region})
        shape = tensor.shape or ()
        self.sizes = [shape[axis] for axis in self.axes]
        self.boxes = [(name, self._box(read)) for name, read in readers]

    def _box(self, region: Region) -> list[Span]:
        return [region.get(axis, (0, size)) for axis, size in zip(self.axes, self.sizes, strict=True)]

    def parts(self, producer: str, label: str, region: Region) -> Iterator[Tensor]:
        """Yield what one piece makes of it, for each set of readers."""
        cells = self._cells(region)
        size = prod(map(float, self.sizes))
        for number, (consumers, volume) in enumerate(cells.items(), start=1):
            if volume == size:
                kept = self.tensor if OUTPUT in consumers else self.tensor.model_copy(update={"reach": None})
                yield kept.model_copy(update={"producer": producer, "consumers": consumers})
                continue
            if self.tensor.forms:
                expected = "no forms, as the tensor is divided (give the parts forms of their own)"
                field = f"tensors.{self.tensor.name}.forms"
                raise InputError(expected, field=field, value=[form.name for form in self.tensor.forms])
            yield Tensor(
                name=f"{self.tensor.name}{label}" + (f".{number}" if len(cells) > 1 else ""),
                producer=producer,
                consumers=consumers,
                bytes=self.tensor.bytes * (volume / size),
                sensitivity=self.tensor.sensitivity,
                source=self.tensor.source,
                plain=self.tensor.plain,
                reach=self.tensor.reach if OUTPUT in consumers else None,
            )

    def _cells(self, region: Region) -> dict[tuple[str, ...], float]:
        """Return how many elements of a region each set of readers reads, over the axes that are cut."""
        mine = self._box(region)
        wanted = [(name, box) for name, box in self.boxes if _meet(box, mine)]
        steps = [
            sorted({first, end, *(cut for _, box in wanted for cut in box[k] if first < cut < end)})
            for k, (first, end) in enumerate(mine)
        ]
        cells: dict[tuple[str, ...], float] = {}
        for cell in product(*map(pairwise, steps)):
            consumers = tuple(name for name, box in wanted if _meet(box, cell))
            if consumers:
                volume = prod([float(end - first) for first, end in cell])
                cells[consumers] = cells.get(consumers, 0.0) + volume
        return cells


def _meet(first: Sequence[Span], second: Sequence[Span]) -> bool:
    """Return whether two boxes have something in common."""
    for (a, b), (c, d) in zip(first, second, strict=True):  # noqa: SIM110, quicker than a generator
        if a >= d or c >= b:
            return False
    return True
