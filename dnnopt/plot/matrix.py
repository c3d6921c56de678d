"""Matrix of published approaches and the values that they have in the five dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnnopt.approaches.classifying import Classification
from dnnopt.approaches.dimensions import DIMENSIONS
from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.plot.style import FAINT, INK, axes_or_new, colour, figure_of, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL = 0.165  # inches


@checked
def matrix(approaches: Classification, *, axes: Axes | None = None) -> Figure:
    """Draw which values each approach has in each dimension: a row for each approach, a square for each value.

    Parameters
    ----------
    approaches : Classification
        What `dnnopt.approaches.classification` returns.
    axes : matplotlib Axes, optional
        Where to draw, instead of a new figure.

    Raises
    ------
    InputError
        If there is no approach, or matplotlib is not installed.
    """
    rows = approaches.approaches
    if not rows:
        raise InputError("one approach or more", field="approaches", value=[])
    columns = [(dimension, value) for dimension in DIMENSIONS for value in dimension.values if value != "own"]
    axes = axes_or_new(axes, 2.0 + _CELL * (len(columns) + len(DIMENSIONS)), 2.2 + _CELL * len(rows))
    names, places, at = [], [], 0.0
    for index, dimension in enumerate(DIMENSIONS):
        own = [value for one, value in columns if one is dimension]
        axes.text(at - 0.4, -1.1, plain(dimension.title.split()[-1]), color=INK, fontsize=8, fontweight="bold")
        for value in own:
            filled = [row for row, one in enumerate(rows) if value in one.values(dimension.name)]
            axes.scatter([at] * len(rows), range(len(rows)), marker="s", s=6, color=FAINT, linewidths=0)
            axes.scatter([at] * len(filled), filled, marker="s", s=52, color=colour(index), linewidths=0)
            names.append(plain(value))
            places.append(at)
            at += 1
        at += 1
    axes.set(xlim=(-0.8, at - 1.2), ylim=(len(rows) - 0.3, -1.9))
    axes.set_xticks(places, names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(rows)), [plain(one.title) for one in rows], fontsize=7)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure_of(axes)
