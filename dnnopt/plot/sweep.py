"""Sweeps: the value over a parameter, and the plan below it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.text import COLOURS
from dnnopt.plot.fitting import legend_beside, set_title, short_names, short_title, size_beside
from dnnopt.plot.style import (
    FAINT,
    INK,
    axis_unit,
    clean,
    figure_of,
    labelled,
    legend_entry,
    line_colour,
    line_style,
    log_ticks,
    look,
    marker,
    new_figure,
)
from dnnopt.problem.words import objective_name
from dnnopt.studies.sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@checked
def sweep(found: Sweep, *, axes: tuple[Axes, Axes] | None = None) -> Figure:
    """Draw the optimal value and the baselines over the parameter (above), and which layer runs where (below).

    Below, layers stand in a topological order from bottom to top, and each has the colour of its device: where colours
    meet, the network is cut. Vertical lines are break points.

    Parameters
    ----------
    found : Sweep
    axes : pair of matplotlib Axes, optional
        Where to draw, instead of a new figure.

    Raises
    ------
    InputError
        If the sweep has no point, or matplotlib is not installed.
    """
    if not found.points:
        raise InputError("a sweep with points", field="sweep.points", value=[])
    if axes is None:
        of = found.problem.platform.device_of()
        used = {of[place] for plan in found.plans for placed in plan.placement.values() for place in placed.values()}
        width, height = size_beside(7.2, 2.2, list(short_names(used).values()))
        above, below = new_figure(width, height + 3.4).subplots(2, 1, sharex=True, height_ratios=(3.4, height))
    else:
        above, below = axes
    per, unit = axis_unit([point.value for point in found.points], found.parameter.unit)
    _draw_values(above, found, per)
    _draw_plans(below, found, per)
    for limit in found.breaks:
        for panel in (above, below):
            panel.axvline(limit.high / per, color=INK if panel is above else "white", linewidth=0.8, linestyle=":")
    for panel in (above, below):
        panel.set_xscale(found.scale)
        panel.set_xlim(found.low / per, found.high / per)
        if found.scale == "log":
            log_ticks(panel.xaxis)
        else:
            panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    below.set_xlabel(labelled(str(found.parameter), unit))
    count = len(found.breaks)
    title = f"{short_title(found.problem.title)}: {count or 'no'} break point{'' if count == 1 else 's'}"
    set_title(above, title)
    clean(above)
    return figure_of(above)


def _draw_values(axes: Axes, found: Sweep, per: float) -> None:
    name, unit = objective_name(found.problem)
    asked = [point for point in found.points if point.asked]
    names = list(dict.fromkeys(baseline for point in asked for baseline in point.baselines))
    values = [point.objective for point in found.points if point.objective is not None]
    factor, unit = axis_unit(values, unit)
    for index, baseline in enumerate(names, 1):
        here = [point for point in asked if point.baselines.get(baseline) is not None]
        if not here:
            continue
        axes.plot(
            [point.value / per for point in here],
            [(point.baselines[baseline] or 0.0) / factor for point in here],
            color=line_colour(index),
            linestyle=line_style(index),
            marker=marker(index),
            markersize=4,
            label=legend_entry(f"best {baseline}" if baseline == "all-on-one" else baseline),
        )
    known = [
        (point.value / per, np.nan if point.objective is None else point.objective / factor) for point in found.points
    ]
    axes.plot(*zip(*known, strict=True), color=COLOURS[0], linewidth=1.8, label="optimal")
    proved = [(p.value / per, p.objective / factor) for p in asked if p.objective is not None and p.status == "optimal"]
    if proved:
        axes.plot(*zip(*proved, strict=True), color=COLOURS[0], linestyle="", marker="o", markersize=4, label="proved")
    if values and min(values) > 0 and max(values) > 10 * min(values):
        axes.set_yscale("log")
        log_ticks(axes.yaxis)
    axes.set_ylabel(labelled(name, unit))
    legend_beside(axes)


def _draw_plans(axes: Axes, found: Sweep, per: float) -> None:
    from matplotlib.patches import Patch, Rectangle

    problem, of = found.problem, found.problem.platform.device_of()
    layers = [
        (network.name, network.layers[index].name) for network in problem.networks for index in reversed(network.order)
    ]
    layers.reverse()
    used = set()
    for low, high, plan in found.segments:
        if plan is None:
            axes.axvspan(low / per, high / per, color=FAINT)
            continue
        placed = [of[found.plans[plan].placement[network][layer]] for network, layer in layers]
        used |= set(placed)
        first = 0
        for device, run in groupby(placed):
            index = problem.platform.device_names().index(device)
            height = len(list(run))
            axes.add_patch(
                Rectangle(
                    (low / per, first - 0.5),
                    (high - low) / per,
                    height,
                    linewidth=0,
                    **look(index),
                )
            )
            first += height
    shown = short_names(used)
    handles = [
        Patch(label=legend_entry(shown[device]), **look(index))
        for index, device in enumerate(problem.platform.device_names())
        if device in used
    ]
    legend_beside(axes, handles)
    axes.set(ylim=(-0.5, len(layers) - 0.5), ylabel="layer, in topological order")
