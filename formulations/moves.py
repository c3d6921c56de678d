"""Moves: what a communication linearisation says of each edge, whatever its variables are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Array, Mask
from dnnopt.formulations.copies import Copies
from dnnopt.models.arrays import Columns


class Moves(Protocol):
    """The variables of a communication linearisation.

    Attributes
    ----------
    copies : list of Copies
        What is charged.
    pairs : columns (E, P), or None
        `y_ep`, where there are variables for pairs of devices.
    """

    @property
    def copies(self) -> list[Copies]: ...

    @property
    def pairs(self) -> Columns | None: ...

    def seconds(self) -> tuple[Columns, Array]:
        """Return columns and coefficients (E, w): the time of each edge over its route, one hop after the other."""

    def over(self, links: Mask) -> list[Columns]:
        """Return blocks of columns (E, w): where an edge goes over one of the links (L,), a block of it sums to 1."""

    def into(self, device: int) -> Columns:
        """Return columns (E, w) whose sum says that the edge goes to the device from another."""

    def out_of(self, device: int) -> Columns:
        """Return columns (E, w) whose sum says that the edge goes from the device to another."""


@dataclass(frozen=True, eq=False)
class PairMoves:
    """Moves in terms of `y_ep`."""

    c: CompiledProblem
    pairs: Columns
    copies: list[Copies]

    def seconds(self) -> tuple[Columns, Array]:
        """Return `y` and the seconds over each pair's route."""
        return self.pairs, self.c.edge_seconds

    def over(self, links: Mask) -> list[Columns]:
        """Return the pairs whose route has one of the links."""
        return [self.pairs[:, (self.c.pair_uses_link & links).any(axis=1)]]

    def into(self, device: int) -> Columns:
        """Return the pairs with this destination."""
        return self.pairs[:, self.c.pair_destination == device]

    def out_of(self, device: int) -> Columns:
        """Return the pairs with this origin."""
        return self.pairs[:, self.c.pair_origin == device]
