"""Gantt chart: what each device and each link does when."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.methods.result import Result
from dnnopt.plot.fitting import legend_beside, set_title, short_names, size_beside, text_width
from dnnopt.plot.style import (
    FAINT,
    INK,
    axes_or_new,
    axis_unit,
    clean,
    colour,
    figure_of,
    hatch,
    labelled,
    legend_entry,
    look,
    plain,
)
from dnnopt.plot.subject import headline, planned, shown_times
from dnnopt.plot.timetable import Bar, makespan, timetable
from dnnopt.problem.plan import Plan
from dnnopt.problem.problem import Problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _LANE = 8.8, 0.42  # inches, without the names of the lanes
_NAMES = 9.0  # points
_CHARACTER = 0.062  # inches of a letter in a bar
_LEAST_ROOM = 5  # letters
_LINK = "#999999"
_SLENDER = 0.004  # of the makespan: a bar's edges would hide it
_MOST_ROWS = 6.0  # lanes that one place with many rows may take


@checked
def schedule(subject: Result | Problem, plan: Plan | None = None, *, axes: Axes | None = None) -> Figure:
    """Draw a Gantt chart of a plan: a lane for each device and link that has something to do.

    Scheduled plans say when things happen. Under sequential execution one thing happens after the other, and under
    parallel execution everything as early as it can, as the critical path has it: there a link may carry several
    tensors at a time, which then lie above each other. Bars have the colours of their devices, grey on links; where
    there are several networks, each has a hatch. Where inputs leave at early exits, times are expected ones; scenarios
    are not shown.

    Parameters
    ----------
    subject : Result or Problem
    plan : Plan, optional
        Of the problem; a result has one.
    axes : matplotlib Axes, optional
        Where to draw, instead of a new figure.

    Raises
    ------
    UnsupportedError
        Under pipelined and call execution, where nothing has one start time.
    InputError
        If there is no plan, or one that cannot run, or matplotlib is not installed.
    """
    problem, plan, evaluation = planned(subject, plan)
    if not math.isfinite(evaluation.metrics["latency"]):
        raise InputError("", field="plan", problem=f"never ends: {evaluation.violations[0].message}")
    bars = [bar for bar in timetable(problem, plan) if bar.seconds > 0]
    devices = problem.platform.device_names()
    lanes: dict[str, list[Bar]] = {name: [] for name in (*devices, *(link.name for link in problem.platform.links))}
    for bar in bars:
        lanes[bar.place].append(bar)
    lanes = {name: found for name, found in lanes.items() if found}
    stacked = {name: _in_sublanes(found) for name, found in lanes.items()}
    heights = {name: min(max(1.0, 0.5 * len(rows)), _MOST_ROWS) for name, rows in stacked.items()}
    names = short_names(stacked)
    networks = short_names(network.name for network in problem.networks)
    left = 0.25 + max((text_width(name, _NAMES) for name in names.values()), default=0.0)
    labels = list(networks.values()) if len(networks) > 1 else []
    size = size_beside(_WIDTH + left, 1.3 + _LANE * sum(heights.values()), labels)
    axes = axes_or_new(axes, *size)
    end = makespan(bars)
    factor, unit = axis_unit([end], "s")
    middles = []
    top = 0.0
    for name, rows in stacked.items():
        thickness = 0.84 * heights[name] / len(rows)
        for row, members in enumerate(rows):
            bottom = top + 0.08 * heights[name] + row * thickness
            _draw_row(axes, members, bottom, thickness, factor, devices, list(networks), end)
        middles.append(top + heights[name] / 2)
        top += heights[name]
    axes.set(ylim=(top, 0), xlim=(0, end / factor * 1.005 or 1), xlabel=labelled("time", unit))
    axes.set_yticks(middles, [plain(names[name]) for name in stacked], fontsize=_NAMES)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT, linewidth=0.4)
    axes.set_axisbelow(True)
    set_title(axes, headline(problem, evaluation) + shown_times(problem), left)
    clean(axes)
    if len(networks) > 1:
        _draw_legend(axes, labels)
    return figure_of(axes)


def _in_sublanes(bars: list[Bar]) -> list[list[Bar]]:
    """Return the bars of a place in as few rows as hold them without overlap (up to rounding)."""
    rows: list[list[Bar]] = []
    slack = 1e-9 * makespan(bars)
    for bar in sorted(bars, key=lambda bar: bar.start):
        row = next((row for row in rows if row[-1].start + row[-1].seconds <= bar.start + slack), None)
        if row is None:
            rows.append([bar])
        else:
            row.append(bar)
    return rows


def _draw_row(
    axes: Axes,
    bars: list[Bar],
    bottom: float,
    thickness: float,
    factor: float,
    devices: tuple[str, ...],
    networks: list[str],
    end: float,
) -> None:
    """Draw bars that do not overlap; those that are wide enough have their name in them."""
    alike: dict[tuple[str, bool], list[Bar]] = defaultdict(list)
    for bar in bars:
        alike[bar.network, bar.seconds > _SLENDER * end].append(bar)
    for (network, wide), members in alike.items():
        place = members[0].place
        edge = look(devices.index(place))["edgecolor"] if place in devices else "white"
        axes.broken_barh(
            [(bar.start / factor, bar.seconds / factor) for bar in members],
            (bottom, thickness),
            facecolors=colour(devices.index(place)) if place in devices else _LINK,
            hatch=hatch(networks.index(network)),
            edgecolor=edge if wide else "face",
            linewidth=0.4,
        )
    names = {bar.name for bar in bars}
    for bar in bars:
        room = int(bar.seconds / end * _WIDTH / _CHARACTER)
        if room >= _LEAST_ROOM:
            axes.text(
                (bar.start + bar.seconds / 2) / factor,
                bottom + thickness / 2,
                plain(short_names(names, room)[bar.name]),
                ha="center",
                va="center",
                fontsize=6.5,
                color=INK,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
            )


def _draw_legend(axes: Axes, networks: list[str]) -> None:
    from matplotlib.patches import Patch

    entries = [
        Patch(label=legend_entry(name), facecolor=_LINK, edgecolor="white", hatch=hatch(index))
        for index, name in enumerate(networks)
    ]
    legend_beside(axes, entries)
