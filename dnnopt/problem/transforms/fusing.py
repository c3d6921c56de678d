"""Fused tiles: a block of layers is computed tile by tile of its result, each from its own part of the block's input.

A tile recomputes what it needs of the layers before, so that tiles of a block exchange nothing; where they overlap,
work is done several times. The farther back from the result, the more a tile needs: fuse more layers, and you exchange
less and compute more (DeepThings, TCAD 37(11), 2018; AOFL, SEC 2019; DeepSlicing, TPDS 2021). A tile is one layer of
the new network, with the FLOP of all that it computes; a device holds a block's weights once, however many tiles it
runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.numbers import counted
from dnnopt.problem.networks import Network, SharedWeights
from dnnopt.problem.transforms.pieces import Piece, Transformed, assemble, in_one_piece
from dnnopt.problem.transforms.sharding import Division, grid_of, share_weights
from dnnopt.problem.transforms.tiling import Tiling

REDUNDANCY = 0.25
"""Share of a block's FLOP that tiles may compute again, where nothing says which layers to fuse."""

Blocks = Annotated[
    Sequence[tuple[str, str] | Sequence[str]], "blocks: the names of their layers, or of the first and the last one"
]

Grid = Annotated[tuple[int, int] | Sequence[tuple[int, int]], "(rows, columns), or those of each block"]


@checked
def fuse(
    network: Network,
    blocks: Blocks | None = None,
    grid: Grid = (2, 2),
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
    grid : (int, int), or a sequence of them
        Rows and columns of tiles of each block's result; (n, 1) are n stripes. A sequence has one for each block.
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
    if not 0 <= redundancy < math.inf:
        raise InputError("a number >= 0", field="redundancy", value=redundancy)
    tiling = Tiling(network)
    if blocks is None:
        division = Division("grid", grid_of(grid, "grid"))
        if len(division.labels) == 1:
            return in_one_piece(network)
        found = tiling.widest(division, redundancy)
        divisions = [division] * len(found)
    else:
        found = [tiling.block(one, k) for k, one in enumerate(blocks)]
        divisions = [Division("grid", one) for one in _grids(grid, len(found))]
    if not found:
        raise InputError("", field="blocks", problem=f"no layers of {network.name!r} can be fused: {tiling.why}")
    owner: dict[str, int] = {}
    for k, members in enumerate(found):
        for name in members:
            if owner.setdefault(name, k) != k:
                expected = f"layers that no other block has (blocks[{owner[name]}])"
                raise InputError(expected, field=f"blocks[{k}]", value=name)
    pieces: list[Piece] = []
    shared: list[SharedWeights] = []
    for layer in network.layers:
        own = owner.get(layer.name)
        if own is None:
            pieces.append(tiling.shapes.whole(layer))
        elif layer.name == found[own][-1]:
            tiles = tiling.tiles(found[own], divisions[own], f"blocks[{own}]")
            size = tiling.weights(found[own])
            if size and len(tiles) > 1:
                tiles, weights = share_weights(tiles, f"{layer.name}.block.weights", size)
                shared += weights
            pieces += tiles
    kinds = list(dict.fromkeys("x".join(str(len(side)) for side in one.shares) for one in divisions))
    return assemble(network, f"{network.name}@fused:{'+'.join(kinds)}", pieces, shared)


def _grids(grid: Any, blocks: int) -> list[tuple[int, int]]:
    """Return the grid of each block."""
    if isinstance(grid, Sequence) and grid and isinstance(grid[0], Sequence):
        if len(grid) != blocks:
            raise InputError(f"{counted(blocks, 'grid')}, one for each block", field="grid", value=grid)
        return [grid_of(one, f"grid[{k}]") for k, one in enumerate(grid)]
    return [grid_of(grid, "grid")] * blocks
