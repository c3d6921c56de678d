"""Random linear models with what files and readers stumble over, whatever formulations make of it today."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from dnnopt.models.linear import LinearModel

Draw = Callable[[st.SearchStrategy[Any]], Any]
NAMES = (
    "x", "x", "y", "free", "obj", "rhs", "bound", "range", "marker0", "End", "bounds", "st", "subject to", "inf", "e9",
    "1st", "x(a)", "constant_1", "", "a b", "a_b", "line\nbreak", "\x1b[2J", "é", "x" * 170, "\\*", "x.low", "x.high",
)  # fmt: skip
_LABELS = ("a", "a", "b", "", "a b", "a_b", "0", "1", "free", "a,b", "\x00", "\n", "end", "L" * 120)
_BOUNDS = (-math.inf, -3.0, -2.5, 0.0, 0.0, 0.0, 1.0, 1.0, 2.5, 7.0, math.inf, math.inf)
_VALUES = (-2.0, -1.0, -1 / 3, 0.0, 0.5, 1.0, 1.0, 3.0, 0.1 + 0.2, 1e-3)
_SIDES = (-math.inf, -4.0, -1.5, 0.0, 1.0, 1.0, 2.0, 7.5, math.inf)
_MOST = 20.0  # the largest size of a variable: searches over unbounded ones need not end


@st.composite
def linear_models(draw: Any) -> LinearModel:
    """Draw a model: blocks with any labels or none, entries that come twice or are 0, sides of every kind."""
    model = LinearModel(draw(st.sampled_from(("odd", "odd: model. Units:", "new\nline", "\\* comment *\\", "é" * 300))))
    for block in range(draw(st.integers(1, 3))):
        shape = draw(_shapes()) if block else (2,)
        size = math.prod(shape)
        integer = draw(st.booleans())
        pairs = [sorted((draw(st.sampled_from(_BOUNDS)), draw(st.sampled_from(_BOUNDS)))) for _ in range(size)]
        bounds = np.array([_possible(*pair, integer) for pair in pairs]).reshape(*shape, 2)
        model.add_variables(
            draw(st.sampled_from(NAMES)),
            shape,
            lower=bounds[..., 0],
            upper=bounds[..., 1],
            integer=integer,
            **_axes(draw, shape),
        )
    columns = np.arange(model.column_count)
    model.add_rows("size", columns[:, None], 1.0, lower=-_MOST, upper=_MOST)
    for _ in range(draw(st.integers(0, 4))):
        shape = draw(_shapes())
        width = draw(st.integers(0, 4))
        entries = (*shape, width)
        index = _array(draw, st.integers(0, model.column_count - 1), entries).astype(int)
        sides = np.sort(_array(draw, st.sampled_from(_SIDES), (2, *shape)), axis=0)
        lower, upper = np.where(sides[0] == np.inf, 0.0, sides[0]), np.where(sides[1] == -np.inf, 0.0, sides[1])
        model.add_rows(
            draw(st.sampled_from(NAMES)),
            index,
            _array(draw, st.sampled_from(_VALUES), entries),
            lower=lower,
            upper=upper,
            **_axes(draw, shape),
        )
    model.minimize(columns, _array(draw, st.sampled_from(_VALUES), columns.shape))
    model.offset = draw(st.sampled_from((0.0, 0.0, 12.5, -3.0)))
    return model


def _shapes() -> st.SearchStrategy[tuple[int, ...]]:
    return st.sampled_from(((), (1,), (2,), (3,), (2, 2), (0,), (1, 3)))


def _possible(lower: float, upper: float, integer: bool) -> tuple[float, float]:
    """Return bounds between which there are numbers."""
    lower, upper = (0.0 if lower == math.inf else lower), (0.0 if upper == -math.inf else upper)
    if integer and math.isfinite(lower) and upper < math.ceil(lower):
        upper = lower + 1.0
    return lower, upper


def _array(draw: Draw, values: st.SearchStrategy[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.array([draw(values) for _ in range(math.prod(shape))], dtype=float).reshape(shape)


def _axes(draw: Draw, shape: tuple[int, ...]) -> dict[str, Any]:
    """Draw labels: none, as many as there are, or more or fewer."""
    kind = draw(st.sampled_from(("none", "fitting", "fitting", "one", "other")))
    if kind == "none":
        return {}
    sizes = {"fitting": shape, "one": (1,), "other": tuple(size + 1 for size in shape)}[kind]
    labels = [[draw(st.sampled_from(_LABELS)) for _ in range(size)] for size in sizes]
    return {"axes": lambda: labels}
