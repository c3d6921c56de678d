"""Communication linearisations: one file each, registered here by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.formulations.milp.communication import boundary, edgewise, product, segments, treewise
from dnnopt.formulations.milp.placement import add_placement
from dnnopt.formulations.moves import Moves
from dnnopt.models.arrays import Columns
from dnnopt.models.linear import LinearModel


def _fits(c: CompiledProblem) -> None:
    """Pairs of devices fit every problem."""


@dataclass(frozen=True)
class Communication:
    """A communication linearisation.

    Attributes
    ----------
    add : callable
        Adds its variables and rows to a model with placement columns (N, k).
    refuses : callable
        Returns why it does not fit a problem, or None.
    pairs : bool
        Whether it has variables for pairs of devices.
    choices : bool
        Whether it knows modes, forms and blocks.
    for_blocks : bool
        Whether it is another one's model where there are no blocks with costs of their own.
    place : callable
        Adds the placement, and returns its columns (N, k).
    """

    add: Callable[[LinearModel, CompiledProblem, Columns], Moves]
    refuses: Callable[[CompiledProblem], str | None] = _fits
    pairs: bool = True
    choices: bool = False
    for_blocks: bool = False
    place: Callable[[LinearModel, CompiledProblem], Columns] = add_placement


COMMUNICATIONS: dict[str, Communication] = {
    "product": Communication(product.add_pairs, choices=True),
    "edgewise": Communication(edgewise.add_pairs, choices=True),
    "boundary": Communication(boundary.add_ends, boundary.refuses, pairs=False),
    "segments": Communication(segments.add_pairs, choices=True, for_blocks=True, place=segments.add_segments),
    "treewise": Communication(treewise.add_bags, treewise.refuses),
}
