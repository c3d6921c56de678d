"""Forms of tensors on the wire: numbers of floating point in 16 or 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

FORM_BYTES = {"float16": 2, "int8": 1}
_LARGEST_HALF = 65504.0
_STEPS = 127


def to_form(array: np.ndarray, form: str) -> tuple[np.ndarray, float]:
    """Return the numbers that are sent in place of an array, and what each of them is a multiple of.

    In ``float16``, what is beyond its range becomes its largest number. In ``int8``, numbers are multiples of the
    largest magnitude over 127; such an array must be finite, and what is not becomes 0.
    """
    import numpy as np

    if form == "float16":
        return np.clip(array, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16), 1.0
    finite = np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)
    scale = float(np.max(np.abs(finite), initial=0.0)) / _STEPS or 1.0
    return np.rint(finite / scale).astype(np.int8), scale


def from_form(array: np.ndarray, scale: float, dtype: str) -> np.ndarray:
    """Return the numbers that were sent as those."""
    import numpy as np

    return (array.astype(np.float64) * scale).astype(dtype) if scale != 1.0 else array.astype(dtype)
