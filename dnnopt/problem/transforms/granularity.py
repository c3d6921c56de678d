"""What granularities are called, and what they make of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.problem.networks import Network
from dnnopt.problem.transforms.coarsening import GRANULARITIES, LARGEST_BLOCK, groups, merge
from dnnopt.problem.transforms.fusing import fuse
from dnnopt.problem.transforms.pieces import Piece, Transformed, in_one_piece
from dnnopt.problem.transforms.sharding import shard

_EXPECTED = (
    "one of operator, layer, block, rows:4, grid:2x2, channels:4, paired:4, batch:4, fused:2x2, with other numbers of "
    "parts"
)


@dataclass(frozen=True)
class Granularity:
    """How layers are merged or divided.

    Attributes
    ----------
    kind : str
        ``operator``, ``layer``, ``block``, ``rows``, ``grid``, ``channels``, ``paired``, ``batch`` or ``fused``.
    parts : int, (int, int) or mapping of str to float
        How many; of a grid, its rows and columns; or shares by the names of devices.
    """

    kind: str
    parts: int | tuple[int, int] | Mapping[str, float] = 1

    @classmethod
    def of(cls, text: str) -> Granularity:
        """Return what a text says.

        Raises
        ------
        InputError
            For one that is no granularity.
        """
        kind, colon, said = text.partition(":")
        if kind in GRANULARITIES and not colon:
            return cls(kind)
        if kind in ("grid", "fused"):
            rows, times, columns = said.partition("x")
            if not times:
                raise InputError(_EXPECTED, field="granularity", value=text)
            return cls(kind, (_whole(rows, text), _whole(columns, text)))
        if kind not in ("rows", "channels", "paired", "batch") or not said:
            raise InputError(_EXPECTED, field="granularity", value=text)
        if "=" not in said:
            return cls(kind, _whole(said, text))
        shares: dict[str, float] = {}
        for part in said.split(","):
            name, equals, share = part.strip().rpartition("=")
            if not equals or not name or name in shares:
                raise InputError("NAME=SHARE for each part, each name once", field="granularity", value=text)
            shares[name] = float(_whole(share, text))
        return cls(kind, shares)


def _whole(text: str, granularity: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 5 and int(text) >= 1):
        raise InputError(_EXPECTED, field="granularity", value=granularity)
    return int(text)


@checked
def in_pieces(network: Network, granularity: str) -> Transformed:
    """Return a network at a granularity, called ``NAME@GRANULARITY``.

    Parts of layers (`rows`, ...) are made of operators, and then merged as at the granularity ``layer``.

    Parameters
    ----------
    network : Network
        At the granularity of operators, with shapes for all but ``layer`` and ``block``.
    granularity : str
        ``operator``, ``layer``, ``block``; ``rows:4``, ``channels:4``, ``paired:4``, ``batch:4`` (so many parts, or
        shares, ``rows:pi=1,nx=4``), ``grid:2x2``, ``fused:2x2``.

    Raises
    ------
    InputError
        For another granularity, and where no layer can be divided.
    """
    wanted = Granularity.of(granularity)
    if wanted.kind in GRANULARITIES:
        return coarse(network, wanted.kind)
    if wanted.kind == "fused" and isinstance(wanted.parts, tuple):
        return with_layers(fuse(network, None, wanted.parts))
    axis, pair = ("channels", True) if wanted.kind == "paired" else (wanted.kind, False)
    return with_layers(shard(network, axis, wanted.parts, pair=pair))


def with_layers(transformed: Transformed) -> Transformed:
    """Return the parts of operators merged to parts of layers."""
    merged = coarse(transformed.network, "layer")
    pieces = []
    for piece in merged.pieces:
        shares: dict[str, float] = {}
        for part in piece.shares:
            for member, share in transformed.members[part].items():
                shares[member] = shares.get(member, 0.0) + share
        pieces.append(replace(piece, shares=shares))
    network = merged.network.model_copy(update={"name": transformed.network.name})
    return Transformed(network, transformed.original, tuple(pieces))


def coarse(network: Network, granularity: str, *, largest: int = LARGEST_BLOCK) -> Transformed:
    """Return what `coarsen` does, with what its layers are made of; the parameters and errors are the same."""
    if granularity == "operator":
        return in_one_piece(network)
    merged = merged_layers(network, groups(network, granularity, largest=largest))
    return replace(merged, network=merged.network.model_copy(update={"name": f"{network.name}@{granularity}"}))


def merged_layers(network: Network, groups: Sequence[Sequence[str]]) -> Transformed:
    """Return what `merge` does, with what its layers are made of; the parameters and errors are the same."""
    merged = merge(network, groups)
    pieces = (
        Piece(layer, {}, {}, dict.fromkeys(names, 1.0)) for layer, names in zip(merged.layers, groups, strict=True)
    )
    return Transformed(merged, network, tuple(pieces))
