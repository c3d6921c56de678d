"""What all plots share: colours that colour-blind people tell apart, with hatches and markers; new axes; units."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from dnnopt.base.extras import optional
from dnnopt.base.numbers import fitting_unit
from dnnopt.base.text import COLOURS, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_FEW_DECADES = 1e3

INK = "#222222"  # text, edges, what matters
FAINT = "#BBBBBB"  # what is only context
ON_WHITE = {"#F0E442": "#8F8500"}  # of a pale colour, the one for lines
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "----", "++++", "oo")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))


def colour(index: int) -> str:
    """Return the colour of the device, method or whatever has this index."""
    return COLOURS[index % len(COLOURS)]


def hatch(index: int) -> str:
    """Return the hatch that goes with a colour."""
    return HATCHES[index % len(HATCHES)]


def look(index: int) -> dict[str, Any]:
    """Return how areas of this index are filled: colour and hatch, which repeat together after 112.

    The hatch is white, but dark from the ninth on and on pale colours: areas with the same pattern are told apart in
    greyscale, too.
    """
    dark = index // len(HATCHES) % 2 == 1 or colour(index) in ON_WHITE
    return {"facecolor": colour(index), "hatch": hatch(index), "edgecolor": INK if dark else "white"}


def line_colour(index: int) -> str:
    """Return the colour of lines and markers of this index: none that is pale."""
    return ON_WHITE.get(colour(index), colour(index))


def marker(index: int) -> str:
    """Return the marker that goes with a colour."""
    return MARKERS[index % len(MARKERS)]


def line_style(index: int) -> str | tuple[int, tuple[int, ...]]:
    """Return the line style that goes with a colour."""
    return LINES[index % len(LINES)]


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """Return an empty figure of that size in inches.

    Raises
    ------
    InputError
        If matplotlib is not installed.
    """
    drawing: type[Figure] = optional("dnnopt.plot.figure", "matplotlib", "plot").Drawing
    return drawing(figsize=(width, height), layout=layout)


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


def log_ticks(axis: Axis) -> None:
    """Write plain numbers at the ticks of a logarithmic axis whose limits are set: 1, 2 and 5 over few decades."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < _FEW_DECADES * low else (1,)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


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


def plain_lines(text: str) -> str:
    """Return `plain` of each line of a text."""
    return "\n".join(map(plain, text.split("\n")))


def legend_entry(text: str) -> str:
    """Return what makes a legend have an entry with this text: it would leave out one that begins with ``_``."""
    return plain(f" {text}" if text.startswith("_") else text)
