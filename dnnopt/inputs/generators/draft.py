"""A network while it is made: layers with whole numbers, and which layers use which outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from dnnopt.problem.networks import INPUT, OUTPUT, Layer, Network, SharedWeights, Tensor

RAW = -1  # stands for the raw input among a layer's sources
ELEMENT = 4  # bytes: 32-bit floating point
IMAGE = (3, 224)  # channels and side of the raw input, where it is an image


@dataclass(frozen=True)
class Work:
    """A layer: floating-point operations, and bytes of weights, of its output and of what it takes in.

    `shared` are the bytes that it reads of weights which it shares with others.
    """

    name: str
    op: str
    sources: tuple[int, ...]
    flops: int
    weights: int
    out: int
    taken: int
    shared: int = 0

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.taken + self.weights + self.shared + self.out

    @property
    def activations(self) -> int:
        """Bytes of activations while it runs."""
        return self.taken + self.out


@dataclass(frozen=True)
class Tied:
    """Weights that several layers share: bytes, and which layers."""

    name: str
    bytes: int
    layers: tuple[int, ...]


@dataclass
class Draft:
    """A network while it is made.

    Attributes
    ----------
    name : str
    raw : int
        Bytes of the raw input.
    works : list of Work
        Every layer comes after its sources.
    together : list of tuple of int
        Layers that share a device.
    tied : list of Tied
        Weights that layers share; they are not among the layers' own.
    answer : bool
        Whether the last layer's output is a result that must return.
    counts : Counter
        Layers so far, by operator.
    """

    name: str
    raw: int
    works: list[Work] = field(default_factory=list)
    together: list[tuple[int, ...]] = field(default_factory=list)
    tied: list[Tied] = field(default_factory=list)
    answer: bool = True
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, op: str, sources: Sequence[int], *, flops: int, out: int, weights: int = 0, shared: int = 0) -> int:
        """Add a layer and return its index; sources are indices of layers, or RAW."""
        self.counts[op] += 1
        taken = sum(self.size(source) for source in sources)
        self.works.append(Work(f"{op}{self.counts[op]}", op, tuple(sources), flops, weights, out, taken, shared))
        return len(self.works) - 1

    def size(self, source: int) -> int:
        """Return the bytes of a layer's output, or of the raw input."""
        return self.raw if source == RAW else self.works[source].out

    def users(self) -> dict[int, list[int]]:
        """Return the layers that use each output, the raw input first; outputs that none uses are left out."""
        users: dict[int, list[int]] = {}
        for index, work in enumerate(self.works):
            for source in work.sources:
                users.setdefault(source, []).append(index)
        return dict(sorted(users.items()))

    def depths(self) -> list[int]:
        """Return the number of layers on the longest path from the raw input to each layer, itself included."""
        depths: list[int] = []
        for work in self.works:
            depths.append(1 + max((depths[source] for source in work.sources if source != RAW), default=0))
        return depths

    def sent(self) -> int:
        """Return the bytes of all tensors that a layer uses or that are a result."""
        results = self.works[-1].out if self.answer else 0
        return results + sum(self.size(source) for source in self.users())

    def network(self, decay: Fraction, device: str) -> Network:
        """Return the network: input from `device`, the answer back to it, and sensitivities that fall with depth.

        The sensitivity of a tensor made at depth d of n is `1 - decay · d / n`, rounded down to thousandths; that of
        the raw input is 1.
        """
        users, depths = self.users(), self.depths()
        deepest = max(depths)
        last = len(self.works) - 1
        if self.answer:
            users.setdefault(last, [])
        tensors = []
        for source, consumers in users.items():
            depth = 0 if source == RAW else depths[source]
            names = tuple(self.works[index].name for index in consumers)
            tensors.append(
                Tensor(
                    name=INPUT if source == RAW else self.works[source].name,
                    producer=INPUT if source == RAW else self.works[source].name,
                    consumers=(*names, OUTPUT) if self.answer and source == last else names,
                    bytes=self.size(source),
                    sensitivity=int(1000 * (1 - decay * Fraction(depth, deepest))) / 1000,
                )
            )
        layers = tuple(
            Layer(
                name=work.name,
                op=work.op,
                flops=work.flops,
                bytes=work.moved,
                weights=work.weights,
                activations=work.activations,
            )
            for work in self.works
        )
        return Network(
            name=self.name,
            layers=layers,
            tensors=tuple(tensors),
            source=device,
            sink=device if self.answer else None,
            shared_weights=tuple(
                SharedWeights(name=one.name, bytes=one.bytes, layers=tuple(self.works[v].name for v in one.layers))
                for one in self.tied
            ),
        )


@dataclass(frozen=True)
class Map:
    """A feature map: the layer that makes it (or RAW), channels, and pixels along a side."""

    layer: int
    channels: int
    side: int

    @property
    def elements(self) -> int:
        return self.channels * self.side**2


def convolve(draft: Draft, maps: Sequence[Map], channels: int, kernel: int = 3, stride: int = 1) -> Map:
    """Add a convolution of maps of one size, taken together."""
    taken = sum(one.channels for one in maps)
    side = -(-maps[0].side // stride)
    multiplications = kernel**2 * taken * channels
    layer = draft.add(
        "conv",
        [one.layer for one in maps],
        flops=2 * multiplications * side**2,
        weights=ELEMENT * multiplications,
        out=ELEMENT * channels * side**2,
    )
    return Map(layer, channels, side)


def resize(draft: Draft, one: Map, op: str, side: int) -> Map:
    """Add a pooling or an upsampling to the given side."""
    new = Map(len(draft.works), one.channels, side)
    draft.add(op, [one.layer], flops=4 * max(one.elements, new.elements), out=ELEMENT * new.elements)
    return new


def concatenate(draft: Draft, maps: Sequence[Map]) -> Map:
    """Add a concatenation of the channels of maps of one size."""
    new = Map(len(draft.works), sum(one.channels for one in maps), maps[0].side)
    draft.add("concat", [one.layer for one in maps], flops=0, out=ELEMENT * new.elements)
    return new


def add_up(draft: Draft, maps: Sequence[Map]) -> Map:
    """Add the sum of maps of one shape."""
    new = Map(len(draft.works), maps[0].channels, maps[0].side)
    draft.add("add", [one.layer for one in maps], flops=(len(maps) - 1) * new.elements, out=ELEMENT * new.elements)
    return new
