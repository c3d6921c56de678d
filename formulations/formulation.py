"""What every formulation is: a way to write a compiled problem for a kind of solver."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dnnopt.compiled import CompiledProblem, Index
from dnnopt.scaling import Units


class Formulation(Protocol):
    """A formulation: `supports`, `build`, `encode`, `read`.

    Attributes
    ----------
    name : str
        Full name, such as ``edgewise+potentials``.
    kind : {"milp", "cp"}
        What `build` returns: a LinearModel or a ConstraintModel.
    """

    name: str
    kind: str

    def supports(self, compiled: CompiledProblem) -> str | None:
        """Return None, or what of the problem the formulation does not support."""

    def build(self, compiled: CompiledProblem, units: Units | None = None) -> Any:
        """Return the model, in `units` or (None) in units that suit the problem.

        Raises
        ------
        UnsupportedError
            If `supports` gives a reason.
        """

    def encode(self, model: Any, placement: Index) -> NDArray[np.float64]:
        """Return the values of all variables of `model` in the plan of a placement (N,)."""

    def read(self, model: Any, values: NDArray[np.float64]) -> Index:
        """Return the placement (N,) that the values of the variables describe."""

    def forbid(self, model: Any, placement: Index) -> None:
        """Add to `model` that the placement (N,) is not the solution."""
