"""ConstraintModel: whole-number variables, clauses and linear rows; what constraint-programming formulations emit.

Real coefficients become whole numbers by one rule: multiplied by a scale and rounded down. So a row `a·x <= b` never
cuts off a plan that satisfies it, and a bound on the rounded objective is a bound on the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnnopt.linear_model import Block, Columns, Evaluate, Values

Whole = NDArray[np.int64]

# Sums in a solver must stay below 2^63; this leaves room.
_LARGEST_SUM = 2.0**60
# A value of interest becomes about this large, so that rounding n terms down loses at most n / 2^36 of it.
_RESOLUTION = 2.0**36
TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Clauses:
    """Clauses of one length: at least one literal is true; where `positive` is False the variable is negated."""

    name: str
    columns: Columns
    positive: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LinearRow:
    """`lower <= coefficients · columns <= upper`; None: no bound on that side."""

    name: str
    columns: Columns
    coefficients: Whole
    lower: int | None
    upper: int | None


def scale_for(size: float, total: float) -> float:
    """Return a power of two that brings `size` near 2^36 while `total` (the sum of all terms) stays below 2^60."""
    if not size > 0:
        size = total
    if not total > 0:
        return 1.0
    return float(2.0 ** np.floor(np.log2(min(_RESOLUTION / size, _LARGEST_SUM / total))))


class ConstraintModel:
    """A model over whole-number variables.

    Parameters
    ----------
    name : str

    Attributes
    ----------
    objective_unit : float
        SI value of one unit of the objective.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.objective_unit = 1.0
        self.variables: list[Block] = []
        self.exactly_one: list[Columns] = []
        self.clauses: list[Clauses] = []
        self.linear: list[LinearRow] = []
        self.objective_columns: list[Columns] = []
        self.objective_coefficients: list[Whole] = []
        self.lower: list[int] = []
        self.upper: list[int] = []

    def add_variables(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        axes: Callable[[], Sequence[Sequence[str]]] = lambda: (),
        lower: ArrayLike = 0,
        upper: ArrayLike = 1,
        evaluate: Evaluate | None = None,
    ) -> Columns:
        """Add a block of variables (0-1 by default) and return its columns, in `shape`."""
        block = Block(name, len(self.lower), shape, axes, evaluate)
        self.variables.append(block)
        self.lower.extend(np.broadcast_to(np.asarray(lower, dtype=np.int64), shape).ravel().tolist())
        self.upper.extend(np.broadcast_to(np.asarray(upper, dtype=np.int64), shape).ravel().tolist())
        return np.arange(block.first, len(self.lower), dtype=np.int64).reshape(shape)

    def add_exactly_one(self, columns: Columns) -> None:
        """In each row (R, w), exactly one variable is true."""
        self.exactly_one.append(columns)

    def add_clauses(self, name: str, columns: Columns, positive: Sequence[bool]) -> None:
        """In each row (R, w), at least one literal is true."""
        self.clauses.append(Clauses(name, columns.reshape(-1, columns.shape[-1]), np.array(positive, dtype=bool)))

    def add_whole_row(
        self,
        name: str,
        columns: Columns,
        coefficients: ArrayLike,
        *,
        lower: int | None = None,
        upper: int | None = None,
    ) -> None:
        """Add a row that is in whole numbers already."""
        whole = np.broadcast_to(np.asarray(coefficients, dtype=np.int64), columns.shape)
        self.linear.append(LinearRow(name, columns, whole, lower, upper))

    def add_limit(self, name: str, columns: Columns, values: Values, limit: float) -> None:
        """Add `values · columns <= limit`, rounded so that no plan within 1e-9 of the limit is cut off."""
        keep = values != 0
        columns, values = columns[keep], values[keep]
        if (values == np.round(values)).all() and np.abs(values).sum() < 2.0**53:
            scale = 1.0
        else:
            scale = scale_for(abs(limit), float(np.abs(values).sum()))
        upper = np.floor((limit + TOLERANCE * abs(limit)) * scale)
        whole = np.floor(values * scale).astype(np.int64)
        if np.maximum(whole, 0).sum() > upper:
            self.linear.append(LinearRow(name, columns, whole, None, int(upper)))

    def minimize(self, columns: Columns, coefficients: Whole) -> None:
        """Add whole coefficients to the objective."""
        self.objective_columns.append(columns)
        self.objective_coefficients.append(coefficients)

    def encode(self, placement: NDArray[np.int64]) -> Values:
        """Return the value of every variable in the plan of a placement (N,)."""
        parts = []
        for block in self.variables:
            if block.evaluate is None:
                raise TypeError(f"variables {block.name} do not say what they are in a plan")
            values = np.asarray(block.evaluate(placement), dtype=float)
            parts.append(np.broadcast_to(values, block.shape).ravel())
        return np.concatenate(parts)

    def summary(self) -> str:
        """Return the sizes, block by block."""
        blocks = ", ".join(f"{b.name}{list(b.shape)}" for b in self.variables)
        clauses = sum(len(block.columns) for block in self.clauses)
        return (
            f"{self.name}: {len(self.lower)} variables, {sum(len(c) for c in self.exactly_one)} exactly-one, "
            f"{clauses} clauses, {len(self.linear)} linear rows\n  variables: {blocks}"
        )
