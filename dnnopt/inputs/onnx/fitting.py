"""Whether shapes fit each other: what the checks and the shape rules of operators ask."""

from __future__ import annotations

from collections.abc import Sequence

from dnnopt.inputs.onnx.costs import Value


def shown(shape: Sequence[int]) -> str:
    """Return a shape for a message: ``2x3``."""
    return "x".join(map(str, shape)) or "a scalar"


def demand(fits: bool, problem: str) -> None:
    """Raise a ValueError with the problem where shapes do not fit."""
    if not fits:
        raise ValueError(problem)


def broadcasts(shape: Sequence[int], to: Sequence[int]) -> bool:
    """Whether a shape may be stretched to another one."""
    pairs = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(a in (1, b) for a, b in pairs)


def is_vector(value: Value | None, size: int, what: str) -> None:
    """Refuse an optional input that is no list of so many."""
    if value is not None:
        demand(value.shape == (size,), f"{what} is {shown(value.shape)}, expected {size}")
