"""What each device and each link did during a run, under what was predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.numbers import format_quantity
from dnnopt.plot.fitting import short_names, text_width
from dnnopt.plot.style import FAINT, INK, axis_unit, clean, colour, labelled, new_figure, plain
from dnnopt.runtime.measured import PiecesRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dnnopt.runtime.trace import TraceEvent

_WIDTH, _LANE = 8.8, 0.32  # inches
_NAMES = 9.0  # points
_LINK = "#999999"
_ROOM = 0.05  # of the time: a bar that is shorter has no name in it


@checked
def pieces_run(run: PiecesRun) -> Figure:
    """Draw two Gantt charts above each other: what was predicted of a run of pieces, and what its middle input did.

    Parameters
    ----------
    run : PiecesRun
        Of this machine: elsewhere, processes have no common clock.

    Raises
    ------
    InputError
        If the run has no times of single pieces, or matplotlib is not installed.
    """
    if not run.events:
        raise InputError("", field="run", problem="has no times of single pieces, as on several machines")
    charts = {"measured": run.events}
    if run.prediction is not None and run.prediction.events:
        charts = {"predicted": run.prediction.events, **charts}
    places = list(dict.fromkeys(event[1] for kind in ("piece", "link") for event in _of(charts, kind)))
    devices = list(dict.fromkeys(event[1] for event in _of(charts, "piece")))
    end = max(event[5] for events in charts.values() for event in events)
    factor, unit = axis_unit([end], "s")
    names = short_names(places)
    left = 0.25 + max(text_width(name, _NAMES) for name in names.values())
    figure = new_figure(_WIDTH + left, 0.7 + len(charts) * (0.45 + _LANE * len(places)))
    drawn = figure.subplots(len(charts), 1, sharex=True, squeeze=False)
    for axes, (title, events) in zip(drawn[:, 0], charts.items(), strict=True):
        last = max(event[5] for event in events)
        axes.set_title(plain(f"{run.network}, {title}: {format_quantity(last, 's')}"), fontsize=_NAMES, loc="left")
        _draw(axes, events, places, devices, factor, end)
        axes.set_yticks(range(len(places)), [plain(names[place]) for place in places], fontsize=_NAMES)
        axes.set(ylim=(len(places) - 0.5, -0.5), xlim=(0, 1.005 * end / factor))
    drawn[-1, 0].set_xlabel(labelled("time", unit))
    return figure


def _of(charts: dict[str, list[TraceEvent]], kind: str) -> list[TraceEvent]:
    return [event for events in charts.values() for event in events if event[0] == kind]


def _draw(
    axes: Axes, events: list[TraceEvent], places: list[str], devices: list[str], factor: float, end: float
) -> None:
    for kind, place, name, _, start, stop in events:
        shade = colour(devices.index(place)) if kind == "piece" else _LINK
        lane = places.index(place)
        axes.broken_barh(
            [(start / factor, (stop - start) / factor)],
            (lane - 0.4, 0.8),
            facecolors=shade,
            edgecolor="white",
            linewidth=0.4,
        )
        if stop - start > _ROOM * end:
            axes.text(
                (start + stop) / 2 / factor,
                lane,
                plain(name if len(name) <= 14 else name[:13] + "…"),
                ha="center",
                va="center",
                fontsize=6.5,
                color=INK,
                clip_on=True,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
            )
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT, linewidth=0.4)
    axes.set_axisbelow(True)
    clean(axes)
