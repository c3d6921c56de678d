"""Metrics: linear functionals of a plan, as coefficient arrays.

    μ(x, w, h, g) = Σ_vi α_vi x_vi + Σ_τℓ β_τℓ w_τℓ + Σ_τ γ_τ h_τ + Σ_χ ε_χ g_χ

Links charge a copy of a tensor affinely in its bytes, so `β_τℓ = scale_τ (per_copy_ℓ + b_τ per_byte_ℓ)` is kept as
three vectors. The values hold only from below in the linearisations of `w`, `h` and `g`: no negative coefficient there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dnnopt.base.errors import InputError

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LinearMetric:
    """A linear metric.

    Attributes
    ----------
    name : str
    unit : str
        SI unit: ``s``, ``bytes``, ``J``, ``USD``, or empty for a pure number.
    alpha : array (nodes, executors)
        `α`; may be negative.
    per_copy, per_byte : array (links,)
        What one copy costs a link, and each of its bytes.
    scale : array (tensors,)
        Factor of each tensor's copies (1, a rate, or 0 for tensors of other networks).
    gamma : array (tensors,)
        `γ`, for tensors that are exposed.
    on_event : array (events,)
        `ε`, for what happens as tensors with choices are sent (see `events.py`).

    Raises
    ------
    InputError
        If a coefficient of copies or exposure is negative.
    """

    name: str
    unit: str
    alpha: Array
    per_copy: Array
    per_byte: Array
    scale: Array
    gamma: Array
    on_event: Array

    def __post_init__(self) -> None:
        for part in ("per_copy", "per_byte", "scale", "gamma", "on_event"):
            values = getattr(self, part)
            if values.size and values.min() < 0:
                raise InputError("coefficients >= 0", field=f"metric {self.name}: {part}", value=float(values.min()))

    @property
    def sends(self) -> bool:
        """Whether copies cost anything."""
        return bool(self.scale.any() and (self.per_copy.any() or self.per_byte.any()))

    def link_charges(self, tensor_bytes: Array) -> Array:
        """Return `β_τℓ`, what a copy of each tensor (with these bytes) costs over each link (T, L)."""
        return self.scale[:, None] * (self.per_copy + tensor_bytes[:, None] * self.per_byte)

    @property
    def exposes(self) -> bool:
        """Whether exposure costs anything."""
        return bool(self.gamma.any())

    @property
    def happens(self) -> bool:
        """Whether events cost anything."""
        return bool(self.on_event.any())
