"""Pareto fronts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnnopt.base.errors import InputError, UnsupportedError
from dnnopt.base.numbers import counted, format_runtime
from dnnopt.base.text import COLOURS
from dnnopt.plot.style import INK, axes_or_new, axis_unit, clean, figure_of, labelled, plain
from dnnopt.problem.words import objective_name
from dnnopt.studies.pareto import Front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def front(found: Front, *, axes: Axes | None = None) -> Figure:
    """Draw a Pareto front of two objectives as steps, or of three as points whose colour is the third.

    Of two objectives, filled points are proved, and above and right of the steps lies what the front dominates.

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
        axes.plot(columns[0], columns[1], drawstyle="steps-post", color=COLOURS[0], linewidth=1.2, zorder=1)
        _scatter(axes, columns, proved)
    else:
        drawn = axes.scatter(columns[0], columns[1], c=columns[2], cmap="cividis", edgecolors=INK, s=42, zorder=2)
        figure_of(axes).colorbar(drawn, ax=axes, label=labels[2])
    axes.set(xlabel=labels[0], ylabel=labels[1])
    state = f"complete within {100 * found.tolerance:.2g} %" if found.complete else "not complete"
    count = counted(len(found.points), "point")
    title = f"{found.problem.title}: {count}, {state}, in {format_runtime(found.runtime)}"
    axes.set_title(plain(title), fontsize=10, loc="left")
    axes.margins(0.06)
    clean(axes)
    return figure_of(axes)


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
