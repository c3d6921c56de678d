"""What all plots share: colours that colour-blind people tell apart, with hatches and markers; new axes; units."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dnnopt.base.extras import optional
from dnnopt.base.numbers import fitting_unit
from dnnopt.base.text import COLOURS, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#222222"  # text, edges, what matters
FAINT = "#BBBBBB"  # what is only context
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "----", "++++", "oo")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))


def colour(index: int) -> str:
    """Return the colour of the device, method or whatever has this index."""
    return COLOURS[index % len(COLOURS)]


def hatch(index: int) -> str:
    """Return the hatch that goes with a colour; the pair repeats after 56."""
    return HATCHES[index % len(HATCHES)]


def marker(index: int) -> str:
    """Return the marker that goes with a colour."""
    return MARKERS[index % len(MARKERS)]


def line_style(index: int) -> str | tuple[int, tuple[int, ...]]:
    """Return the line style that goes with a colour."""
    return LINES[index % len(LINES)]


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of that size in inches.

    Raises
    ------
    InputError
        If matplotlib is not installed.
    """
    drawing: type[Figure] = optional("dnnopt.plot.figure", "matplotlib", "plot").Drawing
    return drawing(figsize=(width, height), layout="constrained")


def axes_or_new(axes: Axes | None, width: float, height: float) -> Axes:
    """Return the axes given, or those of a new figure of that size in inches."""
    return new_figure(width, height).subplots() if axes is None else axes


def figure_of(axes: Axes) -> Figure:
    """Return the figure that axes belong to."""
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes without a figure cannot be drawn"
    return figure


def clean(axes: Axes) -> None:
    """Take away the frame above and on the right."""
    axes.spines[["top", "right"]].set_visible(False)


def axis_unit(values: Iterable[float], unit: str) -> tuple[float, str]:
    """Return what to divide values by (in the SI unit `unit`) for an axis, and the unit they then have."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return fitting_unit(largest, unit)


def labelled(name: str, unit: str) -> str:
    """Return the text at an axis: ``latency (ms)``; no brackets for a pure number."""
    return plain(f"{name} ({unit})" if unit else name)


def plain(text: str) -> str:
    """Return what makes matplotlib draw a text as it is: it would take what is between two ``$`` for a formula."""
    return visible(text).replace("$", r"\$")


def legend_entry(text: str) -> str:
    """Return what makes a legend have an entry with this text: it would leave out one that begins with ``_``."""
    return plain(f" {text}" if text.startswith("_") else text)


def shorten_text(text: str, length: int) -> str:
    """Return a text to draw, without its middle where it is longer than `length`."""
    text = visible(text)
    if len(text) > length:
        tail = (length - 1) // 2
        text = f"{text[: length - 1 - tail]}…{text[-tail:]}" if tail else text[: length - 1] + "…"
    return plain(text)
