"""Pareto fronts."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.base.numbers import counted, format_runtime
from dnnopt.base.text import COLOURS
from dnnopt.plot.fitting import set_title, short_title
from dnnopt.plot.style import INK, axes_or_new, axis_unit, clean, figure_of, labelled
from dnnopt.problem.words import objective_name
from dnnopt.studies.pareto import Front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Radius of a point and how much wider each ring is, in points, where points are no more than so many.
_LEAST_RADIUS, _RING, _FEW = 3.2, 1.8, 60


@checked
def front(found: Front, *, axes: Axes | None = None) -> Figure:
    """Draw a Pareto front of two objectives as steps, or of three as points whose colour is the third.

    Of two objectives, filled points are proved, and above and right of the steps lies what the front dominates.
    Of three, points with a dark edge are proved, and those that lie on each other are rings, so that each is seen.

    Parameters
    ----------
    found : Front
    axes : matplotlib Axes, optional
        Where to draw, instead of a new figure.

    Raises
    ------
    InputError
        If the front has no point, or matplotlib is not installed.
    UnsupportedError
        For four objectives and more.
    """
    if not found.points:
        raise InputError("a front with points", field="front.points", value=[])
    named = [
        objective_name(found.problem, stage) for stage in sorted({term.priority for term in found.problem.minimize})
    ]
    if len(named) > 3:
        raise UnsupportedError("", problem=f"a front of {len(named)} objectives cannot be drawn; two or three can")
    axes = axes_or_new(axes, 6.4, 4.4)
    columns, labels = [], []
    for position, (name, unit) in enumerate(named):
        values = [point.objectives[position] for point in found.points]
        factor, shown = axis_unit(values, unit)
        columns.append([value / factor for value in values])
        labels.append(labelled(name, shown))
    proved = [point.proved for point in found.points]
    if len(named) == 2:
        axes.margins(0.06)
        axes.plot(columns[0], columns[1], drawstyle="steps-post", color=COLOURS[0], linewidth=1.2, zorder=1)
        _scatter(axes, columns, proved)
    else:
        axes.margins(0.06)
        _scatter_rings(axes, columns, proved, labels[2])
    axes.set(xlabel=labels[0], ylabel=labels[1])
    state = f"complete within {100 * found.tolerance:.2g} %" if found.complete else "not complete"
    points = counted(len(found.points), "point")
    title = f"{short_title(found.problem.title)}: {points}, {state}, in {format_runtime(found.runtime)}"
    set_title(axes, title)
    clean(axes)
    return figure_of(axes)


def _scatter_rings(axes: Axes, columns: list[list[float]], proved: list[bool], label: str) -> None:
    """Draw points whose colour is their third value, those that lie on each other in different sizes."""
    places = np.array(columns[:2]).T
    ranges = np.ptp(places, axis=0)
    extent = axes.get_window_extent()
    dots = 72 / figure_of(axes).dpi  # points a pixel
    ranges[ranges == 0] = 1.0
    crowd = 1.0 if len(places) <= _FEW else (_FEW / len(places)) ** 0.5
    drawn_at = places / ranges * np.array([extent.width, extent.height]) * dots / 1.12
    rings = np.array(ring_numbers(drawn_at, _RING * crowd))
    order = np.argsort(-rings, kind="stable")  # the largest first
    drawn = axes.scatter(
        places[order, 0],
        places[order, 1],
        c=np.array(columns[2])[order],
        cmap="cividis",
        edgecolors=[INK if proved[index] else COLOURS[5] for index in order],
        linewidths=[0.6 if proved[index] else 1.4 for index in order],
        s=(2 * crowd * (_LEAST_RADIUS + _RING * rings[order])) ** 2,
        zorder=2,
    )
    figure_of(axes).colorbar(drawn, ax=axes, label=label)
    if not all(proved):
        from matplotlib.lines import Line2D

        look: dict[str, Any] = {"linestyle": "", "marker": "o", "color": "white"}
        kinds = [("proved", INK)] * any(proved) + [("not proved", COLOURS[5])]
        handles = [Line2D([], [], markeredgecolor=edge, label=label, **look) for label, edge in kinds]
        axes.legend(handles=handles, frameon=False, fontsize=8)


def ring_numbers(places: np.ndarray, near: float) -> list[int]:
    """Return a number from 0 for each place (rows of x and y), none of them the same for places so near each other."""
    numbers: list[int] = []
    for index, place in enumerate(places):
        close = np.flatnonzero(np.hypot(*(places[:index] - place).T) < near)
        taken = {numbers[other] for other in close}
        numbers.append(next(number for number in count() if number not in taken))
    return numbers


def _scatter(axes: Axes, columns: list[list[float]], proved: list[bool]) -> None:
    for wanted, label, face in ((True, "proved", COLOURS[0]), (False, "not proved", "white")):
        chosen = [index for index, one in enumerate(proved) if one is wanted]
        if chosen:
            axes.scatter(
                [columns[0][index] for index in chosen],
                [columns[1][index] for index in chosen],
                facecolors=face,
                edgecolors=COLOURS[0],
                s=36,
                zorder=2,
                label=label,
            )
    if not all(proved):
        axes.legend(frameon=False, fontsize=8)
