"""What tiles of a block of layers compute and read, back from its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise, product
from math import fsum

from dnnopt.base.errors import InputError
from dnnopt.problem.networks import INPUT, OUTPUT, Layer, Network
from dnnopt.problem.transforms.coarsening import one_layer
from dnnopt.problem.transforms.pieces import (
    WHOLE,
    LayerShapes,
    Piece,
    Region,
    part_of_layer,
    share_of,
)
from dnnopt.problem.transforms.reading import LayerReading, Span
from dnnopt.problem.transforms.sharding import Division, hull, needs


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
        return self.shapes.why_not("none has feature maps to divide, or tiles would compute too much again")

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
    def _reachable(start: str, neighbours: Callable[[str], Iterable[str]]) -> set[str]:
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

    def back(
        self, members: Sequence[str], made: Mapping[str, Region]
    ) -> tuple[list[tuple[str, Region, Mapping[str, Region]]], dict[str, Region]]:
        """Return what a tile computes and reads.

        Parameters
        ----------
        members : sequence of str
            Layers in topological order.
        made : mapping of str to Region
            What the tile is to make of the results of some of them.

        Returns
        -------
        list of (str, Region, mapping of str to Region)
            For each layer, the last one first: what is computed of its result, and what that reads of each tensor.
        dict of str to Region
            What is read of tensors that none of the layers makes.
        """
        inside = set(members)
        wanted, outer = dict(made), dict[str, Region]()
        found: list[tuple[str, Region, Mapping[str, Region]]] = []
        for name in reversed(members):
            layer, reading = self.layers[name], self.reading(name)
            own: Region = WHOLE
            read: Mapping[str, Region] = dict.fromkeys(self.shapes.reads[name], WHOLE)
            if reading is not None:
                own = {axis: span for axis, span in wanted.get(name, WHOLE).items() if reading.links(axis) is not None}
                if not all(self.shapes.alike(layer, axis, reading.result[axis]) for axis in own):
                    own = WHOLE
                read = needs(self.shapes, layer, reading, own) if own else read
            found.append((name, own, read))
            for tensor, part in read.items():
                producer = self.shapes.tensors[tensor].producer
                known, key = (wanted, producer) if producer in inside else (outer, tensor)
                known[key] = hull(known[key], part) if key in known else part
        return found, outer

    def part(self, name: str, region: Region, read: Mapping[str, Region]) -> Layer:
        """Return the part of a layer that a tile computes; it needs all of the weights."""
        return part_of_layer(self.layers[name], name, self.shapes, region, read, weights=1.0)

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
        last, divides = members[-1], len(division.labels) > 1
        found = []
        for label, cell in self.cells(last, division, field):
            computed, reads = self.back(members, {last: cell})
            computed.reverse()
            tile = self._tile([self.part(*one) for one in computed], last + label if divides else last)
            regions = {name: region for name, region, _ in computed}
            shares = {name: self.share(name, region) for name, region in regions.items()}
            makes = dict.fromkeys(self.shapes.makes[last], cell if divides else WHOLE)
            found.append(Piece(tile, reads, makes, shares, regions, label))
        return found

    @staticmethod
    def _tile(parts: list[Layer], name: str) -> Layer:
        if len({part.reach for part in parts}) > 1:
            raise InputError("layers of one reach in a block", field="blocks", value=[part.name for part in parts])
        return one_layer(parts, name).model_copy(update={"name": name})  # of a single one, too

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
            for name, region, _ in self.back(members, {members[-1]: cell})[0]
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
                if self.axes(members[-1]) is None or not self.has_sides(members[-1], division):
                    break
                if self.redundancy(members, division) > most:
                    break
                best = end + 1
            if best > start:
                found.append([name for stage in stages[start:best] for name in stage])
            start = max(best, start + 1)
        return found

    def has_sides(self, name: str, division: Division) -> bool:
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
