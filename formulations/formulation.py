"""What every formulation is: a way to write a compiled problem for a kind of solver."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dnnopt.base.errors import UnsupportedError
from dnnopt.compiled.compiled import CompiledProblem
from dnnopt.compiled.metrics import Index
from dnnopt.compiled.scaling import Units
from dnnopt.compiled.scheduling import Times
from dnnopt.compiled.scope import Scope


def check_supported(formulation: Formulation, compiled: CompiledProblem) -> None:
    """Raise UnsupportedError where `supports` gives a reason."""
    reason = formulation.supports(compiled)
    if reason:
        raise UnsupportedError("", problem=f"formulation {formulation.name!r} does not support {reason}")


class Formulation(Protocol):
    """A formulation: `supports`, `build`, `encode`, `read`. Plans are placements here, an executor for each node (N,).

    Attributes
    ----------
    name : str
        Full name, such as ``edgewise+potentials``.
    kind : {"milp", "cp"}
        What `build` returns: a LinearModel or a ConstraintModel.
    value : {"exact", "bound", "plan"}
        What the optimum of the model is: the problem's, a bound only, or only what some plan reaches.
    scope : Scope
        What it looks at; `supports` asks it, and then for what cannot be said in kinds.
    """

    name: str
    kind: str
    value: str

    @property
    def scope(self) -> Scope: ...

    def supports(self, compiled: CompiledProblem) -> str | None:
        """Return None, or what of the problem the formulation does not support."""

    def build(self, compiled: CompiledProblem, units: Units | None = None) -> Any:
        """Return the model, in `units` or (None) in units that suit the problem.

        It may use the problem's floor, and leave out plans above its cap.

        Raises
        ------
        UnsupportedError
            If `supports` gives a reason.
        """

    def encode(
        self, compiled: CompiledProblem, model: Any, placement: Index, times: Times | None = None
    ) -> NDArray[np.float64]:
        """Return the values of all variables of `model` in a plan; without times, by those of its list schedule."""

    def read(self, compiled: CompiledProblem, model: Any, values: NDArray[np.float64]) -> Index:
        """Return the placement that the values of the variables describe."""

    def times(self, compiled: CompiledProblem, model: Any, values: NDArray[np.float64]) -> Times | None:
        """Return when everything starts in the order of the solution; None: the values say nothing of a schedule."""

    def forbid(self, compiled: CompiledProblem, model: Any, placement: Index) -> None:
        """Add to `model` that the placement is not the solution."""
